#!/usr/bin/env python3
"""Checks on the tree itself: who may include what, lengths, unfinished words, documents, format.

usage: tidy.py [--self-test] [--only RULE] [TREE]
Every rule is a function from a tree to findings. --self-test shows that each of them can fail.
"""
import ast
import concurrent.futures
import fnmatch
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

LINE_COLUMNS_MAX = 140
FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70

# What a room may include beside itself (docs/architecture.md). kernels stands for kernels/kernels.h.
ROOMS = {
    "kernels": "",
    "base": "",
    "batch": "base",
    "wire": "base batch",
    "ledger": "base batch",
    "intake": "base batch kernels",
    "synth": "base batch",
    "connect": "base batch",
    "history": "base batch",
    "feature": "base batch history kernels",
    "scene": "base batch history feature kernels",
    "compute": "base batch history feature scene kernels",
    "verdict": "base batch history feature scene compute kernels",
    "client": "base batch wire",
    "pipeline": "base batch wire intake connect ledger history feature scene compute verdict kernels",
    "server": "base batch wire pipeline",
    "command": "base batch wire intake ledger history feature scene compute verdict synth client pipeline server kernels",
    "main": "base command",
}

# A third-party header and the only places that may include it.
THIRD_PARTY = {
    "msgpack": ["src/wire/*"],
    "nng/": ["src/server/*", "src/client/*", "src/connect/nng*"],
    "curl/": ["src/connect/http.c", "src/connect/smtp.c"],
    "rhonabwy": ["src/connect/sign_on.c"],
    "orcania": ["src/connect/sign_on.c"],
    "sqlite3": ["src/ledger/*"],
    "zstd": ["src/ledger/*"],
    "expat": ["src/wire/iso20022/walk.*"],
    "yaml.h": ["src/pipeline/config_yaml.c"],
    "cyaml/": ["src/pipeline/config*.c", "src/scene/build_file.c"],
    "pcre2": ["src/intake/profile_pattern.c"],
    "microhttpd": ["src/server/http*"],
    "xxhash": ["src/base/hash.c"],
    "cblas": ["kernels/blas/*"],
    "jansson": ["src/base/json.h"],
    "sodium": ["src/base/secret.c"],
    "systemd/": ["src/server/*"],
    "CL/": ["src/compute/*"],
}

UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX)\b|\b(?i:st" r"ub|st" r"ubs|not impl" r"emented|place" r"holder)\b")
MACHINE_PATH = re.compile(r"/(wo" r"rk|ro" r"ot|ho" r"me)/[A-Za-z0-9_.]")
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]')
C_SUFFIXES = {".c", ".h"}


class Tree:
    """The files that git knows or would take, read once."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.texts = {}
        git = shutil.which("git")
        listed = subprocess.run([git, "-C", str(self.root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                                capture_output=True, text=True) if git else None
        if listed and listed.returncode == 0:
            names = {name for name in listed.stdout.split("\0") if name}
        else:
            names = {str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file()}
        self.names = sorted(name for name in names if not name.startswith(("build/", ".git/")) and (self.root / name).is_file())

    def text(self, name):
        if name not in self.texts:
            try:
                self.texts[name] = (self.root / name).read_text(encoding="utf-8")
            except UnicodeDecodeError:
                self.texts[name] = ""
        return self.texts[name]

    def lines(self, name):
        return self.text(name).splitlines()

    def sources(self, *tops, suffixes=C_SUFFIXES):
        return [name for name in self.names if name.split("/")[0] in tops and pathlib.Path(name).suffix in suffixes]


def room_of(name):
    parts = name.split("/")
    if parts[0] == "kernels":
        return "kernels"
    return parts[1] if len(parts) > 2 else pathlib.Path(parts[1]).stem


def rule_includes(tree):
    """Rooms include only what the arrows of docs/architecture.md allow."""
    for name in tree.sources("src", "kernels", suffixes={".c", ".h", ".tbl"}):
        room = room_of(name)
        if room not in ROOMS:
            yield f"{name}: room {room} is not in the table of rooms"
            continue
        allowed = {room, *ROOMS[room].split()}
        for number, line in enumerate(tree.lines(name), 1):
            found = INCLUDE.match(line)
            if not found or found[1] != '"':
                continue
            target = found[2]
            if target.startswith("."):
                yield f"{name}:{number}: include by path from src/, not {target}"
                continue
            to = "kernels" if f"kernels/{target}" in tree.names else target.split("/")[0]
            if to not in allowed:
                yield f"{name}:{number}: {room} may not include {target}"
            elif room != "kernels" and to == "kernels" and target != "kernels.h":
                yield f"{name}:{number}: outside kernels/ only kernels.h is included, not {target}"


def rule_third_party(tree):
    """Each third-party API is included in one place."""
    for name in tree.sources("src", "kernels"):
        for number, line in enumerate(tree.lines(name), 1):
            found = INCLUDE.match(line)
            for start, places in THIRD_PARTY.items():
                if found and found[2].startswith(start) and not any(fnmatch.fnmatch(name, place) for place in places):
                    yield f"{name}:{number}: {found[2]} belongs to {', '.join(places)}"


def rule_lengths(tree):
    """Files, functions and lines stay short enough to be read."""
    for name in tree.sources("src", "tests", "bench", "kernels"):
        lines = tree.lines(name)
        for number, line in enumerate(lines, 1):
            if len(line) > LINE_COLUMNS_MAX:
                yield f"{name}:{number}: {len(line)} columns, at most {LINE_COLUMNS_MAX}"
        if name.startswith("kernels/"):
            continue
        if len(lines) > FILE_LINES_MAX:
            yield f"{name}: {len(lines)} lines, at most {FILE_LINES_MAX}"
        start = None
        for number, line in enumerate(lines, 1):
            if line == "{":
                start = number
            elif line == "}" and start:
                if number - start - 1 > FUNCTION_LINES_MAX:
                    yield f"{name}:{start}: a function of {number - start - 1} lines, at most {FUNCTION_LINES_MAX}"
                start = None


def python_functions(text):
    """First and last line of every function."""
    nodes = (node for node in ast.walk(ast.parse(text)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))
    return [(node.name, node.lineno, node.end_lineno) for node in nodes]


def rule_python(tree):
    """The Python package and its tests keep the same lengths; what a generator wrote may be as long as it is."""
    names = [name for name in tree.names if name.endswith(".py") and name.startswith(("src/", "tests/python/"))]
    for name in names:
        lines = tree.lines(name)
        for number, line in enumerate(lines, 1):
            if len(line) > LINE_COLUMNS_MAX:
                yield f"{name}:{number}: {len(line)} columns, at most {LINE_COLUMNS_MAX}"
        if len(lines) > FILE_LINES_MAX and "Made by `script/" not in lines[0]:
            yield f"{name}: {len(lines)} lines, at most {FILE_LINES_MAX}"
        for function, first, last in python_functions(tree.text(name)):
            if last - first > FUNCTION_LINES_MAX:
                yield f"{name}:{first}: {function} has {last - first} lines, at most {FUNCTION_LINES_MAX}"


def rule_unfinished(tree):
    """No words of unfinished work."""
    for name in tree.names:
        if name == "tests/tidy/tidy.py" or name == "LICENSE" or "/corpus/" in name:
            continue
        for number, line in enumerate(tree.lines(name), 1):
            found = UNFINISHED.search(line)
            if found:
                yield f"{name}:{number}: {found[0]}"


def rule_machine_paths(tree):
    """No path of a developer's machine."""
    for name in tree.names:
        if name == "tests/tidy/tidy.py" or "/corpus/" in name:
            continue
        for number, line in enumerate(tree.lines(name), 1):
            if MACHINE_PATH.search(line):
                yield f"{name}:{number}: {line.strip()[:100]}"


def rule_headers_alone(tree):
    """Every header compiles by itself, as C; the public one also as C++."""
    def compile_alone(name):
        compilers = [["gcc", "-std=c17", "-D_POSIX_C_SOURCE=200809L", "-Isrc", "-Ikernels", "-Itests"]]
        if name == "src/client/sluice.h":
            compilers.append(["g++", "-std=c++11"])
        for compiler in compilers:
            run = subprocess.run([*compiler, "-Wall", "-Wextra", "-Wno-unused", "-Werror", "-fsyntax-only", "-x",
                                  "c++" if compiler[0] == "g++" else "c", "-"],
                                 input=f'#include "{name}"\n', cwd=tree.root, capture_output=True, text=True)
            if run.returncode:
                return f"{name}: {(run.stderr.strip().splitlines() or ['does not compile'])[-1 if len(run.stderr) < 200 else 0]}"
        return None
    headers = tree.sources("src", "kernels", "tests", "bench", suffixes={".h"})
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from (finding for finding in pool.map(compile_alone, headers) if finding)


def kernel_names(tree):
    """Fields of struct kernels (they hold the implementations) and the functions of the product form."""
    if "kernels/kernels.h" not in tree.names:
        return []
    body = re.search(r"struct kernels \{(.*?)\n\};", tree.text("kernels/kernels.h"), re.S)
    names = []
    for line in (body[1] if body else "").splitlines():
        found = re.match(r"\s*\w+_fn\s+(.*?);", line)
        if found:
            names += [part.strip(" *") for part in found[1].split(",")]
    return names


def rule_kernels(tree):
    """Every kernel has a check, a bench line and a line in the how-to."""
    def holds(names, kernel):
        return any(re.search(rf"\b{kernel}\b", tree.text(name)) for name in names)
    checks = [name for name in tree.sources("tests") if name.startswith("tests/kernel/")]
    benches = tree.sources("bench")
    howto = [name for name in tree.names if name == "docs/kernels-howto.md"]
    for kernel in kernel_names(tree):
        for what, names in (("check in tests/kernel", checks), ("bench", benches), ("line in docs/kernels-howto.md", howto)):
            if not holds(names, kernel):
                yield f"kernels/kernels.h: {kernel} has no {what}"


def rule_built(tree):
    """Every .c file is named by CMake, by itself or by a glob."""
    patterns = set()
    for name in tree.names:
        if name == "CMakeLists.txt" or name.startswith("cmake/"):
            text = re.sub(r"\$\{CMAKE_SOURCE_DIR\}/", "", tree.text(name))
            for word in re.findall(r"[\w./*${}-]+\.c\b", text):
                patterns.add(re.sub(r"\$\{\w+\}", "*", word))
    expressions = [re.compile(re.escape(pattern).replace(r"\*", "[^/]*") + "$") for pattern in patterns]
    for name in tree.sources("src", "kernels", "tests", "bench", "models", suffixes={".c"}):
        if not any(expression.match(name) for expression in expressions):
            yield f"{name}: nothing builds it"


def table_entries(text):
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    return re.findall(r"^[A-Z_]+\(\s*(\w+)", text, re.M)


def rule_tables(tree):
    """Every entry of every .tbl stands in a document, an op such as base_put as base.put."""
    documents = "\n".join(tree.text(name) for name in tree.names if name.startswith("docs/") and name.endswith(".md"))
    words = set(re.findall(r"\w+", documents))
    for name in tree.names:
        if name.endswith(".tbl"):
            missing = [entry for entry in table_entries(tree.text(name))
                       if entry not in words and entry.replace("_", ".", 1) not in documents]
            if missing:
                yield f"{name}: not in docs/: {', '.join(missing[:8])}{' …' if len(missing) > 8 else ''}"


def rule_generated(tree):
    """Generated documents are what their generator gives."""
    generator = tree.root / "script/generate-docs"
    if generator.exists():
        run = subprocess.run([str(generator), "--check"], cwd=tree.root, capture_output=True, text=True)
        if run.returncode:
            yield from (run.stdout + run.stderr).strip().splitlines() or ["script/generate-docs --check failed"]


def anchor_of(heading):
    heading = re.sub(r"[`*]", "", heading.strip().lower())
    return re.sub(r"[^\w\- ]", "", heading).replace(" ", "-")


def rule_links(tree):
    """Links between documents resolve, with their headings."""
    names = set(tree.names)
    folders = {str(parent) for name in names for parent in pathlib.PurePath(name).parents}
    anchors = {name: {anchor_of(heading) for heading in re.findall(r"^#+ (.*)$", tree.text(name), re.M)}
               for name in names if name.endswith(".md")}
    for name in sorted(anchors):
        text = re.sub(r"```.*?```", "", tree.text(name), flags=re.S)
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"\w+:", link):
                continue
            path, _, anchor = link.partition("#")
            target = os.path.normpath(os.path.join(os.path.dirname(name), path)) if path else name
            if target not in names and target not in folders:
                yield f"{name}: {link} leads nowhere"
            elif anchor and target in anchors and anchor not in anchors[target]:
                yield f"{name}: {link}: no such heading"


def rule_format(tree):
    """C sources are in the shape of .clang-format (script/format puts them so)."""
    sources = tree.sources("src", "kernels", "tests", "bench")
    if not sources:
        return
    run = subprocess.run(["clang-format-14", "--dry-run", "-Werror", "--ferror-limit=1", *sources], cwd=tree.root,
                         capture_output=True, text=True)
    if run.returncode:
        yield from sorted({line.split(": error")[0] + ": not formatted" for line in run.stderr.splitlines() if ": error" in line})


def rule_scripts(tree):
    """Scripts have their run bit and are read by their shell."""
    for name in tree.names:
        first = tree.text(name).split("\n", 1)[0]
        if not first.startswith("#!"):
            continue
        if not os.access(tree.root / name, os.X_OK):
            yield f"{name}: no run bit"
        if re.search(r"\b(ba)?sh$", first):
            run = subprocess.run([first[2:].strip(), "-n", str(tree.root / name)], capture_output=True, text=True)
            if run.returncode:
                yield f"{name}: {run.stderr.strip()}"


RULES = {name[5:]: rule for name, rule in list(globals().items()) if name.startswith("rule_")}

KERNELS_H = "struct kernels {\n    map_fn *log, *exp;\n};\n"
LONG_FUNCTION = "void f(void)\n{\n" + "    ;\n" * (FUNCTION_LINES_MAX + 1) + "}\n"
# For every rule: trees that it must refuse.
BAD_TREES = {
    "includes": [{"src/base/a.c": '#include "batch/batch.h"\n'}, {"src/wire/a.h": '#include "ledger/ledger.h"\n'},
                 {"kernels/ref/a.c": '#include "base/must.h"\n'}, {"src/odd/a.c": "\n"}, {"src/base/a.c": '#include "../x.h"\n'},
                 {"src/feature/a.c": '#include "ref/log.h"\n', "kernels/ref/log.h": ""}],
    "third_party": [{"src/server/a.c": "#include <msgpack.h>\n"}, {"src/pipeline/a.c": "#include <cyaml/cyaml.h>\n"},
                    {"src/base/file.c": "#include <xxhash.h>\n"}, {"src/connect/a.c": "#include <curl/curl.h>\n"}],
    "lengths": [{"src/base/a.c": LONG_FUNCTION}, {"src/base/a.c": "\n" * (FILE_LINES_MAX + 1)},
                {"kernels/a.c": "/*" + "-" * LINE_COLUMNS_MAX + "*/\n"}],
    "python": [{"src/client/python/a.py": "def f():\n" + "    f()\n" * (FUNCTION_LINES_MAX + 1)}, {"tests/python/a.py": "\n" * (FILE_LINES_MAX + 1)},
               {"tests/python/a.py": "#" * (LINE_COLUMNS_MAX + 1) + "\n"}],
    "unfinished": [{"src/base/a.c": "/* TO" "DO */\n"}, {"docs/a.md": "a st" "ub\n"}],
    "machine_paths": [{"docs/a.md": "see /ro" "ot/x\n"}, {"script/a": "cd /ho" "me/me\n"}],
    "headers_alone": [{"src/base/a.h": "uint32_t f(void);\n"}, {"src/client/sluice.h": "int f(int class);\n"}],
    "kernels": [{"kernels/kernels.h": KERNELS_H, "tests/kernel/check_a.c": "log exp", "bench/bench_a.c": "log",
                 "docs/kernels-howto.md": "log exp"},
                {"kernels/kernels.h": KERNELS_H, "tests/kernel/check_a.c": "log", "bench/bench_a.c": "log exp",
                 "docs/kernels-howto.md": "log exp"},
                {"kernels/kernels.h": KERNELS_H, "tests/kernel/check_a.c": "log exp", "bench/bench_a.c": "log exp",
                 "docs/kernels-howto.md": "log"}],
    "built": [{"cmake/product.cmake": "file(GLOB found src/${room}/*.c)\n", "src/base/deep/a.c": ""}],
    "tables": [{"src/base/a.tbl": "/* A(name) */\nA(one)\nA(two)\n", "docs/a.md": "one\n"}],
    "generated": [{"script/generate-docs": "#!/bin/sh\necho docs/a.md is old; exit 1\n"}],
    "links": [{"README.md": "[a](docs/a.md)\n"}, {"README.md": "[a](docs/a.md#b)\n", "docs/a.md": "# a\n"}],
    "format": [{"src/base/a.c": "int   a;\n"}],
    "scripts": [{"script/a": "#!/bin/sh\nif\n"}, {"script/plain.sh": "#!/bin/sh\n"}],
}
GOOD_TREE = {
    "src/base/a.c": '#include "base/a.h"\n\nint a(void)\n{\n    return 1;\n}\n', "src/base/a.h": "int a(void);\n",
    "src/feature/f.h": '#include "kernels.h"\n\nint f(void);\n', "src/base/a.tbl": "A(one)\n",
    "kernels/kernels.h": "typedef void map_fn(void);\n\nstruct kernels {\n    map_fn *log;\n};\n",
    "tests/kernel/check_a.c": "/* log */\n", "bench/bench_a.c": "/* log */\n",
    "docs/kernels-howto.md": "# How to\n`log`, one\n", "README.md": "[how](docs/kernels-howto.md#how-to)\n",
    "cmake/a.cmake": "src/${room}/*.c tests/kernel/check_*.c bench/bench_*.c\n", "script/run": "#!/bin/sh\nexit 0\n",
}


def make_tree(folder, files):
    for name, text in files.items():
        path = pathlib.Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if name.startswith("script/") and not name.endswith(".sh") else 0o644)
    here = pathlib.Path(__file__).resolve().parents[2] / ".clang-format"
    (pathlib.Path(folder) / ".clang-format").write_text(here.read_text())
    return Tree(folder)


def self_test():
    wrong = [f"rule {rule} has no bad tree" for rule in RULES if rule not in BAD_TREES]
    for rule, trees in BAD_TREES.items():
        for number, files in enumerate(trees):
            with tempfile.TemporaryDirectory() as folder:
                if not list(RULES[rule](make_tree(folder, files))):
                    wrong.append(f"rule {rule} lets its bad tree {number} pass")
    with tempfile.TemporaryDirectory() as folder:
        tree = make_tree(folder, GOOD_TREE)
        wrong += [f"rule {rule} refuses the good tree: {finding}" for rule in RULES for finding in RULES[rule](tree)]
    return wrong


def main(arguments):
    findings = []
    if "--self-test" in arguments:
        findings = self_test()
    else:
        only = arguments[arguments.index("--only") + 1] if "--only" in arguments else None
        rest = [word for word in arguments if word not in ("--only", only)]
        tree = Tree(rest[0] if rest else pathlib.Path(__file__).resolve().parents[2])
        findings = [f"{rule}: {finding}" for rule in RULES if only in (None, rule) for finding in RULES[rule](tree)]
    print("\n".join(findings) if findings else "tidy")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
