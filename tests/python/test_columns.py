"""Arrays of every kind become the right columns, borrowed where they can be, or an error that names column and row."""

from __future__ import annotations

import datetime
import doctest
import importlib
import itertools
import pkgutil
import unittest
from typing import Any

import numpy as np

import sluice
from rig import fresh_random
from sluice import catalogue
from sluice.batch import wire_columns
from sluice.request import Limits, Request

try:
    import pandas as pd
    import pyarrow as pa
except ImportError:
    pd = pa = None

TYPES = catalogue.COLUMNS
US = 1_000_000


def decoded(wire: dict[str, Any], rows: int) -> list[Any]:
    """A column of the wire as Python values, by docs/protocol.md."""

    def numbers(key: str, dtype: str) -> list[Any]:
        return np.frombuffer(bytes(wire[key]), dtype).tolist()

    if wire["type"] == "str":
        offsets, data = numbers("offsets", "<u4"), bytes(wire["data"])
        assert offsets[0] == 0 and offsets[-1] == len(data) and len(offsets) == rows + 1
        values: list[Any] = [data[first:end].decode() for first, end in itertools.pairwise(offsets)]
    elif wire["type"] == "dict":
        codes = numbers("codes", {"u8": "u1", "u16": "<u2", "u32": "<u4"}[wire["code"]])
        values = [wire["values"][code] if code < len(wire["values"]) else "out of range" for code in codes]
    else:
        values = numbers("data", {"i64": "<i8", "f64": "<f8"}[wire["type"]])
    assert len(values) == rows
    if "valid" in wire:
        bits = np.unpackbits(np.frombuffer(bytes(wire["valid"]), np.uint8), bitorder="little")
        assert len(bytes(wire["valid"])) == (rows + 7) // 8
        values = [value if bits[row] else None for row, value in enumerate(values)]
    return values


def sent(value: Any, name: str = "other") -> list[Any] | None:
    batch = wire_columns({name: value}, TYPES)
    return decoded(batch.columns[name], batch.rows) if name in batch.columns else None


class Numpy(unittest.TestCase):
    def test_numbers(self) -> None:
        for dtype in ("i1", "i4", "<i8", ">i8", "u2", "u8", "?"):
            self.assertEqual(sent(np.array([1, 0, 1], dtype)), [1, 0, 1], dtype)
        self.assertEqual(sent(np.arange(10)[::3]), [0, 3, 6, 9])
        self.assertEqual(sent([1, None, -(1 << 63)]), [1, None, -(1 << 63)])
        self.assertEqual(sent(np.ma.masked_array([1, 2, 3], [False, True, False])), [1, None, 3])
        self.assertEqual(sent(np.array([1.5, np.nan])), [1.5, None])
        self.assertIsNone(sent(np.array([None, None])))

    def test_times(self) -> None:
        moment = datetime.datetime(2026, 1, 2, 3, 4, 5, 6)
        there = datetime.timezone(datetime.timedelta(hours=2))
        us = (moment - datetime.datetime(1970, 1, 1)) // datetime.timedelta(microseconds=1)
        self.assertEqual(sent([moment, None, moment.replace(tzinfo=there)], "time"), [us, None, us - 7200 * US])
        self.assertEqual(sent(np.array([moment, "NaT"], "datetime64[ns]"), "time"), [us, None])
        self.assertEqual(sent(np.array(["1970-01-02"], "datetime64[D]"), "time"), [86400 * US])

    def test_texts(self) -> None:
        self.assertEqual(sent(np.array(["a", "", "ü€😀"])), ["a", "", "ü€😀"])
        self.assertEqual(sent(["a", None, float("nan"), "b"], "payer_id"), ["a", None, None, "b"])
        self.assertEqual(sent(("x", "y")), ["x", "y"])

    def test_borrowed(self) -> None:
        amounts = np.arange(1, 1001)
        wire = wire_columns({"amount": amounts}, TYPES).columns["amount"]
        self.assertTrue(np.shares_memory(np.frombuffer(wire["data"], np.uint8), amounts))

    def test_wrong(self) -> None:
        cases: list[tuple[Any, str, str, int | None]] = [
            ([1, "a"], "amount", "whole number", 1),
            ([1.5], "amount", "whole numbers, not float", 0),
            (np.array([1.0]), "amount", "minor", None),
            (["a", 5], "payer_id", "text, not int", 1),
            ([5, 6], "payer_id", "must be text", None),
            ([1 << 63], "x", "64 bits", 0),
            (np.array([0, 1 << 63], "u8"), "x", "64 bits", 1),
            (np.array([1, np.inf]), "x", "infinite", 1),
            (["a", "\ud800"], "x", "surrogate", 1),
            (np.zeros((2, 2)), "x", "dimensions", None),
            (np.array([1j]), "x", "complex", None),
            (5, "x", "no array", None),
            (np.array([b"a"]), "x", "neither", None),
            ([datetime.datetime(2026, 1, 1), 5], "time", "must be a time", 1),
            (["2026-01-01"], "time", "whole numbers", None),
            ([{}], "x", "text or whole", 0),
        ]
        for value, name, text, row in cases:
            with self.assertRaises(sluice.SchemaFault, msg=f"{value!r}") as caught:
                wire_columns({name: value}, TYPES)
            self.assertIn(text, str(caught.exception))
            self.assertEqual((caught.exception.column, caught.exception.row), (name, row))
        for batch in ({}, {"a": []}, {"a": [1], "b": [1, 2]}, {5: [1]}):
            with self.assertRaises(sluice.SchemaFault, msg=f"{batch!r}"):
                wire_columns(batch, TYPES)
        with self.assertRaises(TypeError):
            wire_columns([1, 2], TYPES)

    def test_limits(self) -> None:
        batch = wire_columns({"x": ["a", "b", "c"]}, TYPES)
        for limits, text in (
            (Limits(rows=2), "3 rows; the server takes 2"),
            (Limits(columns=0), "1 columns"),
            (Limits(message_bytes=60), "a message of"),
            (Limits(id_bytes=1), "id of 2 bytes"),
        ):
            with self.assertRaisesRegex(sluice.LimitFault, text):
                Request("screen", {"id": "ab"}, batch, limits)
        with self.assertRaisesRegex(sluice.SchemaFault, "control"):
            Request("screen", {"id": "a\n"}, batch, Limits())


@unittest.skipUnless(pd, "skipped: pandas and pyarrow are not there")
class Foreign(unittest.TestCase):
    def test_pandas(self) -> None:
        frame = pd.DataFrame(
            {
                "payer_id": ["a", "b", None],
                "currency": pd.Categorical(["EUR", "CNY", "EUR"]),
                "channel": pd.Categorical(["x", None, "y"]),
                "amount": pd.array([1, 2, 3], dtype="Int64"),
                "time": pd.to_datetime(["2026-01-01T00:00:00+02:00"] * 3),
                "order": pd.array([5, None, 7], dtype="Int32"),
                "share": [0.5, None, 1.0],
                "flag": pd.array([True, None, False], dtype="boolean"),
                "python": pd.array(["a", None, "c"], dtype=pd.StringDtype("python")),
                "arrow": pd.array([1, None, 3], dtype="int64[pyarrow]"),
            }
        )
        batch = wire_columns(frame, TYPES)
        us = int(pd.Timestamp("2025-12-31T22:00:00Z").value // 1000)
        wanted = {
            "payer_id": ["a", "b", None],
            "currency": ["EUR", "CNY", "EUR"],
            "channel": ["x", None, "y"],
            "amount": [1, 2, 3],
            "time": [us] * 3,
            "order": [5, None, 7],
            "share": [0.5, None, 1.0],
            "flag": [1, None, 0],
            "python": ["a", None, "c"],
            "arrow": [1, None, 3],
        }
        self.assertEqual({name: decoded(wire, batch.rows) for name, wire in batch.columns.items()}, wanted)
        self.assertEqual(batch.columns["currency"]["type"], "dict")
        part = frame.iloc[1:]
        self.assertEqual(decoded(wire_columns(part, TYPES).columns["channel"], 2), [None, "y"])
        with self.assertRaisesRegex(sluice.SchemaFault, "amount: must be whole numbers"):
            wire_columns(pd.DataFrame({"amount": [1.0, None]}), TYPES)
        twice = pd.DataFrame([[1, 2]], columns=["a", "a"])
        with self.assertRaisesRegex(sluice.SchemaFault, "twice"):
            wire_columns(twice, TYPES)

    def test_arrow_kinds(self) -> None:
        day = datetime.date(1970, 1, 3)
        cases: list[tuple[Any, list[Any]]] = [
            (pa.array(["a", None, "ü"]), ["a", None, "ü"]),
            (pa.array(["a", None, "ü"], pa.large_string()), ["a", None, "ü"]),
            (pa.array(["a", None, "a"]).dictionary_encode(), ["a", None, "a"]),
            (pa.array([1, None, 3], pa.uint8()), [1, None, 3]),
            (pa.array([1.5, None], pa.float32()), [1.5, None]),
            (pa.array([True, None]), [1, None]),
            (pa.array([day, None]), [2 * 86400 * US, None]),
            (pa.array([1500, None], pa.timestamp("ns", "Europe/Berlin")), [1, None]),
            (pa.array([2, None], pa.timestamp("s")), [2 * US, None]),
            (pa.DictionaryArray.from_arrays(pa.array([0, 1, None], pa.int64()), pa.array(["a", None])), ["a", None, None]),
            (pa.chunked_array([["a"], ["b", None]]), ["a", "b", None]),
        ]
        for array, wanted in cases:
            self.assertEqual(sent(array), wanted, str(array.type))
        self.assertIsNone(sent(pa.nulls(3)))
        for wrong in (pa.array([[1]]), pa.array([b"a"]), pa.array([__import__("decimal").Decimal("1.5")])):
            with self.assertRaisesRegex(sluice.SchemaFault, "neither text nor whole"):
                sent(wrong)

    def test_arrow_borrowed(self) -> None:
        amounts, ids = pa.array(range(1, 101)), pa.array([f"id-{i}" for i in range(100)])
        columns = wire_columns(pa.table({"amount": amounts, "transfer_id": ids}), TYPES).columns
        for wire, key, array, place in (
            (columns["amount"], "data", amounts, 1),
            (columns["transfer_id"], "offsets", ids, 1),
            (columns["transfer_id"], "data", ids, 2),
        ):
            borrowed = np.frombuffer(wire[key], np.uint8)
            self.assertTrue(np.shares_memory(borrowed, np.frombuffer(array.buffers()[place], np.uint8)), key)

    def test_random_slices(self) -> None:
        draw = fresh_random("random slices")
        for _ in range(300):
            rows = draw.randrange(1, 60)
            kind = draw.choice(["text", "number", "time"])
            values: list[Any] = [
                None
                if draw.random() < 0.2
                else draw.choice(["", "a", "ü", "xyz"])
                if kind == "text"
                else draw.randrange(-(1 << 63), 1 << 63)
                if kind == "number"
                else draw.randrange(1 << 50)
                for _ in range(rows)
            ]
            types = {
                "text": [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())],
                "number": [pa.int64()],
                "time": [pa.timestamp("us"), pa.int64()],
            }
            array = pa.array(values, types[kind][0]).cast(draw.choice(types[kind]))
            first = draw.randrange(rows)
            part, wanted = array[first:], values[first:]
            some = any(value is not None for value in wanted)
            self.assertEqual(sent(part), wanted if some else None)
            self.assertEqual(
                sent(pa.table({"other": part}).to_pandas()["other"]) if kind == "text" else sent(part), wanted if some else None
            )
            if kind != "time":
                self.assertEqual(sent(wanted), wanted if some else None)

    def test_large_dictionary(self) -> None:
        values = [f"v{number}" for number in range(300)]
        batch = wire_columns({"x": pa.array([*values, None]).dictionary_encode()}, TYPES)
        self.assertEqual(batch.columns["x"]["type"], "dict")
        request = sluice.request.fitted(batch, Limits(dict_values=299))
        self.assertEqual(decoded(request["x"], 301), [*values, None])


class Package(unittest.TestCase):
    def test_faults_are_all_there(self) -> None:
        self.assertEqual(set(sluice.FAULTS), set(catalogue.FAULTS))


def load_tests(loader: unittest.TestLoader, tests: unittest.TestSuite, pattern: str | None) -> unittest.TestSuite:
    for module in pkgutil.iter_modules(sluice.__path__):
        tests.addTests(doctest.DocTestSuite(importlib.import_module(f"sluice.{module.name}")))
    return tests


if __name__ == "__main__":
    unittest.main()
