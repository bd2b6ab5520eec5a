"""Columns of the wire from pandas Series and pyarrow arrays. Neither library is needed until one of its objects comes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .columns import U32_MAX, Bools, Wire, bitmap, datetimes, dictionary, floats, from_numpy, integers, refuse, texts, view
from .errors import fault_of

# --- pandas ----------------------------------------------------------------------------------------------------------------


def from_series(name: str, series: Any) -> Wire | None:
    kind = type(series.dtype).__name__
    null = series.isna().to_numpy()
    absent = null if null.any() else None
    if kind == "CategoricalDtype":
        return dictionary(name, list(series.cat.categories), series.cat.codes.to_numpy(), absent)
    if kind == "DatetimeTZDtype":
        return datetimes(series.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(), absent)
    if kind == "ArrowDtype" or (kind == "StringDtype" and series.dtype.storage == "pyarrow"):
        import pyarrow

        return from_arrow(name, pyarrow.array(series.array))
    if kind == "StringDtype":
        return texts(name, series.tolist(), absent)
    if kind[: -len("Dtype")].rstrip("0123456789") in ("Int", "UInt", "Boolean"):
        dtype = kind[: -len("Dtype")].lower().replace("boolean", "bool")
        return integers(name, series.to_numpy(dtype=dtype, na_value=False if dtype == "bool" else 0), absent)
    if kind in ("Float32Dtype", "Float64Dtype"):
        return floats(name, series.to_numpy(dtype="float64", na_value=np.nan), absent)
    return from_numpy(name, series.to_numpy(), absent)


# --- pyarrow ---------------------------------------------------------------------------------------------------------------


def arrow_null(array: Any) -> Bools | None:
    if array.null_count == 0:
        return None
    null: Bools = array.is_null().to_numpy(zero_copy_only=False)
    return null


def arrow_valid(array: Any) -> memoryview | None:
    """The array's own bitmap where a row begins a byte."""
    buffer = array.buffers()[0]
    if array.null_count == 0 or buffer is None:
        return None
    if array.offset % 8:
        null = arrow_null(array)
        return None if null is None else bitmap(~null)
    first = array.offset // 8
    return memoryview(buffer)[first : first + (len(array) + 7) // 8].cast("B")


def arrow_values(array: Any, dtype: str) -> npt.NDArray[Any]:
    """The numbers as they lie, null cells with whatever they hold."""
    size = np.dtype(dtype).itemsize
    return np.frombuffer(array.buffers()[1], dtype, count=len(array), offset=array.offset * size)


def arrow_text(array: Any, dtype: str) -> Wire:
    offsets = np.frombuffer(array.buffers()[1], dtype, count=len(array) + 1, offset=array.offset * np.dtype(dtype).itemsize)
    first, last = int(offsets[0]), int(offsets[-1])
    if last - first > U32_MAX:
        raise fault_of("limit", f"{last - first} bytes of text; a column holds {U32_MAX}")
    held = array.buffers()[2]
    data = memoryview(held)[first:last].cast("B") if held is not None else b""
    if first or dtype != "<i4":
        offsets = (offsets - first).astype("<u4")
    return {"type": "str", "offsets": view(offsets), "data": data}


def from_arrow(name: str, array: Any) -> Wire | None:
    """Of an Array or a ChunkedArray."""
    if hasattr(array, "num_chunks"):
        array = array.chunk(0) if array.num_chunks == 1 else array.combine_chunks()
    if hasattr(array, "num_chunks"):
        raise fault_of("limit", "too large for one array", None, name)
    if array.null_count == len(array):
        return None
    wire = arrow_column(name, array)
    valid = arrow_valid(array)
    if wire is not None and "valid" not in wire and valid is not None:
        wire = {**wire, "valid": valid}
    return wire


def arrow_column(name: str, array: Any) -> Wire | None:
    import pyarrow

    types, kind = pyarrow.types, array.type
    if types.is_dictionary(kind):
        return arrow_dictionary(name, array)
    if types.is_string(kind):
        return arrow_text(array, "<i4")
    if types.is_large_string(kind):
        return arrow_text(array, "<i8")
    if str(kind) == "string_view":
        return arrow_text(array.cast(pyarrow.string()), "<i4")
    if types.is_integer(kind):
        return integers(
            name, arrow_values(array, f"<{'i' if types.is_signed_integer(kind) else 'u'}{kind.bit_width // 8}"), arrow_null(array)
        )
    if types.is_floating(kind):
        return floats(name, arrow_values(array, f"<f{kind.bit_width // 8}"), arrow_null(array))
    if types.is_timestamp(kind) or types.is_date(kind):
        return {"type": "i64", "data": view(arrow_values(array.cast(pyarrow.timestamp("us"), safe=False), "<i8"))}
    if types.is_boolean(kind):
        return integers(name, array.fill_null(False).to_numpy(zero_copy_only=False), arrow_null(array))
    raise refuse(name, f"Arrow's {kind} is neither text nor whole numbers")


def arrow_dictionary(name: str, array: Any) -> Wire | None:
    if array.dictionary.null_count or str(array.dictionary.type) not in ("string", "large_string", "string_view"):
        return from_arrow(name, array.dictionary_decode())
    codes = array.indices
    return dictionary(name, array.dictionary.to_pylist(), arrow_values(codes, f"<u{codes.type.bit_width // 8}"), arrow_null(codes))
