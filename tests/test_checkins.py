"""Check-ins: asked only with consent, at a decent hour, in neutral words, and heard."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa

from bot import case_queue, cases, checkins, clock
from bot.models import Case, CheckIn, FlowSession, Message, Reporter
from bot.settings import Settings
from bot.store import Store
from bot.testing import FakeTranslator
from bot.worker import Worker
from tests.exchange import VICTIM, WITNESS, Exchange, employ, open_exchange, rows
from translations import catalog

MONDAY = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
ASKED = "Hello. As agreed, we are asking: are you all right?"


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[Exchange]:
    with clock.frozen(MONDAY), open_exchange(tmp_path) as opened:
        yield opened


def worker(exchange: Exchange) -> Worker:
    telephone = exchange.telephone
    channels = {exchange.channel.name: exchange.channel}
    return Worker(exchange.store, telephone.conversation, channels, telephone.nlu, FakeTranslator(), Settings())


def tick(exchange: Exchange, at: datetime) -> str:
    """What the phone hears when the clock ticks at ``at``."""
    with clock.frozen(at):
        before = len(exchange.channel.sent)
        worker(exchange).ask_check_ins()
        exchange.telephone.send()
        return "\n".join(m.text for m in exchange.channel.sent[before:])


def due_at(exchange: Exchange) -> datetime:
    at: datetime = exchange.rows(CheckIn)[-1].due_at
    return at


# -- consent -------------------------------------------------------------------------------------------------------------------


def test_without_consent_no_check_in_is_promised(store: Store) -> None:
    desk = employ(store)
    with store.transaction() as db:
        reporter = Reporter(team_id=desk.team_id, profile=b"")
        db.insert(reporter)
        case = cases.open_case(db, reporter, None).id
        with pytest.raises(checkins.NoConsent):
            checkins.schedule(db, reporter.id, case, clock.now())
        checkins.give_consent(db, reporter.id, "check_in", "check_in.ask")
        checkins.give_consent(db, reporter.id, "contact", "contact.ask", is_given=False)
        assert checkins.schedule(db, reporter.id, case, clock.now())
    with store.transaction() as db:
        checkins.give_consent(db, reporter.id, "check_in", "check_in.ask", is_given=False)
        assert not checkins.has_consent(db, reporter.id, "check_in")


@pytest.mark.parametrize("texts", [WITNESS, (*VICTIM[:8], "2", "1"), (*VICTIM[:7], "2", "1")])
def test_who_did_not_agree_is_never_asked(exchange: Exchange, texts: tuple[str, ...]) -> None:
    exchange.reports(*texts)
    assert exchange.case() is not None and exchange.rows(CheckIn) == []


def test_who_becomes_anonymous_is_not_asked_what_was_promised_before(exchange: Exchange) -> None:
    caller = exchange.reports()
    caller.says("new")
    for text in WITNESS:
        caller.says(text)
    assert [c.state for c in exchange.rows(CheckIn)] == ["cancelled"]


def test_a_consent_withdrawn_in_between_is_respected(exchange: Exchange) -> None:
    exchange.reports()
    with exchange.store.transaction() as db, clock.frozen(MONDAY + timedelta(hours=1)):
        checkins.give_consent(db, exchange.case().reporter_id, "check_in", "check_in.ask", is_given=False)
    assert tick(exchange, due_at(exchange)) == "" and exchange.rows(CheckIn)[0].state == "cancelled"


# -- when ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "due"),
    [
        (datetime(2026, 3, 26, 23, 30, tzinfo=UTC), datetime(2026, 3, 29, 10, 0, tzinfo=UTC)),  # the clocks go forward that night
        (datetime(2026, 10, 22, 12, 0, tzinfo=UTC), datetime(2026, 10, 25, 11, 0, tzinfo=UTC)),  # and back
        (datetime(2026, 7, 1, 23, 30, tzinfo=UTC), datetime(2026, 7, 5, 10, 0, tzinfo=UTC)),  # already the 2nd in London
    ],
)
def test_the_hour_is_the_same_on_both_sides_of_a_clock_change(now: datetime, due: datetime) -> None:
    assert checkins.due_at(3, 11, "Europe/London", now) == due


def test_a_check_in_is_asked_at_its_hour_and_once(exchange: Exchange) -> None:
    exchange.reports()
    assert due_at(exchange) == datetime(2026, 5, 7, 10, 0, tzinfo=UTC)
    assert tick(exchange, due_at(exchange) - timedelta(seconds=1)) == ""
    heard = tick(exchange, due_at(exchange) + timedelta(seconds=5))
    assert heard.startswith(ASKED) and exchange.rows(Message)[-1].author == "check_in"
    assert tick(exchange, due_at(exchange) + timedelta(hours=1)) == ""


def test_its_words_say_nothing_of_a_report(exchange: Exchange) -> None:
    exchange.reports()
    heard = tick(exchange, due_at(exchange)).casefold()
    assert not any(word in heard for word in ("report", "hate", "hope house", "case", "police", "incident", "attack"))


def test_a_missed_hour_and_a_restart_are_made_up_for(exchange: Exchange) -> None:
    exchange.reports()
    exchange.store.engine.dispose()
    assert tick(exchange, due_at(exchange) + timedelta(hours=5)).startswith(ASKED)


def test_one_that_comes_too_late_waits_for_the_next_days_hour(exchange: Exchange) -> None:
    exchange.reports()
    assert tick(exchange, due_at(exchange) + timedelta(hours=22)) == ""
    assert due_at(exchange) == datetime(2026, 5, 8, 10, 0, tzinfo=UTC)
    assert tick(exchange, datetime(2026, 5, 8, 10, 0, tzinfo=UTC)).startswith(ASKED)


@pytest.mark.parametrize("hours", [10, 11.5, 15, 20])
def test_nobody_is_asked_at_night(exchange: Exchange, hours: float) -> None:
    exchange.reports()
    assert tick(exchange, datetime(2026, 5, 7, 10, 0, tzinfo=UTC) + timedelta(hours=hours)) == ""
    assert due_at(exchange) == datetime(2026, 5, 8, 10, 0, tzinfo=UTC)


def test_one_that_cannot_be_asked_does_not_keep_the_others_from_it(exchange: Exchange) -> None:
    exchange.reports(address="+1")
    exchange.reports(address="+2")
    first = exchange.rows(Case)[0].reporter_id
    with exchange.store.transaction() as db:
        db.execute(sa.update(Reporter).where(Reporter.__table__.c.id == first).values(profile=b"damaged"))  # type: ignore[attr-defined]
    tick(exchange, due_at(exchange))
    assert [m.address for m in exchange.channel.sent if m.text.startswith(ASKED)] == ["+2"]
    assert sorted(c.state for c in exchange.rows(CheckIn)) == ["asked", "due"]


def test_who_is_in_the_middle_of_a_report_is_asked_a_day_later(exchange: Exchange) -> None:
    caller = exchange.reports()
    caller.says("new")
    at = due_at(exchange)
    assert tick(exchange, at) == "" and due_at(exchange) == at + timedelta(days=1)


# -- what comes back -----------------------------------------------------------------------------------------------------------


def answer(exchange: Exchange, *texts: str) -> str:
    caller = exchange.caller()
    with clock.frozen(due_at(exchange) + timedelta(minutes=10)):
        return [caller.says(text) for text in texts][-1]


def test_i_am_safe_is_thanked_for_and_seen(exchange: Exchange) -> None:
    exchange.reports()
    tick(exchange, due_at(exchange))
    assert answer(exchange, "1") == catalog.render("checkin.thanks", "en")
    assert exchange.case().risk == 0 and "said_safe" in [a["verb"] for a in exchange.file().actions]
    assert exchange.rows(CheckIn)[0].state == "answered" and exchange.rows(FlowSession)[-1].is_over


def test_i_am_not_safe_reopens_a_closed_case_and_stands_first_in_the_queue(exchange: Exchange) -> None:
    exchange.reports()
    case = exchange.claims()
    exchange.closes(case)
    exchange.reports(*WITNESS, address="+2")
    tick(exchange, due_at(exchange))
    assert "999" in answer(exchange, "2")
    with exchange.store.reading() as db:
        first = case_queue.page(db, exchange.desk)[0]
    assert (first.id, first.state, first.risk, first.claimed_by) == (case, "open", cases.NOT_SAFE, None)


def test_do_not_ask_again_is_for_good(exchange: Exchange) -> None:
    exchange.reports()
    tick(exchange, due_at(exchange))
    assert answer(exchange, "3") == catalog.render("checkin.no_more", "en")
    with exchange.store.transaction() as db:
        assert not checkins.has_consent(db, exchange.case().reporter_id, "check_in")
        with pytest.raises(checkins.NoConsent):
            checkins.schedule(db, exchange.case().reporter_id, exchange.case().id, clock.now())


@pytest.mark.parametrize("number", ["1", "2", "3"])
def test_words_in_answer_to_a_check_in_reach_the_case(exchange: Exchange, number: str) -> None:
    exchange.reports()
    tick(exchange, due_at(exchange))
    answer(exchange, "He came to my door last night", number)
    assert [line.text for line in exchange.file().chat] == ["He came to my door last night", number]


def test_in_a_claimed_case_the_caseworker_is_told_and_the_bot_is_silent(exchange: Exchange) -> None:
    exchange.reports()
    case = exchange.claims()
    assert tick(exchange, due_at(exchange)) == ""
    assert "check_in_due" in [a["verb"] for a in exchange.file(case).actions]
    assert exchange.rows(CheckIn)[0].state == "passed_on"


def test_where_nothing_was_promised_nothing_is_due(store: Store) -> None:
    with store.transaction() as db:
        assert checkins.claim_due(db, 11, "Europe/London") is None and checkins.cancel(db, uuid4()) == 0
    assert rows(store, CheckIn) == []
