"""The plots of docs/plots, each from one result file. None where its figures are missing."""
import os

from harness.goals import GOALS, number
from harness.peers import SHAPES, shape_name
from harness.svg import COLOURS, Plot

ISA_COLOURS = {"avx512": (COLOURS["ours"], "dot"), "avx2": (COLOURS["second"], "square"), "neon": (COLOURS["ours"], "dot")}


def stamp_of(result, stage):
    stamp = result["stages"][stage]["stamp"]
    compiler = f"{stamp['compiler'].split(' (')[0]} {stamp['compiler'].split()[-1]}"
    return f"{stamp['cpu']['model']} (family {stamp['cpu']['family']}), one core, {compiler}, " \
           f"commit {stamp['commit']}, {stamp['date'][:10]}"


def isas_of(figures):
    return [isa for isa in ISA_COLOURS if f"peak.{isa}.fma" in figures]


def roofline(result, figures):
    """Arithmetic over traffic: rows come from memory and minima go there, clusters stay in the cache."""
    isas = [isa for isa in isas_of(figures) if f"kernels.{isa}.panel_min.rows.16x128" in figures]
    if not isas or "peak.memory" not in figures:
        return None
    memory, top = figures["peak.memory"]["value"], max(figures[f"peak.{isa}.fma"]["value"] for isa in isas)
    plot = Plot("Scene kernel under the roof of one core", (1, 1000, True), (10, 2.2 * top, True),
                "floating-point operations per byte of memory", "GFLOP/s", foot=stamp_of(result, "kernels"))
    for isa in isas:
        colour, shape = ISA_COLOURS[isa]
        peak = figures[f"peak.{isa}.fma"]["value"]
        plot.line([(max(1, 10 / memory), max(10, memory)), (peak / memory, peak), (1000, peak)], colour, width=1.5)
        for place, (columns, clusters, segments) in enumerate(SHAPES):
            name = shape_name((columns, clusters))
            rows = figures.get(f"kernels.{isa}.panel_min.rows.{name}")
            if not rows:
                continue
            operations = 4.0 * columns * clusters
            x, y = operations / (4 * columns + 4 * segments), operations * rows["value"] * 1e-9
            plot.mark(plot.x.at(x) + (4 if isa == isas[0] else -4), plot.y.at(y), colour, shape, 4)
            if isa == isas[0]:
                label = plot.bottom - 10 - 16 * (place % 3)
                plot.text(plot.x.at(x), label, f"{columns} × {clusters}", size=10, anchor="middle")
                plot.segment(plot.x.at(x), label - 12, plot.x.at(x), plot.y.at(y), COLOURS["faint"], dash="2 3")
    plot.text(plot.x.at(2.6), plot.y.at(memory * 2), f"memory, {memory:.0f} GB/s", size=11)
    plot.text(plot.x.at(950), plot.y.at(top) - 8, f"multiply-adds, {top:.0f} GFLOP/s", size=11, anchor="end")
    plot.legend([(f"{isa}", *ISA_COLOURS[isa]) for isa in isas])
    return plot


def rows(result, figures):
    """Rows per second by shape: ours by instruction set, and the peers."""
    isas = [isa for isa in isas_of(figures) if f"kernels.{isa}.panel_min.rows.16x128" in figures]
    if not isas:
        return None
    widest = "avx512" if "avx512" in isas else isas[0]
    series = [(isa, *ISA_COLOURS[isa], lambda name, isa=isa: figures.get(f"kernels.{isa}.panel_min.rows.{name}")) for isa in isas]
    series += [("FAISS flat", COLOURS["a"], "dot", lambda name: figures.get(f"flat.{name}.faiss")),
               ("OpenBLAS sgemm + minimum", COLOURS["b"], "dot", lambda name: best_product(figures, widest, name)),
               ("libxsmm + minimum", COLOURS["c"], "dot", lambda name: figures.get(f"product.{widest}.{name}.libxsmm"))]
    shapes = [shape_name(shape) for shape in SHAPES]
    plot = Plot("Rows per second by shape", (0.1, 200, True), None, "million rows/s", size=(760, 120 + 48 * len(shapes)), left=110,
                foot=stamp_of(result, "kernels"))
    step = (plot.bottom - plot.top) / len(shapes)
    for place, name in enumerate(shapes):
        y = plot.top + (place + 0.5) * step
        plot.text(plot.left - 10, y + 4, name.replace("x", " × "), anchor="end")
        plot.segment(plot.left, y, plot.right, y, COLOURS["faint"])
        for offset, (_, colour, shape, find) in enumerate(series):
            figure = find(name)
            if figure:
                plot.mark(plot.x.at(figure["value"] * 1e-6), y + (offset - len(series) / 2 + 0.5) * 6, colour, shape, 4)
    plot.text(plot.left - 10, plot.top - 2, "columns × clusters", size=10, anchor="end")
    plot.legend([(words, colour, shape) for words, colour, shape, _ in series])
    return plot


def best_product(figures, isa, name):
    found = [figure for key, figure in figures.items() if key.startswith(f"product.{isa}.{name}.sgemm")]
    return max(found, key=lambda figure: figure["value"], default=None)


PEER_ROWS = (  # of GOALS by a word of theirs: what the plot says
    ("FAISS flat", "scene kernel against FAISS flat index"), ("OpenBLAS sgemm", "scene kernel against OpenBLAS sgemm"),
    ("IsolationForest", "anomaly against isolation forest"), ("FAISS k-means", "clustering against FAISS k-means, 16 clusters"),
    ("with 128 clusters", "clustering against FAISS k-means, 128 clusters"), ("XGBoost", "building against XGBoost's fit"),
    ("Python service", "server against a Python service"))


def peers(result, figures):
    """Ratios on a logarithmic axis, goals beside them."""
    found = []
    for word, words in PEER_ROWS:
        goal = next(goal for goal in GOALS if word in goal.what)
        value = goal.find(figures)
        if value:
            found.append((words, value[0], value[2] if len(value) > 2 else value[0], goal.wanted))
    if not found:
        return None
    plot = Plot("How many times a peer's speed", (0.5, 200, True), None, "times", size=(760, 120 + 38 * len(found)), left=310, right=95,
                foot="shapes of 16 columns and more; " + stamp_of(result, "peak").replace("one core, ", ""))
    step = (plot.bottom - plot.top) / len(found)
    one = plot.x.at(1)
    plot.segment(one, plot.top, one, plot.bottom, COLOURS["ink"])
    for place, (words, value, highest, wanted) in enumerate(found):
        y = plot.top + (place + 0.5) * step
        plot.text(plot.left - 10, y + 4, words, anchor="end")
        plot.segment(one, y, plot.x.at(max(value, 0.5)), y, COLOURS["ours"], width=5)
        if highest > value * 1.05:
            plot.segment(plot.x.at(value), y, plot.x.at(highest), y, COLOURS["ours"], width=1.5)
            plot.mark(plot.x.at(highest), y, COLOURS["ours"], size=3)
        plot.mark(plot.x.at(max(value, 0.5)), y, COLOURS["ours"])
        plot.mark(plot.x.at(wanted), y, COLOURS["a"], "goal")
        plot.text(plot.right + 10, y + 4, number(value) + (f" to {number(highest)}" if highest > value * 1.05 else ""), size=11)
    plot.legend([("measured; lowest and highest shape", COLOURS["ours"], "dot"), ("goal", COLOURS["a"], "goal")])
    return plot


def batch_cost(result, figures):
    """CPU time of the server per transfer by size of batch."""
    costs = sorted((int(name.split(".")[1]), figure["value"] * 1e-3) for name, figure in figures.items()
                   if name.startswith("server.") and name.endswith(".server_cost"))
    if len(costs) < 2:
        return None
    least, most = min(cost for _, cost in costs), max(cost for _, cost in costs)
    plot = Plot("Cost of a transfer by size of its batch", (500, 2e6, True), (0, 1.4 * most, False), "transfers in a batch",
                "µs of processor time, whole server", foot=stamp_of(result, "server").replace("one core", "two cores"))
    plot.line([(500, 1.3 * least), (2e6, 1.3 * least)], COLOURS["a"], dash="6 4", width=1.2)
    plot.text(plot.x.at(1.9e6), plot.y.at(1.3 * least) - 6, "1.3 × the least", size=11, anchor="end")
    plot.line(costs, COLOURS["ours"])
    for rows_count, cost in costs:
        plot.mark(plot.x.at(rows_count), plot.y.at(cost), COLOURS["ours"])
        plot.text(plot.x.at(rows_count), plot.y.at(cost) + 20, f"{cost:.2f}", size=11, anchor="middle")
    return plot


PLOTS = {"roofline": roofline, "rows": rows, "peers": peers, "batch-cost": batch_cost}


def write(result, figures, folder):
    """Names of the plots that were written; those without figures stay as they are."""
    os.makedirs(folder, exist_ok=True)
    written = []
    for name, draw in PLOTS.items():
        plot = draw(result, figures)
        if plot:
            plot.write(os.path.join(folder, name + ".svg"))
            written.append(name)
    return written
