"""Scene bases in a running server: client.bases. Needs the right model.

What changes which base scores has an id, like any change: the same id again tells what was recorded and does nothing.
"""

from __future__ import annotations

import os
import pathlib
from typing import TYPE_CHECKING

from .digest import digest_of
from .errors import ProtocolError, fault_of
from .scenes import SceneBase
from .transport import Reply

if TYPE_CHECKING:
    from .client import Client

PIECE_BYTES = 256 << 10  # so that a piece with golden distances fits a listener that takes 1 MiB
Source = SceneBase | bytes | str | os.PathLike[str]


class Bases:
    """The server's scene bases: put, list, activate, roll back, challenge, and how far traffic has moved from the active one."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def put(self, id: str, base: Source, *, golden: bytes | None = None, signature: str | None = None) -> Reply:
        """A base into the server: verified, kept, ready. It does not score before it is activated.

        base: a SceneBase, a file's bytes or its path. golden: the file of golden distances (SceneBase.golden). signature: as
        `sluice base sign` writes it. Beside the file of a path, FILE.golden.safetensors and FILE.sig are taken where they are.
        A put that was cut off goes on where it was when it is called again. Raises ModelFault with the reason.
        """
        file = base.to_bytes() if isinstance(base, SceneBase) else base
        if isinstance(file, (str, os.PathLike)):
            path = pathlib.Path(file)
            golden = beside(path.with_name(f"{path.stem}.golden{path.suffix}")) if golden is None else golden
            signed = beside(path.with_name(f"{path.name}.sig"))
            signature = signed.decode().strip() if signature is None and signed else signature
            file = path.read_bytes()
        head = {"digest": digest_of(file), "bytes": len(file)}
        offset = 0
        while True:
            piece = file[offset : offset + PIECE_BYTES]
            last = offset + len(piece) == len(file)
            more = {"golden": golden, "signature": signature} if last else {}
            reply = self._client.ask("base.put", id=id, **head, offset=offset, data=piece, **more)
            if reply.get("state") != "wanted":
                return reply
            wanted = reply.get("offset")
            if not isinstance(wanted, int) or not offset < wanted <= len(file):
                raise ProtocolError(f"the server wants the piece at {wanted} behind the one at {offset}")
            offset = wanted

    def put_path(self, id: str, path: str) -> Reply:
        """The same of a file of the server's, below its base_folder."""
        return self._client.ask("base.put", id=id, path=path)

    def list(self) -> Reply:
        """active and before (digests), bases, and the last changes."""
        return self._client.ask("base.list")

    def activate(self, id: str, base: str) -> Reply:
        """Batches received from now on are scored under that base: its name, its digest, or the first 6 digits and more of it."""
        return self._client.ask("base.activate", id=id, base=base)

    def rollback(self, id: str) -> Reply:
        """The base that was active before is active again."""
        return self._client.ask("base.rollback", id=id)

    def drift(self) -> Reply:
        """How far traffic is from what the active base was built on."""
        return self._client.ask("base.drift")

    def challenger(self, base: str | None) -> Reply:
        """That base scores beside the active one from now on, named as for activate; None: no more. Replies stay the active one's.

        Nothing of it is recorded: a restart, a reload or another active base ends it.
        """
        return self._client.ask("base.challenger", base=base)

    def compare(self) -> Reply:
        """What both said of the same screened rows: verdicts, scenes, tenants, the last that switched, and figures as labels come.

        Both are told by `champion` and `challenger`; `state` is off when there is none. Rows are compared behind the replies: `rows`
        and `skipped` grow to those of the batches sent.
        """
        return self._client.ask("base.compare")

    def promote(self, id: str) -> Reply:
        """The challenger becomes the active base, which ends the comparison; rollback goes back. NotFoundFault without one."""
        challenger = self.compare().get("challenger")
        if not challenger:
            raise fault_of("not_found", "there is no challenger")
        return self.activate(id, str(challenger["digest"]))


def beside(path: pathlib.Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None
