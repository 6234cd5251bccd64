"""The vendors' sides of a run: Twilio and Telegram with phones that keep what arrived, and the people who write."""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPException
from typing import Any, Literal, Protocol, get_args

from tests.standins import post
from tests.standins.telegram_api import SECRET, TOKEN, Person, TelegramApi, Webhook
from tests.standins.telegram_api import Trouble as TelegramTrouble
from tests.standins.twilio_api import SentMessage, TwilioApi, new_sid

NAME = "Pfauenauge"  # of everybody on Telegram: no file of ours may show it
AGAIN = 0.1  # how often a vendor posts a text once more
Callbacks = Literal["in_order", "out_of_order", "twice", "none"]


@dataclass(frozen=True)
class Arrived:
    """A text on a phone: ``Arrived("SM9f…", "Thank you…", 12:01)``; ``at`` by this machine's right clock."""

    vendor_id: str
    text: str
    at: datetime


class Carrier(TwilioApi):
    """Twilio, whose phones keep what arrives even when the account deletes it."""

    def __init__(self) -> None:
        super().__init__()
        self.phones: defaultdict[str, list[Arrived]] = defaultdict(list)

    def is_failing(self) -> bool:
        return bool(self._troubles)

    def _carry(self, message: SentMessage) -> None:
        self.phones[message.to].append(Arrived(message.sid, message.body, datetime.now(UTC)))
        super()._carry(message)


class Messenger(TelegramApi):
    """Telegram, in the same way."""

    def __init__(self) -> None:
        super().__init__()
        self.phones: defaultdict[str, list[Arrived]] = defaultdict(list)

    def _new_message(self, person: Person, sender: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
        message = super()._new_message(person, sender, content)
        if sender is self.bot:
            chat = str(person.user_id)
            self.phones[chat].append(Arrived(f"{chat}/{message['message_id']}", content["text"], datetime.now(UTC)))
        return message

    def is_failing(self) -> bool:
        return bool(self._troubles)

    def new_text(self, user_id: int, text: str) -> dict[str, Any]:
        """The update of a text somebody wrote, in the line of what is to be posted."""
        person = self.people[user_id]
        person.wrote_first = True
        message = self._new_message(person, person.user(), {"text": text})
        with self.lock:
            update = {"update_id": next(self._update_ids), "message": message}
            self._pending.append(update)
        return update

    def is_waiting(self, update: dict[str, Any]) -> bool:
        return any(one["update_id"] == update["update_id"] for one in list(self._pending))


@dataclass
class Town:
    """Both vendors, and where our `serve` processes can be reached."""

    carrier: Carrier
    messenger: Messenger
    urls: Callable[[], list[str]] = field(default=list)
    has_whatsapp: bool = False

    def environment(self) -> dict[str, str]:
        """The variables by which Tellonce takes these for the vendors; nobody is paced."""
        return {
            **self.carrier.environment(),
            "TELLONCE_TELEGRAM_TOKEN": TOKEN,
            "TELLONCE_TELEGRAM_SECRET": SECRET,
            "TELLONCE_TELEGRAM_API_URL": self.messenger.url,
            "TELLONCE_TELEGRAM_MESSAGES_PER_SECOND": "0",
            "TELLONCE_TELEGRAM_CHAT_MESSAGES_PER_SECOND": "0",
        }

    def phone(self, number: int, chance: random.Random) -> Phone:
        """A third of the people are on Telegram, and a third on WhatsApp if it is there."""
        if number % 3 == 2:
            return TelegramPhone(self, number, chance)
        return WhatsappPhone(self, number, chance) if number % 3 == 1 and self.has_whatsapp else SmsPhone(self, number, chance)

    def fail(self, chance: random.Random) -> None:
        """Each vendor fails a few times, in one of its ways; not more before that is over, or a text would wait for minutes."""
        carrier, messenger = self.carrier, self.messenger
        carrier.callbacks = chance.choice(get_args(Callbacks))
        trouble: Any = chance.choice(["busy", "unavailable", "drop", "drop_after_storing", "not_json"])
        if not carrier.is_failing():
            carrier.fail_next(trouble, chance.randrange(1, 4), retry_after=0.3)
        trouble = chance.choice([one for one in get_args(TelegramTrouble) if one != "hang"])
        if not messenger.is_failing():
            messenger.fail_next(trouble, 1, retry_after=1)


@contextmanager
def town() -> Iterator[Town]:
    with Carrier() as carrier, Messenger() as messenger:
        messenger.webhook = Webhook(secret=SECRET)
        yield Town(carrier, messenger)


class Phone(Protocol):
    """One reporter's phone."""

    channel: str
    address: str

    def arrived(self) -> list[Arrived]: ...

    def write(self, text: str, until: float) -> str:
        """Write until it is taken, as the vendor does, and return the vendor's id. Raises TimeoutError."""
        ...


class SmsPhone:
    channel = "sms"
    prefix = ""
    path = "/sms"

    def __init__(self, town: Town, number: int, chance: random.Random) -> None:
        self.address = f"{self.prefix}+4477{number:08d}"
        self._town, self._chance = town, chance

    def arrived(self) -> list[Arrived]:
        return list(self._town.carrier.phones[self.address])

    def write(self, text: str, until: float) -> str:
        """Post until it is taken; sometimes once more afterwards, sometimes to two processes at the same time."""
        sid = new_sid()
        if self._chance.random() < AGAIN:
            threading.Thread(target=self._post, args=(text, sid)).start()
        while not self._post(text, sid):
            if time.monotonic() > until:
                raise TimeoutError("nobody takes texts any more")
            time.sleep(0.2)
        if self._chance.random() < AGAIN:
            self._post(text, sid)
        return sid

    def _post(self, text: str, sid: str) -> bool:
        url = self._chance.choice(self._town.urls())
        try:
            return self._town.carrier.deliver(self.address, text, sid, url + self.path).status == 200
        except HTTPException:  # killed in the middle of its answer
            return False


class WhatsappPhone(SmsPhone):
    channel = "whatsapp"
    prefix = "whatsapp:"
    path = "/whatsapp"


class TelegramPhone:
    channel = "telegram"

    def __init__(self, town: Town, number: int, chance: random.Random) -> None:
        self.user_id = 7_990_000_000 + number
        self.address = str(self.user_id)
        self._town, self._chance = town, chance
        town.messenger.meet(self.user_id, NAME)

    def arrived(self) -> list[Arrived]:
        return list(self._town.messenger.phones[self.address])

    def write(self, text: str, until: float) -> str:
        """Telegram keeps what was not taken and posts it again, all in one line; now and then an update comes twice."""
        messenger = self._town.messenger
        update = messenger.new_text(self.user_id, text)
        while messenger.is_waiting(update):
            if time.monotonic() > until:
                raise TimeoutError("nobody takes updates any more")
            with contextlib.suppress(HTTPException):  # a process was killed in the middle of its answer
                messenger.post_pending()
            if messenger.is_waiting(update):  # Telegram knows one address; whatever stands there sends it on to one that lives
                messenger.webhook.url = f"{self._chance.choice(self._town.urls())}/telegram"
            time.sleep(0.05)
        if self._chance.random() < AGAIN:
            headers = {"Content-Type": "application/json", "X-Telegram-Bot-Api-Secret-Token": SECRET}
            with contextlib.suppress(HTTPException):
                post(f"{self._chance.choice(self._town.urls())}/telegram", json.dumps(update).encode(), headers)
        return str(update["update_id"])
