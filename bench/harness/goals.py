"""What is to be reached, row by row: each goal, and how it is found among the figures."""


class Goal:
    """wanted: at the least (at_most: at the most). find: figures → (value, detail, perhaps the highest) or None. why: the stage that
    gives it, and behind a colon the reason where that is not among the missing. peak: the instruction set and the GFLOP/s of a core
    that an absolute goal holds at; it goes with the peak of the same run."""

    def __init__(self, what, wanted, find, text, why=None, at_most=False, peak=None):
        self.what, self.wanted, self.find, self.text, self.why, self.at_most = what, wanted, find, text, why, at_most
        self.peak = peak

    def wanted_here(self, figures):
        """(what is wanted at this run's peak, words about it)."""
        figure = self.peak and figures.get(f"peak.{self.peak[0]}.fma")
        if not figure:
            return self.wanted, ""
        wanted = self.wanted * figure["value"] / self.peak[1]
        return wanted, f"wanted at {figure['value']:.0f} GFLOP/s a core, where the goal is for {self.peak[1]}: {number(wanted)}"

    def judge(self, figures, missing):
        """(measured, detail, verdict)."""
        found = self.find(figures)
        if found is None:
            return "", self.why_not(missing), "not measured"
        value, detail = found[:2]
        wanted, told = self.wanted_here(figures)
        met = value <= wanted if self.at_most else value >= wanted
        return number(value), "; ".join(text for text in (told, detail) if text), "met" if met else "**not met**"

    def why_not(self, missing):
        stage, _, reason = (self.why or "").partition(":")
        return missing.get(stage) or reason.strip() or "its stage was not run"


def number(value):
    if value >= 1e5:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def spread(figure):
    return f"{number(figure['least'])} to {number(figure['most'])}"


def worst(figures, begin, end="", only=None, wrong_way=min):
    """The least of all figures whose name begins and ends so, with the name of its place."""
    found = {}
    for name, figure in figures.items():
        if name.startswith(begin) and name.endswith(end):
            place = name[len(begin):len(name) - len(end)].strip(".")
            if only is None or only(place):
                found[place] = figure["value"]
    if not found:
        return None
    place = wrong_way(found, key=found.get)
    return found[place], place, found


def wide_shapes(place):
    columns, clusters = place.split(".")[-1].split("x")
    return int(columns) >= 16 and int(clusters) >= 48


def share_of_peak(isa):
    def find(figures):
        found = worst(figures, f"kernels.{isa}.panel_min.share_of_peak", only=wide_shapes)
        peak = figures.get(f"peak.{isa}.fma")
        if not found:
            return None
        gflops = f"{found[0] * peak['value']:.0f} of {peak['value']:.0f} GFLOP/s" if peak else ""
        return found[0], f"lowest of {len(found[2])} shapes ({found[1]}): {gflops}; others up to {number(max(found[2].values()))}"
    return find


def over(stage, peer, unit="million rows/s", nearest=False):
    """Least ratio over the shapes of a stage, and what both did there."""
    def find(figures):
        def place_counts(place):
            return place.endswith(".nearest") == nearest and wide_shapes(place.removesuffix(".nearest")) if "x" in place else True
        found = worst(figures, f"{stage}.", f".over_{peer}", only=place_counts)
        if not found:
            return None
        ours, theirs = figures[f"{stage}.{found[1]}.ours"], figures[f"{stage}.{found[1]}.{peer}"]
        return found[0], (f"lowest of {len(found[2])} shapes ({found[1]}): {number(ours['value'] * 1e-6)} against "
                          f"{number(theirs['value'] * 1e-6)} {unit}; highest {number(max(found[2].values()))}"), max(found[2].values())
    return find


def over_sgemm(figures):
    """Against the fastest OpenBLAS of those measured, shape by shape."""
    shapes = {}
    for name, figure in figures.items():
        parts = name.split(".")
        if name.startswith("product.") and parts[-1].startswith("over_sgemm") and wide_shapes(parts[2]):
            place = ".".join(parts[1:3])
            if place not in shapes or figure["value"] < shapes[place][0]:
                shapes[place] = figure["value"], parts[-1].removeprefix("over_")
    if not shapes:
        return None
    place = min(shapes, key=lambda key: shapes[key][0])
    value, who = shapes[place]
    ours, theirs = figures[f"product.{place}.ours"]["value"], figures[f"product.{place}.{who}"]["value"]
    return value, (f"lowest of {len(shapes)} ({place}, {who}): {number(ours * 1e-6)} against {number(theirs * 1e-6)} million rows/s; "
                   f"highest {number(max(found for found, _ in shapes.values()))}"), max(found for found, _ in shapes.values())


def plain(name, detail, factor=1.0):
    """One figure; detail: other figures that are told beside it."""
    def find(figures):
        figure = figures.get(name)
        if figure is None:
            return None
        told = [f"{other.split('.')[-1]} {number(figures[other]['value'])} {figures[other]['unit']}".removesuffix(" 1")
                for other in detail if other in figures]
        return figure["value"] * factor, "; ".join(told + ([f"rounds {spread(figure)}"] if figure["n"] > 1 else []))
    return find


def sizes_spread(figures):
    costs = {name.split(".")[1]: figure["value"] for name, figure in figures.items()
             if name.startswith("server.") and name.endswith(".server_cost")}
    if len(costs) < 2:
        return None
    told = ", ".join(f"{int(rows):,}: {cost * 1e-3:.2f}" for rows, cost in sorted(costs.items(), key=lambda item: int(item[0])))
    return max(costs.values()) / min(costs.values()), f"µs of CPU per transfer at batches of {told}"


def accounts_spread(figures):
    times = {name.split(".")[2]: figure["value"] for name, figure in figures.items()
             if name.startswith("history.month.") and name.endswith(".screen")}
    if len(times) < 2:
        return None
    told = ", ".join(f"{name}: {time:.0f}" for name, time in sorted(times.items(), key=lambda item: float(item[0])))
    return max(times.values()) / min(times.values()), f"ns of history's thread per row with so many accounts: {told}"


def tail(figures):
    p50, p99 = figures.get("server.open_loop.p50_ms"), figures.get("server.open_loop.p99_ms")
    if not p50 or not p99:
        return None
    return p99["value"] / p50["value"], f"p50 {p50['value']:.1f} ms, p99 {p99['value']:.1f} ms"


def bytes_per_account(figures):
    """With as many accounts as a server has; few busy ones cost more each and nothing in sum."""
    sizes = {name.split(".")[2]: figure for name, figure in figures.items() if name.startswith("history.bytes.")}
    large = [figure["most"] for name, figure in sizes.items() if float(name) >= 1e6]
    if not large:
        return None
    return max(large), "accounts: bytes " + ", ".join(f"{name}: {spread(figure)}" for name, figure in sorted(sizes.items()))


GOALS = (
    Goal("scene kernel, columns ≥ 16, clusters ≥ 48, AVX-512: share of the FMA peak", 0.95, share_of_peak("avx512"), "≥ 95 %",
         "kernels:this machine has no AVX-512"),
    Goal("the same, AVX2", 0.95, share_of_peak("avx2"), "≥ 95 %", "kernels:this machine has no AVX2"),
    Goal("scene kernel against the newest FAISS flat index, k = 1", 3, over("flat", "faiss"), "≥ 3 ×", "flat"),
    Goal("scene kernel against OpenBLAS sgemm and reduction, the fastest of its versions and kernels", 2, over_sgemm, "≥ 2 ×",
         "product"),
    Goal("OpenCL kernel on PoCL against the native kernel", 0.5, plain("opencl.of_native", ("opencl.native", "opencl.opencl")), "≥ 50 %",
         "opencl"),
    Goal("anomaly per row against scikit-learn's IsolationForest.score_samples (100 trees, 16 columns, one job)", 100,
         plain("forest.16_columns.over_isolation_forest", ("forest.16_columns.ours", "forest.16_columns.isolation_forest")), "≥ 100 ×",
         "forest"),
    Goal("clustering against FAISS k-means, 120,000 × 16, 16 clusters as the builder has", 2,
         plain("kmeans.16x16.over_faiss", ("kmeans.16x16.ours", "kmeans.16x16.faiss")), "≥ 2 ×", "kmeans"),
    Goal("the same with 128 clusters", 2,
         plain("kmeans.16x128.over_faiss", ("kmeans.16x128.ours", "kmeans.16x128.faiss")), "≥ 2 ×", "kmeans"),
    Goal("`sluice build`, 540,000 rows, one seed, features in memory, against XGBoost's fit", 10,
         plain("build.xgboost_by_learning", ("build.xgboost", "build.learning", "build.whole")), "≥ 10 ×", "build"),
    Goal("whole server, 4 × 16 × 128, 10,000-row batches, AVX-512, transfers/s", 1e6,
         plain("server.10000", ("server.named_share",)), "≥ 1,000,000", "server", peak=("avx512", 229)),
    Goal("the same with 512 clusters", 6e5, plain("server512.10000", ()), "≥ 600,000", "server512",
         peak=("avx512", 229)),
    Goal("the same on AVX2", 6e5, plain("server_avx2.10000", ()), "≥ 600,000", "server_avx2",
         peak=("avx2", 116)),
    Goal("stage shares named, of measured CPU time", 0.9, plain("server.named_share", ()), "≥ 90 %", "server"),
    Goal("whole server against a Python service (pynng, msgpack, numpy, faiss-cpu), no ledger", 20,
         plain("service.over_service", ("service.ours", "service.service")), "≥ 20 ×", "service"),
    Goal("`score` of one transfer, idle server: p99 over a bare nng echo's", 5,
         plain("echo.p99_ratio", ("echo.score_p99_ms", "echo.echo_p99_ms")), "≤ 5 ×", "echo", at_most=True),
    Goal("latency at half of the capacity, Poisson, 1,000-row batches: p99 over p50", 3, tail, "≤ 3 ×", "server", at_most=True),
    Goal("cost per transfer from 1,000-row to 1,000,000-row batches", 1.3, sizes_spread, "≤ 1.3 ×", "server", at_most=True),
    Goal("cost per transfer from 10⁵ to 10⁷ known accounts (history)", 2, accounts_spread, "≤ 2 ×", "history", at_most=True),
    Goal("history, bytes per account, 10⁶ accounts and more", 256, bytes_per_account, "≤ 256", "history", at_most=True),
    Goal("template engine, rows/s per core", 5e8, plain("templates.goal", ()), "≥ 500 million", "templates"),
    Goal("a base of equal size scored as challenger: throughput over without", 0.77,
         plain("server_challenger.challenger.ratio", ()), "≥ 0.77 ×", "server_challenger"),
)
