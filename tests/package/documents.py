#!/usr/bin/env python3
"""What the documents say of the program is so, both ways: options, faults, fields, ops, columns, and README's own example.

usage: documents.py SLUICE
"""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

TREE = pathlib.Path(__file__).parent.parent.parent
SLUICE = str(pathlib.Path(sys.argv[1]).resolve())
PAGES = {"token": "serve", "observe": "import", "label": "import", "health": "query", "stats": "query", "eval": "build", "tune": "devices"}
COMMON = {"help", "usage", "version"}
failures = []


def told(path):
    return (TREE / path).read_text()


def table(path, macro):
    """The arguments of each line of a .tbl, as texts."""
    lines = re.findall(rf"^{macro}\((.*)\)$", told(path), re.MULTILINE)
    return [[part.strip() for part in re.findall(r'\s*("[^"]*"|[^,]+)', line)] for line in lines]


def expect(is_so, text):
    if not is_so:
        failures.append(text)


def help_of(*command):
    return subprocess.run([SLUICE, *command, "--help"], capture_output=True, text=True, check=True).stdout


def options_of(command):
    return set(re.findall(r"(?:^ {2,6}|, )--([a-z-]+)", help_of(command), re.MULTILINE)) - COMMON


def check_manual(options):
    """tests/package/manual.sh holds that every option has its place; here: nothing is told that is not there."""
    connecting = set.intersection(*(options[command] for command in ("submit", "query", "health")))
    for page in sorted((TREE / "man").glob("sluice*.1.scd")):
        named = set(re.findall(r"^\*?.*?\*--([a-z-]+)\*", page.read_text(), re.MULTILINE)) - COMMON
        name = page.name.removeprefix("sluice").split(".")[0].removeprefix("-")
        of_page = [command for command in options if PAGES.get(command, command) == name]
        known = set().union(connecting, *(options[command] for command in of_page or options))
        for option in sorted(named - known):
            expect(False, f"{page.name} tells of --{option}, which is no option of {', '.join(of_page) or 'any command'}")


def check_calls(options):
    """Every `sluice COMMAND --option` in the documents can be typed."""
    pages = [TREE / "README.md", TREE / "CONTRIBUTING.md", *(TREE / "docs").rglob("*.md"), *(TREE / "man").glob("*.scd")]
    for page in pages:
        text = page.read_text().replace("*", "")
        for command, rest in re.findall(r"(?:^\s+(?:build/release/)?|`)sluice ([a-z]+(?:-[a-z]+)?)((?: [^`\n]*)?)", text, re.MULTILINE):
            where = f"{page.relative_to(TREE)}: sluice {command}"
            if command == "help":
                continue
            expect(command in options, f"{where} is no command")
            for option in re.findall(r"--([a-z-]+)", rest):
                expect(option in options.get(command, COMMON) | COMMON, f"{where} has no --{option}")


def first_cells(text, heading):
    """Names in the first column of the tables under a heading."""
    part = re.split(r"^#+ ", text.split(f"\n{heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    rows = [line.split("|") for line in part.splitlines() if line.startswith("| `")]
    return {name: row for row in rows for name in re.findall(r"`([a-z0-9_.]+)`", row[1])}


def check_protocol():
    text = told("docs/protocol.md")
    faults, fields, ops = (first_cells(text, heading) for heading in ("## Faults", "## Request", "## Ops"))
    known = table("src/base/faults.tbl", "FAULT")
    expect(set(faults) == {fault[0] for fault in known}, f"faults told: {sorted(faults)}")
    for name, _, transient in known:
        told_so = "may succeed" in faults.get(name, ["", "", "", ""])[3]
        expect(told_so == (transient == "1") or name == "not_found", f"fault {name}: may the same request succeed later?")
    names = {field[0] for field in table("src/wire/envelope.tbl", "FIELD")}
    expect(set(fields) == names, f"request fields told but not known {sorted(set(fields) - names)}, known but not told "
           f"{sorted(names - set(fields))}")
    known = {op[1].strip('"') for op in table("src/batch/ops.tbl", "OP")}
    expect(set(ops) == known, f"ops told: {sorted(ops)}, known: {sorted(known)}")
    columns = {column[0] for column in table("src/batch/columns.tbl", "COLUMN")}
    expect(columns <= set(re.findall(r"`([a-z_]+)`", told("docs/columns.md"))), "docs/columns.md lacks a column")
    rules = re.search(r"enum check_rule \{([^}]*)\}", told("src/batch/batch.h"))[1]
    rules = {rule.strip().removeprefix("RULE_").lower() for rule in rules.split(",")} - {"count"}
    expect(set(first_cells(text, "## What makes a row invalid")) == rules, "rules of rows")


def check_readme():
    """Its configuration starts a server that has the base it names."""
    config = re.search(r"enough:\n\n((?: {4}.*\n)+)", told("README.md"))[1].replace("\n    ", "\n").removeprefix("    ")
    with tempfile.TemporaryDirectory(prefix="sluice-readme-") as folder:
        place = pathlib.Path(folder)
        (place / "sluice.yaml").write_text(config)
        shutil.copy(TREE / "models/synth/base.safetensors", place / "transfers.safetensors")
        subprocess.run([SLUICE, "token", "--file", "payroll.token"], cwd=folder, check=True, capture_output=True)
        done = subprocess.run([SLUICE, "serve", "--check", "--config", "sluice.yaml"], cwd=folder, capture_output=True, text=True, check=False)
        expect(done.returncode == 0, f"README's sluice.yaml: {done.stdout}{done.stderr}")


def main():
    commands = re.findall(r"^  ([a-z-]+) ", help_of(), re.MULTILINE)
    options = {command: options_of(command) for command in commands}
    expect(len(commands) > 10 and all(options.values()), "commands and their options")
    check_manual(options)
    check_calls(options)
    check_protocol()
    check_readme()
    print("\n".join(failures))
    sys.exit(bool(failures))


main()
