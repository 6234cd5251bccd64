"""Telegram without a webhook: asked for its updates, of which none is lost or doubled; who blocks us; wiping the chat."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr, ValidationError

from bot import app, clock, inbox, news, outbox, vendor_copies
from bot.channels.telegram import TelegramChannel, TelegramSettings, parse_standing, parse_update
from bot.channels.telegram_polling import LEASE, Poller
from bot.messages import Choice, NoRoom, OutgoingMessage, TransportError
from bot.models import Message, Polling, Reporter
from bot.settings import Settings
from bot.store import Store, Transaction
from bot.testing import FakeChannel
from tests.exchange import STORY, employ, open_exchange, rows
from tests.running import until
from tests.standins.telegram_api import TOKEN, TelegramApi

AMIRA = 5550001


@pytest.fixture
def telegram() -> Iterator[TelegramApi]:
    with TelegramApi() as opened:
        yield opened


@pytest.fixture
def staffed(store: Store) -> Store:
    """On both databases, as the place in the updates is a row."""
    employ(store)
    return store


def polled(telegram: TelegramApi) -> TelegramChannel:
    setup = TelegramSettings(token=SecretStr(TOKEN), updates="polling", api_url=telegram.url, chat_messages_per_second=0)
    return TelegramChannel(setup, timeout=5)


def take(db: Transaction, raw: Mapping[str, Any]) -> None:
    if standing := parse_standing(raw):
        news.record_standing(db, standing)
    elif incoming := parse_update(raw):
        inbox.accept(db, incoming)


@contextmanager
def polling(store: Store, telegram: TelegramApi, taking: Any = take) -> Iterator[Poller]:
    """A poller that runs, until the block ends."""
    channel, stopping = polled(telegram), threading.Event()
    poller = Poller(store, channel, taking)
    thread = threading.Thread(target=poller.run, args=(stopping,))
    thread.start()
    try:
        yield poller
    finally:
        stopping.set()
        thread.join()
        channel.close()


def texts(store: Store) -> list[str]:
    found = [m for m in rows(store, Message) if m.direction == "in"]
    return [store.vault.reveal(m.body, "message", "body", m.id)["text"] for m in found if m.body]


def test_what_was_written_while_nobody_asked_comes_in_order_and_once(staffed: Store, telegram: TelegramApi) -> None:
    for n in range(150):  # more than one answer holds
        telegram.write(AMIRA, f"text {n}")
    with polling(staffed, telegram):
        until(lambda: len(texts(staffed)) == 150, "not all texts came")
        telegram.write(AMIRA, "one more")
        until(lambda: len(texts(staffed)) == 151, "the last text did not come")
    assert texts(staffed) == [*(f"text {n}" for n in range(150)), "one more"]
    with polling(staffed, telegram):
        telegram.write(AMIRA, "after a restart")
        until(lambda: len(texts(staffed)) == 152, "nothing came after a restart")
    assert [p.leased_until for p in rows(staffed, Polling)] == [None]


def test_what_fails_in_the_middle_of_an_answer_is_asked_for_again_from_there(staffed: Store, telegram: TelegramApi) -> None:
    for n in range(5):
        telegram.write(AMIRA, f"text {n}")
    seen: list[int] = []

    def taking(db: Transaction, raw: Mapping[str, Any]) -> None:
        take(db, raw)
        seen.append(raw["update_id"])
        if len(seen) == 3:
            raise NoRoom("the disk is nearly full")

    channel = polled(telegram)
    poller = Poller(staffed, channel, taking)
    first = poller._lease()
    assert first == 0
    with pytest.raises(NoRoom):
        poller.ask(first)
    assert texts(staffed) == ["text 0", "text 1"]
    second = poller._lease()
    assert second == seen[2]
    assert poller.ask(second) == 3
    assert texts(staffed) == [f"text {n}" for n in range(5)]
    channel.close()


def test_of_two_processes_one_asks_and_the_other_takes_over_when_it_died(staffed: Store, telegram: TelegramApi) -> None:
    one, two = polled(telegram), polled(telegram)
    assert Poller(staffed, one, take)._lease() == 0
    assert Poller(staffed, two, take)._lease() is None
    with clock.frozen(clock.now() + LEASE):
        assert Poller(staffed, two, take)._lease() == 0
    for channel in (one, two):
        channel.close()


def test_another_program_that_asks_is_named_and_nothing_is_lost(
    staffed: Store, telegram: TelegramApi, caplog: pytest.LogCaptureFixture
) -> None:
    channel = polled(telegram)
    poller = Poller(staffed, channel, take)
    refused: list[TransportError] = []

    def ask() -> None:
        try:
            poller.ask(poller._lease() or 0)
        except TransportError as error:
            refused.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    until(lambda: telegram._asking is not None, "nobody asked")
    other = polled(telegram)
    until(lambda: other.updates(0, 0) == [] and refused, "the first was not ended")
    thread.join()
    assert (refused[0].failure, refused[0].code, refused[0].retry_after) == ("later", "409", 30.0)
    with caplog.at_level(logging.ERROR):
        poller._tell(refused[0])
        poller._tell(refused[0])
    assert [r.getMessage()[:50] for r in caplog.records] == ["telegram gives this bot's updates to another progr"]
    assert TOKEN not in caplog.text
    telegram.write(AMIRA, "hello")
    assert poller.ask(0) == 1 and texts(staffed) == ["hello"]
    for one in (channel, other):
        one.close()


def test_a_webhook_that_was_set_before_is_taken_back_and_what_waited_comes(staffed: Store, telegram: TelegramApi) -> None:
    channel = polled(telegram)
    channel._call(lambda bot: bot.set_webhook("http://127.0.0.1:9/telegram"))
    telegram.write(AMIRA, "hello")
    with polling(staffed, telegram):
        until(lambda: texts(staffed) == ["hello"], "the text did not come")
    channel.close()


def test_an_update_the_library_cannot_read_holds_up_nothing(staffed: Store, telegram: TelegramApi) -> None:
    telegram.post_update({"message": {"message_id": "odd", "chat": []}})
    telegram.write(AMIRA, "hello")
    with polling(staffed, telegram):
        until(lambda: texts(staffed) == ["hello"], "the text did not come")


def test_a_pressed_buttons_spinner_stops(staffed: Store, telegram: TelegramApi) -> None:

    telegram.write(AMIRA, "hello")
    with polling(staffed, telegram) as poller:
        until(lambda: texts(staffed) == ["hello"], "the text did not come")
        poller._channel.send(OutgoingMessage(str(AMIRA), "safe?", (Choice("1", "Yes"),)))
        telegram.press(AMIRA, "Yes")
        until(lambda: telegram.answered, "the spinner did not stop")
    assert texts(staffed) == ["hello", "1"]


def test_no_text_is_lost_or_doubled_when_work_is_killed(
    tmp_path: Path, telegram: TelegramApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data_dir=tmp_path / "var", nlu_url="")
    store = app.set_up_store(settings)
    employ(store)
    environment = {**os.environ, "TELLONCE_DATA_DIR": str(settings.data_dir), "TELLONCE_NLU_URL": "off"}
    environment |= {
        "TELLONCE_TELEGRAM_TOKEN": TOKEN,
        "TELLONCE_TELEGRAM_UPDATES": "polling",
        "TELLONCE_TELEGRAM_API_URL": telegram.url,
    }
    written = 0

    def kept() -> int:
        with store.reading() as db:
            counted = sa.select(sa.func.count()).where(Message.__table__.c.direction == "in")  # type: ignore[attr-defined]
            return int(db.execute(counted).scalar_one())

    for _ in range(2):
        goal = kept() + 5  # it is killed in the middle of what waits
        for _ in range(30):
            telegram.write(AMIRA, f"text {written}")
            written += 1
        work = subprocess.Popen([sys.executable, "-m", "bot", "work"], env=environment, stderr=subprocess.DEVNULL)
        try:
            end = time.monotonic() + 120
            while kept() < goal:
                assert time.monotonic() < end, "work stored nothing"
                time.sleep(0.01)
        finally:
            work.send_signal(signal.SIGKILL)
            work.wait()
        with store.transaction() as db:  # as a minute later
            db.execute(sa.update(Polling).values(leased_until=None))
    with polling(store, telegram):
        until(lambda: kept() == written, "a text was lost")
    assert kept() == written
    store.engine.dispose()


# Settings


def test_by_polling_no_secret_is_needed_and_no_webhook_answers() -> None:
    setup = TelegramSettings(token=SecretStr(TOKEN), updates="polling")
    channel = TelegramChannel(setup)
    assert channel.is_polled and not channel.knows_secret("")
    with pytest.raises(ValidationError):
        TelegramSettings.model_validate({"token": TOKEN, "updates": "webhook"})
    with pytest.raises(ValidationError):
        TelegramSettings.model_validate({"token": TOKEN, "updates": "sometimes"})


# Blocking


def test_who_blocks_the_bot_is_left_alone_and_who_unblocks_it_is_written_to_again(staffed: Store, telegram: TelegramApi) -> None:
    def state() -> str:
        return str(rows(staffed, Reporter)[0].state)

    with polling(staffed, telegram):
        telegram.write(AMIRA, "hello")
        until(lambda: texts(staffed), "the text did not come")
        telegram.block(AMIRA)
        until(lambda: state() == "opted_out", "the block was not heard")
        telegram.unblock(AMIRA)
        until(lambda: state() == "open", "the unblocking was not heard")
        with staffed.transaction() as db:
            db.execute(sa.update(Reporter).values(state="silent"))
        telegram.block(AMIRA)
        telegram.unblock(AMIRA)
        telegram.write(AMIRA, "hello again")
        until(lambda: len(texts(staffed)) == 2, "the text did not come")
        assert state() == "silent"  # their own wish outlives it


@pytest.mark.parametrize(("channel", "is_answered"), [("telegram", True), ("whatsapp", True), ("sms", False)])
def test_who_writes_after_blocking_us_is_answered_where_no_carrier_keeps_a_list(
    tmp_path: Path, channel: str, is_answered: bool
) -> None:

    with open_exchange(tmp_path, channel=FakeChannel(channel)) as exchange:
        caller = exchange.caller("7")
        assert caller.says(STORY)
        with exchange.store.transaction() as db:
            db.execute(sa.update(Reporter).values(state="opted_out"))
        assert bool(caller.says("It happened again")) == is_answered
        assert exchange.rows(Reporter)[0].state == ("open" if is_answered else "opted_out")


# Wiping


def test_a_word_wipes_the_chat_on_both_sides_and_asks_nothing_until_they_write(tmp_path: Path, telegram: TelegramApi) -> None:
    channel = polled(telegram)
    with open_exchange(tmp_path, channel=channel) as exchange:  # type: ignore[arg-type]
        store, here = exchange.store, {"telegram": channel}
        with polling(store, telegram):

            def says(text: str) -> list[str]:
                before = len(telegram.to(AMIRA))
                count = len(exchange.rows(Message))
                telegram.write(AMIRA, text)
                until(lambda: len(exchange.rows(Message)) > count, "the text did not come")
                exchange.telephone.answer()
                outbox.send_due(store, here)
                return telegram.to(AMIRA)[before:]

            assert says(STORY)
            assert says("1")
            [answer] = says("Wipe this chat")
            assert "last 48 hours" in answer and "?" not in answer
            assert len(telegram.messages) == 6
            assert vendor_copies.delete_due(store, here) == 5
            assert telegram.to(AMIRA) == [answer] and [m["from"]["is_bot"] for m in telegram.messages.values()] == [True]
            [again] = says("hello")
            assert "go on" in again
    channel.close()


def test_a_caseworker_sees_that_the_chat_was_wiped_and_the_bot_says_nothing(tmp_path: Path) -> None:
    with open_exchange(tmp_path) as exchange:
        caller = exchange.reports()
        exchange.claims()
        assert caller.says("delete this chat") == ""
        assert "chat_wiped" in [a["verb"] for a in exchange.file().actions]
        assert vendor_copies.delete_due(exchange.store, {"sms": exchange.channel}) > 10
