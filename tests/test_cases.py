"""Cases: the queue, claiming, answering, closing, and what the machine adds; on both databases where two meet."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from bot import case_files, case_queue, cases, clock, outbox, work_copies
from bot.case_queue import Wanted
from bot.cases import AlreadyClaimed, CannotReply, NotYours, Reply
from bot.models import Address, Case, CaseAction, Decision, Message, Perception, Reporter, Suggestion, WorkingCopy
from bot.staff import SignedIn
from bot.store import Store
from tests.exchange import STORY, VICTIM, WITNESS, Exchange, employ, open_exchange, rows


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[Exchange]:
    with open_exchange(tmp_path) as opened:
        yield opened


def opened(store: Store, desk: SignedIn, risk: int = 0) -> UUID:
    """A case in the desk's queue, without a conversation behind it."""
    with store.transaction() as db:
        reporter = Reporter(team_id=desk.team_id, profile=b"")
        reporter.profile = db.vault.hide({"channel": "sms", "language": "en"}, "reporter", "profile", reporter.id)
        db.insert(reporter)
        return cases.open_case(db, reporter, {"story": ["words"], "language": "pt", "perception": "why"}, risk=risk).id


def claim(store: Store, desk: SignedIn, case: UUID) -> None:
    with store.transaction() as db:
        cases.claim(db, desk, case)


# -- the queue -----------------------------------------------------------------------------------------------------------------


def test_the_queue_shows_highest_risk_first_then_oldest(store: Store) -> None:
    desk = employ(store)
    made = []
    with clock.frozen(clock.now()) as move:
        for risk in (0, cases.NOT_SAFE, 0, cases.EMERGENCY, cases.NOT_SAFE):
            made.append(opened(store, desk, risk))
            move(clock.now() + timedelta(minutes=1))
    with store.reading() as db:
        assert [r.id for r in case_queue.page(db, desk)] == [made[n] for n in (3, 1, 4, 0, 2)]
        assert [r.id for r in case_queue.page(db, desk, limit=2)] == [made[3], made[1]]
        assert case_queue.page(db, desk, Wanted(is_closed=True)) == []


def test_another_team_sees_and_touches_nothing(store: Store) -> None:
    desk, stranger = employ(store), employ(store, "another team")
    case = opened(store, desk)
    with store.transaction() as db:
        assert case_queue.page(db, stranger) == []
        for act in (case_files.open_file, case_files.news_mark, cases.claim, cases.close):
            with pytest.raises(NotYours):
                act(db, stranger, case)
        with pytest.raises(NotYours):
            cases.add_note(db, stranger, case, "note")
        with pytest.raises(NotYours):
            cases.reply(db, stranger, case, Reply("a", "en", "a", "en"))
        with pytest.raises(NotYours):
            cases.decide(db, stranger, case, ["race"], "why")
        with pytest.raises(NotYours):
            case_files.open_file(db, desk, uuid4())


def test_every_reading_is_written_down(exchange: Exchange) -> None:
    exchange.reports()
    exchange.file()
    actions = [(a.verb, a.caseworker_id) for a in exchange.rows(CaseAction)]
    assert actions == [("opened", None), ("read", exchange.desk.caseworker_id)]
    assert not exchange.case().is_unread


# -- claiming ------------------------------------------------------------------------------------------------------------------


def test_of_two_who_claim_at_once_exactly_one_wins(store: Store) -> None:
    desks = [employ(store) for _ in range(4)]
    for _ in range(3):
        case = opened(store, desks[0])
        start, outcomes = threading.Barrier(4), []

        def run(desk: SignedIn, case: UUID = case, start: threading.Barrier = start, outcomes: list[object] = outcomes) -> None:
            start.wait()
            try:
                claim(store, desk, case)
                outcomes.append(desk.caseworker_id)
            except AlreadyClaimed:
                outcomes.append(None)

        threads = [threading.Thread(target=run, args=(desk,)) for desk in desks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        winners = [o for o in outcomes if o]
        assert len(outcomes) == 4 and len(winners) == 1
        assert next(c for c in rows(store, Case) if c.id == case).claimed_by == winners[0]


def test_a_claim_takes_back_the_bots_queued_texts_in_its_own_commit(exchange: Exchange) -> None:
    caller = exchange.reports()
    caller.writes("one more thing")
    exchange.telephone.answer()
    exchange.claims()
    assert exchange.telephone.send() == 0
    assert exchange.rows(Message)[-1].state == "cancelled" and exchange.rows(Message)[-1].body is None


def test_only_who_holds_a_case_closes_it(exchange: Exchange) -> None:
    exchange.reports()
    other = employ(exchange.store)
    with exchange.store.transaction() as db, pytest.raises(AlreadyClaimed):
        cases.close(db, exchange.desk, exchange.case().id)
    case = exchange.claims()
    with exchange.store.transaction() as db, pytest.raises(AlreadyClaimed):
        cases.close(db, other, case)
    exchange.closes(case)
    assert exchange.case().state == "closed" and exchange.case().closed_at
    with exchange.store.transaction() as db, pytest.raises(AlreadyClaimed):
        cases.claim(db, exchange.desk, case)


# -- answering -----------------------------------------------------------------------------------------------------------------


def test_a_reply_reaches_the_phone_and_stands_in_the_chat_with_its_delivery(exchange: Exchange) -> None:
    caller = exchange.reports()
    case = exchange.claims()
    exchange.replies(case, "How are you today?")
    assert exchange.telephone.send() == 1 and caller.heard[-1] == "How are you today?"
    (line,) = exchange.file(case).chat
    assert (line.author, line.text, line.delivery) == ("caseworker", "How are you today?", "sent")


def test_a_reply_sent_twice_goes_once(exchange: Exchange) -> None:
    exchange.reports()
    case = exchange.claims()
    said = Reply("Hello", "en", "Olá", "pt", "argos")
    for _ in range(2):
        with exchange.store.transaction() as db:
            cases.reply(db, exchange.desk, case, said)
    assert exchange.telephone.send() == 1
    (line,) = exchange.file(case).chat
    assert line.other == {"text": "Olá", "language": "pt", "engine": "argos", "flags": []}


def test_who_has_not_claimed_a_case_cannot_reply(exchange: Exchange) -> None:
    exchange.reports()
    case = exchange.case().id
    with pytest.raises(CannotReply, match="Claim the case first"):
        exchange.replies(case, "hello")
    exchange.claims()
    with exchange.store.transaction() as db, pytest.raises(CannotReply, match="Claim the case first"):
        cases.reply(db, _colleague(exchange), case, Reply("a", "en", "a", "en"))
    exchange.closes(case)
    with pytest.raises(CannotReply, match="Claim the case first"):
        exchange.replies(case, "hello")


def _colleague(exchange: Exchange) -> SignedIn:
    return SignedIn(uuid4(), exchange.desk.team_id, "a colleague", exchange.desk.opener, exchange.desk.session)


@pytest.mark.parametrize(
    ("texts", "because"),
    [
        ((*VICTIM, "silence"), "asked for silence"),
        ((*VICTIM, "STOP"), "carrier stopped"),
        ((*VICTIM[:7], "2", "1"), "wants to write first"),
    ],
    ids=["silent", "opted out", "reporter first"],
)
def test_a_reporter_who_may_not_be_written_to_is_not(exchange: Exchange, texts: tuple[str, ...], because: str) -> None:
    exchange.reports(*texts)
    case = exchange.claims()
    assert because in exchange.file(case).can_reply
    with pytest.raises(CannotReply, match=because):
        exchange.replies(case, "hello")
    assert not [m for m in exchange.rows(Message) if m.author == "caseworker"]


def test_who_wants_to_write_first_can_be_answered_once_they_wrote(exchange: Exchange) -> None:
    caller = exchange.reports(*VICTIM[:7], "2", "1")
    case = exchange.claims()
    caller.says("Is anybody there?")
    exchange.replies(case, "Yes, we are here")
    exchange.telephone.send()
    assert caller.heard[-1] == "Yes, we are here"


def test_an_anonymous_reporter_whose_address_is_gone_cannot_be_written_to(exchange: Exchange) -> None:
    exchange.reports(*WITNESS)
    with exchange.store.transaction() as db:
        db.execute(sa.update(Address).values(forget_at=clock.now()))
        outbox.forget_addresses(db)
    case = exchange.claims()
    with pytest.raises(CannotReply, match="anonymous"):
        exchange.replies(case, "hello")


# -- notes and decisions -------------------------------------------------------------------------------------------------------


def test_a_decision_touches_neither_perception_nor_suggestion(exchange: Exchange) -> None:
    exchange.reports()
    case = exchange.case().id
    with exchange.store.transaction() as db:
        work = work_copies.claim(db)
        assert work is not None
        work_copies.finish(db, work, {}, {"state": "suggested", "motivations": [{"code": "religion"}]})
    before = [tuple(r) for table in (Perception, Suggestion) for r in exchange.rows(table)]
    with exchange.store.transaction() as db:
        cases.decide(db, exchange.desk, case, ["race"], "what she says later")
        cases.decide(db, exchange.desk, case, ["race", "religion"], "both")
        cases.add_note(db, exchange.desk, case, "call her back")
    assert before == [tuple(r) for table in (Perception, Suggestion) for r in exchange.rows(table)]
    file = exchange.file(case)
    assert [d["motivations"] for d in file.decisions] == [["race"], ["race", "religion"]] and len(exchange.rows(Decision)) == 2
    assert file.suggestion is not None and file.suggestion["motivations"] == [{"code": "religion"}]
    assert "call her back" in [a["text"] for a in file.actions]


def test_the_news_mark_changes_with_every_news_and_not_with_reading(exchange: Exchange) -> None:
    caller = exchange.reports()
    case = exchange.case().id

    def mark() -> str:
        with exchange.store.reading() as db:
            return case_files.news_mark(db, exchange.desk, case)

    marks = [mark()]
    exchange.file()
    assert mark() == marks[0]
    caller.says("one more thing")
    marks.append(mark())
    exchange.claims()
    marks.append(mark())
    exchange.replies(case, "hello")
    marks.append(mark())
    exchange.telephone.send()
    marks.append(mark())
    assert len(set(marks)) == 5


# -- working copies ------------------------------------------------------------------------------------------------------------


def test_a_working_copy_is_erased_when_translation_and_suggestion_are_there(store: Store) -> None:
    desk = employ(store)
    case = opened(store, desk)
    with store.transaction() as db:
        work = work_copies.claim(db)
        assert work is not None and work.texts == {"story": "words", "perception": "why"} and work_copies.claim(db) is None
        work_copies.finish(db, work, {"story": {"text": "translated"}}, None)
    assert len(rows(store, WorkingCopy)) == 1
    with clock.frozen(clock.now() + timedelta(seconds=6)), store.transaction() as db:
        again = work_copies.claim(db)
        assert again is not None and again.wanted == {"suggestion"}
        work_copies.finish(db, again, {}, {"state": "unclear"})
    assert rows(store, WorkingCopy) == []
    with store.transaction() as db:
        file = case_files.open_file(db, desk, case)
    assert (
        file.report_translation == {"story": {"text": "translated"}} and file.suggestion and file.suggestion["state"] == "unclear"
    )


def test_a_working_copy_lives_a_quarter_of_an_hour_done_or_not(store: Store) -> None:
    opened(store, employ(store))
    with clock.frozen(clock.now()) as move:
        for _ in range(9):
            with store.transaction() as db:
                work = work_copies.claim(db)
                assert work is not None
                work_copies.finish(db, work, None, None)
            move(clock.now() + timedelta(seconds=95))
        move(clock.now() + timedelta(minutes=1))
        with store.transaction() as db:
            assert work_copies.claim(db) is None
    assert rows(store, WorkingCopy) == []


def test_a_copy_whose_worker_died_is_taken_up_again(sqlite_store: Store) -> None:
    opened(sqlite_store, employ(sqlite_store))
    with clock.frozen(clock.now()) as move:
        with sqlite_store.transaction() as db:
            assert work_copies.claim(db) is not None and work_copies.claim(db) is None
        move(clock.now() + timedelta(seconds=91))
        with sqlite_store.transaction() as db:
            assert work_copies.claim(db) is not None


def test_a_report_is_never_edited(exchange: Exchange) -> None:
    caller = exchange.reports()
    before = exchange.file().report
    case = exchange.claims()
    caller.says("Not the bus, the tram")
    exchange.closes(case)
    assert exchange.file(case).report == before and before["story"] == [STORY]
