#!/usr/bin/python3
"""A mail gateway for tests: STARTTLS and AUTH are needed, mails stand in SQLite before they are acknowledged.

usage: mailbox.py PORT DATABASE USER PASSWORD CERTIFICATE KEY
Recipients that begin with "refused" get 550. While DATABASE.down is there, mails get 451.
"""
import email
import email.policy
import os
import signal
import sqlite3
import ssl
import sys

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

PORT, DATABASE, USER, PASSWORD, CERTIFICATE, KEY = int(sys.argv[1]), *sys.argv[2:7]


def database():
    opened = sqlite3.connect(DATABASE, isolation_level=None)
    opened.execute("PRAGMA journal_mode = WAL")
    opened.execute(
        "CREATE TABLE IF NOT EXISTS mail(id TEXT, sender TEXT, recipient TEXT, subject TEXT, body TEXT, tls INTEGER, user TEXT, raw BLOB)"
    )
    return opened


DB = database()


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("refused"):
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if os.path.exists(DATABASE + ".down"):
            return "451 later"
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert len(envelope.rcpt_tos) == 1 and not mail["Bcc"] and not mail["Cc"]
        values = (mail["Message-ID"], envelope.mail_from, envelope.rcpt_tos[0], mail["Subject"], mail.get_content())
        own = sqlite3.connect(DATABASE, isolation_level=None)
        own.execute("INSERT INTO mail VALUES(?, ?, ?, ?, ?, ?, ?, ?)", (*values, session.ssl is not None, session.auth_data, envelope.content))
        own.close()
        return "250 stored"


def authenticate(server, session, envelope, mechanism, data):
    good = data.login.decode() == USER and data.password.decode() == PASSWORD
    return AuthResult(success=good, auth_data=USER if good else None)


CONTEXT = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
CONTEXT.load_cert_chain(CERTIFICATE, KEY)
CONTROLLER = Controller(
    Handler(), hostname="127.0.0.1", port=PORT, tls_context=CONTEXT, require_starttls=True, authenticator=authenticate, auth_required=True
)
CONTROLLER.start()
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
while True:
    signal.pause()
