"""The way of a call against a server made of a script: lost answers, breaks, busy, time-outs. The id never changes."""

from __future__ import annotations

import contextlib
import pathlib
import tempfile
import threading
import time
import unittest
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import numpy as np
import pynng

import sluice

BATCH = {"transfer_id": ["a", "b"], "amount": np.array([1, 2])}
Answer = Callable[[dict[str, Any]], dict[str, Any] | bytes | None]


def ok(request: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"v": 1, "id": request.get("id", ""), "status": "ok", "op": request["op"], "rows": request.get("rows", 0), **more}


def fault(request: dict[str, Any], name: str, retry_after_ms: int = 0) -> dict[str, Any]:
    return {
        "v": 1,
        "id": request.get("id", ""),
        "status": "error",
        "fault": name,
        "retry_after_ms": retry_after_ms,
        "notes": [{"row": None, "column": None, "text": name}],
    }


class Fake:
    """Answers each request by a function; None: no answer. Keeps the messages."""

    def __init__(self, answer: Answer) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.url = f"ipc://{pathlib.Path(self.folder.name)}/fake"
        self.answer = answer
        self.messages: list[bytes] = []
        self.ends = False
        self.socket = pynng.Rep0(listen=self.url, recv_timeout=20)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        with self.socket.new_context() as context:
            while not self.ends:
                with contextlib.suppress(pynng.Timeout):
                    self.serve(context, context.recv_msg())

    def serve(self, context: pynng.Context, message: pynng.Message) -> None:
        request = msgpack.unpackb(message.bytes)
        if request["op"] == "hello":
            context.send(msgpack.packb(ok(request, limits={}, columns={})))
            return
        self.messages.append(message.bytes)
        answer = self.answer(request)
        if answer == {"break": True}:
            message.pipe.close()
        elif answer is not None:
            context.send(answer if isinstance(answer, bytes) else msgpack.packb(answer))

    def ops(self) -> list[str]:
        return [msgpack.unpackb(message)["op"] for message in self.messages]

    def close(self) -> None:
        self.ends = True
        self.thread.join()  # before its socket is closed: nng does not bear both at once
        self.socket.close()
        self.folder.cleanup()


class Calls(unittest.TestCase):
    def fake(self, *answers: Any) -> tuple[Fake, sluice.Client]:
        """A server that gives these answers in turn, the last for ever. An answer: None, bytes, or a function of the request."""
        left = list(answers)

        def answer(request: dict[str, Any]) -> Any:
            made = left.pop(0) if len(left) > 1 else left[0]
            return made(request) if callable(made) else made

        fake = Fake(answer)
        client = sluice.Client(fake.url, "me", "token", timeout=0.4)
        self.addCleanup(fake.close)
        self.addCleanup(client.close)
        return fake, client

    def test_lost_answer_is_asked_about(self) -> None:
        fake, client = self.fake(
            None,
            lambda request: {**ok(request), "state": "recorded"},
            lambda request: {**ok(request), "id": "x", "op": "screen", "rows": 2},
        )
        self.assertEqual(client.screen("x", BATCH).rows, 2)
        self.assertEqual(fake.ops(), ["screen", "status", "result"])
        self.assertEqual(msgpack.unpackb(fake.messages[1])["batch"], "x")

    def test_unrecorded_is_sent_again_with_the_same_bytes(self) -> None:
        fake, client = self.fake(None, lambda request: fault(request, "not_found"), ok)
        client.screen("x", BATCH)
        self.assertEqual(fake.ops(), ["screen", "status", "screen"])
        self.assertEqual(fake.messages[0], fake.messages[2])

    def test_changes_of_bases_are_asked_about_too(self) -> None:
        fake, client = self.fake(None, lambda request: fault(request, "denied"), ok)
        client.bases.activate("x", "mine")
        self.assertEqual(fake.ops(), ["base.activate", "status", "base.activate"])
        self.assertEqual(fake.messages[0], fake.messages[2])
        fake, client = self.fake(None, lambda request: fault(request, "not_found"), lambda request: {**ok(request), "state": "ready"})
        client.bases.put("y", b"x" * 300)
        self.assertEqual(fake.ops(), ["base.put", "status", "base.put"])

    def test_no_more_in_flight_than_asked_for(self) -> None:
        _, client = self.fake(ok)
        taken = 0

        def batches() -> Iterator[tuple[str, Any]]:
            nonlocal taken
            for number in range(12):
                taken += 1
                yield f"b-{number}", BATCH

        for place, _ in enumerate(client.screen_many(batches(), in_flight=3)):
            self.assertLessEqual(taken, place + 1 + 3)

    def test_another_batch_of_that_name_is_not_taken_for_it(self) -> None:
        fake, client = self.fake(
            None,
            lambda request: {**ok(request), "state": "recorded"},
            lambda request: {**ok(request), "id": "y", "op": "screen", "rows": 2},
            ok,
        )
        client.screen("x", BATCH)
        self.assertEqual(fake.ops(), ["screen", "status", "result", "screen"])

    def test_silence_is_unknown(self) -> None:
        fake, client = self.fake(None)
        begun = time.monotonic()
        with self.assertRaises(sluice.Unknown):
            client.screen("x", BATCH)
        self.assertLess(time.monotonic() - begun, 2)
        self.assertEqual(fake.ops(), ["screen", "status", "screen"])
        with self.assertRaises(sluice.Unknown):
            client.status("x")

    def test_transient_fault_behind_a_time_out_is_unknown(self) -> None:
        _, client = self.fake(None, None, lambda request: fault(request, "ledger"))
        with self.assertRaises(sluice.Unknown):
            client.screen("x", BATCH)
        _, client = self.fake(None, None, lambda request: fault(request, "conflict"))
        with self.assertRaises(sluice.ConflictFault):
            client.screen("x", BATCH)

    def test_breaks_are_counted(self) -> None:
        fake, client = self.fake({"break": True}, {"break": True}, ok)
        client.timeout = 5
        client.screen("x", BATCH)
        self.assertEqual(len(set(fake.messages)), 1)
        fake, client = self.fake({"break": True})
        client.timeout = 5
        with self.assertRaises(sluice.Unreachable) as caught:
            client.screen("x", BATCH)
        self.assertTrue(caught.exception.was_sent)
        self.assertEqual(len(fake.messages), 3)

    def test_busy_is_waited_for(self) -> None:
        fake, client = self.fake(lambda request: fault(request, "busy", 50), ok)
        client.screen("x", BATCH)
        self.assertEqual(fake.messages[0], fake.messages[1])
        _, client = self.fake(lambda request: fault(request, "busy", 10_000))
        with self.assertRaises(sluice.BusyFault) as caught:
            client.screen("x", BATCH)
        self.assertEqual(caught.exception.retry_after_ms, 10_000)

    def test_answers_of_another_kind(self) -> None:
        for answer in (
            b"",
            b"\xc1",
            msgpack.packb([1]),
            msgpack.packb({"v": 2, "status": "ok"}),
            msgpack.packb({"v": 1, "status": "fine"}),
            msgpack.packb({"v": 1, "status": "ok", "rows": 2, "columns": {"match": {"type": "f32", "data": b"123"}}}),
            msgpack.packb({"v": 1, "status": "ok", "rows": 9, "columns": {"match": {"type": "f32", "data": b"1234"}}}),
        ):
            _, client = self.fake(answer)
            with self.assertRaises(sluice.ProtocolError, msg=repr(answer)):
                client.screen("x", BATCH)
        _, client = self.fake(lambda request: {**fault(request, "new_fault")})
        with self.assertRaises(sluice.Fault) as caught:
            client.screen("x", BATCH)
        self.assertEqual(caught.exception.fault, "new_fault")

    def test_nobody(self) -> None:
        with self.assertRaises(sluice.Unreachable) as caught:
            sluice.Client("ipc:///tmp/sluice-nobody-is-here", "me", timeout=0.2)
        self.assertFalse(caught.exception.was_sent)
        with self.assertRaisesRegex(sluice.SluiceError, "cannot dial"):
            sluice.Client("nonsense://x")

    def test_close_ends_calls(self) -> None:
        _, client = self.fake(None)
        client.timeout = 30
        ended: list[type[BaseException]] = []

        def call() -> None:
            try:
                client.screen("x", BATCH)
            except sluice.SluiceError as error:
                ended.append(type(error))

        thread = threading.Thread(target=call)
        thread.start()
        time.sleep(0.2)
        client.close()
        thread.join(5)
        self.assertEqual(ended, [sluice.Unreachable])
        with self.assertRaisesRegex(sluice.SluiceError, "closed"):
            client.health()
        client.close()


if __name__ == "__main__":
    unittest.main()
