"""Every method against a real server: what comes back, what is refused, several in flight, the same batch from other hands."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import re
import subprocess
import sys
import threading
import time
import unittest
from typing import Any

import numpy as np

import rig
import sluice
from rig import NOW_US, transfers
from sluice import scenes
from sluice.digest import digest_of

try:
    import pandas as pd
    import pyarrow as pa
except ImportError:
    pd = pa = None

server: rig.Server
client: sluice.Client


def setUpModule() -> None:
    global server, client  # noqa: PLW0603
    server = rig.Server(base=rig.TREE / "models/synth/base.safetensors", tls=True)
    unittest.addModuleCleanup(server.stop)
    server.start()
    client = server.client()
    unittest.addModuleCleanup(client.close)


def same(a: sluice.Result, b: sluice.Result) -> bool:
    return a.sequence == b.sequence and all(np.array_equal(a[name], b[name]) for name in {*a, *b})


class Methods(unittest.TestCase):
    def test_hello(self) -> None:
        greeting = client.greeting
        self.assertEqual((greeting.server, greeting.base), ("sluice", "synth"))
        self.assertEqual(greeting.version, sluice.__version__)
        self.assertIn("screen", greeting.ops)
        self.assertEqual(greeting.limits.rows, 100_000)
        self.assertGreater(greeting.limits.in_flight, 1)
        self.assertEqual(client.hello(), greeting)

    def test_screen_and_what_is_asked_of_it(self) -> None:
        result = client.screen("s-1", transfers(2000))
        self.assertEqual((result.rows, result.batch, result.op, len(result)), (2000, "s-1", "screen", 2000))
        self.assertEqual(sum(result.counts.values()), 2000)
        self.assertEqual(result.counts["invalid"], 0)
        self.assertTrue(result.base and result.config_digest and result.kernel)
        self.assertEqual(result.base_digest, digest_of((rig.TREE / "models/synth/base.safetensors").read_bytes()))
        self.assertTrue(((result["match"] >= 0) & (result["match"] <= 1)).all())
        self.assertEqual(int(result.is_verdict("pass").sum()), result.counts["pass"])
        self.assertEqual(int((result.names("verdict") == "pass").sum()), result.counts["pass"])
        kept = np.flatnonzero(~result.is_verdict("pass"))
        self.assertEqual(kept.tolist(), result.reason_rows.tolist())
        self.assertGreater(len(kept), 0)
        reason = result.reasons(int(kept[0]))[0]
        self.assertIn(reason.feature, sluice.catalogue.FEATURES)
        self.assertIn(reason.dimension, sluice.scenes.DIMENSIONS)
        self.assertIsInstance(reason.share, float)
        self.assertEqual(result.reasons(int(np.flatnonzero(result.is_verdict("pass"))[0])), [])
        with self.assertRaises(ValueError):
            result["match"][0] = 1
        self.assertTrue(same(client.screen("s-1", transfers(2000)), result))
        again = client.result("s-1")
        assert isinstance(again, sluice.Result)
        self.assertTrue(same(again, result))
        status = client.status("s-1")
        self.assertEqual((status["state"], status["rows"], status["counts"]), ("recorded", 2000, result.counts))
        with self.assertRaises(sluice.ConflictFault):
            client.screen("s-1", transfers(1999))
        told = client.explain("t1-0", batch="s-1")
        self.assertEqual(told["verdict"], result.names("verdict")[0])
        self.assertAlmostEqual(told["match"], float(result["match"][0]))

    def test_names_and_deadlines(self) -> None:
        result = client.screen("named-id", transfers(10, seed=30), name="named", deadline_ms=60_000)
        self.assertEqual((result.id, result.batch), ("named-id", "named"))
        self.assertEqual(client.status("named")["rows"], 10)
        with self.assertRaises(sluice.ConflictFault):
            client.screen("other-id", transfers(10, seed=30), name="named")

    def test_score_records_nothing(self) -> None:
        result = client.score(transfers(500, seed=31))
        self.assertEqual((result.op, result.sequence, result.rows), ("score", 0, 500))
        self.assertEqual(len(client.query(transfer="t31-0")), 0)

    def test_import_observe_label(self) -> None:
        past = {**transfers(300, seed=32), "label": [None if row % 3 else "good" for row in range(300)]}
        receipt = client.import_("i-1", past)
        self.assertEqual((type(receipt), receipt.counts), (sluice.Receipt, {"taken": 300, "invalid": 0}))
        self.assertEqual(client.import_("i-1", past).sequence, receipt.sequence)
        again = client.result("i-1")
        self.assertEqual((type(again), again.sequence), (sluice.Receipt, receipt.sequence))
        seen = client.observe("o-1", "registration", {"account_id": ["a", "b"], "device_id": ["d", None]})
        self.assertEqual(seen.counts, {"taken": 1, "invalid": 1})
        self.assertEqual((seen.notes[0].row, seen.notes[0].column), (1, "device_id"))
        opened = np.array(["2020-01-01", "2021-01-01"], "datetime64[s]")
        self.assertEqual(client.observe("o-2", "attribute", {"account_id": ["a", "b"], "opened_time": opened}).counts["taken"], 2)
        client.screen("l-0", transfers(5, seed=33))
        labelled = client.label("l-1", {"transfer_id": ["t33-0", "t33-1", "nobody"], "label": ["good", "fan_out", "good"]})
        self.assertEqual(labelled.counts, {"taken": 2, "invalid": 1})

    def test_query(self) -> None:
        client.screen("q-1", transfers(250, seed=34))
        page = client.query(batch="q-1", rows_max=100)
        self.assertEqual(len(page), 100)
        self.assertTrue(page.cursor)
        rows = list(client.query_all(batch="q-1", rows_max=100))
        self.assertEqual(sorted(row["transfer_id"] for row in rows), sorted(f"t34-{row}" for row in range(250)))
        columns = page.columns()
        self.assertEqual((columns["amount"].dtype, columns["match"].dtype), (np.dtype("i8"), np.dtype("f8")))
        found = client.query(transfer="t34-7")
        self.assertEqual([row["row"] for row in found], [7])
        self.assertEqual(len(client.query(batch="q-1", to_us=1)), 0)

    def test_stats_and_health(self) -> None:
        self.assertTrue(client.health()["ready"])
        stats = client.stats()
        self.assertGreater(stats["last_sequence"], 0)

    def test_wrong_rows_are_told(self) -> None:
        batch = transfers(20, seed=35)
        batch["amount"][3] = -7
        batch["time"][5] = NOW_US + 3_600_000_000
        batch["transfer_id"][6] = batch["transfer_id"][2]
        result = client.screen("w-1", batch)
        self.assertEqual(result.counts["invalid"], 3)
        self.assertEqual({(note.row, note.column) for note in result.notes}, {(3, "amount"), (5, "time"), (6, "transfer_id")})
        self.assertEqual(sum(count["count"] for count in result.note_counts), 3)

    @unittest.skipUnless(pd, "skipped: pandas and pyarrow are not there")
    def test_other_tables(self) -> None:
        plain = transfers(50, seed=36)
        result = client.screen("p-1", plain)
        frame = pd.DataFrame(plain)
        frame["currency"] = frame["currency"].astype("category")
        frame["time"] = pd.to_datetime(frame["time"], unit="us", utc=True)
        table = pa.table({name: pa.array(values) for name, values in plain.items()})
        for other in (frame, table, table.to_batches()[0], {name: values.tolist() for name, values in plain.items()}):
            self.assertTrue(same(client.screen("p-1", other), result), type(other).__name__)
        shown = result.to_pandas()
        self.assertEqual(shown["verdict"].tolist(), result.names("verdict").tolist())
        self.assertEqual(shown["match"].tolist(), result["match"].tolist())
        arrow = result.to_arrow()
        self.assertEqual(arrow["scene"].to_pylist(), result.names("scene").tolist())
        self.assertEqual(client.query(batch="p-1").to_pandas()["amount"].sum(), plain["amount"].sum())
        self.assertEqual(client.query(batch="p-1").to_arrow().num_rows, 50)


class Ways(unittest.TestCase):
    def test_addresses(self) -> None:
        with server.client(url=server.tcp) as other:
            self.assertEqual(other.screen("tcp-1", transfers(10, seed=40)).rows, 10)
        certificate = str(rig.TREE / "tests/unit/server/tls_certificate.pem")
        url = server.tls.replace("127.0.0.1", "localhost")
        with sluice.Client(url, "team", rig.TOKENS["team"], ca_file=certificate) as other:
            self.assertEqual(other.screen("tls-1", transfers(10, seed=41)).rows, 10)
        for wrong in ({"ca_file": certificate, "server_name": "elsewhere"}, {}):
            with self.assertRaises(sluice.Unreachable):
                sluice.Client(url, "team", rig.TOKENS["team"], timeout=0.7, **wrong)

    def test_credentials(self) -> None:
        with server.client(token="wrong-token-0123456789") as other:
            for call in (lambda: other.screen("c-1", transfers(5)), lambda: other.status("s"), other.stats):
                with self.assertRaises(sluice.AuthFault):
                    call()
            self.assertTrue(other.health()["ready"])
        with server.client("nobody", token="wrong-token-0123456789") as other, self.assertRaises(sluice.AuthFault):
            other.screen("c-1", transfers(5))
        with server.client("weak") as other:
            for call in (lambda: other.score(transfers(5)), lambda: other.query(transfer="x"), other.stats, other.bases.list):
                with self.assertRaises(sluice.DeniedFault):
                    call()
            result = other.screen("c-2", transfers(400, seed=42))
            self.assertNotIn("match", other.explain("t42-0"))
            rows = result.reason_rows
            if len(rows):
                self.assertIsNone(result.reasons(int(rows[0]))[0].share)

    def test_refused(self) -> None:
        for kind, wrong in (
            (sluice.SchemaFault, {"transfer_id": ["a"]}),
            (sluice.SchemaFault, {**transfers(1), "label": ["good"]}),
            (sluice.SchemaFault, {**transfers(2), "amount": [1.5, 2.5]}),
        ):
            with self.assertRaises(kind):
                client.screen("r-1", wrong)
        with self.assertRaises(sluice.NotFoundFault):
            client.status("r-1")
        for call in (lambda: client.status("none"), lambda: client.result("none"), lambda: client.explain("none")):
            with self.assertRaises(sluice.NotFoundFault):
                call()
        with self.assertRaises(sluice.SchemaFault):
            client.observe("r-2", "colour", {"account_id": ["a"]})
        with self.assertRaises(sluice.SchemaFault):
            client.screen("", transfers(1))
        with self.assertRaisesRegex(sluice.LimitFault, "100001 rows; the server takes 100000"):
            client.screen("r-3", {"amount": np.ones(100_001, np.int64)})
        with self.assertRaisesRegex(sluice.LimitFault, "a message of"):
            client.screen("r-3", {**transfers(90_000), "memo": np.full(90_000, "x" * 200)})
        with self.assertRaisesRegex(sluice.LimitFault, "id of 129 bytes"):
            client.screen("x" * 129, transfers(1))

    def test_several_in_flight(self) -> None:
        batches = [(f"m-{number}", transfers(700, 43, number * 700)) for number in range(20)]
        results = list(client.screen_many(batches, in_flight=8))
        self.assertEqual([result.batch for result in results], [id for id, _ in batches])
        sequences = [result.sequence for result in results]
        self.assertEqual(sequences, sorted(sequences))
        again = list(client.screen_many(iter(batches), in_flight=100))
        self.assertTrue(all(same(a, b) for a, b in zip(again, results, strict=True)))

    def test_errors_stand_in_their_place(self) -> None:
        good = [(f"e-{number}", transfers(50, 44, number * 50)) for number in range(4)]
        batches = [good[0], ("e-0", transfers(49, 44)), good[1], ("e-9", {"amount": ["x"]}), good[2], good[3]]
        kinds = [type(answer) for answer in client.screen_many(batches, in_flight=3, return_errors=True)]
        result, conflict, schema = sluice.Result, sluice.ConflictFault, sluice.SchemaFault
        self.assertEqual(kinds, [result, conflict, result, schema, result, result])
        found = []
        with self.assertRaises(conflict):
            for answer in client.screen_many(batches, in_flight=3):
                found.append(answer)
        self.assertEqual(len(found), 1)

    def test_coroutines(self) -> None:
        async def many() -> tuple[list[sluice.Result], list[sluice.Result]]:
            made = await asyncio.gather(*(client.screen_async(f"a-{number}", transfers(300, 45, number * 300)) for number in range(8)))
            walked = [
                result
                async for result in client.screen_many_async(
                    ((f"a-{number}", transfers(300, 45, number * 300)) for number in range(8)), in_flight=4
                )
            ]
            score = await client.score_async(transfers(10, 46))
            receipt = await client.import_async("ai-1", transfers(10, 47))
            self.assertEqual((score.rows, receipt.counts["taken"]), (10, 10))
            with self.assertRaises(sluice.ConflictFault):
                await client.screen_async("a-0", transfers(1, 45))
            task = asyncio.ensure_future(client.screen_async("a-cancelled", transfers(5, 48)))
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            return list(made), walked

        made, walked = asyncio.run(many())
        self.assertEqual([result.sequence for result in made], sorted(result.sequence for result in made))
        self.assertTrue(all(same(a, b) for a, b in zip(made, walked, strict=True)))

    def test_threads(self) -> None:
        failures: list[BaseException] = []

        def work(number: int) -> None:
            try:
                for turn in range(5):
                    batch = transfers(100, 50 + number, turn * 100)
                    assert client.screen(f"th-{number}-{turn}", batch).rows == 100
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        self.assertEqual(failures, [])


class Documents(unittest.TestCase):
    """What docs/python.md and the example show is so."""

    def test_page(self) -> None:
        text = (rig.TREE / "docs/python.md").read_text()
        blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
        self.assertGreater(len(blocks), 2)
        text = "\n".join(blocks).replace("ipc:///run/sluice/sluice.ipc", server.url).replace("payroll-a", "team")
        text = text.replace("its secret token", rig.TOKENS["team"]).replace('"strict', f'"{server.folder}/strict')
        text = text.replace('"models', f'"{rig.TREE}/models')
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            exec(text + "\nclient.close()", {})
        self.assertIn("'invalid': 1", shown.getvalue())
        self.assertIn("2 amount must be", shown.getvalue())
        self.assertEqual(scenes.read(server.folder / "strict.safetensors").version, "1-strict")

    def test_example(self) -> None:
        past, later, tuned = (str(server.folder / name) for name in ("past.csv", "later.csv", "tuned.safetensors"))
        made = rig.run("synth", "--rows", "12000", "--seed", str(rig.SEED), "--accounts", "1000", "--out", past, "--later", later)
        self.assertEqual(made.returncode, 0, made.stderr)
        example = rig.TREE / "src/client/python/examples/csv_to_base.py"
        own = rig.Server(base=rig.TREE / "models/synth/base.safetensors").start()
        self.addCleanup(own.stop)
        words = [own.url, "model", rig.TOKENS["model"], str(rig.TREE / "models/synth/base.safetensors"), past, later, tuned]
        done = subprocess.run([sys.executable, str(example), *words], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        for wanted in (
            "fan_out",
            "put: ready, 32 golden rows hold",
            "screened under 1:",
            "promoted: 1-tuned instead",
            "under 1-tuned",
            "drift: ",
        ):
            self.assertIn(wanted, done.stdout)
        compared = re.search(r"compared (\d+) rows", done.stdout)
        self.assertGreater(int(compared[1]) if compared else 0, 0)
        self.assertRegex(done.stdout, r"challenger +kept \d+, precision")
        self.assertEqual(rig.run("inspect", tuned).returncode, 0)


class OtherHands(unittest.TestCase):
    """A batch sent by Python and by `sluice submit` is the same request."""

    def submit(self, prefix: str, path: str) -> list[dict[str, str]]:
        token = server.folder / "token"
        token.write_text(rig.TOKENS["team"])
        done = rig.run(
            "submit",
            "--connect",
            server.url,
            "--tenant",
            "team",
            "--token-file",
            str(token),
            "--quiet",
            "--format",
            "csv",
            "--id",
            prefix,
            path,
        )
        self.assertIn(done.returncode, (0, 1), done.stderr)
        return list(csv.DictReader(io.StringIO(done.stdout)))

    def test_same_digest_and_verdicts(self) -> None:
        batch: dict[str, Any] = {**transfers(200, seed=60), "memo": ["" if row % 2 else f"über {row}" for row in range(200)]}
        path = server.folder / "batch.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(batch)
            writer.writerows(zip(*(list(values) for values in batch.values()), strict=True))
        batch["memo"] = [memo or None for memo in batch["memo"]]  # an empty cell of a text file is null
        result = client.screen("hands-0", batch)
        shown = self.submit("hands", str(path))  # other content under this id would be refused
        self.assertEqual([row["verdict"] for row in shown], result.names("verdict").tolist())
        sequence = client.stats()["last_sequence"]
        shown = self.submit("feet", str(path))
        taken = client.screen("feet-0", batch)
        self.assertEqual([row["verdict"] for row in shown], taken.names("verdict").tolist())
        self.assertEqual(client.stats()["last_sequence"], sequence + 1)
        batch["amount"][199] += 1
        with self.assertRaises(sluice.ConflictFault):
            client.screen("feet-0", batch)


class Garbage(unittest.TestCase):
    def test_random_batches_never_hang(self) -> None:
        """Valid or not, every call ends, with an answer or a Fault that says why; the server stays well."""
        draw = rig.fresh_random("random batches")
        values: list[Any] = [
            "",
            "a",
            "é" * 600,
            "x\n",
            "\0",
            "\ud800",
            None,
            0,
            -1,
            5,
            1 << 62,
            1 << 70,
            1.5,
            float("nan"),
            float("inf"),
            True,
            b"a",
            [],
            {},
            NOW_US,
            "EUR",
            "ZZZ",
        ]
        names = [*sluice.catalogue.COLUMNS, "", "extra", "x" * 200, "a\n", "label"]
        outcomes = {"answered": 0, "refused": 0}
        begun = time.monotonic()
        for turn in range(250):
            rows = draw.choice([1, 2, 3, 17])
            batch: dict[Any, Any] = (
                {name: list(array) for name, array in transfers(rows, 61, turn * 20).items()} if draw.random() < 0.7 else {}
            )
            for _ in range(draw.randrange(4)):
                some = draw.sample(values, draw.randrange(1, 4))
                batch[draw.choice(names)] = [draw.choice(some) for _ in range(draw.choice([rows, rows, rows, rows + 1]))]
            op = draw.choice(["screen", "score", "import_", "observe", "label"])
            kind = [draw.choice(["use", "attribute", "x", ""])] if op == "observe" else []
            named = [] if op == "score" else [f"g-{turn}"]
            try:
                self.assertEqual(getattr(client, op)(*named, *kind, batch).rows, max(map(len, batch.values()), default=0))
                outcomes["answered"] += 1
            except sluice.Fault as error:
                self.assertIn(error.fault, ("schema", "limit", "conflict"), str(error))
                self.assertTrue(error.text)
                outcomes["refused"] += 1
        self.assertLess(time.monotonic() - begun, 30)
        self.assertGreater(min(outcomes.values()), 20, outcomes)
        self.assertTrue(client.health()["ready"])


class Killed(unittest.TestCase):
    def test_killed_in_the_middle(self) -> None:
        """The server dies with batches in flight and comes again on its ledger: each batch is answered, and recorded once."""
        own = rig.Server(base=rig.TREE / "models/synth/base.safetensors").start()
        self.addCleanup(own.stop)
        with own.client(timeout=60) as sender:
            batches = [(f"k-{number}", transfers(2000, 70, number * 2000)) for number in range(24)]
            results: list[sluice.Result] = []

            def send() -> None:
                for _ in range(3):  # a kill that comes thrice between two batches may break one of them thrice
                    with contextlib.suppress(sluice.Unreachable):
                        results.extend(sender.screen_many(batches[len(results) :], in_flight=6))
                        return

            thread = threading.Thread(target=send)
            thread.start()
            for wanted in (3, 9):
                until = time.monotonic() + 30
                while len(results) < wanted and time.monotonic() < until:
                    time.sleep(0.002)
                own.kill()
                own.start()
            thread.join(60)
            self.assertEqual([result.batch for result in results], [id for id, _ in batches])
            sequences = [result.sequence for result in results]
            self.assertEqual(len(set(sequences)), len(batches))
            self.assertEqual(sender.stats()["last_sequence"], len(batches))
            for (id, batch), result in zip(batches, results, strict=True):
                stored = sender.result(id)
                assert isinstance(stored, sluice.Result)
                self.assertTrue(same(stored, result))
                self.assertTrue(same(sender.screen(id, batch), result))
            self.assertEqual(sender.stats()["last_sequence"], len(batches))
            self.assertEqual(len(list(sender.query_all(batch="k-11", rows_max=1000))), 2000)


if __name__ == "__main__":
    unittest.main()
