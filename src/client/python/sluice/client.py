"""The client: one connection to one server, its ops as methods.

Ids are the caller's: an id names a request for ever, so that the same rows sent again under the same id get the stored answer
and are never recorded twice. Nothing here makes an id or changes one.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeVar

from . import catalogue
from .bases import Bases
from .batch import wire_columns
from .errors import SluiceError, Unreachable
from .reply import Page, Receipt, Result
from .request import Limits, Request
from .transport import Reply, Transport

GREETING_S = 5.0
IN_FLIGHT = 8
KINDS = ("attribute", "contact", "registration", "use")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Hello:
    """What a server says of itself."""

    server: str = ""
    version: str = ""
    base: str = ""
    kernel: str = ""
    ops: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)

    @classmethod
    def of_reply(cls, reply: Mapping[str, Any]) -> Hello:
        texts = {key: str(reply.get(key) or "") for key in ("server", "version", "base", "kernel")}
        return cls(
            **texts,
            ops=tuple(reply.get("ops") or ()),
            columns=dict(reply.get("columns") or catalogue.COLUMNS),
            limits=Limits.of_hello(reply.get("limits") or {}),
        )


class Client:
    """A connection to a server, for any number of threads and asyncio loops at once.

    url: ipc://, tcp:// or tls+tcp:// (with ca_file: PEM). token: the tenant's credential. timeout: seconds of one call, resends
    and waiting for a busy server included; behind it a call that changes state asks what became of it and sends the same bytes
    once more, for a quarter of the time longer, 5 s at the most. hello is asked at once; raises Unreachable after 5 s.

    Not for use across fork: a child process opens its own client.
    """

    def __init__(
        self,
        url: str,
        tenant: str = "",
        token: str = "",
        *,
        timeout: float = 60.0,
        ca_file: str | None = None,
        server_name: str | None = None,
    ) -> None:
        self.tenant = tenant
        self.timeout = timeout
        self.bases = Bases(self)
        self._token = token
        self._transport = Transport(url, ca_file, server_name)
        try:
            self.greeting = Hello()
            self.greeting = self.hello(timeout=min(timeout, GREETING_S))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends calls that are under way with Unreachable, and disconnects."""
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client {self._transport.url} {self.tenant}>"

    # --- what carries a batch ----------------------------------------------------------------------------------------------

    def screen(self, id: str, batch: Any, *, name: str | None = None, deadline_ms: int | None = None) -> Result:
        """The whole way: check, fill, score, record; one verdict a row. name: of the batch, if not the id.

        deadline_ms: from receipt; a batch that could not be taken by then is refused with DeadlineFault, nothing recorded.
        """
        return Result(self._wait(self._send("screen", batch, id=id, batch=name, deadline_ms=deadline_ms)))

    def score(self, batch: Any, *, id: str | None = None, deadline_ms: int | None = None) -> Result:
        """The same scores; nothing is recorded, no history changes. Needs the right score."""
        return Result(self._wait(self._send("score", batch, id=id, deadline_ms=deadline_ms)))

    def import_(self, id: str, batch: Any, *, name: str | None = None) -> Receipt:
        """Past transfers and their labels (columns label, label_time) into history: no verdicts."""
        return Receipt(self._wait(self._send("import", batch, id=id, batch=name)))

    def observe(self, id: str, kind: str, batch: Any, *, name: str | None = None) -> Receipt:
        """What is known beside transfers. kind: attribute, contact, registration or use."""
        return Receipt(self._wait(self._send("observe", batch, id=id, batch=name, kind=kind)))

    def label(self, id: str, batch: Any, *, name: str | None = None) -> Receipt:
        """What earlier transfers were confirmed to be: columns transfer_id and label."""
        return Receipt(self._wait(self._send("label", batch, id=id, batch=name)))

    async def screen_async(self, id: str, batch: Any, *, name: str | None = None, deadline_ms: int | None = None) -> Result:
        """screen as a coroutine: several may be in flight, received in the order in which they were called."""
        return Result(await self._await(self._send("screen", batch, id=id, batch=name, deadline_ms=deadline_ms)))

    async def score_async(self, batch: Any, *, id: str | None = None, deadline_ms: int | None = None) -> Result:
        return Result(await self._await(self._send("score", batch, id=id, deadline_ms=deadline_ms)))

    async def import_async(self, id: str, batch: Any, *, name: str | None = None) -> Receipt:
        return Receipt(await self._await(self._send("import", batch, id=id, batch=name)))

    def screen_many(
        self, batches: Iterable[tuple[str, Any]], in_flight: int = IN_FLIGHT, *, deadline_ms: int | None = None, return_errors: bool = False
    ) -> Iterator[Result | SluiceError]:
        """Screens (id, batch) pairs, several in flight, and gives results in their order.

        The batches are recorded in that order too, and no more are under way than the server takes of a tenant. An error ends
        the iteration where its batch stands; those behind it that were in flight may have been recorded: under their ids they
        can be sent again or asked for. return_errors: errors are given in their place instead, and the rest goes on.
        """
        for future in self._in_flight(batches, in_flight, deadline_ms):
            try:
                yield Result(self._wait(future))
            except SluiceError as error:
                if not return_errors:
                    raise
                yield error

    async def screen_many_async(
        self, batches: Iterable[tuple[str, Any]], in_flight: int = IN_FLIGHT, *, deadline_ms: int | None = None
    ) -> AsyncIterator[Result]:
        """screen_many for `async for`."""
        for future in self._in_flight(batches, in_flight, deadline_ms):
            yield Result(await self._await(future))

    def _in_flight(
        self, batches: Iterable[tuple[str, Any]], in_flight: int, deadline_ms: int | None
    ) -> Iterator[concurrent.futures.Future[Reply]]:
        """The futures of the batches in turn; the next is begun when there is room."""
        room = max(1, min(in_flight, self.greeting.limits.in_flight or in_flight))
        under_way: deque[concurrent.futures.Future[Reply]] = deque()
        for id, batch in batches:
            if len(under_way) == room:
                yield under_way.popleft()
            under_way.append(self._begun(id, batch, deadline_ms))
        while under_way:
            yield under_way.popleft()

    def _begun(self, id: str, batch: Any, deadline_ms: int | None) -> concurrent.futures.Future[Reply]:
        try:
            return self._send("screen", batch, id=id, deadline_ms=deadline_ms)
        except SluiceError as error:  # refused before it was sent: told in its turn
            refused: concurrent.futures.Future[Reply] = concurrent.futures.Future()
            refused.set_exception(error)
            return refused

    # --- questions ---------------------------------------------------------------------------------------------------------

    def hello(self, *, timeout: float | None = None) -> Hello:
        """Version, limits, ops and columns of the server."""
        reply = self._wait(self._ask("hello", timeout=timeout))
        return Hello.of_reply(reply)

    def status(self, batch: str) -> Reply:
        """How far a batch is: state in_flight or recorded, and for a recorded one rows, time and counts."""
        return self._wait(self._ask("status", batch=batch))

    def result(self, batch: str) -> Result | Receipt:
        """The answer of a recorded batch again."""
        reply = self._wait(self._ask("result", batch=batch, form="columns"))
        return Result(reply) if "columns" in reply else Receipt(reply)

    def query(
        self,
        *,
        batch: str | None = None,
        transfer: str | None = None,
        account: str | None = None,
        scene: str | None = None,
        best_scene: str | None = None,
        verdict: str | None = None,
        state: str | None = None,
        level: str | None = None,
        cursor: str | None = None,
        from_us: int | None = None,
        to_us: int | None = None,
        rows_max: int | None = None,
    ) -> Page:
        """Recorded transfers, one page; what is None does not narrow. Times are microseconds since the epoch."""
        return Page(
            self._wait(
                self._ask(
                    "query",
                    batch=batch,
                    transfer=transfer,
                    account=account,
                    scene=scene,
                    best_scene=best_scene,
                    verdict=verdict,
                    state=state,
                    level=level,
                    cursor=cursor,
                    from_us=from_us,
                    to_us=to_us,
                    rows_max=rows_max,
                )
            )
        )

    def query_all(self, **narrow: Any) -> Iterator[dict[str, Any]]:
        """Every transfer that query finds, page by page."""
        page = self.query(**narrow)
        yield from page
        while page.cursor:
            page = self.query(**{**narrow, "cursor": page.cursor})
            yield from page

    def explain(self, transfer: str, *, batch: str | None = None, deadline_ms: int | None = None) -> Reply:
        """Why a recorded transfer got its verdict; of the newest with that transfer_id, or the one in a batch.

        The server works features out again from its log: deadline_ms ends that walk, which may take 30 seconds else.
        """
        return self._wait(self._ask("explain", transfer=transfer, batch=batch, deadline_ms=deadline_ms))

    def stats(self) -> dict[str, Any]:
        """Counters and latencies, by the names of /metrics."""
        return dict(self._wait(self._ask("stats")).get("stats") or {})

    def health(self) -> Reply:
        """ready, and why not."""
        return self._wait(self._ask("health"))

    def ask(self, op: str, **head: Any) -> Reply:
        """Any op without rows, its fields by name: the reply's map."""
        return self._wait(self._ask(op, **head))

    # --- inside ------------------------------------------------------------------------------------------------------------

    def _head(self, **more: Any) -> dict[str, Any]:
        return {"tenant": self.tenant or None, "token": self._token or None, **more}

    def _send(self, op: str, rows: Any, **head: Any) -> concurrent.futures.Future[Reply]:
        encoded = wire_columns(rows, self.greeting.columns)
        return self._start(Request(op, self._head(**head), encoded, self.greeting.limits))

    def _ask(self, op: str, timeout: float | None = None, **head: Any) -> concurrent.futures.Future[Reply]:
        return self._start(Request(op, self._head(**head), None, self.greeting.limits), timeout)

    def _start(self, request: Request, timeout: float | None = None) -> concurrent.futures.Future[Reply]:
        call: Coroutine[Any, Any, Reply] = self._transport.call(request, self.timeout if timeout is None else timeout)
        return self._transport.start(call)

    def _wait(self, future: concurrent.futures.Future[Reply]) -> Reply:
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise Unreachable("the client was closed", True) from None
        except KeyboardInterrupt:
            future.cancel()
            raise

    async def _await(self, future: concurrent.futures.Future[Reply]) -> Reply:
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if future.cancelled() and not self._transport.is_open:
                raise Unreachable("the client was closed", True) from None
            raise
