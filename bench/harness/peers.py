"""Peers in turns with us. Those in Python live in a virtual environment below build/; what cannot be had is named."""
import glob
import os
import subprocess
import sys
import time

from harness.turns import Missing, Taker, alternate, ratios

PACKAGES = ("numpy", "faiss-cpu", "scikit-learn", "xgboost", "pynng", "msgpack")
SHAPES = ((8, 48, 8), (16, 48, 8), (16, 128, 8), (16, 576, 64), (64, 512, 64), (64, 1152, 64))  # columns, clusters, segments


class Environment:
    """The virtual environment; installed on first use, package by package, so that one that fails does not take others along."""

    def __init__(self, folder):
        self.folder = os.path.join(folder, "peers")
        self.python = os.path.join(self.folder, "bin", "python")
        self.errors = None

    def install(self):
        if self.errors is not None:
            return
        self.errors = {}
        if not os.path.exists(self.python):
            made = subprocess.run([sys.executable, "-m", "venv", self.folder], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if made.returncode:
                self.errors = dict.fromkeys(PACKAGES, "no virtual environment: " + made.stdout.strip().splitlines()[-1])
                return
        for package in PACKAGES:
            if subprocess.run([self.python, "-m", "pip", "show", "-q", package], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode == 0:
                continue
            words = [self.python, "-m", "pip", "install", "-q", "--only-binary", ":all:", "--disable-pip-version-check", package]
            got = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if got.returncode:
                self.errors[package] = (got.stdout.strip().splitlines() or ["pip failed"])[-1][:200]

    def need(self, *packages):
        self.install()
        for package in packages:
            if package in self.errors:
                raise Missing(f"{package} is not to be had: {self.errors[package]}")
        return self.python


def shape_name(shape):
    return f"{shape[0]}x{shape[1]}"


def isas(run):
    return [isa for isa in ("avx2", "avx512", "neon") if isa in run.peaks]


def widest(run):
    return (isas(run) or ["best"])[-1]


def compare(stage, name, takers, rounds, unit_count, unit):
    """takers: ours first. Figures: each one's speed, and how many times the others' time ours is."""
    open_takers = {}
    try:
        for who, (words, env) in takers.items():
            try:
                open_takers[who] = Taker(*words, env=env)
            except Missing as why:
                stage.miss(f"{stage.name}.{name}.{who}", str(why))
        ours = next(iter(takers))
        if ours not in open_takers or len(open_takers) < 2:
            return
        times = alternate(open_takers, rounds)
        for who, seconds in times.items():
            stage.figure(f"{name}.{who}", [unit_count / value for value in seconds], unit)
            if who != ours:
                stage.figure(f"{name}.over_{who}", ratios(seconds, times[ours]), "x")
            if open_takers[who].about.get("library"):
                stage.libraries[f"{name}.{who}" if stage.name == "product" else who] = open_takers[who].about["library"]
    finally:
        for taker in open_takers.values():
            taker.close()


def openblas_of_numpy(environment):
    found = glob.glob(os.path.join(environment.folder, "lib/python*/site-packages/numpy.libs/libscipy_openblas*"))
    return found[0] if found else None


def openblas_of_build(build):
    with open(os.path.join(build, "CMakeCache.txt"), encoding="utf-8") as file:
        for line in file:
            if line.startswith("OPENBLAS_SERIAL:"):
                return line.split("=", 1)[1].strip()
    return None


def products(run, isa):
    """OpenBLAS's kernels for that instruction set: those it chooses (and would choose, where the environment names some), those
    named, and the newest version's; name → library, environment."""
    library, newest, found = openblas_of_build(run.build), openblas_of_numpy(run.environment), {}
    named = {"avx2": "Haswell", "avx512": "SkylakeX"}.get(isa)
    if library and isa == widest(run):
        found["sgemm"] = (library, {})
        if "OPENBLAS_CORETYPE" in os.environ:
            found["sgemm_free"] = (library, {"OPENBLAS_CORETYPE": None})
    if library and named:
        found["sgemm_" + named.lower()] = (library, {"OPENBLAS_CORETYPE": named})
    if newest:
        found["sgemm_newest"] = (newest, {"OPENBLAS_CORETYPE": None if isa == widest(run) else named})
    return found


def stage_products(run, stage):
    """Scene kernel against the product form: pack, sgemm, minimum of each segment; and libxsmm's product in its place."""
    rows, program, rounds = run.pick(65536, 8192), run.program("bench_turns"), run.pick(9, 2)
    if not run.quick:
        run.environment.install()
        for package, why in run.environment.errors.items():
            stage.miss(f"product.{package}", why)
    for shape in SHAPES[:run.pick(len(SHAPES), 2)]:
        for isa in isas(run)[-run.pick(2, 1):]:
            where = (isa, *shape, rows)
            takers = {"ours": ((program, "scene", *where), {})}
            for who, (library, env) in products(run, isa).items():
                takers[who] = ((program, "product", *where, library), env)
            takers["libxsmm"] = ((program, "xsmm", *where), {"LIBXSMM_TARGET": "hsw"} if isa == "avx2" else {})
            compare(stage, f"{isa}.{shape_name(shape)}", takers, rounds, rows, "rows/s")


def stage_opencl(run, stage):
    """A scene base scored, from features on, by the OpenCL device and by the native kernels; all threads counted."""
    program, base, rows = run.program("bench_turns"), run.shaped_base(), run.pick(65536, 4096)
    times = {}
    takers = {}
    try:
        for who, device in (("native", "cpu"), ("opencl", "opencl")):
            takers[who] = Taker(program, "device", device, "best", base, rows, env={"POCL_MAX_PTHREAD_COUNT": "1"})
            stage.libraries[who] = takers[who].about["library"]
        times = alternate(takers, run.pick(9, 1))
    finally:
        for taker in takers.values():
            taker.close()
    for who, seconds in times.items():
        stage.figure(who, [rows / value for value in seconds], "rows/s")
    stage.figure("of_native", ratios(times["native"], times["opencl"]), "1")


def stage_flat(run, stage):
    """Scene kernel against FAISS's flat L2 index, k = 1. FAISS's distance is plain: one product a column, where ours takes two."""
    rows, program, isa = run.pick(65536, 8192), run.program("bench_turns"), widest(run)
    python = run.environment.need("numpy", "faiss-cpu")
    for shape in SHAPES[:run.pick(len(SHAPES), 2)]:
        peer = ((python, run.peer("turns.py"), "flat", shape[0], shape[1], rows), {})
        compare(stage, shape_name(shape),
                {"ours": ((program, "scene", isa, *shape, rows), {}), "faiss": peer}, run.pick(15, 2), rows, "rows/s")
        compare(stage, shape_name(shape) + ".nearest",
                {"ours": ((program, "nearest", isa, shape[0], shape[1], 1, rows), {}), "faiss": peer}, run.pick(15, 2), rows, "rows/s")


def stage_forest(run, stage):
    """Anomaly degree from raw columns against scikit-learn's isolation forest."""
    rows = run.pick(100000, 20000) // 1024 * 1024
    python = run.environment.need("numpy", "scikit-learn")
    compare(stage, "16_columns", {"ours": ((run.program("bench_turns"), "anomaly", widest(run), 16, rows), {}),
                                  "isolation_forest": ((python, run.peer("turns.py"), "forest", 16, rows), {})},
            run.pick(7, 1), rows, "rows/s")


def stage_kmeans(run, stage):
    """The builder's clustering (20 rounds of k-means, 10 of models, with its k-means++ start) against FAISS's 30 rounds."""
    python, rows = run.environment.need("numpy", "faiss-cpu"), run.pick(120000, 20000)
    data = os.path.join(run.folder, "kmeans.f32")
    subprocess.run([python, run.peer("turns.py"), "data", "16", str(rows), data], check=True)
    for clusters in (16, 128)[:run.pick(2, 1)]:
        compare(stage, f"16x{clusters}", {"ours": ((run.program("bench_turns"), "clusters", 16, rows, clusters, data), {}),
                                          "faiss": ((python, run.peer("turns.py"), "kmeans", 16, rows, clusters, 30, data), {})},
                run.pick(7, 1), rows, "rows/s")
    os.unlink(data)


def serve_python(run, python, base):
    """The peer service, listening."""
    address = "ipc://" + os.path.join(run.folder, "service.ipc")
    taker = Taker(python, run.peer("service.py"), address, base)
    return taker, address


def stage_service(run, stage):
    """`sluice bench` against a Python service of the same arithmetic, and against the server, in turns."""
    python = run.environment.need("numpy", "faiss-cpu", "pynng", "msgpack")
    base = run.shaped_base()
    server, service, to_server = None, None, None
    try:
        server, to_server = run.server_start(base)
        service, address = serve_python(run, python, base)
        stage.libraries["service"] = service.about["library"]
        to_service = ["--connect", address, *to_server[2:]]
        seconds, rates = run.pick(5, 1), {"ours": [], "service": []}
        run.load(to_server, run.pick(15, 2))  # accounts become known
        for _ in range(run.pick(4, 1)):
            for who, to in (("ours", to_server), ("service", to_service)):
                rates[who].append(run.load(to, seconds)["transfers_per_s"])
        for who, values in rates.items():
            stage.figure(who, values, "transfers/s")
        stage.figure("over_service", ratios(rates["ours"], rates["service"]), "x")
    finally:
        if service:
            service.close()
        if server:
            run.server_stop(server)


def stage_echo(run, stage):
    """`score` of one transfer on an idle server against a bare nng echo of as many bytes, in turns."""
    server, to = run.server_start(run.shaped_base())
    times = {"score": [], "echo": []}
    try:
        for _ in range(run.pick(5, 1)):
            one = run.load(to, run.pick(3, 1), "--op", "score", "--batch-rows", "1", "--in-flight", "1", "--pool-rows", "1000")
            times["score"].append(one["p99_ms"])
            echo = dict(line.split()[:2] for line in run.output("bench_echo", "1148", str(run.pick(20000, 1000))).splitlines())
            times["echo"].append(float(echo["p99"]))
    finally:
        run.server_stop(server)
    for who, values in times.items():
        stage.figure(f"{who}_p99_ms", values, "ms", "less")
    stage.figure("p99_ratio", ratios(times["score"], times["echo"]), "x", "less")


def build_timed(words):
    """Seconds of the whole and of the learning alone: from the line that says what is learned from."""
    start, learning = time.monotonic(), None
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        lines = []
        for line in process.stderr:
            lines.append(line.strip())
            if "rows to learn from" in line:
                learning = time.monotonic()
    end = time.monotonic()
    if process.returncode:
        raise Missing("sluice build: " + (lines or ["failed"])[-1])
    return end - start, end - (learning or end)


def stage_build(run, stage):
    """`sluice build` on 56 days of the handbook's table, and XGBoost's fit of the same rows and features."""
    table = run.table()
    past = os.path.join(run.folder, "past.csv")
    with open(past, "w", encoding="utf-8") as out:
        subprocess.run([run.script("handbook2csv"), table, "0", "129"], stdout=out, check=True)
    day, epoch = 86400 * 10 ** 6, 1522540800 * 10 ** 6
    begin, end = epoch + run.pick(66, 115) * day, epoch + 122 * day
    stem = os.path.join(run.folder, "handbook")
    words = [run.sluice, "build", "--rows-max", "1000000", "--out", stem + ".safetensors", "--train-from", str(begin),
             "--train-to", str(end), "--until", str(epoch + 129 * day), past]
    rows, columns = run.output("features_of_past", past, str(begin), str(end), stem).split()
    stage.figure("rows", int(rows), "rows")
    peer = None
    try:
        python = run.environment.need("numpy", "xgboost", "scikit-learn")
        peer = Taker(python, run.peer("turns.py"), "xgboost", columns, rows, stem + ".features", stem + ".labels",
                     env={"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"})
        stage.libraries["xgboost"] = peer.about["library"]
    except Missing as why:
        stage.miss("build.xgboost", str(why))
    times = {"whole": [], "learning": [], "xgboost": []}
    for _ in range(run.pick(3, 1)):
        whole, learning = build_timed(words)
        times["whole"].append(whole)
        times["learning"].append(learning)
        if peer:
            times["xgboost"].append(peer.turn())
    if peer:
        peer.close()
        stage.figure("xgboost_by_learning", ratios(times["xgboost"], times["learning"]), "x")
    for who, values in times.items():
        stage.figure(who, values, "s", "less")
