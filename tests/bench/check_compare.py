#!/usr/bin/env python3
"""bench/compare on two small files: directions, noise, what only one has, files that are none."""
import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def figure(value, least, most, unit, better, n=3):
    return {"value": value, "least": least, "most": most, "n": n, "unit": unit, "better": better}


def result(figures, compiler="cc 12"):
    stamp = {"cpu": {"model": "one"}, "compiler": compiler, "openblas_core": "x", "quick": False}
    return {"format": 1, "stages": {"a": {"stamp": stamp, "seconds": 1, "figures": figures, "missing": {}, "libraries": {}}}}


FIRST = {"a.rows": figure(100, 98, 102, "rows/s", "more"), "a.cost": figure(10, 9.9, 10.1, "ns", "less"),
         "a.noisy": figure(100, 80, 130, "rows/s", "more"), "a.once": figure(5, 5, 5, "s", "less", n=1),
         "a.same": figure(1, 1, 1, "x", "more"), "a.zero": figure(0, 0, 0, "x", "more"), "a.gone": figure(1, 1, 1, "x", "more")}
SECOND = {"a.rows": figure(150, 148, 152, "rows/s", "more"), "a.cost": figure(20, 19, 21, "ns", "less"),
          "a.noisy": figure(110, 85, 140, "rows/s", "more"), "a.once": figure(4, 4, 4, "s", "less", n=1),
          "a.same": figure(1, 1, 1, "x", "more"), "a.zero": figure(1, 1, 1, "x", "more"), "a.new": figure(1, 1, 1, "x", "more")}


def call(*words):
    return subprocess.run([os.path.join(ROOT, "bench", "compare"), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def main():
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for name, text in (("a", result(FIRST)), ("b", result(SECOND, "cc 13")), ("bad", {"format": 0})):
            paths.append(os.path.join(folder, name + ".json"))
            with open(paths[-1], "w", encoding="utf-8") as file:
                json.dump(text, file)
        done = call(*paths[:2])
        assert done.returncode == 0, done.stderr
        rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.startswith("a.")}
        assert set(rows) == {"a.rows", "a.cost", "a.noisy", "a.once"}, done.stdout
        assert " 1.500 " in rows["a.rows"] and "±2%" in rows["a.rows"], rows["a.rows"]
        assert " 0.500 " in rows["a.cost"], "less is better there, and B takes twice as long: " + rows["a.cost"]
        assert " 1.100~" in rows["a.noisy"] and " 1.250?" in rows["a.once"], done.stdout
        assert "compiler differs: cc 12 and cc 13" in done.stdout and "only in A: 1 figures of a" in done.stdout, done.stdout
        assert "a.same" in call(*paths[:2], "--all").stdout
        assert call(paths[0]).returncode == 2
        for wrong in (paths[2], os.path.join(folder, "absent.json")):
            done = call(paths[0], wrong)
            assert done.returncode == 1 and wrong in done.stderr, done.stderr
    print("bench/compare is in order")


sys.exit(main())
