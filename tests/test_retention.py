"""Erased means unreadable: what is over its time or unwanted goes from the tables, and from the files."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from bot import audit, cases, clock, keys, outbox, retention
from bot.models import Address, Case, Message, Report, Reporter
from bot.privacy import Vault
from bot.retention import Limits
from bot.staff import SignedIn
from bot.store import Store, engine_for, lock_reporter
from tests.exchange import Exchange, employ, every_row, open_exchange

LIMITS = Limits(timedelta(days=90), timedelta(days=30))


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[Exchange]:
    with open_exchange(tmp_path) as opened:
        yield opened


def closed_case(exchange: Exchange) -> Case:
    exchange.reports()
    case = exchange.claims()
    exchange.closes(case)
    row: Case = exchange.case()
    return row


def holds(exchange: Exchange, is_held: bool = True) -> None:
    with exchange.store.transaction() as db:
        retention.hold(db, exchange.desk, exchange.case().id, "The court asked for it", is_held=is_held)


# -- time --------------------------------------------------------------------------------------------------------------------


def test_a_closed_case_is_erased_after_its_time_and_its_reporter_after_theirs(exchange: Exchange) -> None:
    case = closed_case(exchange)
    with clock.frozen(clock.now()) as move:
        move(clock.now() + timedelta(days=89))
        assert retention.purge(exchange.store, LIMITS) == retention.Erased()
        move(clock.now() + timedelta(days=2))
        assert retention.purge(exchange.store, LIMITS) == retention.Erased(1, 1)
    with exchange.store.reading() as db:
        left = {table.name for table, _ in every_row(db)}
        assert audit.verify(db) == 3
        assert audit.entries(db, clock.now() - timedelta(days=1))[-1].case_id == case.id
    assert left <= {
        "team",
        "team_key",
        "team_key_copy",
        "caseworker",
        "console_session",
        "audit_entry",
        "installation",
        "vendor_copy",
        "code_tries",
    }


def test_an_open_case_stays_and_an_unfinished_conversation_stays_thirty_days(exchange: Exchange) -> None:
    exchange.reports()
    exchange.reports("hello", address="+447700900999")
    with clock.frozen(clock.now() + timedelta(days=29)):
        assert retention.purge(exchange.store, LIMITS) == retention.Erased()
    with clock.frozen(clock.now() + timedelta(days=365)):
        assert retention.purge(exchange.store, LIMITS) == retention.Erased(0, 1)
    assert [c.reporter_id for c in exchange.rows(Case)] == [r.id for r in exchange.rows(Reporter)]


def test_a_legal_hold_keeps_a_case_and_says_who_and_why(exchange: Exchange) -> None:
    case = closed_case(exchange)
    holds(exchange)
    with clock.frozen(clock.now() + timedelta(days=365)):
        assert retention.purge(exchange.store, LIMITS).cases == 0
    with exchange.store.transaction() as db:
        assert not retention.erase_case(db, case.id)
        assert retention.erase_reporter(db, case.reporter_id) == 1
    action = next(a for a in exchange.file().actions if a["verb"] == "held")
    assert (action["by"], action["text"]) == (exchange.member.name, "The court asked for it")
    assert len(exchange.rows(Address)) == 1 and exchange.rows(Address)[0].forget_at is None
    holds(exchange, is_held=False)
    with clock.frozen(clock.now() + timedelta(days=365)):
        assert retention.purge(exchange.store, LIMITS).cases == 1


def test_another_team_neither_holds_nor_erases(exchange: Exchange) -> None:
    case = closed_case(exchange)
    stranger = employ(exchange.store, "another team")
    with exchange.store.transaction() as db:
        with pytest.raises(cases.NotYours):
            retention.hold(db, stranger, case.id, "reason")
        with pytest.raises(cases.NotYours):
            retention.erase_at_desk(db, stranger, case.id)
    assert exchange.rows(Case)


# -- their own wish ----------------------------------------------------------------------------------------------------------


def test_a_reporter_who_wants_everything_erased_is_gone_once_they_heard_so(exchange: Exchange) -> None:
    exchange.reports()
    reporter = exchange.case().reporter_id
    with exchange.store.transaction() as db:
        assert retention.erase_reporter(db, reporter) == 0
        outbox.put(db, reporter, "Erased.", author="bot")
    assert not exchange.rows(Case) and not exchange.rows(Report)
    retention.purge(exchange.store, LIMITS)
    assert len(exchange.rows(Address)) == 1  # their last text is still on its way
    with clock.frozen(clock.now() + retention.LAST_WORDS + timedelta(seconds=1)):
        with exchange.store.transaction() as db:
            outbox.forget_addresses(db)
        assert retention.purge(exchange.store, LIMITS).reporters == 1
    assert not exchange.rows(Reporter) and not exchange.rows(Message) and not exchange.rows(Address)


# -- the files ---------------------------------------------------------------------------------------------------------------


def sealed_case(store: Store, member: SignedIn, story: str) -> tuple[Case, bytes]:
    """A case with a long report, and a piece of its ciphertext by which it is found in a file."""
    reporter = Reporter(team_id=member.team_id, profile=b"")
    reporter.profile = store.vault.hide({}, "reporter", "profile", reporter.id)
    with store.transaction() as db:
        db.insert(reporter)
        opened = cases.open_case(db, lock_reporter(db, reporter.id), {"story": [story], "language": "en"})
    with store.reading() as db:
        row = db.one(sa.select(*Case.__table__.c).where(Case.__table__.c.id == opened.id))  # type: ignore[attr-defined]
        sealed = db.execute(sa.select(Report.sealed).where(Report.__table__.c.id == row.report_id)).scalar_one()  # type: ignore[attr-defined, call-overload]
    return row, bytes(sealed)[40:72]


def test_nothing_of_an_erased_case_is_left_in_the_files_of_sqlite(sqlite_store: Store, tmp_path: Path) -> None:
    member = employ(sqlite_store)
    found = [sealed_case(sqlite_store, member, f"story {n} " * 50) for n in range(20)]

    def raw() -> bytes:
        return b"".join(file.read_bytes() for file in tmp_path.glob("tellonce.db*"))

    assert all(piece in raw() for _, piece in found)
    with sqlite_store.transaction() as db:
        for case, _ in found[::2]:
            assert retention.erase_case(db, case.id)
    retention.leave_no_trace(sqlite_store)
    left = raw()
    assert [piece in left for _, piece in found] == [n % 2 == 1 for n in range(20)]
    wal = tmp_path / "tellonce.db-wal"
    assert not wal.exists() or wal.stat().st_size == 0


def test_nothing_of_an_erased_case_is_left_in_the_tables_of_postgresql_after_a_full_vacuum(postgres_url: str, vault: Vault) -> None:
    store = Store(engine_for(postgres_url), vault)
    member = employ(store)
    found = [sealed_case(store, member, f"story {n} " * 50) for n in range(20)]

    def raw() -> bytes:
        with store.engine.connect() as db:
            db.execute(sa.text("CHECKPOINT"))
            folder = db.execute(sa.text("SHOW data_directory")).scalar_one()
            database = db.execute(sa.text("SELECT oid FROM pg_database WHERE datname = current_database()")).scalar_one()
        return b"".join(file.read_bytes() for file in Path(folder, "base", str(database)).iterdir() if file.is_file())

    assert all(piece in raw() for _, piece in found)
    with store.transaction() as db:
        for case, _ in found[::2]:
            assert retention.erase_case(db, case.id)
    retention.leave_no_trace(store, is_thorough=True)
    left = raw()
    assert [piece in left for _, piece in found] == [n % 2 == 1 for n in range(20)]
    store.engine.dispose()


def test_a_truncated_report_is_refused_in_words_and_can_still_be_erased(exchange: Exchange) -> None:
    exchange.reports()
    with exchange.store.transaction() as db:
        db.execute(sa.update(Report).values(sealed=exchange.rows(Report)[0].sealed[:70]))
    with pytest.raises(keys.WrongKey, match="does not open"):
        exchange.file()
    with exchange.store.transaction() as db:
        assert retention.erase_case(db, exchange.case().id)
