"""Our own programs' figures, read from what they print."""
import json
import os
import re
import shutil
import subprocess
import tempfile

from harness.turns import Missing, Taker

LESS = ("ns", "s", "ms", "us", "bytes", "MiB")


def better(unit):
    return "less" if unit.split("/")[0].split()[0] in LESS else "more"


def lines_of(stage, run, program, *words, repeats=1):
    """Of a program that prints a figure a line: name, value, unit."""
    found = {}
    for _ in range(repeats):
        for line in run.output(program, *words).splitlines():
            parts = line.split(None, 2)
            try:
                found.setdefault((parts[0], parts[2]), []).append(float(parts[1]))
            except (ValueError, IndexError):
                continue
    if not found:
        raise Missing(f"{program} printed no figures")
    for (name, unit), values in found.items():
        stage.figure(name, values, unit.strip(), better(unit))


def matches_of(stage, text, patterns):
    """Figures that stand in sentences: (pattern with a group `value` and perhaps `name`, name, unit, factor)."""
    for pattern, name, unit, factor in patterns:
        hits = list(re.finditer(pattern, text))
        if not hits:
            stage.miss(f"{stage.name}.{name}", "the program does not print it as it did")
        for hit in hits:
            part = hit.groupdict().get("name", "")
            stage.figure(name.format(re.sub(r"[\s,]+", "_", part.strip())), float(hit["value"]) * factor, unit, better(unit))


def kernel_figures(run, rounds, repeats):
    found = {}
    for _ in range(repeats):
        last = run.output("bench_kernels", str(rounds)).strip().splitlines()[-1]
        for name, figure in json.loads(last)["figures"].items():
            found.setdefault((name, figure["unit"]), []).append(figure["value"])
    return found


def stage_peak(run, stage):
    """What the processor can do at the most: multiply-adds, and bytes from memory."""
    for (name, unit), values in kernel_figures(run, 3, run.pick(5, 1)).items():
        if name.endswith(".peak"):
            stage.figure(f"{name.split('.')[0]}.fma", values, unit)
    taker = Taker(run.program("bench_turns"), "bandwidth")
    stage.figure("memory", [24 * 8 * 2 ** 20 / taker.turn() * 1e-9 for _ in range(run.pick(15, 3))], "GB/s")
    taker.close()


def stage_kernels(run, stage):
    """Every kernel, instruction set and shape, with its share of the peak that was measured in the same rounds."""
    for (name, unit), values in kernel_figures(run, run.pick(15, 2), run.pick(7, 1)).items():
        stage.figure(name, values, unit, better(unit))


def stage_features(run, stage):
    text = run.output("bench_features", str(run.pick(1000000, 50000)))
    matches_of(stage, text, ((r"all \d+ features.*?: (?P<value>[\d.]+) million rows/s", "all", "rows/s", 1e6),
                             (r"joins of \d+ rows, (?P<name>[\w ]+): (?P<value>[\d.]+) s", "joins.{}", "s", 1)))


def stage_templates(run, stage):
    """Rows a second of programs over columns; "goal" is the one that the goals name."""
    for _ in range(run.pick(3, 1)):
        text = run.output("bench_template", str(run.pick(100000, 10000)))
        for name, value in re.findall(r"^template\.(\w+) ([\d.]+) Mrows/s$", text, re.M):
            stage.figures_add(name, float(value) * 1e6, "rows/s", "more")


def exponent(count):
    return f"{int(count):.0e}".replace("e+0", "e")


def stage_history(run, stage):
    """Nanoseconds a row from a hundred thousand to ten million accounts, in traffic of a month and of now; bytes of an account."""
    text = run.output("bench_history", *(["10000", "1400000"] if run.quick else []))
    sentence = (r"(\d+) accounts, +\d+ rows (of 30 days|of now) *: (\d+) ns a row read and counted \((\d+) finding, (\d+) figures, "
                r"(\d+) counting\); (\d+) counted, (\d+) read\n.*?(\d+) bytes each")
    for line in re.finditer(sentence, text):
        place = f"{'now' if line[2] == 'of now' else 'month'}.{exponent(line[1])}"
        for name, value in zip(("screen", "finding", "figures", "counting", "import", "score"), line.groups()[2:8]):
            stage.figure(f"{place}.{name}", float(value), "ns/row", "less")
        if line[2] != "of now":
            stage.figure(f"bytes.{exponent(line[1])}", float(line[9]), "bytes", "less")
    if not stage.figures:
        raise Missing("bench_history prints its figures in another way")


def stage_ledger(run, stage):
    folder = tempfile.mkdtemp(prefix="ledger-", dir=run.folder)
    try:
        lines_of(stage, run, "bench_ledger", os.path.join(folder, "ledger"), str(run.pick(160, 80)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def stage_wire(run, stage):
    lines_of(stage, run, "bench_wire", repeats=run.pick(5, 1))


def stage_synth(run, stage):
    lines_of(stage, run, "bench_synth", repeats=run.pick(3, 1))


SERVERS = {  # stage: options of bench/server
    "server": ["--open-loop", "--seconds", "6"],
    "server512": ["--clusters", "512", "--sizes", "10000", "--seconds", "8"],
    "server_avx2": ["--cpu-mask", "avx2", "--sizes", "10000", "--seconds", "8"],
    "server_challenger": ["--sizes", "10000", "--seconds", "6", "--challenger", "5"],
    "server_accounts": ["--accounts", "10000000", "--all-known", "--sizes", "10000", "--seconds", "15"],
}


SERVER_ROUNDS = {"server": 3}  # one otherwise; each with a server of its own


def stage_server(run, stage):
    """The whole server by bench/server, in the shapes that the goals name."""
    for _ in range(run.pick(SERVER_ROUNDS.get(stage.name, 1), 1)):
        server_round(run, stage)


def server_round(run, stage):
    out = os.path.join(run.folder, stage.name + ".json")
    options = ["--sizes", "1000,10000", "--seconds", "1", "--accounts", "10000"] if run.quick else SERVERS[stage.name]
    done = subprocess.run([run.script("server"), "--build", run.build, "--folder", run.folder, "--json", out, *options],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise Missing((done.stdout.strip().splitlines() or ["bench/server failed"])[-1][:300])
    with open(out, encoding="utf-8") as file:
        result = json.load(file)
    for figures in result["runs"]:
        server_figures(stage, figures)
    for part in ("open_loop", "echo", "challenger"):  # those that bench/server measures
        for key, value in (result.get(part) or {}).items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                unit = "ms" if key.endswith("_ms") else "1"
                stage.figures_add(f"{part}.{key}", value, unit, better(unit))


def server_figures(stage, figures):
    """Of one size of batch."""
    rows = figures["batch_rows"]
    stage.figures_add(f"{rows}", figures["transfers_per_s"], "transfers/s", "more")
    for quantile in ("p50_ms", "p99_ms"):
        stage.figures_add(f"{rows}.{quantile}", figures[quantile], "ms", "less")
    for who in ("server", "client"):
        if figures.get("rows_of_cpu") and f"{who}_cpu_s" in figures:
            stage.figures_add(f"{rows}.{who}_cost", 1e9 * figures[f"{who}_cpu_s"] / figures["rows_of_cpu"], "ns/transfer", "less")
    if rows == 10000 and figures["server_cpu_s"] > 0:
        stage.figures_add("named_share", sum(figures["step_cpu_s"].values()) / figures["server_cpu_s"], "1", "more")
        for step, seconds in figures["step_cpu_s"].items():
            stage.figures_add(f"step.{step}", seconds / figures["server_cpu_s"], "1", "less")
