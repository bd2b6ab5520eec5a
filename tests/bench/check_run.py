#!/usr/bin/env python3
"""bench/run in its quick form: that it runs, what its file holds, that parts merge, that what is missing is named, and that goals and
plots come out of it. usage: check_run.py BUILD"""
import json
import math
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FIGURE_KEYS = {"value", "least", "most", "n", "unit", "better"}
STAMP_KEYS = {"cpu", "memory_mib", "kernel", "commit", "date", "compiler", "build_type", "flags", "openblas_coretype", "openblas_core",
              "peak_gflops", "quick"}


def call(name, *words, status=0):
    done = subprocess.run([os.path.join(ROOT, "bench", name), *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={key: value for key, value in os.environ.items() if key != "SLUICE_HANDBOOK"})
    assert done.returncode == status, f"bench/{name} {words}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def check_stage(name, stage):
    assert set(stage) == {"stamp", "seconds", "figures", "missing", "libraries"}, (name, set(stage))
    assert set(stage["stamp"]) >= STAMP_KEYS, f"{name}: its stamp lacks {STAMP_KEYS - set(stage['stamp'])}"
    assert stage["figures"] or stage["missing"], f"{name} has no figures and does not say why"
    for figure_name, figure in stage["figures"].items():
        assert figure_name.startswith(name + "."), figure_name
        assert set(figure) == FIGURE_KEYS, (figure_name, figure)
        assert all(math.isfinite(figure[key]) for key in ("value", "least", "most")), (figure_name, figure)
        assert figure["least"] <= figure["value"] <= figure["most"] and figure["n"] >= 1, (figure_name, figure)
        assert figure["better"] in ("more", "less") and figure["unit"], (figure_name, figure)


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def main():
    with tempfile.TemporaryDirectory() as folder:
        out, build = os.path.join(folder, "result.json"), ["--build", sys.argv[1], "--quick"]
        call("run", *build, "--only", "kernels,wire,features", "--out", out)
        first = load(out)
        assert first["format"] == 1 and set(first["stages"]) == {"peak", "kernels", "wire", "features"}, set(first["stages"])
        call("run", *build, "--only", "features,build", "--out", out)
        second = load(out)
        assert set(second["stages"]) == {"peak", "kernels", "wire", "features", "build"}, "a second run drops what the first measured"
        assert second["stages"]["wire"] == first["stages"]["wire"], "a second run changes what it did not measure"
        assert "SLUICE_HANDBOOK" in second["stages"]["build"]["missing"]["build"], second["stages"]["build"]["missing"]
        for name, stage in second["stages"].items():
            check_stage(name, stage)
        figures = {name for stage in second["stages"].values() for name in stage["figures"]}
        for part in ("peak.memory", "wire.decode.10000", "features.all", "panel_min.share_of_peak.16x128"):
            assert any(part in name for name in figures), f"no figure {part}"
        goals = call("goals", out)
        assert goals.count("\n|") >= 20 and "not measured" in goals and "SLUICE_HANDBOOK" in goals, goals
        document = os.path.join(folder, "performance.md")
        with open(document, "w", encoding="utf-8") as file:
            file.write("before\n<!-- figures: bench/goals -->\nold\n<!-- end of figures -->\nbehind\n")
        call("goals", out, "--write", document)
        with open(document, encoding="utf-8") as file:
            text = file.read()
        assert text.startswith("before\n") and text.endswith("behind\n") and "\nold\n" not in text and "### Goals" in text, text[:300]
        assert "roofline" in call("plots", out, folder)
        for name in os.listdir(folder):
            if name.endswith(".svg"):
                xml.etree.ElementTree.parse(os.path.join(folder, name))
        call("run", *build, "--only", "nothing", "--out", out, status=2)
        call("goals", os.path.join(folder, "absent.json"), status=1)
    print(f"{len(figures)} figures of {len(second['stages'])} stages are in order")


main()
