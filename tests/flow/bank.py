#!/usr/bin/env python3
"""A bank for tests: says over HTTP what it knows of accounts, and keeps in SQLite what it was asked.

usage: bank.py PORT DATABASE KEY MODE
MODE is a file that says how requests are answered: fine, down (500), garbage, lying (a length that is not kept), half (cut off), slow (a
second late), stranger (of a key that was not asked for), twice, wrong (a value of another type), flaky (every third request alone is fine).
An account that begins with u is not known; the limit of any other is 100.50 times its number.
"""
import hashlib
import hmac
import http.server
import json
import os
import sqlite3
import sys
import threading
import time
import urllib.parse

PORT, DATABASE, KEY, MODE = int(sys.argv[1]), sys.argv[2], sys.argv[3].encode(), sys.argv[4]
LOCK = threading.Lock()
DB = sqlite3.connect(DATABASE, isolation_level=None, check_same_thread=False)
DB.execute("PRAGMA journal_mode = WAL")
DB.execute("CREATE TABLE IF NOT EXISTS request(key TEXT, mode TEXT, keys INTEGER, distinct_keys INTEGER, good INTEGER)")


def account(key):
    number = int("".join(digit for digit in key if digit.isdigit()) or "0")
    return {"account": key, "limit": f"{number}.50", "segment": "gold" if number % 2 else None, "days": number, "rate": number / 4, "more": []}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body, length=None):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.close_connection = True
        self.answer(200, b"here")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        key = urllib.parse.unquote(self.headers["Idempotency-Key"])
        parts = dict(part.split("=", 1) for part in self.headers.get("Sluice-Signature", "").split(",") if "=" in part)
        good = hmac.compare_digest(hmac.new(KEY, f"{parts.get('t')}.{key}.".encode() + body, hashlib.sha256).hexdigest(), parts.get("v1", ""))
        keys = json.loads(body)["keys"]
        with open(MODE, encoding="ascii") as file:
            mode = file.read().strip()
        with LOCK:
            DB.execute("INSERT INTO request VALUES(?, ?, ?, ?, ?)", (key, mode, len(keys), len(set(keys)), good))
            count = DB.execute("SELECT count(*) FROM request").fetchone()[0]
        if mode == "flaky":
            mode = ["down", "half", "fine"][count % 3]
        answers = [account(key) for key in keys if not key.startswith("u")]
        if mode == "slow":
            time.sleep(1)
        if mode == "down":
            return self.answer(500, b"no")
        if mode == "garbage":
            return self.answer(200, bytes(range(256)))
        if mode == "stranger":
            answers.append(account("nobody1"))
        if mode == "twice":
            answers += answers[:1]
        if mode == "wrong" and answers:
            answers[0]["days"] = "many"
        text = json.dumps({"answers": answers}).encode()
        if mode in ("lying", "half"):
            self.close_connection = True
            return self.answer(200, text[: len(text) // 2], len(text) if mode == "half" else 1 << 40)
        return self.answer(200, text)

    def log_message(self, *_):
        pass


def leave_with_parent(parent):
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)


threading.Thread(target=leave_with_parent, args=(os.getppid(),), daemon=True).start()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True


Server(("127.0.0.1", PORT), Handler).serve_forever()
