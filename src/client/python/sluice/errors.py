"""What can go wrong, as exceptions. Every one of this package is a SluiceError.

A Fault is a refusal with a name of docs/protocol.md; it means that nothing was recorded by the sending it answers. The others
say that there is no answer.

>>> fault = fault_of("schema", "must be text", column="payer_id")
>>> raise fault
Traceback (most recent call last):
    ...
sluice.errors.SchemaFault: schema: payer_id: must be text
>>> fault.fault, fault.column, fault.row is None
('schema', 'payer_id', True)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class SluiceError(Exception):
    """Any error of this package."""


class ProtocolError(SluiceError):
    """The answer is not of this protocol."""


class Unreachable(SluiceError):
    """Nobody answered. `was_sent`: the request had left at least once, so that what became of it is unknown."""

    def __init__(self, text: str, was_sent: bool) -> None:
        super().__init__(text)
        self.was_sent = was_sent


class Unknown(SluiceError):
    """The time was up, and what became of the request could not be learnt either.

    It may have been recorded. Send the same batch under the same id again, or ask status; never another id.
    """


class Fault(SluiceError):
    """A refusal. `fault` is its name, `notes` all that was told; `row`, `column` and `text` are those of the first note."""

    name: ClassVar[str] = ""

    def __init__(self, fault: str, notes: Sequence[Mapping[str, Any]], retry_after_ms: int = 0, id: str = "") -> None:
        first = notes[0] if notes else {}
        self.fault = fault
        self.notes = [dict(note) for note in notes]
        self.row: int | None = first.get("row")
        self.column: str | None = first.get("column")
        self.text: str = first.get("text") or ""
        self.retry_after_ms = retry_after_ms
        self.id = id
        place = [f"row {self.row}"] if self.row is not None else []
        if self.column and not self.text.startswith(f"column {self.column}"):
            place.append(self.column)
        super().__init__(": ".join([fault, *([", ".join(place)] if place else []), self.text]))


class SyntaxFault(Fault):
    """The message cannot be read."""

    name = "syntax"


class LimitFault(Fault):
    """A declared limit is exceeded."""

    name = "limit"


class SchemaFault(Fault):
    """A field or column is missing, unknown, or of the wrong type or size."""

    name = "schema"


class AuthFault(Fault):
    """The tenant or its token is not known."""

    name = "auth"


class DeniedFault(Fault):
    """The credential lacks the right for this, or the listener does not take this op."""

    name = "denied"


class ConflictFault(Fault):
    """The id was used before with other content, or the batch's name under another id."""

    name = "conflict"


class NotFoundFault(Fault):
    """Nothing is known under that name."""

    name = "not_found"


class BusyFault(Fault):
    """The server is at its limit: come again after retry_after_ms."""

    name = "busy"


class DeadlineFault(Fault):
    """The deadline passed before the batch was taken."""

    name = "deadline"


class ModelFault(Fault):
    """The scene base is missing, damaged or does not fit."""

    name = "model"


class DeviceFault(Fault):
    """The compute device failed."""

    name = "device"


class LedgerFault(Fault):
    """The ledger could not record."""

    name = "ledger"


class MemoryFault(Fault):
    """Memory ran out."""

    name = "memory"


class UnavailableFault(Fault):
    """The server is starting, draining or cannot reach what it needs."""

    name = "unavailable"


FAULTS: dict[str, type[Fault]] = {kind.name: kind for kind in Fault.__subclasses__()}


def fault_of(fault: str, text: str, row: int | None = None, column: str | None = None) -> Fault:
    """A refusal made here, before anything is sent."""
    return FAULTS[fault](fault, [{"row": row, "column": column, "text": text}])


def fault_of_reply(reply: Mapping[str, Any]) -> Fault:
    """The refusal that a reply is; a name that this package does not know stays a plain Fault."""
    fault = str(reply.get("fault", ""))
    notes = [note for note in reply.get("notes") or [] if isinstance(note, dict)]
    return FAULTS.get(fault, Fault)(fault, notes, int(reply.get("retry_after_ms") or 0), str(reply.get("id") or ""))
