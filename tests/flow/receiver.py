#!/usr/bin/env python3
"""A receiver of webhooks, and of the messages of OA and permission systems, for tests: checks signature and time, keeps each id once.

usage: receiver.py PORT DATABASE KEY FAULTS SEED [answer]; without a KEY it checks no signature
FAULTS in a hundred requests go wrong on purpose: no answer behind the commit, a 503 before it. With "answer" it acknowledges as an OA
or permission system has to; an id that holds "refuse" is refused.
"""
import hashlib
import hmac
import http.server
import json
import random
import sqlite3
import sys
import threading
import time
import urllib.parse

PORT, DATABASE, KEY, FAULTS, SEED = int(sys.argv[1]), sys.argv[2], sys.argv[3].encode(), int(sys.argv[4]), int(sys.argv[5])
ANSWERS = len(sys.argv) > 6
CHANCE = random.Random(SEED)
LOCK = threading.Lock()
DB = sqlite3.connect(DATABASE, isolation_level=None, check_same_thread=False)
DB.execute("PRAGMA journal_mode = WAL")
DB.execute("CREATE TABLE IF NOT EXISTS message(id TEXT PRIMARY KEY, subject TEXT, body TEXT, sent INTEGER NOT NULL, nth INTEGER)")
DB.execute("CREATE TABLE IF NOT EXISTS wrong(what TEXT NOT NULL)")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def is_signed(self, key, body):
        if not KEY:
            return True
        parts = dict(part.split("=", 1) for part in self.headers.get("Sluice-Signature", "").split(",") if "=" in part)
        text = f"{parts.get('t')}.{key}.".encode() + body
        fresh = abs(time.time() - int(parts.get("t", "0"))) < 300
        return fresh and hmac.compare_digest(hmac.new(KEY, text, hashlib.sha256).hexdigest(), parts.get("v1", ""))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        key = urllib.parse.unquote(self.headers["Idempotency-Key"])
        with LOCK:
            message = json.loads(body)
            if not self.is_signed(key, body) or message["id"] != key or message["subject"] != self.headers["Sluice-Subject"]:
                DB.execute("INSERT INTO wrong VALUES(?)", (f"{key}: signature, id or subject",))
                return self.answer(401)
            trouble = CHANCE.choice(["silent", "early"]) if CHANCE.randrange(100) < FAULTS else ""
            if trouble == "early":
                return self.answer(503)
            known = DB.execute("SELECT body FROM message WHERE id = ?", (key,)).fetchone()
            if known and known[0] != body.decode():
                DB.execute("INSERT INTO wrong VALUES(?)", (f"{key}: other bytes",))
            DB.execute(
                "INSERT INTO message VALUES(?, ?, ?, 1, (SELECT count(*) FROM message)) ON CONFLICT(id) DO UPDATE SET sent = sent + 1",
                (key, message["subject"], body.decode()),
            )
        if trouble == "silent":
            self.close_connection = True
            return None
        status = "refused" if "refuse" in key else "accepted"
        return self.answer(200, json.dumps({"id": key, "status": status}).encode() if ANSWERS else b"")

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True


Server(("127.0.0.1", PORT), Handler).serve_forever()
