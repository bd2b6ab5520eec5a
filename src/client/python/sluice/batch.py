"""A batch as columns of the wire, from a mapping of arrays, a pandas DataFrame or a pyarrow Table or RecordBatch.

What already lies as the wire wants it is borrowed, not copied: contiguous little-endian int64 and float64, Arrow's texts,
bitmaps and dictionaries, the codes of a pandas Categorical without nulls. Rules, for all of them:

- numbers become i64; any width that fits. Known number columns (amount, times) take whole numbers alone: money is minor units.
- datetimes become whole microseconds since the epoch; those without a time zone are UTC.
- None, NaN, NaT, pandas.NA, Arrow's nulls and masked cells are null.
- unknown columns may be floats: f64, finite.

>>> import numpy as np
>>> columns = wire_columns({"transfer_id": ["a", "bc"], "amount": np.array([1999, 7])}, {"transfer_id": "text", "amount": "i64"})
>>> columns.rows, bytes(columns.columns["transfer_id"]["data"])
(2, b'abc')
>>> wire_columns({"amount": np.array([19.99])}, {"amount": "i64"})
Traceback (most recent call last):
    ...
sluice.errors.SchemaFault: schema: amount: must be whole numbers (money in minor units, times in microseconds), not float64
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .columns import Wire, from_numpy, from_objects, refuse
from .errors import SchemaFault
from .foreign import from_arrow, from_series


class Batch(NamedTuple):
    """The rows and columns of a request."""

    rows: int
    columns: dict[str, Wire]


class Column(NamedTuple):
    """A column of the wire, its rows, and the type it arrived with, for messages."""

    wire: Wire | None  # None: null throughout
    rows: int
    came_as: str


def module_of(value: Any) -> str:
    return type(value).__module__.split(".", 1)[0]


def column_of(name: str, value: Any) -> Column:
    if module_of(value) == "pandas":
        return Column(from_series(name, value), len(value), str(value.dtype))
    if module_of(value) == "pyarrow":
        return Column(from_arrow(name, value), len(value), str(value.type))
    if isinstance(value, (list, tuple)):
        return Column(from_objects(name, list(value), None), len(value), "list")
    if not isinstance(value, np.ndarray):
        raise refuse(name, f"a {type(value).__name__} is no array")
    if value.ndim != 1:
        raise refuse(name, f"has {value.ndim} dimensions, must have one")
    return Column(from_numpy(name, value), len(value), str(value.dtype))


def items_of(batch: Any) -> list[tuple[str, Any]]:
    if isinstance(batch, Mapping):
        return list(batch.items())
    if module_of(batch) == "pandas" and hasattr(batch, "columns"):
        return [(name, batch.iloc[:, place]) for place, name in enumerate(batch.columns)]
    if module_of(batch) == "pyarrow" and hasattr(batch, "column_names"):
        return list(zip(batch.column_names, batch.columns, strict=True))
    raise TypeError(f"a batch is a mapping of arrays, a pandas DataFrame or a pyarrow Table, not {type(batch).__name__}")


TYPES: dict[str, tuple[tuple[str, ...], str]] = {
    "text": (("str", "dict"), "must be text"),
    "i64": (("i64",), "must be whole numbers (money in minor units, times in microseconds)"),
}


def wire_columns(batch: Any, types: Mapping[str, str]) -> Batch:
    """The batch in columns. types: the type of each known column, "text" or "i64", as hello tells it."""
    columns: dict[str, Wire] = {}
    seen: set[str] = set()
    rows: int | None = None
    for name, value in items_of(batch):
        if not isinstance(name, str):
            raise SchemaFault("schema", [{"text": f"a column's name must be text, not {name!r}"}])
        if name in seen:
            raise refuse(name, "is there twice")
        seen.add(name)
        column = column_of(name, value)
        if rows is not None and column.rows != rows:
            raise refuse(name, f"has {column.rows} rows, the columns before it have {rows}")
        rows = column.rows
        if column.wire is None:
            continue
        wanted = TYPES.get(types.get(name, ""))
        if wanted and column.wire["type"] not in wanted[0]:
            raise refuse(name, f"{wanted[1]}, not {column.came_as}")
        columns[name] = column.wire
    if not rows:
        raise SchemaFault("schema", [{"text": "a batch without rows"}])
    return Batch(rows, columns)
