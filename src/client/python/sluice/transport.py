"""One connection to a server, and the way of a request over it until there is an answer.

Everything runs in one asyncio loop on a thread of its own: calls of any thread and of any other loop are put there, in the
order in which they are made, which is the order in which the server receives them. Each call has its own nng context. nng never
sends again by itself: a broken connection is told to the call, which counts it.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import weakref
from collections.abc import Coroutine
from typing import Any, TypeVar

import msgpack
import pynng

from .catalogue import TRANSIENT
from .errors import Fault, ProtocolError, SluiceError, Unknown, Unreachable, fault_of_reply
from .request import Request

BREAKS_MAX = 3  # of one call without an answer: then it is given up
RECOVER_PART = 4  # of the time of a call, spent once more on what became of it
RECOVER_S_MAX = 5.0  # and no more than this
REDIAL_MS = (20, 500)
REPLY_BYTES_MAX = 1 << 30  # a larger answer closes the connection
CONNECTED_POLL_S = 0.005

Reply = dict[str, Any]
Result = TypeVar("Result")


def reply_read(message: bytes) -> Reply:
    try:
        reply = msgpack.unpackb(message, strict_map_key=True)
    except Exception as error:
        raise ProtocolError(f"the answer is no msgpack: {error}") from error
    if not isinstance(reply, dict) or reply.get("v") != 1 or reply.get("status") not in ("ok", "error"):
        raise ProtocolError("the answer is not of protocol 1")
    return reply


def tls_of(url: str, ca_file: str | None, server_name: str | None) -> pynng.TLSConfig:
    """nng checks no name unless it is told one: the url's host, without brackets."""
    host = url.split("://", 1)[1]
    host = host[1:].split("]")[0] if host.startswith("[") else host.rsplit(":", 1)[0]
    return pynng.TLSConfig(
        pynng.TLSConfig.MODE_CLIENT, server_name=server_name or host, ca_files=ca_file, auth_mode=pynng.TLSConfig.AUTH_MODE_REQUIRED
    )


class Transport:
    """A socket and its thread. Any thread may call; close ends every call that is under way."""

    def __init__(self, url: str, ca_file: str | None = None, server_name: str | None = None) -> None:
        self.url = url
        tls = tls_of(url, ca_file, server_name) if url.startswith("tls") else None
        self.socket = pynng.Req0(
            resend_time=-1,
            recv_max_size=REPLY_BYTES_MAX,
            reconnect_time_min=REDIAL_MS[0],
            reconnect_time_max=REDIAL_MS[1],
            tls_config=tls,
            async_backend="asyncio",
        )
        try:
            self.socket.dial(url, block=False)
        except pynng.NNGException as error:
            self.socket.close()
            raise SluiceError(f"cannot dial {url}: {error}") from error
        self.turn = asyncio.Lock()  # who sends: keeps the order of calls
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sluice", daemon=True)
        self._thread.start()
        self._end = weakref.finalize(self, end_all, self._loop, self._thread, self.socket)

    @property
    def is_open(self) -> bool:
        return self._end.alive

    def close(self) -> None:
        self._end()

    def start(self, work: Coroutine[Any, Any, Result]) -> concurrent.futures.Future[Result]:
        """Begins it on the loop's thread, behind what was begun before."""
        if not self.is_open:
            work.close()
            raise SluiceError("the client is closed")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def call(self, request: Request, timeout_s: float) -> Reply:
        """The reply of a request; raises what it was refused with, Unreachable or Unknown."""
        call = Call(self, request, self._loop.time() + timeout_s)
        try:
            return await call.until_answered()
        except TimeoutError:
            if not call.was_sent:
                raise Unreachable(f"{self.url}: nobody answered", False) from None
            if not request.is_recorded:
                raise Unknown(f"{self.url}: no answer in {timeout_s:g} s") from None
        return await self.recover(request, min(timeout_s / RECOVER_PART, RECOVER_S_MAX))

    async def recover(self, request: Request, added_s: float) -> Reply:
        """Behind a time-out: status once; result, when it is recorded; else the same bytes once more."""
        end = self._loop.time() + added_s
        try:
            reply = await self.ask_what_became(request, end - added_s / 2)
            if reply is not None:
                return reply
            return await Call(self, request, end).until_answered()
        except (TimeoutError, Unreachable):
            pass
        except Fault as fault:
            if fault.fault not in TRANSIENT:
                raise
        raise Unknown(f"{self.url}: no answer in time, and what became of {request.head.get('id')} could not be learnt")

    async def ask_what_became(self, request: Request, until: float) -> Reply | None:
        try:
            status = await Call(self, request, until).exchange(request.question("status"))
            if status.get("status") != "ok" or status.get("state") != "recorded":
                return None
            result = await Call(self, request, until).exchange(request.question("result"))
        except TimeoutError:
            return None
        return result if request.is_own(result) else None


class Call:
    """The attempts at one request until a moment of the loop's clock."""

    def __init__(self, transport: Transport, request: Request, until: float) -> None:
        self.transport = transport
        self.request = request
        self.until = until
        self.was_sent = False
        self.breaks = 0

    def left_s(self) -> float:
        return max(self.until - asyncio.get_running_loop().time(), 0.0)

    async def until_answered(self) -> Reply:
        """A busy server is asked again after the time that it named, as long as the call's own time allows."""
        while True:
            reply = await self.exchange(self.request.bytes)
            if reply["status"] == "ok":
                return reply
            fault = fault_of_reply(reply)
            pause_s = fault.retry_after_ms / 1000
            comes_again = fault.fault in TRANSIENT and fault.retry_after_ms > 0
            if not comes_again or pause_s >= self.left_s():
                raise fault
            await asyncio.sleep(pause_s)

    async def exchange(self, message: bytes) -> Reply:
        """Sends until something comes back: again after each break of the connection, which is harmless with the same bytes."""
        while True:
            try:
                return reply_read(await asyncio.wait_for(self.attempt(message), self.left_s()))
            except asyncio.TimeoutError:
                raise TimeoutError from None
            except pynng.NNGException as error:
                self.breaks += 1
                if self.breaks >= BREAKS_MAX or not isinstance(error, (pynng.ConnectionReset, pynng.Closed)):
                    raise Unreachable(f"the connection broke: {error}", self.was_sent) from error

    async def attempt(self, message: bytes) -> bytes:
        with self.transport.socket.new_context() as context:
            async with self.transport.turn:
                while not self.transport.socket.pipes:  # pynng loses a message that nng holds for a connection
                    await asyncio.sleep(CONNECTED_POLL_S)
                await context.asend(message)
            self.was_sent = True
            received: bytes = await context.arecv()
            return received


def end_all(loop: asyncio.AbstractEventLoop, thread: threading.Thread, socket: pynng.Req0) -> None:
    """Ends every call first and then closes: a socket that is closed beside an operation on one of its contexts may hang."""
    if threading.current_thread() is thread:  # the last reference went in a call's own end
        threading.Thread(target=end_all, args=(loop, thread, socket), daemon=True).start()
        return

    async def end_calls() -> None:
        calls = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    asyncio.run_coroutine_threadsafe(end_calls(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
    socket.close()
