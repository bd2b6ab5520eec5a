"""A real server for the tests: its configuration, its life and its death. SLUICE names the program."""

from __future__ import annotations

import faulthandler
import hashlib
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import numpy as np

import sluice

TREE = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("SLUICE", "")
TOKENS = {"team": "team-token-0123456789abcdef", "weak": "weak-token-0123456789abcdef", "model": "model-token-0123456789abcdef"}
RIGHTS = {
    "team": "submit, score, label, query, operate, explain",
    "weak": "submit",
    "model": "submit, score, label, model, operate, query, explain",
}
NOW_US = int(time.time()) * 1_000_000
SEED = int(os.environ.get("SLUICE_SEED", "") or time.time_ns() % 1_000_000_007)

faulthandler.dump_traceback_later(400, exit=True)  # a hang is told with its place


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class Server:
    """One server and its folder; kill and start again as often as wanted."""

    def __init__(self, base: pathlib.Path | None = None, limits: str = "", tls: bool = False, more: str = "") -> None:
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-python-"))
        self.url = f"ipc://{self.folder}/data.ipc"
        self.tcp = f"tcp://127.0.0.1:{free_port()}"
        self.tls = f"tls+tcp://127.0.0.1:{free_port()}" if tls else ""
        self.process: subprocess.Popen[bytes] | None = None
        urls = [url for url in (self.url, self.tcp, self.tls) if url]
        certificates = TREE / "tests/unit/server"
        text = f"ledger: {self.folder}/ledger\nworkers: 2\ndevice: cpu\n"
        text += f"base: {base}\n" if base else ""
        text += "listen:\n  data: [" + ", ".join(f'"{url}"' for url in urls) + "]\n"
        if tls:
            text += f"  tls_certificate: {certificates}/tls_certificate.pem\n  tls_key: {certificates}/tls_key.pem\n"
        text += f"limits:\n{limits}" if limits else ""
        text += "history:\n  accounts_max: 50000\n  events_max: 400000\n  busy_max: 2000\n  links_max: 400000\n  places_max: 100000\n"
        text += more + "tenants:\n"
        for name, token in TOKENS.items():
            text += f"  - name: {name}\n    token_hash: {hashlib.sha256(token.encode()).hexdigest()}\n    rights: [{RIGHTS[name]}]\n"
            text += "    score_rows_per_minute: 0\n" if "score" in RIGHTS[name] else ""
        (self.folder / "sluice.yaml").write_text(text)

    def start(self) -> Server:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([PROGRAM, "serve", "--config", str(self.folder / "sluice.yaml")], stdout=log, stderr=log)
        self.client().close()
        return self

    def kill(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def client(self, tenant: str = "team", url: str = "", token: str = "", timeout: float = 30.0) -> sluice.Client:
        """A client, as soon as the server is there."""
        until = time.monotonic() + 30
        while True:
            try:
                client = sluice.Client(url or self.url, tenant, token or TOKENS.get(tenant, ""), timeout=timeout)
            except sluice.Unreachable:
                client = None
            if client and (token or client.health()["ready"]):
                return client
            if client:
                client.close()
            if time.monotonic() > until or (self.process and self.process.poll() is not None):
                raise RuntimeError(f"the server does not come: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)


def transfers(rows: int, seed: int = 1, start: int = 0) -> dict[str, np.ndarray]:
    """Plain transfers, none wrong."""
    draw = np.random.default_rng([seed, start])
    return {
        "transfer_id": np.array([f"t{seed}-{start + row}" for row in range(rows)]),
        "payer_id": np.array([f"payer-{number}" for number in draw.integers(0, 500, rows)]),
        "payee_id": np.array([f"payee-{number}" for number in draw.integers(0, 300, rows)]),
        "amount": draw.integers(100, 500_000, rows),
        "currency": np.full(rows, "EUR"),
        "time": NOW_US - draw.integers(0, 3600 * 1_000_000, rows),
    }


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, check=False)


def fresh_random(name: str) -> random.Random:
    print(f"{name}: SLUICE_SEED={SEED}")
    return random.Random(SEED)
