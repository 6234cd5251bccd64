"""The queue's lists: each whole and in order a page at a time, whatever happens meanwhile, and read from an index."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from bot import case_queue, cases, clock, inbox
from bot.case_queue import UNKNOWN, Place, QueueRow, Wanted
from bot.messages import IncomingMessage
from bot.models import Case, Message, Reporter
from bot.staff import SignedIn
from bot.store import Store, lock_reporter
from tests.exchange import employ

LISTS = {
    "all": Wanted(),
    "hers": Wanted(is_mine=True),
    "free": Wanted(is_free=True),
    "in danger": Wanted(least_risk=2),
    "Polish": Wanted(language="pl"),
    "Polish and free": Wanted(is_free=True, language="pl"),
    "not known": Wanted(language=UNKNOWN),
    "closed": Wanted(is_closed=True),
    "closed, hers": Wanted(is_closed=True, is_mine=True),
    "closed, Polish": Wanted(is_closed=True, language="pl"),
}


@pytest.fixture
def desk(store: Store) -> SignedIn:
    return employ(store)


def fill(store: Store, desk: SignedIn, number: int = 90) -> None:
    """Cases of every kind; many were opened in the same moment."""
    chance, now = random.Random(7), clock.now()
    other = employ(store)
    with store.transaction() as db:
        reporter = Reporter(team_id=desk.team_id, profile=b"")
        db.insert(reporter)
        for n in range(number):
            state = chance.choice(("open", "claimed", "closed"))
            row = Case(team_id=desk.team_id, reporter_id=reporter.id, reference=f"{n:08}", state=state)
            row.risk, row.opened_at = chance.randrange(4), now - timedelta(hours=chance.randrange(6))
            row.claimed_by = None if state == "open" else chance.choice((desk, other)).caseworker_id
            row.closed_at = row.opened_at + timedelta(hours=chance.randrange(3)) if state == "closed" else None
            row.language = cases.language_mark(db.vault, chance.choice(("pl", "ar", None)))
            db.insert(row)


def fits(wanted: Wanted, row: QueueRow) -> bool:
    """What a list holds, said a second time and more simply."""
    return (
        (row.state == "closed") == wanted.is_closed
        and (row.is_mine or not wanted.is_mine)
        and (row.state == "open" or not wanted.is_free)
        and row.risk >= wanted.least_risk
        and wanted.language in ("", row.language)
    )


def walk(store: Store, desk: SignedIn, wanted: Wanted, limit: int, between: Callable[[], Any] = lambda: None) -> list[QueueRow]:
    """Every page of a list, one after the other."""
    found: list[QueueRow] = []
    while True:
        with store.reading() as db:
            # A place travels in the page's address.
            page = case_queue.page(db, desk, wanted, Place.parse(str(Place.of(found[-1]))) if found else None, limit)
        found += page
        if len(page) < limit:
            return found
        between()


def test_every_case_of_a_list_is_shown_once_and_in_order(store: Store, desk: SignedIn) -> None:
    fill(store, desk)
    with store.reading() as db:
        both = [*case_queue.page(db, desk, limit=1000), *case_queue.page(db, desk, Wanted(is_closed=True), limit=1000)]
    assert len(both) == 90
    for name, wanted in LISTS.items():
        rows = walk(store, desk, wanted, limit=7)
        assert {row.id for row in rows} == {row.id for row in both if fits(wanted, row)}, name
        assert rows, name
        if wanted.is_closed:
            keys: list[Any] = [(-row.closed_at.timestamp(), -row.id.int) for row in rows if row.closed_at]
        else:
            keys = [(-row.risk, row.opened_at, row.id.int) for row in rows]
        assert keys == sorted(set(keys)), name


def test_what_comes_and_goes_meanwhile_moves_no_page(store: Store, desk: SignedIn) -> None:
    fill(store, desk)
    with store.reading() as db:
        waiting = case_queue.page(db, desk, limit=1000)
    first = iter(waiting)

    def between() -> None:
        with store.transaction() as db:
            gone = next(first).id
            db.execute(sa.update(Case).where(Case.__table__.c.id == gone).values(state="closed", closed_at=clock.now()))  # type: ignore[attr-defined]

    assert [row.id for row in walk(store, desk, Wanted(), 10, between)] == [row.id for row in waiting]


def test_a_case_gets_the_language_of_the_report_or_of_the_first_text_that_shows_it(store: Store, desk: SignedIn) -> None:
    with store.transaction() as db:
        message = inbox.accept(db, IncomingMessage("sms", "+447700900001", "Hej", "SM1"))
        whose = db.execute(sa.select(Message.__table__.c.reporter_id).where(Message.__table__.c.id == message)).scalar_one()  # type: ignore[attr-defined]
        reporter = lock_reporter(db, whose)
        opened = cases.open_case(db, reporter, None, kind="emergency", risk=3)
        assert [row.language for row in case_queue.page(db, desk)] == [UNKNOWN]
        for language in (None, "pl", "ar"):
            cases.add_reporter_message(db, cases.find(db, opened.id), "…", language=language, message=None)
        assert [row.language for row in case_queue.page(db, desk)] == ["pl"]
        cases.open_case(db, reporter, {"story": ["słowa"], "language": "uk"})
        assert [row.language for row in case_queue.page(db, desk)] == ["uk"]
        assert b"uk" not in cases.find(db, opened.id).language


@pytest.mark.parametrize("after", [None, Place(2, clock.now(), UUID(int=7))], ids=["start", "later"])
def test_no_list_is_sorted_or_read_through(sqlite_store: Store, after: Place | None) -> None:
    """Else a page costs as much as all the cases there are."""
    asked: list[tuple[str, Any]] = []
    desk = employ(sqlite_store)

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_rest: Any) -> None:
        asked.append((statement, values))

    with sqlite_store.reading() as db:
        sa.event.listen(sqlite_store.engine, "before_cursor_execute", note)
        for wanted in LISTS.values():
            case_queue.page(db, desk, wanted, after)
        sa.event.remove(sqlite_store.engine, "before_cursor_execute", note)
        assert len(asked) > len(LISTS)
        for statement, values in asked:
            plan = [row[3] for row in db.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)]
            assert plan[0].startswith("SEARCH case USING INDEX case_"), plan
            assert not [step for step in plan if "SCAN" in step or step == "USE TEMP B-TREE FOR ORDER BY"], plan
