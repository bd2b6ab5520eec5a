"""The generated part of docs/performance.md."""
import os

from harness import result as results
from harness.goals import GOALS, number
from harness.peers import SHAPES, shape_name

BEGIN, END = "<!-- figures: bench/goals -->", "<!-- end of figures -->"


def table(heads, rows):
    return ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)] + ["| " + " | ".join(row) + " |" for row in rows]


def machine_lines(whole):
    """One line a commit and date; stages that were run together stand together."""
    groups = {}
    for name, stage in whole["stages"].items():
        stamp = stage["stamp"]
        groups.setdefault((stamp["commit"], stamp["date"][:10], stamp["quick"]), []).append((name, stamp))
    latest = max((stage["stamp"] for stage in whole["stages"].values()), key=lambda stamp: stamp["date"])
    cpu, peaks = latest["cpu"], latest["peak_gflops"]
    caches = ", ".join(f"{name} {size}" for name, size in cpu["caches"].items())
    lines = [f"{cpu['model']} (family {cpu['family']}, model {cpu['model_number']}), {cpu['cores']} cores"
             + (f" at {cpu['mhz'] / 1000:.1f} GHz as told by the kernel" if cpu["mhz"] else "")
             + f", {latest['memory_mib'] // 1024} GiB; {caches}; {' '.join(cpu['isa'])}. {latest['system']} {latest['kernel']}.", "",
             f"Compiler: {latest['compiler']}, {latest['build_type']}"
             + "".join(f"; {name}: `{flags}`" for name, flags in sorted(latest["flags"].items()) if name.startswith("panel_avx")) + ".", "",
             f"FMA peak of a core in the same run: {', '.join(f'{isa} {peak:.0f} GFLOP/s' for isa, peak in peaks.items())}. "
             f"OpenBLAS runs its {latest['openblas_core']} kernels; OPENBLAS_CORETYPE is {latest['openblas_coretype']}.", ""]
    for (commit, date, quick), members in sorted(groups.items(), key=lambda item: item[0][1]):
        names = ", ".join(name for name, _ in members)
        lines.append(f"Commit {commit}, {date}: {names}{' (quick: figures mean nothing)' if quick else ''}.")
    libraries = sorted({text for stage in whole["stages"].values() for text in stage["libraries"].values() if " " in text})
    if libraries:
        lines += ["", "Peers: " + ", ".join(libraries) + "."]
    return lines


def goal_lines(figures, missing):
    rows = []
    for goal in GOALS:
        measured, detail, verdict = goal.judge(figures, missing)
        rows.append([goal.what, goal.text, measured, detail, verdict])
    return table(["what", "goal", "measured", "how much that is", ""], rows)


def kernel_lines(figures):
    rows = []
    for isa in ("avx2", "avx512", "neon"):
        for shape in SHAPES:
            name = shape_name(shape)
            rate, share = figures.get(f"kernels.{isa}.panel_min.rows.{name}"), figures.get(f"kernels.{isa}.panel_min.share_of_peak.{name}")
            if not rate or not share:
                continue
            row = [isa, f"{shape[0]} × {shape[1]}", f"{rate['value'] * 4e-9 * shape[0] * shape[1]:.0f}",
                   f"{100 * share['value']:.0f} % ({100 * share['least']:.0f} to {100 * share['most']:.0f})", number(rate["value"] * 1e-6)]
            for peer in ("sgemm", "sgemm_skylakex", "sgemm_haswell", "sgemm_newest", "libxsmm"):
                ratio = figures.get(f"product.{isa}.{name}.over_{peer}")
                row.append(number(ratio["value"]) if ratio else "")
            for suffix in ("", ".nearest"):
                ratio = figures.get(f"flat.{name}{suffix}.over_faiss") if isa != "avx2" else None
                row.append(number(ratio["value"]) if ratio else "")
            rows.append(row)
    if not rows:
        return []
    heads = ["", "columns × clusters", "GFLOP/s", "of the peak", "million rows/s", "times sgemm", "its SkylakeX kernels",
             "its Haswell kernels", "newest OpenBLAS", "libxsmm", "times FAISS", "the same with arg-min"]
    return ["### Scene kernel", ""] + table(heads, rows) + [""]


def figure_lines(figures, title, rows):
    """rows: (what, name, factor, unit)."""
    lines = [[what, f"{number(figures[name]['value'] * factor)} {unit}",
              f"{number(figures[name]['least'] * factor)} to {number(figures[name]['most'] * factor)}" if figures[name]["n"] > 1
              else "one round"]
             for what, name, factor, unit in rows if name in figures]
    return [f"### {title}", ""] + table(["what", "median", "least to most"], lines) + [""] if lines else []


STAGE_ROWS = (
    ("wire: decode, 10,000 rows in columns", "wire.decode.10000", 1, "ns/row"),
    ("wire: encode the verdicts", "wire.encode.10000", 1, "ns/row"),
    ("features: the whole catalogue", "features.all", 1e-6, "million rows/s"),
    ("history: read and count, 10⁶ accounts", "history.month.1e6.screen", 1, "ns/row"),
    ("history: count alone, as import does", "history.month.1e6.import", 1, "ns/row"),
    ("ledger: encode a frame of 10,000 rows", "ledger.encode.str.10000", 1, "ns/row"),
    ("ledger: durable rows, groups of 8 frames", "ledger.commit.10000_rows.group_8.rows", 1e-6, "million rows/s"),
    ("ledger: one frame of 100 rows, p99", "ledger.commit.100_rows.group_1.p99", 1, "ms"),
    ("building: whole, from the file", "build.whole", 1, "s"), ("building: learning alone", "build.learning", 1, "s"))


SERVER_NAMES = {"server": "4 × 16 × 128", "server512": "4 × 16 × 512", "server_avx2": "4 × 16 × 128, AVX2",
                "server_accounts": "4 × 16 × 128, 10⁷ accounts"}


def server_lines(figures):
    rows = []
    for stage, words in SERVER_NAMES.items():
        for size in sorted(int(name.split(".")[1]) for name in figures if name.startswith(stage + ".") and name.split(".")[1:][0].isdigit()
                           and name.count(".") == 1):
            cost, p50, p99 = (figures.get(f"{stage}.{size}.{part}") for part in ("server_cost", "p50_ms", "p99_ms"))
            rows.append([words, f"{size:,}", number(figures[f"{stage}.{size}"]["value"]), f"{cost['value'] * 1e-3:.2f}" if cost else "",
                         f"{p50['value']:.1f} / {p99['value']:.1f} ms" if p50 and p99 else ""])
    steps = sorted(((figure["value"], name.split(".")[-1]) for name, figure in figures.items() if name.startswith("server.step.")),
                   reverse=True)
    heads = ["base", "transfers in a batch", "transfers/s", "µs of CPU per transfer", "p50 / p99, as many in flight as it takes"]
    lines = table(heads, rows) + [""] if rows else []
    if steps:
        told = ", ".join(f"{step} {100 * share:.0f} %" for share, step in steps if share >= 0.005)
        lines += [f"CPU time by step, 10,000 in a batch: {told}.", ""]
    return ["### Whole server", ""] + lines if lines else []


def generated(whole):
    figures, missing = results.figures(whole), results.missing(whole)
    lines = machine_lines(whole) + ["", "### Goals", ""] + goal_lines(figures, missing) + [""]
    lines += kernel_lines(figures) + figure_lines(figures, "Stages alone, one core", STAGE_ROWS) + server_lines(figures)
    if missing:
        lines += ["### Not measured", ""] + [f"- {what}: {why}" for what, why in sorted(missing.items())] + [""]
    return lines


PICTURES = (("roofline", "the scene kernel under the roof of one core"), ("peers", "ours and peers, times as fast"),
            ("rows", "rows per second by shape"), ("batch-cost", "cost of a transfer by size of its batch"),
            ("flame", "processor time of the server at full load, by stack"))


def pictures(folder):
    """Those that bench/plots has drawn."""
    return [f"![{words}](plots/{name}.svg)" for name, words in PICTURES if os.path.exists(os.path.join(folder, "plots", name + ".svg"))]


def write(whole, path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    head, _, rest = text.partition(BEGIN)
    _, mark, tail = rest.partition(END)
    if not mark:
        raise ValueError(f"{path} has no lines {BEGIN} and {END}")
    with open(path, "w", encoding="utf-8") as file:
        file.write(head + BEGIN + "\n\n" + "\n".join(pictures(os.path.dirname(path)) + [""] + generated(whole)) + END + tail)
