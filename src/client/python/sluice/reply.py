"""Replies as numpy columns.

Arrays are views into the reply's bytes and cannot be written to. Codes stand for names of a table:

>>> result = Result({"op": "screen", "id": "a", "rows": 2, "tables": {"verdict": ["pass", "hold"]},
...                  "columns": {"verdict": {"type": "u8", "data": bytes([1, 0])}}})
>>> result["verdict"], result.names("verdict").tolist()
(array([1, 0], dtype=uint8), ['hold', 'pass'])
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .errors import ProtocolError

if TYPE_CHECKING:
    import pandas
    import pyarrow

DTYPES = {"u8": "u1", "f32": "<f4", "u16": "<u2", "u32": "<u4", "i64": "<i8", "f64": "<f8"}
TABLE_OF = {"runner_up": "scene"}  # columns whose table has another name
Array = npt.NDArray[Any]


class Note(NamedTuple):
    """What is wrong with a cell. row None: about the whole."""

    row: int | None
    column: str | None
    text: str


class Reason(NamedTuple):
    """Why a row did not pass. value and share are None for credentials that may not see them."""

    feature: str
    dimension: str
    value: float | None
    share: float | None


class Receipt:
    """The answer to import, observe and label: how many rows were taken, and what was wrong with the others."""

    def __init__(self, reply: Mapping[str, Any]) -> None:
        self.raw: Mapping[str, Any] = reply
        self.id: str = reply.get("id") or ""
        self.op: str = reply.get("op") or ""
        self.batch: str = reply.get("batch") or ""
        self.sequence: int = reply.get("sequence") or 0
        self.rows: int = reply.get("rows") or 0
        self.counts: dict[str, int] = dict(reply.get("counts") or {})
        self.notes = [Note(note.get("row"), note.get("column"), note.get("text") or "") for note in reply.get("notes") or []]
        self.note_counts: list[dict[str, Any]] = list(reply.get("note_counts") or [])
        self.waited_ms: int = reply.get("waited_ms") or 0

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in self.counts.items() if count)
        return f"<{type(self).__name__} {self.op} {self.batch}: {self.rows} rows, {counts}>"


class Result(Receipt):
    """The answer to screen, score and result: a mapping of columns beside what a Receipt has.

    Columns (rows in the order in which they were sent): verdict, level, cause, scene, runner_up, risk_type, countermeasure are
    codes (u1) of tables; match, runner_match, risk, anomaly_own, anomaly_linked and distance_* are float32.
    """

    def __init__(self, reply: Mapping[str, Any]) -> None:
        super().__init__(reply)
        self.base: str = reply.get("base") or ""
        self.base_version: str = reply.get("base_version") or ""
        self.base_digest: str = reply.get("base_digest") or ""
        self.config_digest: str = reply.get("config_digest") or ""
        self.kernel: str = reply.get("kernel") or ""
        tables = reply.get("tables") or {}
        self.countermeasure_texts: list[str] = [entry.get("text", "") for entry in tables.get("countermeasure", [])]
        self.tables: dict[str, list[str]] = {
            name: [entry["name"] if isinstance(entry, dict) else entry for entry in table] for name, table in tables.items()
        }
        self.columns: dict[str, Array] = {name: self._column(name, told) for name, told in (reply.get("columns") or {}).items()}
        self._reasons: Mapping[str, bytes] = reply.get("reasons") or {}
        self._starts: dict[int, tuple[int, int]] | None = None

    def _column(self, name: str, told: Mapping[str, Any]) -> Array:
        try:
            array = np.frombuffer(told["data"], DTYPES[told["type"]])
        except (KeyError, ValueError, TypeError) as error:
            raise ProtocolError(f"column {name} of the reply cannot be read: {error}") from error
        if len(array) != self.rows:
            raise ProtocolError(f"column {name} of the reply has {len(array)} rows, not {self.rows}")
        return array

    def __getitem__(self, column: str) -> Array:
        return self.columns[column]

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return self.rows

    def table_of(self, column: str) -> list[str] | None:
        """The names behind a column's codes; None: it has none."""
        return self.tables.get(TABLE_OF.get(column, column)) if self.columns[column].dtype == np.uint8 else None

    def names(self, column: str) -> Array:
        """A column of codes as an array of names."""
        table = self.table_of(column)
        if table is None:
            raise KeyError(f"{column} is no column of codes")
        return np.array([*table, ""], dtype=str)[np.minimum(self.columns[column], len(table))]

    def is_verdict(self, *verdicts: str) -> npt.NDArray[np.bool_]:
        """Which rows have one of these verdicts."""
        return np.isin(self.columns["verdict"], [self.tables["verdict"].index(verdict) for verdict in verdicts])

    # --- reasons: blobs of the rows that did not pass, one behind the other

    def _blob(self, name: str, dtype: str) -> Array:
        return np.frombuffer(self._reasons.get(name) or b"", dtype)

    @property
    def reason_rows(self) -> Array:
        """The rows that have reasons, ascending."""
        return self._blob("rows", "<u4")

    def reasons(self, row: int) -> list[Reason]:
        """Why a row did not pass, the strongest first; empty where it did."""
        if self._starts is None:
            counts = self._blob("count", "u1").astype(np.int64)
            ends = np.cumsum(counts)
            self._starts = {int(at): (int(end - count), int(end)) for at, end, count in zip(self.reason_rows, ends, counts, strict=True)}
        first, end = self._starts.get(row, (0, 0))
        feature, dimension = self._blob("feature", "<u2"), self._blob("dimension", "u1")
        value, share = self._blob("value", "<f4"), self._blob("share", "<f4")
        return [
            Reason(
                self.tables["feature"][feature[at]],
                self.tables["dimension"][dimension[at]],
                float(value[at]) if len(value) else None,
                float(share[at]) if len(share) else None,
            )
            for at in range(first, end)
        ]

    # --- other libraries' tables

    def to_pandas(self) -> pandas.DataFrame:
        """A DataFrame: codes as Categorical, the rest as float32."""
        import pandas

        made: dict[str, Any] = {}
        for name, array in self.columns.items():
            table = self.table_of(name)
            if table is None:
                made[name] = array
            elif len(set(table)) == len(table):
                made[name] = pandas.Categorical.from_codes(array.astype(np.int16), categories=pandas.Index(table))
            else:
                made[name] = self.names(name)
        frame: pandas.DataFrame = pandas.DataFrame(made)
        return frame

    def to_arrow(self) -> pyarrow.Table:
        """A pyarrow Table: codes as dictionaries; nothing is copied."""
        import pyarrow

        made: dict[str, Any] = {}
        for name, array in self.columns.items():
            table = self.table_of(name)
            made[name] = pyarrow.array(array) if table is None else pyarrow.DictionaryArray.from_arrays(pyarrow.array(array), table)
        return pyarrow.table(made)


class Page:
    """Recorded transfers that a query found: one map each. cursor asks for the next page; empty: there is none."""

    def __init__(self, reply: Mapping[str, Any]) -> None:
        self.transfers: list[dict[str, Any]] = list(reply.get("transfers") or [])
        self.cursor: str = reply.get("cursor") or ""

    def __len__(self) -> int:
        return len(self.transfers)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.transfers)

    def columns(self) -> dict[str, Array]:
        """The same as columns: numbers where every transfer has one, else objects with None."""
        return columns_of(self.transfers)

    def to_pandas(self) -> pandas.DataFrame:
        import pandas

        frame: pandas.DataFrame = pandas.DataFrame(self.transfers)
        return frame

    def to_arrow(self) -> pyarrow.Table:
        import pyarrow

        return pyarrow.Table.from_pylist(self.transfers)


def columns_of(maps: Sequence[Mapping[str, Any]]) -> dict[str, Array]:
    names = dict.fromkeys(key for entry in maps for key in entry)
    out: dict[str, Array] = {}
    for name in names:
        values = [entry.get(name) for entry in maps]
        kinds = {type(value) for value in values}
        out[name] = np.array(values, {int: np.int64, float: np.float64}.get(kinds.pop() if len(kinds) == 1 else object, object))
    return out
