"""Columns of the wire from numpy arrays and Python lists, borrowed where the bytes agree."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import SchemaFault, fault_of

Wire = dict[str, Any]
Bools = npt.NDArray[np.bool_]
CODES = {1: "u8", 2: "u16", 4: "u32"}
U32_MAX = (1 << 32) - 1


def refuse(column: str, text: str, row: int | None = None) -> SchemaFault:
    fault = fault_of("schema", text, row, column)
    assert isinstance(fault, SchemaFault)
    return fault


def view(array: npt.NDArray[Any]) -> memoryview:
    """The bytes of an array, without a copy where it is contiguous."""
    buffer: Any = np.ascontiguousarray(array)
    return memoryview(buffer).cast("B")


def bitmap(valid: Bools) -> memoryview:
    return view(np.packbits(valid, bitorder="little"))


def with_nulls(wire: Wire, null: Bools | None) -> Wire | None:
    """The column with its bitmap; None when every cell is null: a column without a valid cell counts as absent."""
    if null is None or not null.any():
        return wire
    if null.all():
        return None
    return {**wire, "valid": bitmap(~null)}


# --- numbers and times -----------------------------------------------------------------------------------------------------


def integers(name: str, array: npt.NDArray[Any], null: Bools | None) -> Wire | None:
    if array.dtype.kind == "u" and array.dtype.itemsize == 8 and len(array):
        over = array > np.uint64(np.iinfo(np.int64).max)
        if null is not None:
            over &= ~null
        if over.any():
            raise refuse(name, "does not fit into 64 bits with a sign", int(over.argmax()))
    return with_nulls({"type": "i64", "data": view(array.astype("<i8", copy=False))}, null)


def floats(name: str, array: npt.NDArray[Any], null: Bools | None) -> Wire | None:
    absent = np.isnan(array) if null is None else null | np.isnan(array)
    infinite = np.isinf(array) & ~absent
    if infinite.any():
        raise refuse(name, "is infinite", int(infinite.argmax()))
    return with_nulls({"type": "f64", "data": view(array.astype("<f8", copy=False))}, absent)


def datetimes(array: npt.NDArray[Any], null: Bools | None) -> Wire | None:
    absent = np.isnat(array) if null is None else null | np.isnat(array)
    return with_nulls({"type": "i64", "data": view(array.astype("datetime64[us]").view("<i8"))}, absent)


# --- texts -----------------------------------------------------------------------------------------------------------------


def texts(name: str, values: list[Any], null: Bools | None) -> Wire | None:
    """A list of str; None and NaN are null."""
    try:
        data, lengths = encoded(values)
    except (TypeError, UnicodeEncodeError):
        values, null = cleaned(name, values, null)
        data, lengths = encoded(values)
    offsets = np.zeros(len(values) + 1, np.uint64)
    np.cumsum(lengths, out=offsets[1:])
    if offsets[-1] > U32_MAX:
        raise fault_of("limit", f"{offsets[-1]} bytes of text; a column holds {U32_MAX}", None, name)
    return with_nulls({"type": "str", "offsets": view(offsets.astype("<u4")), "data": data}, null)


def encoded(values: list[str]) -> tuple[bytes, npt.NDArray[np.uint64]]:
    joined = "".join(values)
    data = joined.encode()
    lengths = map(len, values) if len(data) == len(joined) else (len(value.encode()) for value in values)
    return data, np.fromiter(lengths, np.uint64, len(values))


def is_null(value: Any) -> bool:
    return value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and math.isnan(value))


def cleaned(name: str, values: list[Any], null: Bools | None) -> tuple[list[str], Bools]:
    """The slow way, when there are nulls or wrong cells: empty texts for nulls, an error that names the row."""
    absent = np.zeros(len(values), np.bool_) if null is None else null.copy()
    out = list(values)
    for row, value in enumerate(values):
        if absent[row] or is_null(value):
            absent[row] = True
            out[row] = ""
        elif not isinstance(value, str):
            raise refuse(name, f"must be text, not {type(value).__name__}", row)
        else:
            try:
                value.encode()
            except UnicodeEncodeError:
                raise refuse(name, "is no Unicode text: a lone surrogate", row) from None
    return out, absent


def dictionary(name: str, values: list[Any], codes: npt.NDArray[Any], null: Bools | None) -> Wire | None:
    """Codes into a list of str. Codes of null cells may be anything."""
    for value in values:
        if not isinstance(value, str):
            raise refuse(name, f"must be text, not {type(value).__name__} ({value!r})")
    size = codes.dtype.itemsize
    if size == 8:
        codes, size = codes.astype("<u4"), 4
    wire = {"type": "dict", "values": values, "code": CODES[size], "codes": view(codes.astype(f"<u{size}", copy=False))}
    return with_nulls(wire, null)


# --- numpy -----------------------------------------------------------------------------------------------------------------


def from_numpy(name: str, array: npt.NDArray[Any], null: Bools | None = None) -> Wire | None:
    if isinstance(array, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(array)
        array, null = np.asarray(array.data), mask if null is None else null | mask
    kind = array.dtype.kind
    if kind in "iub":
        return integers(name, array, null)
    if kind == "f":
        return floats(name, array, null)
    if kind == "M":
        return datetimes(array, null)
    if kind in "UT":
        return texts(name, array.tolist(), null)
    if kind == "O":
        return from_objects(name, array.tolist(), null)
    raise refuse(name, f"an array of {array.dtype} is neither text nor numbers")


def from_objects(name: str, values: list[Any], null: Bools | None) -> Wire | None:
    """Python objects: the first that is not null says what they are."""
    kinds = set(map(type, values))
    if null is None and kinds == {str}:
        return texts(name, values, None)
    if null is None and kinds == {str, type(None)}:
        return texts(name, [value or "" for value in values], np.array([value is None for value in values]))
    absent = np.fromiter(map(is_null, values), np.bool_, len(values))
    if null is not None:
        absent |= null
    if absent.all():
        return None
    first = values[int((~absent).argmax())]
    if isinstance(first, str):
        return texts(name, values, absent if absent.any() else None)
    if isinstance(first, (int, np.integer)):
        return integers(name, whole_numbers(name, values, absent), absent)
    if isinstance(first, np.datetime64) or hasattr(first, "timestamp"):
        return datetimes(moments(name, values, absent), absent)
    raise refuse(name, f"must be text or whole numbers, not {type(first).__name__}", int((~absent).argmax()))


def whole_numbers(name: str, values: list[Any], absent: Bools) -> npt.NDArray[np.int64]:
    out = np.zeros(len(values), np.int64)
    for row, value in enumerate(values):
        if absent[row]:
            continue
        if not isinstance(value, (int, np.integer)):
            raise refuse(name, f"must be a whole number, not {type(value).__name__}", row)
        try:
            out[row] = value
        except OverflowError:
            raise refuse(name, "does not fit into 64 bits with a sign", row) from None
    return out


def moments(name: str, values: list[Any], absent: Bools) -> npt.NDArray[Any]:
    """datetime objects (those without a time zone are UTC) and numpy.datetime64."""
    out = np.zeros(len(values), "datetime64[us]")
    for row, value in enumerate(values):
        if absent[row]:
            continue
        if isinstance(value, datetime):
            out[row] = value.astimezone(timezone.utc).replace(tzinfo=None) if value.tzinfo else value
        elif isinstance(value, np.datetime64):
            out[row] = value
        else:
            raise refuse(name, f"must be a time, not {type(value).__name__}", row)
    return out
