"""A text of ours on its way, and the ways it ends."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from bot import clock
from bot.messages import OutgoingMessage
from bot.models import Case, CaseMessage, Message
from bot.store import Transaction

_table: Any = Message.__table__  # type: ignore[attr-defined]
_message: Any = _table.c
_case: Any = Case.__table__.c  # type: ignore[attr-defined]
_line: Any = CaseMessage.__table__.c  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Outgoing:
    """A text a worker is handing over."""

    id: UUID
    reporter_id: UUID
    channel: str
    message: OutgoingMessage
    attempts: int
    made_at: datetime
    address_id: UUID | None = None
    author: str = "bot"
    not_before: datetime | None = None  # its sender is busy until then
    claimed_at: float = field(default_factory=time.monotonic)


def put_off(db: Transaction, outgoing: Outgoing, **changes: Any) -> None:
    """It was not tried: back into the line, and this does not count."""
    waiting = sa.update(_table).where(_message.id == outgoing.id, _message.state == "sending")
    db.execute(waiting.values(state="queued", attempts=_message.attempts - 1, **{"leased_until": None, **changes}))


def end(db: Transaction, message: UUID, state: str) -> None:
    """It goes no further; its words are erased."""
    ended = sa.update(Message).where(_message.id == message)
    db.execute(ended.values(state=state, body=None, leased_until=None, done_at=clock.now()))


def show_to_caseworkers(db: Transaction, message: UUID) -> None:
    """A reply of hers did not arrive: its case is unread again."""
    hers = sa.select(_line.case_id).where(_line.message_id == message, _line.author == "caseworker")
    db.execute(sa.update(Case).where(_case.id.in_(hers)).values(is_unread=True))
