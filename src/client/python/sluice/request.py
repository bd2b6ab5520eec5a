"""Requests as bytes, bounded by the server's limits before anything is sent.

>>> limits = Limits(rows=2)
>>> Request("screen", {"id": "a"}, Batch(3, {}), limits)
Traceback (most recent call last):
    ...
sluice.errors.LimitFault: limit: 3 rows; the server takes 2
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import msgpack
import numpy as np

from .batch import Batch
from .columns import Wire, texts
from .errors import LimitFault, SchemaFault

VERSION = 1
RECORDED = (
    "screen",
    "import",
    "observe",
    "label",
    "release",
    "cancel",
    "consolidate",
    "report",
    "list.put",
    "list.remove",
    "base.put",
    "base.activate",
    "base.rollback",
)
LONG = ("token", "signature", "path")  # bounded as texts, all others as ids


@dataclass(frozen=True)
class Limits:
    """What a server takes, as hello tells it; the defaults are those of docs/protocol.md. in_flight 0: not told."""

    message_bytes: int = 8 << 20
    rows: int = 100_000
    columns: int = 64
    text_bytes: int = 1024
    id_bytes: int = 128
    dict_values: int = 65_536
    notes: int = 1000
    reply_bytes: int = 13 << 20
    in_flight: int = 0

    @classmethod
    def of_hello(cls, told: Mapping[str, Any]) -> Limits:
        known = {field.name for field in fields(cls)}
        return cls(**{name: int(value) for name, value in told.items() if name in known and isinstance(value, int) and value > 0})


def over(text: str, column: str | None = None) -> LimitFault:
    return LimitFault("limit", [{"row": None, "column": column, "text": text}])


def check_name(key: str, value: str, bytes_max: int) -> None:
    """Ids, names of batches, tenants, tokens and column names."""
    try:
        length = len(value.encode())
    except UnicodeEncodeError:
        raise SchemaFault("schema", [{"text": f"{key} is no Unicode text"}]) from None
    if length > bytes_max:
        raise over(f"{key} of {length} bytes; the server takes {bytes_max}")
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in value):
        raise SchemaFault("schema", [{"text": f"{key} holds a control character"}])


def without_dictionary(name: str, wire: Wire) -> Wire:
    """The column as plain texts: a dictionary may have more values than the server takes."""
    codes = np.frombuffer(wire["codes"], {"u8": "u1", "u16": "<u2", "u32": "<u4"}[wire["code"]])
    values = wire["values"]
    if "valid" in wire:
        codes = np.where(np.unpackbits(np.frombuffer(wire["valid"], np.uint8), bitorder="little")[: len(codes)], codes, 0)
    plain = texts(name, [values[code] for code in codes.tolist()], None) or {}
    return {**plain, "valid": wire["valid"]} if "valid" in wire else plain


def fitted(batch: Batch, limits: Limits) -> dict[str, Wire]:
    """The batch's columns, or what limit they exceed."""
    if batch.rows > limits.rows:
        raise over(f"{batch.rows} rows; the server takes {limits.rows}")
    if len(batch.columns) > limits.columns:
        raise over(f"{len(batch.columns)} columns; the server takes {limits.columns}")
    columns = {}
    for name, wire in batch.columns.items():
        check_name("a column's name", name, limits.id_bytes)
        too_many = wire["type"] == "dict" and len(wire["values"]) > limits.dict_values
        columns[name] = without_dictionary(name, wire) if too_many else wire
    return columns


class Request:
    """One request: its bytes stay the same over every resend, so that a resend is harmless."""

    def __init__(self, op: str, head: Mapping[str, Any], batch: Batch | None, limits: Limits) -> None:
        self.op = op
        self.head = {key: value for key, value in head.items() if value is not None}
        self.rows = batch.rows if batch else 0
        self.is_recorded = op in RECORDED
        for key, value in self.head.items():
            if isinstance(value, str):
                check_name(key, value, limits.text_bytes if key in LONG else limits.id_bytes)
        message: dict[str, Any] = {"v": VERSION, "op": op, **self.head}
        if batch:
            message.update(rows=batch.rows, columns=fitted(batch, limits))
        try:
            self.bytes: bytes = msgpack.packb(message)
        except (ValueError, OverflowError) as error:
            raise over(f"the request cannot be packed: {error}") from None
        if len(self.bytes) > limits.message_bytes:
            raise over(f"a message of {len(self.bytes)} bytes; the server takes {limits.message_bytes}")

    def question(self, op: str) -> bytes:
        """What became of it: status or result of its batch."""
        keys = ("tenant", "token")
        asked = {"v": VERSION, "op": op, **{key: self.head[key] for key in keys if key in self.head}}
        packed: bytes = msgpack.packb({**asked, "batch": self.head.get("batch", self.head.get("id"))})
        return packed

    def is_own(self, reply: Mapping[str, Any]) -> bool:
        """Whether a result is this request's: its name may stand for another op's batch."""
        return (
            reply.get("status") == "ok"
            and reply.get("id") == self.head.get("id")
            and reply.get("op") == self.op
            and reply.get("rows") == self.rows
        )
