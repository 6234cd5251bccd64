"""Who can read a row: working text under the service key, confirmed text under a team's key; pseudonyms; what logs may say."""

from __future__ import annotations

import json
import logging
import os
import re
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import PurePath
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bot import clock, keys
from bot.key_files import DayKeys

BY_DAY = frozenset({"flow_session"})  # tables whose words become unreadable with the key of the day they were written
_UNDER_A_DAY = b"\0"  # no version of the service key


def place(table: str, column: str, row: UUID) -> str:
    """The one place a ciphertext opens at: ``"message.body.7f3c…"``."""
    return f"{table}.{column}.{row.hex}"


class Vault:
    """Working text and addresses, as JSON under the service key. Opens nothing that is sealed to a team."""

    def __init__(self, service_key: keys.ServiceKey, days: DayKeys | None = None) -> None:
        """``days`` None: unfinished conversations are under the service key alone, too."""
        self._key = service_key
        self.days = days

    def hide(self, value: Any, table: str, column: str, row: UUID) -> bytes:
        if self.days and table in BY_DAY:
            day, nonce = clock.now().date(), os.urandom(12)
            box = AESGCM(self.days.made_for(day)).encrypt(nonce, _dump(value), place(table, column, row).encode())
            return _UNDER_A_DAY + day.toordinal().to_bytes(4, "big") + nonce + box
        return self._key.encrypt(_dump(value), place(table, column, row))

    def reveal(self, box: bytes, table: str, column: str, row: UUID) -> Any:
        """Raises keys.WrongKey."""
        if self.days and box[:1] == _UNDER_A_DAY:
            where = place(table, column, row)
            try:
                day = date.fromordinal(int.from_bytes(box[1:5], "big"))
                return json.loads(AESGCM(self.days.of(day)).decrypt(box[5:17], box[17:], where.encode()))
            except (InvalidTag, ValueError, OverflowError):
                raise keys.WrongKey(f"{where}: does not open with the key of its day") from None
        return json.loads(self._key.decrypt(box, place(table, column, row)))

    @property
    def key_version(self) -> int:
        """The version of the service key that encrypts."""
        return self._key.version

    def index(self, value: str, purpose: str) -> bytes:
        return self._key.blind_index(value, purpose)

    def receipt_verifier(self, digits: str) -> bytes:
        return self._key.receipt_verifier(digits)


@dataclass(frozen=True)
class TeamSeal:
    """The public half of a team key in its present version: anyone may seal, only the team opens."""

    team_key: UUID
    public: bytes

    def seal(self, value: Any, table: str, row: UUID) -> bytes:
        return keys.seal(_dump(value), self.public, place(table, "sealed", row))


@dataclass(frozen=True)
class TeamOpener:
    """The private halves a signed-in caseworker holds, by team key."""

    private: Mapping[UUID, bytes]

    def open(self, sealed: bytes, team_key: UUID, table: str, row: UUID) -> Any:
        """Raises keys.WrongKey."""
        if team_key not in self.private:
            raise keys.WrongKey(f"{table} {row}: sealed to a team key this caseworker does not hold")
        return json.loads(keys.unseal(sealed, self.private[team_key], place(table, "sealed", row)))


_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))  # made once: json.dumps() makes one for each text


def _dump(value: Any) -> bytes:
    return _JSON.encode(value).encode("utf-8", "surrogatepass")


# -- pseudonyms ----------------------------------------------------------------------------------------------------------------

_FIRST = "Amber Birch Cedar Copper Coral Cotton Crystal Ember Fern Flint Hazel Heather Indigo Ivory Ivy Jade Juniper Linen".split()
_FIRST += "Maple Marble Moss Olive Opal Pearl Pine River Rowan Saffron Sage Silver Slate Velvet Willow Winter".split()
_SECOND = "Anchor Bell Bridge Candle Cloud Compass Door Feather Garden Harbour Island Key Kite Lamp Lantern Leaf Meadow".split()
_SECOND += "Mirror Moon Orchard Path Pebble Quill Ribbon Sail Shell Shore Star Stone Thread Tower Window Wing Wren".split()


def pseudonym(reporter: UUID) -> str:
    """A name that says nothing of the person: ``"Hazel Lantern 41"``; always the same for one reporter."""
    n = reporter.int
    return f"{_FIRST[n % len(_FIRST)]} {_SECOND[n // 101 % len(_SECOND)]} {n // 10007 % 90 + 10}"


# -- logs ----------------------------------------------------------------------------------------------------------------------

_LONG_DIGITS = re.compile(r"\+?\d[\d ()-]{6,}\d")


class IdsOnly(logging.Formatter):
    """Writes a record without any text of an exception and with every longer number masked."""

    def formatException(self, ei: Any) -> str:  # noqa: N802 - the name is logging's
        return what_failed(ei[1])

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        record.exc_text = None
        record.message = _LONG_DIGITS.sub("[number]", record.message)
        return super().formatMessage(record)


NO_ROOM = ("53100", "SQLITE_FULL")  # as PostgreSQL and SQLite call it


def what_failed(error: BaseException) -> str:
    """Where an exception came from, without its text, which may hold a reporter's words: ``KeyError at cases.py:41``."""
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(f"{PurePath(f.filename).name}:{f.lineno}" for f in reversed(frames[-3:]))
    said = getattr(error, "orig", None)  # what the database's own library raised
    code = getattr(said, "sqlstate", None) or getattr(said, "sqlite_errorname", None)
    why = " (the disk of the database is full: make room, and it goes on by itself)" if code in NO_ROOM else ""
    return f"{type(error).__name__}{why} at {where}"


def quiet_logs(level: int = logging.INFO) -> None:
    """Set up logging for a process of ours: ids only; libraries that log addresses or bodies are silenced."""
    handler = logging.StreamHandler()
    handler.setFormatter(IdsOnly("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in ("httpx", "httpcore", "telegram", "twilio", "apscheduler", "sqlalchemy", "uvicorn.access", "multipart"):
        logging.getLogger(name).setLevel(logging.WARNING)
        logging.getLogger(name).propagate = name in ("apscheduler",)
