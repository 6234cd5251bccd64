"""How fast we send: never over what a number may, hardly under it, and answers before check-ins."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

import pytest

from bot import clock, inbox, outbox
from bot.messages import IncomingMessage, OutgoingMessage, Rate, TransportError
from bot.models import Message
from bot.store import Store
from bot.testing import FakeChannel
from tests.exchange import employ, rows

NOW = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
_numbers = count(1)


class Line(FakeChannel):
    """A channel with a rate that notes when each text went out."""

    def __init__(self, rate: Rate, name: str = "sms") -> None:
        super().__init__(name)
        self.rate = rate
        self.times: list[datetime] = []

    def send(self, message: OutgoingMessage) -> str:
        sent = super().send(message)
        self.times.append(clock.now())
        return sent


@pytest.fixture
def both(store: Store) -> Store:
    employ(store)
    return store


def put(store: Store, text: str, author: str = "bot", to: UUID | None = None, channel: str = "sms") -> UUID:
    """A text to a new reporter, or to one who is there; returns the reporter."""
    with store.transaction() as db:
        if to is None:
            number = next(_numbers)
            inbox.accept(db, IncomingMessage(channel, f"+{number}", "hi", f"in {number}"))
            message = inbox.claim_next(db)
            assert message is not None
            inbox.finish(db, message.id)
            to = message.reporter_id
        outbox.put(db, to, text, author=author)
    return to


def play(store: Store, *lines: Line, seconds: float, step: float = 0.05) -> None:
    """Send as a worker would, looking every ``step`` seconds of a clock that stands still meanwhile."""
    with clock.frozen(clock.now()) as move:
        end = clock.now() + timedelta(seconds=seconds)
        while clock.now() < end:
            while outgoing := outbox.claim_next(store, {line.name: line for line in lines}):
                move(max(clock.now(), outgoing.not_before or clock.now()))
                outbox.deliver(store, {line.name: line for line in lines}, outgoing)
            move(clock.now() + timedelta(seconds=step))


def most_in(window: float, times: list[datetime]) -> int:
    return max(sum(start <= t < start + timedelta(seconds=window) for t in times) for start in times)


def test_a_number_sends_its_segments_a_second_and_no_more(both: Store) -> None:
    line = Line(Rate("number", 1.0, counts="segments"))
    for _ in range(9):
        put(both, "short")
        put(both, "long " * 50)  # two segments
    play(both, line, seconds=20)
    segments = sum(1 if m.text == "short" else 2 for m in line.sent)
    assert 19 <= segments <= 21
    assert most_in(1.0, line.times) == 1


def test_a_bot_sends_thirty_messages_a_second_and_one_to_each_chat(both: Store) -> None:
    line = Line(Rate("bot", 30.0, 1.0))
    chats = [put(both, "one") for _ in range(60)]
    for chat in chats[:2]:
        put(both, "two", to=chat)
    play(both, line, seconds=2, step=0.01)
    assert most_in(1.0, line.times) in (29, 30)
    assert len(line.sent) >= 57
    play(both, line, seconds=3)
    for text in ("one", "two"):
        assert [m.text for m in line.sent].count(text) == (60 if text == "one" else 2)
    last = {m.address: t for m, t in zip(line.sent, line.times, strict=True) if m.text == "two"}
    first = {m.address: t for m, t in zip(line.sent, line.times, strict=True) if m.text == "one"}
    assert all(last[address] - first[address] >= timedelta(seconds=1) for address in last)


def test_answers_go_before_check_ins(both: Store) -> None:
    line = Line(Rate("number", 1.0, counts="segments"))
    for _ in range(4):
        put(both, "are you all right", "check_in")
    play(both, line, seconds=1.5)
    put(both, "an answer")
    play(both, line, seconds=10)
    assert [m.text for m in line.sent].index("an answer") <= 3


def test_a_busy_number_holds_up_no_other_sender(both: Store) -> None:
    slow, fast = Line(Rate("number", 1.0)), Line(Rate("bot", 30.0), "telegram")
    for _ in range(5):
        put(both, "by phone")
    put(both, "by bot", channel="telegram")
    play(both, slow, fast, seconds=0.3)
    assert len(slow.sent) == 1 and len(fast.sent) == 1


def test_a_vendor_that_says_too_fast_is_left_in_peace_and_no_try_is_lost(both: Store) -> None:
    line = Line(Rate("number", 10.0))
    line.failures = [TransportError("later", "429", 5, is_too_fast=True) for _ in range(outbox.TRIES + 1)]
    for _ in range(3):
        put(both, "hello")
    play(both, line, seconds=4)
    assert len(line.failures) == outbox.TRIES  # one was told, and the others asked no more
    play(both, line, seconds=60)
    assert len(line.sent) == 3
    assert {m.state for m in rows(both, Message) if m.direction == "out"} == {"sent"}


def test_a_text_taken_back_while_it_waits_for_its_moment_is_not_sent(both: Store) -> None:
    line = Line(Rate("number", 10.0))
    to = [put(both, "hello") for _ in range(2)]
    with clock.frozen(clock.now()) as move:
        assert outbox.deliver(both, {"sms": line}, outbox.claim_next(both, {"sms": line}) or pytest.fail("nothing due"))
        move(clock.now() + timedelta(seconds=0.05))
        second = outbox.claim_next(both, {"sms": line}) or pytest.fail("nothing due")
        with both.transaction() as db:
            for reporter in to:
                outbox.cancel_queued(db, reporter)
        assert not outbox.deliver(both, {"sms": line}, second) and len(line.sent) == 1


def test_many_threads_together_keep_to_the_rate(both: Store) -> None:
    line = Line(Rate("number", 40.0))
    for _ in range(30):
        put(both, "hello")
    started = clock.now()

    def send() -> None:
        while (clock.now() - started) < timedelta(seconds=20) and len(line.sent) < 30:
            outbox.send_due(both, {"sms": line})

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(line.sent) == 30
    assert line.times[-1] - line.times[0] >= timedelta(seconds=29 / 40)
