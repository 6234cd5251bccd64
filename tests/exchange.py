"""A telephone with a team behind it, on a fresh SQLite database: what most tests of the core start from."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from bot import case_files, cases, clock, keys
from bot.models import Case, Caseworker, ConsoleSession, Team, TeamKey
from bot.privacy import TeamOpener, Vault
from bot.schema import migrate
from bot.staff import SignedIn
from bot.store import Store, Transaction, engine_for
from bot.testing import Caller, FakeChannel, FakeTelephone
from bot.understanding import Nlu
from tests.conftest import Member, join

SERVICE_KEY = bytes(range(32))

STORY = "A man on the bus shouted that I should go back to my country and pushed me hard"
# A victim who answers every question: what she sends, in order; the last line sends the report.
VICTIM = (
    STORY,
    "1",
    "1",
    "Because of my headscarf, he pointed at it",
    "Yesterday evening",
    "Bus 14, Hill Road",
    "1",
    "1",
    "1",
    "1",
)
WITNESS_STORY = "I saw two men spit at a woman outside the mosque and shout at her about her religion"
WITNESS = (WITNESS_STORY, "1", "2", "They shouted about her religion", "On Friday at noon", "Outside the mosque", "3", "1")


@dataclass
class Exchange:
    """A telephone, and the caseworker who is signed in behind it."""

    telephone: FakeTelephone
    member: Member
    path: Path

    @property
    def store(self) -> Store:
        return self.telephone.store

    @property
    def channel(self) -> FakeChannel:
        return self.telephone.channel

    @property
    def desk(self) -> SignedIn:
        return self.member.signed_in

    def caller(self, address: str = "+447700900123") -> Caller:
        return self.telephone.caller(address)

    def reports(self, *texts: str, address: str = "+447700900123") -> Caller:
        """A caller who has sent these texts; without any, a whole victim report."""
        caller = self.caller(address)
        for text in texts or VICTIM:
            caller.says(text)
        return caller

    def rows(self, table: Any, *where: Any) -> list[Any]:
        return rows(self.store, table, *where)

    def case(self) -> Any:
        """The case that was opened last."""
        return self.rows(Case)[-1]

    def file(self, case: UUID | None = None) -> case_files.CaseFile:
        """A case with everything in it opened; by default the newest."""
        with self.store.transaction() as db:
            return case_files.open_file(db, self.desk, case or self.case().id)

    def claims(self) -> UUID:
        """The caseworker claims the newest case."""
        case: UUID = self.case().id
        with self.store.transaction() as db:
            cases.claim(db, self.desk, case)
        return case

    def closes(self, case: UUID) -> None:
        with self.store.transaction() as db:
            cases.close(db, self.desk, case)

    def replies(self, case: UUID, text: str) -> None:
        with self.store.transaction() as db:
            cases.reply(db, self.desk, case, cases.Reply(text, "en", text, "en"))


def employ(store: Store, team: str = "caseworkers", name: str | None = None) -> SignedIn:
    """A caseworker at work, on any store: with a team of its own or another desk in one that is there, and without a password."""
    pair = keys.KeyPair.generate()
    with store.transaction() as db:
        found = db.execute(sa.select(Team.__table__.c.id).where(Team.__table__.c.name == team)).scalar()  # type: ignore[attr-defined]
        is_first = found is None
        if found is None:
            made = Team(name=team, recovery_public=keys.KeyPair.generate().public)
            db.insert(made)
            found = made.id
            db.insert(TeamKey(team_id=found, version=1, public=pair.public))
        key = db.one(sa.select(*TeamKey.__table__.c).where(TeamKey.__table__.c.team_id == found))  # type: ignore[attr-defined]
        _privates.setdefault(key.public, pair.private)
        worker = Caseworker(
            team_id=found, name=name or f"Desk {uuid4()}", public=pair.public, private_salt=b"", private_box=b"", state="active"
        )
        worker.is_lead = is_first
        db.insert(worker)
    opener = TeamOpener({key.id: _privates[key.public]})
    return SignedIn(worker.id, found, worker.name, opener, keys.SessionSecret.new(), worker.is_lead)


_privates: dict[bytes, bytes] = {}


def rows(store: Store, table: Any, *where: Any) -> list[Any]:
    """Rows of a table, in the order they were made where that is known."""
    columns = table.__table__.c
    order = next((columns[name] for name in ("opened_at", "sequence", "at", "made_at") if name in columns), None)
    with store.reading() as db:
        return list(db.execute(sa.select(*columns).where(*where).order_by(order)))


def every_row(db: Transaction) -> Iterator[tuple[sa.Table, Any]]:
    """Every row of every table of ours."""
    for table in Case.metadata.sorted_tables:
        for row in db.execute(sa.select(table)).mappings():
            yield table, row


@contextmanager
def open_exchange(folder: Path, nlu: Nlu | None = None, channel: FakeChannel | None = None) -> Iterator[Exchange]:
    """A fresh exchange whose database lies in ``folder``."""
    file, member = _staffed()
    path = folder / "tellonce.db"
    path.write_bytes(file)
    engine = engine_for(f"sqlite:///{path}")
    # A power cut is not what these tests are about.
    sa.event.listen(engine, "connect", lambda connection, _record: connection.execute("PRAGMA synchronous=OFF"))
    store = Store(engine, Vault(keys.ServiceKey(SERVICE_KEY)))
    with store.transaction() as db:  # signed in just now, whatever the time was when the file was made
        db.execute(sa.update(ConsoleSession).values(seen_at=clock.now()))
    yield Exchange(FakeTelephone(store, channel, nlu), member, path)
    store.engine.dispose()


@cache
def _staffed() -> tuple[bytes, Member]:
    """A database with one team and its signed-in caseworker: signing in costs Argon2id, so it is done once."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "staffed.db"
        store = Store(engine_for(f"sqlite:///{path}"), Vault(keys.ServiceKey(SERVICE_KEY)))
        migrate(store.engine)
        member = join(store, "caseworkers")
        with store.engine.connect() as connection:
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.exec_driver_sql("BEGIN")
        store.engine.dispose()
        return path.read_bytes(), member
