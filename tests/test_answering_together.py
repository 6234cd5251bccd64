"""Texts of many reporters answered in one commit: each once, in its own order, and nobody's trouble is another's."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from bot import inbox
from bot.inbox import Claimed
from bot.models import FlowSession, Message, Reporter
from bot.store import Store, engine_for, touch_reporter
from bot.testing import FakeNlu, FakeTelephone
from tests.exchange import STORY, Exchange, employ, open_exchange, rows
from tests.running import until
from tests.test_worker import running, worker


class Quiet(FakeNlu):
    """Knows nothing, and says so at once: no text waits for it."""

    def would_ask(self, text: str, language: str | None = None) -> bool:
        return False


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[Exchange]:
    with open_exchange(tmp_path, Quiet()) as opened:
        yield opened


def claimed(store: Store) -> list[Claimed]:
    with store.transaction() as db:
        return inbox.claim(db, 50)


def test_many_reporters_are_answered_in_one_commit(exchange: Exchange) -> None:
    callers = [exchange.caller(f"+{n}") for n in range(20)]
    for caller in callers:
        caller.writes(STORY)
    commits: list[int] = []
    messages = claimed(exchange.store)
    sa.event.listen(exchange.store.engine, "commit", lambda connection: commits.append(1))
    assert exchange.telephone.conversation.handle_together(messages) == []
    written = sum(1 for _ in commits)
    assert len(messages) == 20 and written <= 2  # the reading, and the one that writes
    exchange.telephone.send()
    assert all(len(caller.heard) == 1 for caller in callers)


@pytest.mark.parametrize("text", ["stop", "help me now he has a knife", "4929 7136 2058 3941"])
def test_what_does_more_than_talk_is_left_to_be_handled_by_itself(exchange: Exchange, text: str) -> None:
    exchange.caller("+1").writes(STORY)
    exchange.caller("+2").writes(text)
    left = exchange.telephone.conversation.handle_together(claimed(exchange.store))
    assert [message.text for message in left] == [text]


def test_what_rasa_is_to_be_asked_is_left(tmp_path: Path) -> None:
    with open_exchange(tmp_path, FakeNlu()) as exchange:
        exchange.caller("+1").writes(STORY)
        messages = claimed(exchange.store)
        assert exchange.telephone.conversation.handle_together(messages) == messages


def test_what_failed_before_is_left(exchange: Exchange) -> None:
    exchange.caller("+1").writes(STORY)
    with exchange.store.transaction() as db:
        db.execute(sa.update(Message).values(attempts=1))
    messages = claimed(exchange.store)
    assert exchange.telephone.conversation.handle_together(messages) == messages


def test_a_conversation_that_moved_meanwhile_is_left_and_the_others_are_answered(exchange: Exchange) -> None:
    class Moving(Quiet):
        """Somebody changes the conversation of the first while it is looked at."""

        def would_ask(self, text: str, language: str | None = None) -> bool:
            if text == "Moves" + STORY:
                with exchange.store.transaction() as db:
                    [reporter] = {m.reporter_id for m in exchange.rows(Message) if m.id == moving}
                    touch_reporter(db, reporter)
            return False

    exchange.caller("+1").writes("Moves" + STORY)
    exchange.caller("+2").writes(STORY)
    messages = claimed(exchange.store)
    [moving] = [message.id for message in messages if message.text.startswith("Moves")]
    exchange.telephone.conversation._nlu = Moving()
    left = exchange.telephone.conversation.handle_together(messages)
    assert [message.id for message in left] == [moving]
    assert sorted(m.state for m in exchange.rows(Message) if m.direction == "in") == ["done", "waiting"]


def test_a_text_somebody_else_finished_meanwhile_is_not_answered_again(exchange: Exchange) -> None:
    caller = exchange.caller("+1")
    caller.writes(STORY)
    messages = claimed(exchange.store)
    with exchange.store.transaction() as db:
        inbox.finish(db, messages[0].id)
    assert exchange.telephone.conversation.handle_together(messages) == []
    exchange.telephone.send()
    assert caller.heard == []


def test_one_whose_conversation_cannot_be_read_keeps_no_other_from_an_answer(exchange: Exchange) -> None:
    broken, others = exchange.caller("+1"), [exchange.caller(f"+{n}") for n in range(2, 8)]
    broken.says(STORY)
    with exchange.store.transaction() as db:
        db.execute(sa.update(FlowSession).values(body=b"damaged"))
    broken.writes("1")
    for caller in others:
        caller.writes(STORY)
    with running(worker(exchange)):
        until(lambda: all(caller.heard for caller in others), "the others were not answered")
        until(lambda: exchange.rows(Message, Message.state == "handed_over"), "no person got the words")  # type: ignore[arg-type]
    assert exchange.case().kind == "fault"
    assert all(len(caller.heard) == 1 for caller in others)


def test_two_processes_over_one_postgresql_answer_each_text_once_and_in_order(postgres_url: str, vault: object) -> None:
    stores = [Store(engine_for(postgres_url), vault) for _ in range(2)]  # type: ignore[arg-type]
    employ(stores[0])
    telephones = [FakeTelephone(store, nlu=Quiet()) for store in stores]
    numbers = [f"+{n}" for n in range(30)]
    texts = [STORY, *(f"and then he did thing {n}" for n in range(4))]
    for text in texts:
        for number in numbers:
            telephones[0].accept(number, text)
    trouble: list[Exception] = []
    deadline = time.monotonic() + 60

    def work(telephone: FakeTelephone) -> None:
        try:
            while time.monotonic() < deadline:
                telephone.answer()
                with telephone.store.reading() as db:
                    if not inbox.waiting(db):
                        return
        except Exception as error:
            trouble.append(error)

    threads = [threading.Thread(target=work, args=(telephone,)) for telephone in telephones]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = rows(stores[0], Message)
    assert not trouble
    assert {message.state for message in found if message.direction == "in"} == {"done"}
    assert len(rows(stores[0], Reporter)) == 30
    assert len([message for message in found if message.direction == "out"]) == 30 * 5
    with stores[0].reading() as db:
        for session in db.execute(sa.select(FlowSession.__table__)):  # type: ignore[attr-defined]
            kept = db.vault.reveal(session.body, "flow_session", "body", session.id)
            assert kept["position"]["facts"]["story"] == texts
    for store in stores:
        store.engine.dispose()
