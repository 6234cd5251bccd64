"""The worker, with its real threads."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from bot import clock, inbox
from bot.models import ConsoleSession, FlowSession, Message, SealedTranslation, Suggestion, WorkingCopy
from bot.settings import Settings
from bot.testing import FakeNlu, FakeTranslator
from bot.understanding import Understanding
from bot.worker import Translates, Worker
from tests.exchange import STORY, VICTIM, WITNESS, Exchange, open_exchange
from translations.machine import Translation


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[Exchange]:
    with open_exchange(tmp_path) as opened:
        yield opened


def worker(exchange: Exchange, translator: Translates | None = None) -> Worker:
    telephone = exchange.telephone
    channels = {exchange.channel.name: exchange.channel}
    return Worker(exchange.store, telephone.conversation, channels, telephone.nlu, translator or FakeTranslator(), Settings())


@contextmanager
def running(made: Worker) -> Iterator[None]:
    thread = threading.Thread(target=made.run)
    thread.start()
    try:
        yield
    finally:
        made.stop()
        thread.join(20)
        assert not thread.is_alive()


def until(done: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


# -- threads -------------------------------------------------------------------------------------------------------------------


def test_many_reporters_are_answered_at_once_and_each_in_order(exchange: Exchange) -> None:
    callers = [exchange.caller(f"+{n}") for n in range(6)]
    texts = [STORY, *(f"and then he did thing {n}" for n in range(4))]
    with running(worker(exchange)):
        for text in texts:
            for caller in callers:
                caller.writes(text)
        until(lambda: all(len(caller.heard) >= len(texts) for caller in callers))
    for caller in callers:
        assert caller.heard[0].startswith("In danger now?") and len(caller.heard) == len(texts)
        for answer in ["1", "1", "My headscarf", "Today", "Here", "1", "2", "1"]:
            caller.says(answer)
        assert exchange.file().report["story"] == texts


def test_what_a_dead_worker_held_is_taken_up_at_once_on_a_restart(exchange: Exchange) -> None:
    caller = exchange.caller()
    caller.writes(STORY)
    with exchange.store.transaction() as db:
        assert inbox.claim_next(db)
    with running(worker(exchange)):
        until(lambda: len(caller.heard) == 1)


def test_stop_ends_it_with_nothing_half_done(exchange: Exchange) -> None:
    for n in range(10):
        exchange.caller(f"+{n}").writes(STORY)
    with running(worker(exchange)):
        until(lambda: bool(exchange.channel.sent))
    for message in exchange.rows(Message):
        if message.direction == "in":
            assert message.state == "done" or message.leased_until is None


def test_a_database_that_is_locked_for_a_while_loses_nothing(exchange: Exchange) -> None:
    caller = exchange.caller()
    caller.writes(STORY)
    with running(worker(exchange)):
        with exchange.store.transaction():
            caller_saw = len(caller.heard)
            time.sleep(0.3)
        until(lambda: len(caller.heard) > caller_saw or len(caller.heard) == 1)
    assert len(caller.heard) == 1


# -- translating and classifying -----------------------------------------------------------------------------------------------


def test_reports_and_later_texts_are_translated_and_classified_and_the_copies_erased(tmp_path: Path) -> None:
    story = "Um homem no ônibus gritou para eu voltar para a minha terra e me empurrou com força"
    bias = {"state": "suggested", "motivations": [{"code": "race", "confidence": 0.8, "evidence": []}]}
    nlu = FakeNlu({story: Understanding("report", 0.9, frozenset(), bias)})
    with open_exchange(tmp_path, nlu) as exchange:
        caller = exchange.reports(story, *VICTIM[1:])
        caller.says("Ele voltou ontem à noite e bateu na porta")
        assert worker(exchange).process_copies() == 2
        file = exchange.file()
        assert file.report_translation["story"]["text"] == f"[en] {story}" and file.suggestion is not None
        assert {k: file.suggestion[k] for k in bias} == bias
        assert file.chat[0].other is not None and file.chat[0].other["text"].startswith("[en] Ele voltou")
        assert exchange.rows(WorkingCopy) == [] and worker(exchange).process_copies() == 0


def test_an_english_report_is_not_translated_into_english(exchange: Exchange) -> None:
    exchange.reports(*WITNESS)
    worker(exchange).process_copies()
    assert exchange.rows(SealedTranslation) == []


class Down:
    """A translation process that does not answer."""

    def translate(self, text: str, source: str, target: str) -> Translation:
        return Translation(None, "none", (), ("interpreter_needed", "engine_down"), "")


def test_while_an_engine_is_down_it_is_tried_again_and_after_a_quarter_of_an_hour_given_up(exchange: Exchange) -> None:
    with clock.frozen(clock.now()) as move:
        exchange.reports("Um homem no ônibus gritou para eu voltar para a minha terra e me empurrou", *VICTIM[1:])
        down, up = worker(exchange, Down()), worker(exchange)
        assert down.process_copies() == 1 and exchange.rows(SealedTranslation) == exchange.rows(Suggestion) == []
        assert down.process_copies() == 0
        move(clock.now() + timedelta(seconds=6))
        assert up.process_copies() == 1 and len(exchange.rows(SealedTranslation)) == 1
        move(clock.now() + timedelta(minutes=16))
        assert up.process_copies() == 0 and exchange.rows(WorkingCopy) == []


def test_a_language_without_a_route_is_marked_for_an_interpreter(tmp_path: Path) -> None:
    with open_exchange(tmp_path) as exchange:
        exchange.reports("Um homem no ônibus gritou para eu voltar para a minha terra e me empurrou", *VICTIM[1:])
        worker(exchange, FakeTranslator(without=["pt"])).process_copies()
        assert exchange.file().report_translation["story"] == {
            "text": None, "engine": "none", "route": [], "flags": ["interpreter_needed"], "model": "",
        }  # fmt: skip


# -- the clock -----------------------------------------------------------------------------------------------------------------


def test_what_is_over_is_erased(exchange: Exchange) -> None:
    exchange.reports(STORY)
    with clock.frozen(clock.now() + timedelta(days=31)):
        assert worker(exchange).erase_expired() == 1
    assert [s.body for s in exchange.rows(FlowSession)] == [None] and exchange.rows(ConsoleSession) == []


def test_a_tick_that_fails_is_logged_by_its_place_alone(exchange: Exchange, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def translate(self, text: str, source: str, target: str) -> Translation:
            raise ValueError(text)

    exchange.reports("Zitronenfalter, um homem no ônibus gritou para eu voltar para a minha terra", *VICTIM[1:])
    made = worker(exchange, Broken())
    with caplog.at_level(logging.DEBUG, "bot"):
        made._tick("translate and classify", made.process_copies)
    assert "could not translate and classify: ValueError at" in caplog.text and "Zitronenfalter" not in caplog.text
