"""Tellonce as it runs, with only the vendors' sides standing in: real web server, real worker, real channels."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa
import uvicorn

from bot import app, chat
from bot.models import Message
from bot.settings import Settings
from bot.store import Store
from tests.conftest import Member, join
from tests.standins.telegram_api import SECRET, TOKEN, TelegramApi
from tests.standins.twilio_api import TwilioApi

PATIENCE = 20.0
T = TypeVar("T")
_message: Any = Message.__table__.c  # type: ignore[attr-defined]


@dataclass
class Running:
    """One installation: its address, its database, a caseworker, and both vendors."""

    url: str
    settings: Settings
    store: Store
    member: Member
    twilio: TwilioApi
    telegram: TelegramApi

    def records(self) -> list[dict[str, Any]]:
        return chat.records(self.store, self.member.signed_in.opener)

    def is_idle(self) -> bool:
        """Whether every text that came in was handled and every text that goes out has gone."""
        busy = sa.select(_message.id).where(_message.state.in_(("waiting", "queued", "sending")))
        with self.store.reading() as db:
            return db.execute(busy.limit(1)).scalar() is None

    def settle(self) -> None:
        until(self.is_idle, "a text was left waiting")

    def texts(self, number: str, text: str) -> list[str]:
        """Send an SMS, or a WhatsApp message from ``whatsapp:+44…``, and return what comes back."""
        heard = len(self.twilio.to(number))
        path = "whatsapp" if number.startswith("whatsapp:") else "sms"
        assert self.twilio.deliver(number, text, url=f"{self.url}/{path}").status == 200
        self.settle()
        return self.twilio.to(number)[heard:]

    def writes(self, person: int, text: str) -> list[str]:
        """Write on Telegram, pressing the button where ``text`` is the number of one, and return what comes back."""
        heard = len(self.telegram.to(person))
        labels = self.telegram.labels(person) if person in self.telegram.people else []
        if text.isdigit() and 0 < int(text) <= len(labels):
            assert self.telegram.press(person, labels[int(text) - 1]) == 200
        else:
            assert self.telegram.write(person, text) == 200
        self.settle()
        return self.telegram.to(person)[heard:]


def until(look: Callable[[], T], otherwise: str) -> T:
    """Look until something is there, for at most PATIENCE seconds."""
    end = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < end, otherwise
        time.sleep(0.02)
    return found


@contextmanager
def running(folder: Path, monkeypatch: pytest.MonkeyPatch, changes: Mapping[str, Any] | None = None) -> Iterator[Running]:
    """Start everything in threads of this process; understanding goes by numbers and keywords unless ``changes`` say otherwise."""
    with ExitStack() as stack:
        twilio = stack.enter_context(TwilioApi())
        telegram = stack.enter_context(TelegramApi())
        for name, value in twilio.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("TELLONCE_TELEGRAM_TOKEN", TOKEN)
        monkeypatch.setenv("TELLONCE_TELEGRAM_SECRET", SECRET)
        monkeypatch.setenv("TELLONCE_TELEGRAM_API_URL", telegram.url)
        monkeypatch.setenv("TELLONCE_TELEGRAM_CHAT_MESSAGES_PER_SECOND", "0")
        listening = socket.create_server(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        settings = Settings(data_dir=folder / "var", nlu_url="", secure_cookies=False, public_url=url)
        settings = settings.model_copy(update=dict(changes or {}))
        store = app.set_up_store(settings)
        stack.callback(store.engine.dispose)
        member = join(store, "caseworkers")
        stack.enter_context(_serving(settings, listening))
        app.register_webhooks(settings)
        stack.enter_context(_working(settings))
        yield Running(url, settings, store, member, twilio, telegram)


@contextmanager
def _serving(settings: Settings, listening: socket.socket) -> Iterator[None]:
    server = uvicorn.Server(uvicorn.Config(app.build_app(settings), log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@contextmanager
def _working(settings: Settings) -> Iterator[None]:
    worker = app.build_worker(settings)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join()
        worker.close()
