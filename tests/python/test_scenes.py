"""Scene bases by numpy: what the server refuses is refused, what is written is taken, and scores have the server's bits."""

from __future__ import annotations

import ctypes
import ctypes.util
import json
import pathlib
import random
import tempfile
import unittest
from typing import Any

import numpy as np
import numpy.typing as npt

import rig
import sluice
from rig import TREE, run, transfers
from sluice import arithmetic, scenes, scoring
from sluice.container import SEAL_BLANK, container_read, container_write, seal_of, seal_place
from sluice.scenes import Anomaly, Column, Dimension, Reference, Scene, SceneBase

SYNTH = TREE / "models/synth/base.safetensors"


def server_takes(path: pathlib.Path) -> tuple[bool, str]:
    done = run("inspect", str(path))
    return done.returncode == 0, done.stdout + done.stderr


def python_takes(file: bytes) -> tuple[bool, str]:
    try:
        scenes.read(file)
    except sluice.ModelFault as fault:
        return False, str(fault)
    return True, ""


def some_base(draw: np.random.Generator, features: tuple[str, ...], forms: tuple[str, ...] = scenes.FORMS, count: int = 4) -> SceneBase:
    """A base over these features in their dimensions, with numbers that make no two scenes alike."""
    dimensions: dict[str, Dimension] = {}
    for name in scenes.DIMENSIONS:
        own = [feature for feature in features if sluice.catalogue.FEATURES[feature].dimension == name]
        if not own:
            continue
        columns = [Column(feature, form, float(draw.normal(2, 2)), float(draw.uniform(0.5, 3))) for feature in own for form in forms]
        clusters = 3 * count
        dimensions[name] = Dimension(
            columns,
            draw.normal(0, 2, (clusters, len(columns))),
            draw.uniform(0, 0.3, (clusters, len(columns))),
            draw.normal(0, 0.2, clusters),
            draw.permutation(np.arange(clusters) % count),
            draw.normal(2, 1, len(columns)),
            draw.uniform(0.2, 1, len(columns)),
        )
    listed = [
        Scene(
            f"scene {number}",
            float(draw.normal(-0.5, 0.3)),
            {name: float(draw.uniform(0.5, 1.5)) for name in dimensions},
            f"risk {number % 2}",
            1e-9,
        )
        for number in range(count)
    ]
    anomaly = {}
    for name, used in (("own", features[:1]), ("linked", features)):
        columns = [Column(feature) for feature in used]
        anomaly[name] = Anomaly(
            columns,
            draw.normal(0, 2, (64 * 3, len(columns))),
            draw.normal(2, 1, len(columns)),
            draw.uniform(0.2, 1, len(columns)),
            np.sort(draw.uniform(0, 4, 700)),
            0.999,
        )
    rows = len(features)
    counted = [draw.integers(0, 1000, shape) for shape in ((rows, 10), (rows, 2), count, (4, 2))]
    reference = Reference(features, np.sort(draw.normal(0, 2, (rows, 9))), *counted[:3], draw.uniform(0, 50, 4), counted[3])
    return SceneBase("tried", "7", listed, dimensions, anomaly, {"by": "numpy"}, {"rows": 3}, reference)


class Files(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def agree(self, file: bytes, what: str) -> bool:
        path = self.folder / "base.safetensors"
        path.write_bytes(file)
        (theirs, their_text), (ours, our_text) = server_takes(path), python_takes(file)
        self.assertEqual(ours, theirs, f"{what}: server: {their_text[-300:]}; here: {our_text}")
        return ours

    def test_shipped_base_is_read_and_written(self) -> None:
        base = scenes.read(SYNTH)
        self.assertEqual(len(base.scenes), 9)
        path = self.folder / "again.safetensors"
        base.write(path)
        self.assertTrue(server_takes(path)[0])
        again = scenes.read(path)
        for name, dimension in base.dimensions.items():
            for part in ("centres", "precisions", "offsets", "scene", "mean", "rscale"):
                np.testing.assert_array_equal(getattr(again.dimensions[name], part), getattr(dimension, part))
        self.assertEqual((again.scenes, again.provenance, again.features), (base.scenes, base.provenance, base.features))

    def test_digest(self) -> None:
        """As `sluice inspect` tells it, over sizes around the ends of stripes and blocks."""
        base = some_base(np.random.default_rng(5), ("amount",))
        path = self.folder / "base.safetensors"
        for extra in (0, 1, 63, 64, 65, 900, 1023, 1024, 1025, 70_000):
            base.provenance = {"x": "y" * extra}
            base.write(path)
            self.assertIn(base.digest(), run("inspect", str(path)).stdout)

    def test_corpus(self) -> None:
        taken = [path.name for path in sorted((TREE / "tests/fuzz/corpus/base").iterdir()) if self.agree(path.read_bytes(), path.name)]
        self.assertGreater(len(taken), 2)

    def test_changed_files(self) -> None:
        """Numbers, names, texts and sizes changed at random and sealed again: both sides say the same."""
        draw = rig.fresh_random("changed bases")
        base = some_base(np.random.default_rng(rig.SEED), ("amount", "payee_risk_7d"))
        container = container_read(base.to_bytes())
        taken = 0
        for turn in range(150):
            about = json.loads(container.metadata)
            tensors = {name: values.copy() for name, values in container.tensors.items()}
            for _ in range(draw.randrange(1, 3)):
                draw.choice([change_number, change_tensor, change_text])(draw, about, tensors)
            try:
                file = container_write({key: value for key, value in about.items() if key != "seal"}, tensors)
            except (sluice.ModelFault, ValueError):
                continue
            if draw.random() < 0.1:
                file = change_header(draw, file)
            taken += self.agree(file, f"turn {turn}")
        self.assertGreater(taken, 5)

    def test_reference_is_kept(self) -> None:
        base = some_base(np.random.default_rng(3), ("amount", "payee_risk_7d"))
        again = scenes.read(base.to_bytes()).reference
        assert base.reference and again
        for part in ("counts", "known", "scenes", "distances"):
            np.testing.assert_array_equal(getattr(again, part), getattr(base.reference, part))
        self.assertEqual(list(again.features), ["amount", "payee_risk_7d"])
        for features in (("amount", "amount"), ("amount", "night"), ("amount", "x"), ()):
            base.reference.features = features
            with self.assertRaises(sluice.ModelFault):
                base.check()

    def test_seal(self) -> None:
        file = some_base(np.random.default_rng(1), ("amount",)).to_bytes()
        self.assertTrue(self.agree(file, "whole"))
        for at in (9, len(file) // 2, len(file) - 1):
            self.assertFalse(self.agree(file[:at] + bytes([file[at] ^ 1]) + file[at + 1 :], f"byte {at}"))
        self.assertFalse(self.agree(file[:-1], "short"))
        self.assertFalse(self.agree(file.replace(b'\\"seal\\"', b'\\"zeal\\"'), "no seal"))

    def test_container(self) -> None:
        """Holes, overlaps, what is left over, and a key that is there twice, each under a right seal."""
        file = some_base(np.random.default_rng(6), ("amount",)).to_bytes()
        size = int.from_bytes(file[:8], "little")
        header, data = json.loads(file[8 : 8 + size]), file[8 + size :]
        first, second = sorted((entry["data_offsets"], name) for name, entry in header.items() if name != "__metadata__")[:2]

        def packed(text: str, data: bytes) -> bytes:
            text = text.replace(json.loads(header["__metadata__"]["sluice"])["seal"], SEAL_BLANK)
            made = len(text).to_bytes(8, "little") + text.encode() + data
            place = seal_place(made, SEAL_BLANK)
            return made[:place] + seal_of(made, place).encode() + made[place + 64 :]

        self.assertTrue(self.agree(packed(json.dumps(header), data), "as it was"))
        self.assertFalse(self.agree(packed(json.dumps(header), data + b"1234"), "left over"))
        moved = json.loads(json.dumps(header))
        for name, entry in moved.items():
            if name != "__metadata__" and entry["data_offsets"] >= second[0]:
                entry["data_offsets"] = [at + 4 for at in entry["data_offsets"]]
        hole = data[: second[0][0]] + b"1234" + data[second[0][0] :]
        self.assertFalse(self.agree(packed(json.dumps(moved), hole), "hole"))
        over = json.loads(json.dumps(header))
        over[first[1]]["data_offsets"] = [at + 4 for at in first[0]]
        self.assertFalse(self.agree(packed(json.dumps(over), data), "overlap"))
        twice = json.dumps(header)[:-1] + f', "{first[1]}": ' + json.dumps(header[first[1]]) + "}"
        self.assertFalse(self.agree(packed(twice, data), "a key twice"))

    def test_wrong_bases(self) -> None:
        def changed(**parts: Any) -> SceneBase:
            base = some_base(np.random.default_rng(2), ("amount",), ("value",))
            for name, value in parts.items():
                part, _, field = name.partition("__")
                setattr(
                    base.dimensions["transaction"]
                    if part == "d"
                    else base.anomaly["own"]
                    if part == "a"
                    else base.scenes[1]
                    if part == "s"
                    else base,
                    field or part,
                    value,
                )
            base.reference = None
            return base

        changed().check()
        for parts, text in (
            ({"d__rscale": [0]}, "rscale: a value is not finite or out of bounds"),
            ({"d__mean": [np.nan]}, "mean: a value"),
            ({"d__centres": np.full((12, 1), 1001)}, "centres: a value"),
            ({"d__scene": np.ones(12, int)}, "no cluster of the back"),
            ({"d__scene": np.arange(12)}, "names a scene"),
            ({"d__scene": np.zeros(12)}, "not whole numbers"),
            ({"d__scene": np.full(12, -1)}, "not whole numbers"),
            ({"d__offsets": [0]}, "offsets: type or shape"),
            ({"a__points": np.zeros((65, 1))}, "64 subsamples"),
            ({"a__table": [2, 1]}, "do not ascend"),
            ({"a__threshold": 2}, "anomaly.own: threshold"),
            ({"s__threshold": 0}, "threshold is not a number"),
            ({"s__name": ""}, "name is not a text of 1 to 63 bytes"),
            ({"s__name": "a\nb"}, "control"),
            ({"s__name": "scene 0"}, r"the name is that of scenes\[0\]"),
            ({"s__weights": {}}, r"scenes\[1\].weights: transaction"),
            ({"name": "x" * 64}, "name is not a text"),
            ({"scenes": []}, "not an array of background"),
            ({"d__columns": [Column("nothing")]}, "feature nothing is not in this catalogue"),
            ({"d__columns": [Column("amount", "sideways")]}, "form is not"),
            ({"d__columns": []}, "1 to 128"),
            ({"dimensions": {"other": some_base(np.random.default_rng(2), ("amount",)).dimensions["transaction"]}}, "not a dimension"),
        ):
            with self.assertRaisesRegex(sluice.ModelFault, text, msg=str(parts)):
                changed(**parts).check()


def change_number(draw: random.Random, about: Any, tensors: dict[str, Any]) -> None:
    name = draw.choice(list(tensors))
    value = draw.choice([0, -1, 1e-9, 9e-10, 1e3, 1001, 1e6, 1e9, 2e9, np.nan, np.inf, 5])
    flat = tensors[name].reshape(-1)
    if len(flat):
        flat[draw.randrange(len(flat))] = int(np.nan_to_num(value)) % 256 if flat.dtype.kind in "iu" else value


def change_tensor(draw: random.Random, about: Any, tensors: dict[str, Any]) -> None:
    name = draw.choice(list(tensors))
    change = draw.choice(["type", "shape", "short", "name", "gone", "more"])
    if change == "type":
        tensors[name] = tensors[name].astype(draw.choice([np.float64, np.float32, np.int32, np.uint32, np.uint8]))
    elif change == "shape":
        tensors[name] = tensors[name].reshape(draw.choice([-1, (-1, 1), (1, -1)]))
    elif change == "short":
        tensors[name] = tensors[name][:-1]
    elif change == "name":
        tensors[draw.choice(["x", name + "s", "n" * 64])] = tensors.pop(name)
    elif change == "gone":
        del tensors[name]
    else:
        tensors["more"] = np.zeros(draw.choice([0, 3]), np.float32)


def change_text(draw: random.Random, about: Any, tensors: dict[str, Any]) -> None:
    places: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        for key in value if isinstance(value, dict) else range(len(value)):
            places.append((value, key))
            if isinstance(value[key], (dict, list)):
                walk(value[key])

    walk(about)
    holder, key = draw.choice(places)
    if draw.random() < 0.2:
        del holder[key]
    else:
        holder[key] = draw.choice(
            [
                None,
                True,
                0,
                1,
                1.0,
                -1,
                0.5,
                1e7,
                1 << 70,
                "",
                "a",
                "\0",
                "x" * 64,
                "ü" * 31,
                "ü" * 32,
                "\x7f",
                [],
                {},
                [1],
                "amount",
                "above",
                [[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]],
                float("nan"),
                "\ud800",
                "night",
            ]
        )


def change_header(draw: random.Random, file: bytes) -> bytes:
    """A byte of the header, sealed again where the digits can still be found."""
    at = 8 + draw.randrange(int.from_bytes(file[:8], "little"))
    file = file[:at] + bytes([draw.randrange(256)]) + file[at + 1 :]
    try:
        blank = file.replace(json.loads(container_read(file).metadata)["seal"].encode(), SEAL_BLANK.encode(), 1)
        place = seal_place(blank, SEAL_BLANK)
    except (sluice.ModelFault, ValueError, KeyError, TypeError, AttributeError):
        return file
    return blank[:place] + seal_of(blank, place).encode() + blank[place + 64 :]


class Arithmetic(unittest.TestCase):
    def test_fma_is_rounded_once(self) -> None:
        """Against the C library's, over numbers that lie near the middle, cancel, or are too small for 24 bits."""
        libm = ctypes.CDLL(ctypes.util.find_library("m") or "libm.so.6")
        libm.fmaf.restype = ctypes.c_float
        libm.fmaf.argtypes = [ctypes.c_float] * 3
        draw = np.random.default_rng(rig.SEED)
        print(f"fma: SLUICE_SEED={rig.SEED}")
        rows = 60_000
        bits = draw.integers(0, 1 << 23, (3, rows), np.uint32)
        bits[:2, : rows // 2] = bits[:2, : rows // 2] & np.uint32(0x7FF800) | np.uint32(0x800)  # products of 25 bits lie on a middle
        exponents = np.stack([draw.integers(60, 190, rows), draw.integers(60, 190, rows), np.zeros(rows, np.int64)])
        exponents[2] = np.clip(exponents[0] + exponents[1] - 127 + draw.integers(-100, 60, rows), 0, 254)
        exponents[0, ::7], exponents[1, ::7] = draw.integers(0, 40, rows)[::7], draw.integers(0, 100, rows)[::7]
        signs = draw.integers(0, 2, (3, rows)).astype(np.uint32) << 31
        a, b, c = (signs | exponents.astype(np.uint32) << 23 | bits).view(np.float32)
        wanted = np.array([libm.fmaf(*row) for row in zip(a.tolist(), b.tolist(), c.tolist(), strict=True)], np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            got = arithmetic.fma(a, b, c)
            twice = (a.astype(np.float64) * b + c).astype(np.float32)
        np.testing.assert_array_equal(got.view(np.uint32), wanted.view(np.uint32))
        self.assertGreater(int((twice.view(np.uint32) != wanted.view(np.uint32)).sum()), 10)  # else the test tries nothing

    def test_maps_are_near_the_true_functions(self) -> None:
        x = np.random.default_rng(3).uniform(-80, 80, 20_000).astype(np.float32)
        true = np.exp(x.astype(np.float64))
        self.assertLess(float((np.abs(arithmetic.exp(x) - true) / np.spacing(true.astype(np.float32))).max()), 0.9)
        x = np.concatenate([np.abs(x), np.float32(10) ** np.arange(-30, 30, dtype=np.float32), np.zeros(1, np.float32)])
        true = np.log1p(x.astype(np.float64))
        self.assertLess(float((np.abs(arithmetic.log1p(x) - true) / np.spacing(true.astype(np.float32))).max()), 1.55)

    def test_golden_distances(self) -> None:
        """What `sluice build` worked out in double, within what float can do."""
        base = scenes.read(SYNTH)
        golden = container_read(SYNTH.with_name("base.golden.safetensors").read_bytes())
        names = json.loads(golden.metadata)["features"]
        scores = base.score(dict(zip(names, golden.tensors["golden.features"].T, strict=True)))
        for name in scenes.DIMENSIONS:
            np.testing.assert_allclose(scores.distances[name], golden.tensors[f"{name}.distances"], atol=2e-5, rtol=2e-6)
        for name in scenes.ANOMALY_SETS:
            np.testing.assert_allclose(scores.degree[name], golden.tensors[f"anomaly_{name}.scores"], atol=1e-4)

    def test_golden_distances_made_here(self) -> None:
        """`sluice inspect` holds this machine's kernels against them."""
        names = ("amount", "hour_distance", "payee_risk_7d")
        draw = np.random.default_rng(rig.SEED)
        base = some_base(draw, names)
        golden = base.golden({name: draw.normal(3, 3, 64) for name in names})
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "made.safetensors"
            base.write(path)
            path.with_name("made.golden.safetensors").write_bytes(golden)
            done = run("inspect", str(path))
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertIn("golden distances hold", done.stdout)
            base.version = "8"
            base.write(path)
            self.assertIn("another base", run("inspect", str(path)).stderr)
        for rows in (0, 65):
            with self.assertRaises(sluice.LimitFault):
                base.golden({name: np.zeros(rows) for name in names})

    def test_calibrated(self) -> None:
        """The share of the table below a degree: an entry that equals it is not below."""
        anomaly = Anomaly([], [], [], [], np.array([1, 1, 2, 3], np.float32), 0.5)
        self.assertEqual(scoring.calibrated(anomaly, np.array([0, 1, 1.5, 3, 4], np.float32)).tolist(), [0, 0, 0.5, 0.75, 1])

    def test_features_are_checked(self) -> None:
        base = some_base(np.random.default_rng(4), ("amount", "night"))
        good: dict[str, npt.ArrayLike] = {"amount": [1.0, 2.0], "night": [0, 1]}
        self.assertEqual(len(base.score(good).match), 2)
        for wrong, text in (
            ({"amount": [1.0]}, "night: the base needs"),
            ({**good, "night": [1]}, "one array of 2 rows"),
            ({**good, "night": [0, np.nan]}, "row 1, night: is not finite"),
        ):
            with self.assertRaisesRegex(sluice.SchemaFault, text):
                base.score(wrong)


class ServerBits(unittest.TestCase):
    def test_scores_have_the_servers_bits(self) -> None:
        """A base made here is loaded by a server that holds every row, so that its reasons tell all features' values; every number
        that it recorded comes out of numpy the same."""
        names = ("amount", "hour_distance", "payer_count_7d", "payee_risk_7d", "payee_count_1d")
        draw = np.random.default_rng(rig.SEED)
        print(f"bits: SLUICE_SEED={rig.SEED}")
        base = some_base(draw, names)
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "tried.safetensors"
            base.write(path)
            server = rig.Server(base=path).start()
            self.addCleanup(server.stop)
            with server.client() as client:
                past = {**transfers(3000, 80), "time": rig.NOW_US - draw.integers(0, 25 * 86_400_000_000, 3000)}
                client.import_("past", {**past, "label": ["scene 1" if row % 9 == 0 else "good" for row in range(3000)]})
                result = client.screen("bits", transfers(3000, 81))
        rows = [row for row in range(result.rows) if {reason.feature for reason in result.reasons(row)} == set(names)]
        self.assertGreater(len(rows), 1000)
        values = {name: [next(reason.value for reason in result.reasons(row) if reason.feature == name) for row in rows] for name in names}
        scores = base.score({name: np.array(column, np.float32) for name, column in values.items()})
        self.assertGreater(len(set(values["payee_risk_7d"])), 5)
        self.assertEqual(scores.scene_name.tolist(), result.names("scene")[rows].tolist())
        self.assertEqual(np.array(scores.scene_names)[scores.runner_up].tolist(), result.names("runner_up")[rows].tolist())
        pairs = {name: getattr(scores, name) for name in ("match", "runner_match", "risk", "anomaly_own", "anomaly_linked")}
        pairs.update({f"distance_{name}": values for name, values in scores.distance.items()})
        for name, got in pairs.items():
            np.testing.assert_array_equal(got.view(np.uint32), result[name][rows].view(np.uint32), name)


if __name__ == "__main__":
    unittest.main()
