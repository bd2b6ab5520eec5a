"""The safetensors container of a scene base and its seal, by the server's own rules: what it refuses, this refuses.

8 bytes of header size, little-endian; a JSON header; the tensors, without hole or overlap.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .errors import ModelFault

DTYPES: dict[str, np.dtype[Any]] = {
    name: np.dtype(code) for name, code in (("F32", "<f4"), ("F64", "<f8"), ("I32", "<i4"), ("U32", "<u4"), ("U8", "u1"))
}
FILE_BYTES_MAX = 64 << 20
HEADER_BYTES_MAX = 1 << 20
LEAD_BYTES = 8
TENSORS_MAX = 64
SIZE_MAX = 1 << 20
NAME_BYTES_MAX = 63
DEPTH_MAX = 16
SEAL_DIGITS = 64
SEAL_BLANK = "0" * SEAL_DIGITS

Array = npt.NDArray[Any]


class Container(NamedTuple):
    metadata: str  # the text under the key sluice
    tensors: dict[str, Array]  # views into the bytes


def refuse(text: str) -> ModelFault:
    return ModelFault("model", [{"row": None, "column": None, "text": text}])


# --- JSON as the server takes it -------------------------------------------------------------------------------------------


def json_depth(text: bytes) -> int:
    depth = deepest = 0
    for bracket in re.findall(rb"[\[\]{}]", re.sub(rb'"(?:\\.|[^"\\])*"', b"", text, flags=re.S)):
        depth = depth + 1 if bracket in b"[{" else max(depth - 1, 0)
        deepest = max(deepest, depth)
    return deepest


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a key is there twice")
    return out


def whole(text: str) -> int:
    value = int(text)
    if not -(1 << 63) <= value < 1 << 63:
        raise ValueError("too big a whole number")
    return value


def finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError("too big a number")
    return value


def no_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def json_read(text: bytes, what: str) -> Any:
    if json_depth(text) > DEPTH_MAX:
        raise refuse(f"{what}: nested deeper than {DEPTH_MAX}")
    try:
        value = json.loads(text.decode(), object_pairs_hook=once, parse_int=whole, parse_float=finite, parse_constant=no_constant)
        if b"\\u" in text and any("\0" in string or (not string.encode() and string) for string in strings(value)):
            raise ValueError("\\u0000 is not taken")
    except ValueError as error:  # UnicodeError and JSONDecodeError are such
        raise refuse(f"{what}: {error}") from None
    return value


# --- reading ---------------------------------------------------------------------------------------------------------------


def is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def tensor_of(name: str, entry: Any, data: memoryview) -> tuple[int, int, Array]:
    """Begin, end and the values of an entry of the header."""
    if len(name.encode()) > NAME_BYTES_MAX:
        raise refuse(f"tensor {name[:40]}…: name too long")
    told = entry if isinstance(entry, dict) else {}
    dtype, shape, offsets = told.get("dtype"), told.get("shape"), told.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise refuse(f"tensor {name}: dtype is not F32, F64, I32, U32 or U8")
    if not isinstance(shape, list) or len(shape) > 2 or not all(is_size(size) and size <= SIZE_MAX for size in shape):
        raise refuse(f"tensor {name}: shape is not up to two sizes below 2^20")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(is_size, offsets)) or not offsets[0] <= offsets[1] <= len(data):
        raise refuse(f"tensor {name}: data_offsets are not inside the file")
    begin, end = offsets
    needed = int(np.prod(shape, dtype=np.int64)) * DTYPES[dtype].itemsize
    if end - begin != needed:
        raise refuse(f"tensor {name}: {end - begin} bytes, its shape needs {needed}")
    return begin, end, np.frombuffer(data[begin:end], DTYPES[dtype]).reshape(shape)


def container_read(file: bytes) -> Container:
    """The tensors and the text of a file; raises ModelFault."""
    if len(file) > FILE_BYTES_MAX:
        raise refuse(f"scene base larger than {FILE_BYTES_MAX} bytes")
    if len(file) < LEAD_BYTES:
        raise refuse(f"{len(file)} bytes: too short for a header")
    header_bytes = int.from_bytes(file[:LEAD_BYTES], "little")
    if header_bytes > HEADER_BYTES_MAX:
        raise refuse(f"no scene base: it does not begin with a header of at most {HEADER_BYTES_MAX} bytes")
    if header_bytes > len(file) - LEAD_BYTES:
        raise refuse(f"header of {header_bytes} bytes: above the file's size")
    header = json_read(file[LEAD_BYTES : LEAD_BYTES + header_bytes], "header")
    if not isinstance(header, dict):
        raise refuse("header: not a JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not isinstance(metadata.get("sluice", ""), str):
        raise refuse("__metadata__ is not a map of texts")
    if len(header) > TENSORS_MAX:
        raise refuse(f"more than {TENSORS_MAX} tensors")
    data = memoryview(file)[LEAD_BYTES + header_bytes :]
    read = {name: tensor_of(name, entry, data) for name, entry in header.items()}
    at = 0
    for begin, end, _ in sorted(read.values(), key=lambda tensor: tensor[:2]):
        if begin != at:
            raise refuse(f"tensors overlap or leave a hole at byte {at} of the data")
        at = end
    if at != len(data):
        raise refuse(f"{len(data) - at} bytes behind the last tensor")
    if "sluice" not in metadata:
        raise refuse("no metadata under the key sluice: not a scene base")
    return Container(metadata["sluice"], {name: values for name, (_, _, values) in read.items()})


# --- seal ------------------------------------------------------------------------------------------------------------------


def seal_place(file: bytes, digits: str) -> int:
    """Where the digits of the seal stand in the header, which must be once."""
    header = file[LEAD_BYTES : LEAD_BYTES + int.from_bytes(file[:LEAD_BYTES], "little")]
    first = header.find(digits.encode())
    if first < 0 or header.find(digits.encode(), first + 1) >= 0:
        raise refuse("the digits of the seal are not in the header exactly once")
    return LEAD_BYTES + first


def seal_of(file: bytes, at: int) -> str:
    return hashlib.sha256(file[:at] + SEAL_BLANK.encode() + file[at + SEAL_DIGITS :]).hexdigest()


def seal_check(file: bytes, about: Any) -> None:
    """about: the JSON of the metadata."""
    digits = about.get("seal") if isinstance(about, dict) else None
    if digits is None and not (isinstance(about, dict) and "seal" in about):
        raise refuse("no seal in the metadata: `sluice inspect --seal` puts one in")
    if not isinstance(digits, str) or not re.fullmatch("[0-9a-f]{64}", digits):
        raise refuse(f"seal is not {SEAL_DIGITS} digits 0 to f")
    if seal_of(file, seal_place(file, digits)) != digits:
        raise refuse("checksum does not match: the file is damaged or was changed")


# --- writing ---------------------------------------------------------------------------------------------------------------


def container_write(about: Mapping[str, Any], tensors: Mapping[str, Array]) -> bytes:
    """The sealed file. about: the metadata, whose seal is put in here."""
    names = {dtype: name for name, dtype in DTYPES.items()}
    header: dict[str, Any] = {"__metadata__": {"sluice": json.dumps({**about, "seal": SEAL_BLANK})}}
    at, parts = 0, []
    for name, values in tensors.items():
        dtype = values.dtype.newbyteorder("<")
        if dtype not in names:
            raise refuse(f"tensor {name}: {values.dtype} is not F32, F64, I32, U32 or U8")
        part = np.ascontiguousarray(values.astype(dtype, copy=False)).tobytes()
        header[name] = {"dtype": names[dtype], "shape": list(values.shape), "data_offsets": [at, at + len(part)]}
        at += len(part)
        parts.append(part)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file = len(text).to_bytes(LEAD_BYTES, "little") + text + b"".join(parts)
    place = seal_place(file, SEAL_BLANK)
    return file[:place] + seal_of(file, place).encode() + file[place + SEAL_DIGITS :]
