#!/usr/bin/env python3
"""A payment processor for tests: takes second batches over HTTP, executes each once, keeps what it did in SQLite.

usage: processor.py PORT DATABASE KEY FAULTS SEED [OPS TENANT TOKEN]
With OPS, the address of a server's ops by HTTP, it executes only what its consolidated check lets through, and reports it.
Serves every tenant whose key is KEY. Deduplicates by the Idempotency-Key in the transaction that executes. FAULTS in a hundred requests go wrong on purpose: no
answer behind the commit, a 503 before it, an answer that is no acknowledgement.
"""
import hashlib
import hmac
import http.client
import http.server
import json
import random
import sqlite3
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

PORT, DATABASE, KEY, FAULTS, SEED = int(sys.argv[1]), sys.argv[2], sys.argv[3].encode(), int(sys.argv[4]), int(sys.argv[5])
OPS, TENANT, TOKEN = (sys.argv[6:] + ["", "", ""])[:3]
CHANCE = random.Random(SEED)
LOCK = threading.Lock()


def open_database():
    database = sqlite3.connect(DATABASE, isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE IF NOT EXISTS release(id TEXT PRIMARY KEY, digest TEXT NOT NULL, sent INTEGER NOT NULL)")
    database.execute("CREATE TABLE IF NOT EXISTS execution(release TEXT NOT NULL, transfer TEXT NOT NULL)")
    database.execute("CREATE TABLE IF NOT EXISTS wrong(what TEXT NOT NULL)")
    database.execute("CREATE TABLE IF NOT EXISTS duty(release TEXT PRIMARY KEY, state TEXT NOT NULL, body BLOB NOT NULL)")
    return database


DB = open_database()


def transfers_execute(key, release):
    DB.executemany("INSERT INTO execution VALUES(?, ?)", [(key, transfer["transfer_id"]) for transfer in release["transfers"]])


def execute(key, body):
    """True: taken, now or before."""
    digest = hashlib.sha256(body).hexdigest()
    release = json.loads(body)
    known = DB.execute("SELECT digest FROM release WHERE id = ?", (key,)).fetchone()
    tenant, _, derived_id = key.partition("/")
    if release["id"] != derived_id or release["tenant"] != urllib.parse.unquote(tenant) or release["rows"] != len(release["transfers"]):
        DB.execute("INSERT INTO wrong VALUES(?)", (f"{key}: id or count",))
    if known:
        if known[0] != digest:
            DB.execute("INSERT INTO wrong VALUES(?)", (f"{key}: other bytes",))
        DB.execute("UPDATE release SET sent = sent + 1 WHERE id = ?", (key,))
        return known[0] == digest
    DB.execute("BEGIN IMMEDIATE")
    DB.execute("INSERT INTO release VALUES(?, ?, 1)", (key, digest))
    if OPS:
        DB.execute("INSERT INTO duty VALUES(?, 'taken', ?)", (key, body))
    else:
        transfers_execute(key, release)
    DB.execute("COMMIT")
    return True


def ask(op, **fields):
    """The reply, or None where there was none worth the name."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{OPS}/v1/{op}", json.dumps({"tenant": TENANT, **fields}).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        reply = json.loads(error.read() or b"{}")
        if reply.get("fault") in (None, "unavailable", "busy", "deadline"):
            return None
        return reply
    except (OSError, ValueError, http.client.HTTPException):
        return None


def merged(release):
    sums = {}
    for transfer in release["transfers"]:
        sums[transfer["currency"]] = sums.get(transfer["currency"], 0) + transfer["amount"]
    payees = sorted({transfer["payee_id"] for transfer in release["transfers"]})
    return {"count": release["rows"], "sums": sums, "payees": payees}


def duty_do(key, state, release):
    """One step; what it is stands in the database before the next."""
    if state == "taken":
        reply = ask("consolidate", id=f"check {release['id']}", batch=release["id"], fields=merged(release))
        if not reply:
            return
        if reply.get("verdict") not in ("execute", "return"):
            DB.execute("INSERT INTO wrong VALUES(?)", (f"{key}: {reply}",))
        with LOCK:
            DB.execute("BEGIN IMMEDIATE")
            executes = reply.get("verdict") == "execute"
            if executes:
                transfers_execute(key, release)
            DB.execute("UPDATE duty SET state = ? WHERE release = ?", ("executed" if executes else "returned", key))
            DB.execute("COMMIT")
    else:
        reply = ask("report", id=f"report {release['id']}", batch=release["id"], state="executed")
        if not reply:
            return
        if reply["status"] != "ok":
            DB.execute("INSERT INTO wrong VALUES(?)", (f"{key}: {reply}",))
        with LOCK:
            DB.execute("UPDATE duty SET state = 'reported' WHERE release = ?", (key,))


def duties_do():
    while True:
        with LOCK:
            due = DB.execute("SELECT release, state, body FROM duty WHERE state IN ('taken', 'executed') LIMIT 20").fetchall()
        for key, state, body in due:
            duty_do(key, state, json.loads(body))
        time.sleep(0.02)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def signed(self, key, body):
        parts = dict(part.split("=", 1) for part in self.headers.get("Sluice-Signature", "").split(",") if "=" in part)
        text = f"{parts.get('t')}.{key}.".encode() + body
        return hmac.compare_digest(hmac.new(KEY, text, hashlib.sha256).hexdigest(), parts.get("v1", ""))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        key = urllib.parse.unquote(self.headers["Idempotency-Key"])
        with LOCK:
            if not self.signed(key, body):
                DB.execute("INSERT INTO wrong VALUES(?)", (f"{key}: signature",))
                return self.answer(401, b"")
            trouble = CHANCE.choice(["silent", "early", "page"]) if CHANCE.randrange(100) < FAULTS else ""
            if trouble == "early":
                return self.answer(503, b"")
            taken = execute(key, body)
        if trouble == "silent":
            self.close_connection = True
            return None
        if trouble == "page":
            return self.answer(200, b"<html>welcome</html>")
        return self.answer(200 if taken else 409, json.dumps({"id": json.loads(body)["id"], "status": "accepted" if taken else "refused"}).encode())

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True


if OPS:
    threading.Thread(target=duties_do, daemon=True).start()
Server(("127.0.0.1", PORT), Handler).serve_forever()
