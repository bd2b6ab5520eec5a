"""A client of the Sluice risk-scoring server (Client), and scene bases as numpy arrays (sluice.scenes). See docs/python.md."""

from . import scenes
from .client import Client, Hello
from .errors import (
    FAULTS,
    AuthFault,
    BusyFault,
    ConflictFault,
    DeadlineFault,
    DeniedFault,
    DeviceFault,
    Fault,
    LedgerFault,
    LimitFault,
    MemoryFault,
    ModelFault,
    NotFoundFault,
    ProtocolError,
    SchemaFault,
    SluiceError,
    SyntaxFault,
    UnavailableFault,
    Unknown,
    Unreachable,
)
from .reply import Note, Page, Reason, Receipt, Result
from .request import Limits

__version__ = "0.1.0"
__all__ = [
    "FAULTS",
    "AuthFault",
    "BusyFault",
    "Client",
    "ConflictFault",
    "DeadlineFault",
    "DeniedFault",
    "DeviceFault",
    "Fault",
    "Hello",
    "LedgerFault",
    "LimitFault",
    "Limits",
    "MemoryFault",
    "ModelFault",
    "NotFoundFault",
    "Note",
    "Page",
    "ProtocolError",
    "Reason",
    "Receipt",
    "Result",
    "SchemaFault",
    "SluiceError",
    "SyntaxFault",
    "UnavailableFault",
    "Unknown",
    "Unreachable",
    "scenes",
]
