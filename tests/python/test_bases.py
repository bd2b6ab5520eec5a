"""Scene bases in a running server: put in pieces, activated, rolled back, refused, cut off, and after a restart."""

from __future__ import annotations

import pathlib
import tempfile
import time
import unittest
from typing import Any
from unittest import mock

import numpy as np

import rig
import sluice
from rig import transfers
from sluice import bases, scenes
from sluice.digest import digest_of
from test_scenes import SYNTH, some_base

NAMES = ("amount", "hour_distance", "payee_count_1d")


class InAServer(unittest.TestCase):
    def setUp(self) -> None:
        self.server = rig.Server(base=SYNTH).start()
        self.addCleanup(self.server.stop)
        self.client = self.server.client("model")
        self.addCleanup(self.client.close)

    def active(self) -> str:
        return str(self.client.bases.list()["active"])

    def test_put_activate_roll_back(self) -> None:
        first = digest_of(SYNTH.read_bytes())
        draw = np.random.default_rng(rig.SEED)
        mine = some_base(draw, NAMES)
        mine.name = "mine"
        golden = mine.golden({name: draw.normal(3, 3, 40) for name in NAMES})
        put = self.client.bases.put("put-1", mine, golden=golden)
        self.assertEqual((put["state"], put["base_digest"], put["golden_rows"], put["known"]), ("ready", mine.digest(), 40, False))
        self.assertEqual(self.client.bases.put("put-1", mine, golden=golden)["sequence"], put["sequence"])
        self.assertEqual(self.client.screen("a", transfers(20, 90)).base, "synth")
        done = self.client.bases.activate("act-1", "mine")
        self.assertEqual((done["base_digest"], done["before"]), (mine.digest(), first))
        result = self.client.screen("b", transfers(20, 90, 20))
        self.assertEqual((result.base, result.base_version, result.base_digest), ("mine", "7", mine.digest()))
        self.assertEqual(self.client.bases.activate("act-1", "mine")["sequence"], done["sequence"])
        self.server.kill()
        self.server.start()
        self.assertEqual(self.active(), mine.digest())
        self.assertEqual(self.client.bases.rollback("back-1")["base_digest"], first)
        self.assertEqual(self.client.screen("c", transfers(20, 90, 40)).base_digest, first)
        told = self.client.bases.list()
        self.assertEqual({base["digest"] for base in told["bases"]}, {first, mine.digest()})
        self.assertIn("level", self.client.bases.drift())

    def compared(self, rows: int, key: str = "rows") -> dict[str, Any]:
        """The comparison, as soon as it is of so many rows."""
        until = time.monotonic() + 10
        both = self.client.bases.compare()
        while both[key] < rows and time.monotonic() < until:
            time.sleep(0.02)
            both = self.client.bases.compare()
        return both

    def test_challenge_and_promote(self) -> None:
        ours = self.client.bases
        first = self.active()
        self.assertEqual(ours.compare()["state"], "off")
        with self.assertRaises(sluice.NotFoundFault):
            ours.promote("promote-1")
        strict = scenes.read(SYNTH)
        strict.version = "strict"
        for scene in strict.scenes[1:]:
            scene.threshold = 1e-6  # keeps nearly all
        ours.put("put-1", strict)
        with self.assertRaises(sluice.NotFoundFault):
            ours.challenger("nobody")
        with self.assertRaises(sluice.ConflictFault):
            ours.challenger(first)
        on = ours.challenger(strict.digest())
        self.assertEqual((on["state"], on["rows"], on["champion"]["digest"], on["challenger"]["version"]), ("on", 0, first, "strict"))
        rows = transfers(60, 91)
        self.assertEqual(self.client.screen("a", rows).base_digest, first)  # replies stay the champion's
        both = self.compared(60)
        self.assertEqual((both["rows"], both["skipped"]), (60, 0))
        self.assertGreater(both["switched_rows"], 0)
        self.assertEqual(sum(pair["rows"] for pair in both["verdicts"]), 60)
        tenant = both["tenants"][0]
        self.assertEqual((tenant["tenant"], tenant["rows"]), ("model", 60))
        self.assertGreater(tenant["challenger_kept"], tenant["champion_kept"])
        self.assertIn(both["switched"][0]["transfer_id"], set(rows["transfer_id"]))
        self.client.label("labels", {"transfer_id": rows["transfer_id"], "label": ["good"] * 60})
        self.assertEqual(self.compared(60, "labelled_good")["labelled_good"], 60)
        self.assertEqual(ours.challenger(None)["state"], "off")
        with self.assertRaises(sluice.NotFoundFault):
            ours.promote("promote-2")
        ours.challenger(strict.digest()[:8])
        done = ours.promote("promote-3")
        self.assertEqual((done["base_digest"], done["before"], self.active()), (strict.digest(), first, strict.digest()))
        self.assertEqual(ours.compare()["state"], "off")
        self.assertEqual(self.client.screen("b", transfers(20, 92)).base_version, "strict")
        self.assertEqual(ours.rollback("back")["base_digest"], first)

    def test_files_and_pieces(self) -> None:
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(bases, "PIECE_BYTES", 30_000):
            path = pathlib.Path(folder) / "copy.safetensors"
            base = scenes.read(SYNTH)
            base.version = "2"
            base.write(path)
            draw = np.random.default_rng(1)
            path.with_name("copy.golden.safetensors").write_bytes(base.golden({name: draw.normal(2, 2, 8) for name in base.features}))
            pieces: list[int] = []
            ask = self.client.ask

            def cut_off(op: str, **head: object) -> dict[str, object]:
                pieces.append(int(str(head["offset"])))
                if len(pieces) == 3:
                    raise sluice.Unreachable("cut off", True)
                return ask(op, **head)

            with mock.patch.object(self.client, "ask", cut_off):
                with self.assertRaises(sluice.Unreachable):
                    self.client.bases.put("pieces", path)
                put = self.client.bases.put("pieces", path)
            self.assertEqual((put["state"], put["golden_rows"]), ("ready", 8))
            self.assertGreater(len(set(pieces)), 5)
            self.assertLess(len(pieces), len(set(pieces)) + 3)  # what had come was not sent again

    def test_refused(self) -> None:
        mine = some_base(np.random.default_rng(3), NAMES)
        file = mine.to_bytes()
        wrong = some_base(np.random.default_rng(4), NAMES).golden({name: [1.0] for name in NAMES})
        for change in (
            lambda: self.client.bases.put("bad-1", file[:-1] + bytes([file[-1] ^ 1])),
            lambda: self.client.bases.put("bad-2", mine, golden=wrong),
        ):
            with self.assertRaises(sluice.ModelFault) as caught:
                change()
            self.assertTrue(caught.exception.text)
        with self.assertRaises(sluice.NotFoundFault):
            self.client.bases.activate("bad-3", "nobody")
        with self.assertRaises(sluice.Fault):
            self.client.bases.put_path("bad-4", "../outside.safetensors")
        with self.server.client("team") as other:
            for call in (
                other.bases.list,
                other.bases.drift,
                other.bases.compare,
                lambda: other.bases.challenger(None),
                lambda: other.bases.promote("bad-7"),
                lambda: other.bases.put("bad-5", mine),
                lambda: other.bases.rollback("bad-6"),
            ):
                with self.assertRaises(sluice.DeniedFault):
                    call()


if __name__ == "__main__":
    unittest.main()
