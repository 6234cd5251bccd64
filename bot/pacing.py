"""How fast a sender may send: each text gets the next moment its sender is free, in the transaction that claims it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from bot import clock
from bot.messages import Rate
from bot.models import Message, Sender
from bot.outgoing import Outgoing, put_off
from bot.store import Transaction
from flows.segments import segments

LOOK_AHEAD = timedelta(milliseconds=100)  # a text is taken this long before its sender is free, so that no moment goes unused
USED = 0.97  # of the rate we may send at: texts that are pushed together on the way still keep to it

_table: Any = Message.__table__  # type: ignore[attr-defined]
_message: Any = _table.c
_sender: Any = Sender.__table__.c  # type: ignore[attr-defined]


def paced(db: Transaction, outgoing: Outgoing, address: UUID, rate: Rate) -> Outgoing | None:
    """Reserve the sender's next moment for this text, in the transaction that claims it; None: it was put off."""
    sender = db.vault.index(rate.sender, "sender")
    now = clock.now()
    free_at = _free_at(db, sender)
    if free_at > now + LOOK_AHEAD:
        put_off(db, outgoing, waits_for=sender)
        return None
    moment = max(now, free_at, _next_to_one(db, address, rate))
    if moment > now + LOOK_AHEAD:
        put_off(db, outgoing, leased_until=moment - LOOK_AHEAD)
        return None
    if rate.per_second:
        weight = segments(outgoing.message.text)[1] if rate.counts == "segments" else 1
        busy = timedelta(seconds=weight / (rate.per_second * USED))
        db.execute(_RESERVE, {"sender": sender, "free_at": moment + busy})
    return replace(outgoing, not_before=moment) if moment > now else outgoing


def wait(db: Transaction, outgoing: Outgoing, rate: Rate, seconds: timedelta) -> None:
    """The vendor took nothing, as we were too fast: all texts of this sender wait, and this was no try."""
    sender = db.vault.index(rate.sender, "sender")
    db.execute(_RESERVE, {"sender": sender, "free_at": max(_free_at(db, sender), clock.now() + seconds)})
    put_off(db, outgoing, waits_for=sender)


def free_in(db: Transaction) -> float:
    """Seconds until a busy sender may be given its next text; a minute when none is busy."""
    free_at = db.execute(_NEXT_FREE, {"soon": clock.now() + LOOK_AHEAD}).scalar()
    return 60.0 if free_at is None else max(0.0, (free_at - LOOK_AHEAD - clock.now()).total_seconds())


def _free_at(db: Transaction, sender: bytes) -> datetime:
    """When the sender is free; its row is held until the commit, so that two workers never take the same moment."""
    free_at: datetime | None = db.execute(_FREE_AT, {"sender": sender}).scalar()
    if free_at is not None:
        return free_at
    try:
        with db.savepoint():
            db.insert(Sender(id=sender, free_at=clock.now()))
    except sa.exc.IntegrityError:  # another worker was quicker
        pass
    return db.execute(_FREE_AT, {"sender": sender}).scalar_one()  # type: ignore[no-any-return]


def _next_to_one(db: Transaction, address: UUID, rate: Rate) -> datetime:
    """When the next text may go to this address."""
    if not rate.per_second_to_one:
        return clock.now()
    last: datetime | None = db.execute(_LAST_TO, {"address": address}).scalar()
    return last + timedelta(seconds=1 / (rate.per_second_to_one * USED)) if last else clock.now()


# Built once (see store).
_soon: Any = sa.bindparam("soon", type_=_sender.free_at.type)
_NEXT_FREE = sa.select(sa.func.min(_sender.free_at, type_=_sender.free_at.type)).where(_sender.free_at > _soon)
_FREE_AT = sa.select(_sender.free_at).where(_sender.id == sa.bindparam("sender")).with_for_update()
_RESERVE = sa.update(Sender.__table__).where(_sender.id == sa.bindparam("sender"))  # type: ignore[attr-defined]
_LAST_TO = sa.select(sa.func.max(_message.done_at, type_=_message.done_at.type)).where(
    _message.address_id == sa.bindparam("address"),
    _message.direction == "out",
    _message.state.in_(("sent", "delivered", "read")),
)
