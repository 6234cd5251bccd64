"""The database: opening it, one transaction at a time, and the lock that keeps one reporter's texts in order."""

from __future__ import annotations

import fcntl
import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from bot import clock, models
from bot.privacy import Vault

BUSY_SECONDS = 20


def engine_for(url: str) -> sa.Engine:
    """An engine with our way of using each database: WAL, synchronous=FULL and IMMEDIATE on SQLite, psycopg on PostgreSQL."""
    address = sa.make_url(url)
    if address.get_backend_name() == "postgresql":
        address = address.set(drivername="postgresql+psycopg")
        # More threads than these ever wait for the database at once: eight that answer, the senders, the clock, the ear.
        return sa.create_engine(
            address, pool_size=8, max_overflow=16, pool_pre_ping=True, hide_parameters=True, connect_args=_patience(address)
        )
    if address.database and address.database != ":memory:":
        Path(address.database).parent.mkdir(parents=True, exist_ok=True)
    # Every transaction is ended by us, so the pool need not roll back what it is given back.
    engine = sa.create_engine(address, hide_parameters=True, connect_args={"timeout": BUSY_SECONDS}, pool_reset_on_return=None)
    sa.event.listen(engine, "connect", _set_up_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _patience(address: sa.URL) -> dict[str, Any]:
    """A cut cable says nothing: each end must find out by itself, or what a lost worker holds would hold up all the others."""
    here = {"connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 15000}
    there = {
        "idle_in_transaction_session_timeout": "30s",
        "tcp_keepalives_idle": 10,
        "tcp_keepalives_interval": 5,
        "tcp_keepalives_count": 3,
        "tcp_user_timeout": "15s",
    }
    chosen = {"options": " ".join(f"-c {name}={value}" for name, value in there.items())} if "options" not in address.query else {}
    return {name: value for name, value in {**here, **chosen}.items() if name not in address.query}


def _set_up_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    busy = f"busy_timeout={BUSY_SECONDS * 1000}"
    for pragma in (busy, "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    # A transaction that means to write takes the write lock first: two that read first and then write would fail each other.
    reading = connection.get_execution_options().get("reading")
    driver: Any = connection.connection.driver_connection
    driver.execute("BEGIN" if reading else "BEGIN IMMEDIATE")


@dataclass(frozen=True)
class Transaction:
    """One open transaction and the vault its rows open with.

    ``sequences``: the place of the last text of each reporter it holds. ``moves``: what is to be changed of reporters it holds.
    """

    connection: sa.Connection
    vault: Vault
    sequences: dict[UUID, int] = field(default_factory=dict)
    moves: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    _unwritten: dict[tuple[sa.Executable, frozenset[str]], list[Mapping[str, Any]]] = field(default_factory=dict)

    def execute(self, statement: sa.Executable, values: Any = None) -> sa.CursorResult[Any]:
        self.write_out()
        return self.connection.execute(statement, values)

    def write(self, statement: sa.Executable, values: Mapping[str, Any]) -> None:
        """Write something whose outcome nobody waits for: with the next statement or the commit, all of one kind at once."""
        self._unwritten.setdefault((statement, frozenset(values)), []).append(values)

    def write_out(self) -> None:
        """Write now what write() was given, and what there is to change of reporters, all changes of one of them at once."""
        for reporter, changes in self.moves.items():
            self.write(_MOVE_ON if changes.pop("moves_on", False) else _ONE_REPORTER, {"held": reporter, **changes})
        self.moves.clear()
        for (statement, _), rows in self._unwritten.items():
            self.connection.execute(statement, rows)
        self._unwritten.clear()

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """What fails inside the block is undone without the rest."""
        self.write_out()
        counted = dict(self.sequences)
        try:
            with self.connection.begin_nested():
                yield
                self.write_out()
            counted = dict(self.sequences)
        finally:
            self.sequences.clear()
            self.sequences.update(counted)
            self.moves.clear()
            self._unwritten.clear()

    def be_quick(self) -> None:
        """Wait for a row that somebody else holds but a moment, then fail: many share this transaction."""
        if self.skips_locked:
            self.connection.execute(_BE_QUICK)

    def insert(self, row: Any) -> None:
        """Write a new row of a table (Core: the ORM costs twice as much)."""
        self.execute(_insert_into(row.__table__), row.model_dump())

    def one(self, statement: sa.Executable) -> Any:
        """The one row of a query, or None."""
        return self.execute(statement).one_or_none()

    @property
    def skips_locked(self) -> bool:
        return self.connection.dialect.name == "postgresql"


@dataclass(frozen=True)
class Store:
    """An opened database."""

    engine: sa.Engine
    vault: Vault
    # SQLite has one writer at a time and lets the others sleep up to 100 ms before each new try; locks wake the next at once.
    _turn: Any = field(default_factory=threading.RLock, repr=False, compare=False)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """All or nothing; committed at the end of the block."""
        if self.engine.dialect.name != "sqlite":
            with self.engine.begin() as connection:
                yield from self._written_out(connection)
            return
        with self._turn, _passed(_gate_beside(self.engine)), self.engine.begin() as connection:
            yield from self._written_out(connection)

    def _written_out(self, connection: sa.Connection) -> Iterator[Transaction]:
        db = Transaction(connection, self.vault)
        yield db
        db.write_out()

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """A transaction that only reads: it waits for nobody."""
        with self.engine.connect().execution_options(reading=True) as connection, connection.begin():
            yield Transaction(connection, self.vault)


def _gate_beside(engine: sa.Engine) -> Path | None:
    """A file that the processes with this SQLite database lock in turn; one that dies leaves it open."""
    path = engine.url.database
    return Path(f"{path}-turn") if engine.dialect.name == "sqlite" and path and path != ":memory:" else None


@contextmanager
def _passed(gate: Path | None) -> Iterator[None]:
    """Wait for the other processes' transactions, and let them wait for ours."""
    if gate is None:
        yield
        return
    with gate.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # closing the file gives it back
        yield


def follow_clock(store: Store) -> None:
    """Go by the clock of the database where many machines share one: their own clocks differ, and leases and dues must not."""
    if store.engine.dialect.name == "postgresql":
        with store.reading() as db:
            clock.follow(db.execute(sa.select(sa.func.clock_timestamp())).scalar_one())


def lock_reporter(db: Transaction, reporter: UUID) -> Any:
    """The reporter's row, held until the commit, and said to have moved on: whoever changes a conversation does this first.

    Raises NoResultFound for a reporter who is gone.
    """
    row = db.execute(_HOLD, {"held": reporter}).one()
    db.sequences.setdefault(reporter, row.last_sequence)
    return row


def hold_reporters(db: Transaction, reporters: Collection[UUID]) -> dict[UUID, Any]:
    """Id, revision and last sequence of many reporters, held until the commit; in one order everywhere, or two would deadlock.

    Whoever then changes a conversation says so with move_on().
    """
    rows = {row.id: row for row in db.execute(_HOLD_ALL, {"held": sorted(reporters)})}
    db.sequences.update((row.id, row.last_sequence) for row in rows.values())
    return rows


def move_on(db: Transaction, reporter: UUID, **changes: Any) -> None:
    """Change a reporter whom we hold, and say that the conversation moved on."""
    db.moves.setdefault(reporter, {}).update(changes, moves_on=True)


def next_sequence(db: Transaction, reporter: UUID) -> int:
    """The place of a reporter's next text, in or out; holds the reporter until the commit."""
    if reporter not in db.sequences:
        db.sequences[reporter] = db.execute(_NEXT, {"held": reporter}).scalar_one()
    else:
        db.sequences[reporter] += 1
        db.moves.setdefault(reporter, {})["last_sequence"] = db.sequences[reporter]
    return db.sequences[reporter]


def touch_reporter(db: Transaction, reporter: UUID, **changes: Any) -> None:
    """Change a reporter, and say that the conversation moved on."""
    db.execute(_MOVE_ON, {"held": reporter, **changes})


def language_of(db: Transaction, reporter: UUID) -> str | None:
    """The language a reporter speaks with us, if it is known."""
    profile = db.execute(sa.select(_reporter.profile).where(_reporter.id == reporter)).scalar_one()
    language: str | None = db.vault.reveal(profile, "reporter", "profile", reporter).get("language")
    return language


def lease_is_free(column: Any, now: datetime) -> sa.ColumnElement[bool]:
    """Nobody is working on the row, or whoever was has died."""
    return sa.or_(column.is_(None), column < now)


# Statements of the way every text takes are built once: building one costs up to ten times what running it costs.
_reporter: Any = models.Reporter.__table__.c  # type: ignore[attr-defined]
_ONE_REPORTER = sa.update(models.Reporter.__table__).where(_reporter.id == sa.bindparam("held"))  # type: ignore[attr-defined]
_NEXT = _ONE_REPORTER.values(last_sequence=_reporter.last_sequence + 1).returning(_reporter.last_sequence)
_THEIRS = _reporter.id.in_(sa.bindparam("held", expanding=True))
_HOLD_ALL = sa.select(_reporter.id, _reporter.revision, _reporter.last_sequence).where(_THEIRS).order_by(_reporter.id)
_HOLD_ALL = _HOLD_ALL.with_for_update(key_share=True)
_MOVE_ON = _ONE_REPORTER.values(revision=_reporter.revision + 1)
_HOLD = _MOVE_ON.returning(*_reporter)
_BE_QUICK = sa.text("SET LOCAL lock_timeout = '500ms'")


@cache
def _insert_into(table: Any) -> sa.Insert:
    return sa.insert(table)
