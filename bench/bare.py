"""The bare limit: a webhook that does the same durable work with nothing around it. ``python -m bench.bare PORT DATABASE``.

uvicorn and Starlette, Twilio's own RequestValidator, one transaction a message (read the conversation, insert the message, update
the state, insert the answer), both texts under AES-256-GCM. SQLite through raw sqlite3 with synchronous=FULL, where all messages
waiting in one turn of the loop share one commit; PostgreSQL through psycopg, a read and one statement for all writes. It checks
no duplicate, plays no flow, logs nothing: a ceiling, not a competitor.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sqlite3
import sys
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import parse_qsl

import psycopg
import uvicorn
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from starlette.applications import Starlette
from starlette.datastructures import ImmutableMultiDict
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from tests.standins.twilio_api import AUTH_TOKEN

REPLY = "Thank you. When did it happen? Write it in your own words, or send 0 to skip."
TABLES = (
    "CREATE TABLE conversation (number {bytes} PRIMARY KEY, state {json})",
    "CREATE TABLE message (sid TEXT PRIMARY KEY, number {bytes}, body {bytes})",
    "CREATE TABLE outbox (id {serial}, number {bytes}, body {bytes})",
)


@dataclass(frozen=True)
class Incoming:
    """One text, already encrypted: ``Incoming(b"…", "SM9f…", b"…")``."""

    number: bytes
    sid: str
    box: bytes


class Keeps(Protocol):
    """Where it is kept: returns once it is durable."""

    async def keep(self, incoming: Incoming) -> None: ...


class Crypto:
    """AES-256-GCM and a keyed hash, as bare as they come."""

    def __init__(self) -> None:
        self._aes = AESGCM(bytes(32))

    def hide(self, text: str) -> bytes:
        nonce = os.urandom(12)
        return nonce + self._aes.encrypt(nonce, text.encode(), b"")

    def index(self, number: str) -> bytes:
        return hashlib.sha256(number.encode()).digest()[:16]


class Sqlite:
    """One connection in the loop's own thread; what waits in one turn of the loop is one transaction."""

    def __init__(self, path: str, crypto: Crypto) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=FULL"):
            self._db.execute(f"PRAGMA {pragma}")
        for table in TABLES:
            self._db.execute(table.format(bytes="BLOB", json="TEXT", serial="INTEGER PRIMARY KEY"))
        self._crypto = crypto
        self._waiting: list[tuple[Incoming, asyncio.Future[None]]] = []

    async def keep(self, incoming: Incoming) -> None:
        done = asyncio.get_running_loop().create_future()
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._commit)
        self._waiting.append((incoming, done))
        await done

    def _commit(self) -> None:
        batch, self._waiting = self._waiting, []
        self._db.execute("BEGIN IMMEDIATE")
        for incoming, _ in batch:
            self._write(incoming)
        self._db.execute("COMMIT")
        for _, done in batch:
            done.set_result(None)

    def _write(self, incoming: Incoming) -> None:
        row = self._db.execute("SELECT state FROM conversation WHERE number = ?", (incoming.number,)).fetchone()
        state = next_state(row and json.loads(row[0]))
        self._db.execute("INSERT INTO message VALUES (?, ?, ?)", (incoming.sid, incoming.number, incoming.box))
        self._db.execute(
            "INSERT INTO conversation VALUES (?, ?) ON CONFLICT (number) DO UPDATE SET state = excluded.state",
            (incoming.number, json.dumps(state)),
        )
        self._db.execute("INSERT INTO outbox (number, body) VALUES (?, ?)", (incoming.number, self._crypto.hide(REPLY)))


class Postgres:
    """Sixteen prepared connections; a read, then every write in one statement that commits by itself."""

    WRITES = (
        "WITH said AS (INSERT INTO message VALUES (%(sid)s, %(number)s, %(box)s)), "
        "kept AS (INSERT INTO conversation VALUES (%(number)s, %(state)s) "
        "ON CONFLICT (number) DO UPDATE SET state = excluded.state) "
        "INSERT INTO outbox (number, body) VALUES (%(number)s, %(reply)s)"
    )

    def __init__(self, url: str, crypto: Crypto) -> None:
        self._url, self._crypto = url, crypto
        with psycopg.connect(url, autocommit=True) as db:
            for table in TABLES:
                db.execute(table.format(bytes="BYTEA", json="TEXT", serial="BIGSERIAL PRIMARY KEY"))
        self._free: asyncio.Queue[psycopg.AsyncConnection] = asyncio.Queue()

    async def open(self) -> None:
        for _ in range(16):
            self._free.put_nowait(await psycopg.AsyncConnection.connect(self._url, autocommit=True, prepare_threshold=1))

    async def keep(self, incoming: Incoming) -> None:
        db = await self._free.get()
        try:
            found = await db.execute("SELECT state FROM conversation WHERE number = %s", (incoming.number,))
            row = await found.fetchone()
            state = json.dumps(next_state(row and json.loads(row[0])))
            reply = self._crypto.hide(REPLY)
            await db.execute(
                self.WRITES,
                {"sid": incoming.sid, "number": incoming.number, "box": incoming.box, "state": state, "reply": reply},
            )
        finally:
            self._free.put_nowait(db)


def next_state(state: dict[str, object] | None) -> dict[str, object]:
    """A state about as long as ours: a place and what was told."""
    step = int(str(state["step"])) + 1 if state else 0
    return {"flow": "report", "step": step, "facts": {"channel": "sms", "role": "victim", "story": ["x" * 80]}}


def build(keeps: Keeps, crypto: Crypto, port: int) -> Starlette:
    validator = RequestValidator(AUTH_TOKEN)
    url = f"http://127.0.0.1:{port}/sms"

    async def sms(request: Request) -> Response:
        form = ImmutableMultiDict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
        if not validator.validate(url, form, request.headers.get("X-Twilio-Signature", "")):
            return Response(status_code=403)
        await keeps.keep(Incoming(crypto.index(form["From"]), form["MessageSid"], crypto.hide(form["Body"])))
        return Response("<Response/>", media_type="text/xml")

    return Starlette(routes=[Route("/sms", sms, methods=["POST"])])


async def main(port: int, database: str) -> None:
    crypto = Crypto()
    keeps: Keeps
    if database.startswith("postgresql"):
        keeps = postgres = Postgres(database, crypto)
        await postgres.open()
    else:
        keeps = Sqlite(database, crypto)
    config = uvicorn.Config(build(keeps, crypto, port), host="127.0.0.1", port=port, log_config=None, access_log=False)
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
