"""Channels that take free text only for a while after the reporter's own: what comes later waits, and they are invited to write."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from bot import clock, vendor_copies
from bot.messages import TransportError, Windowed
from bot.models import Address, Case, Message, Reporter
from bot.outgoing import Outgoing, end, show_to_caseworkers
from bot.store import Store, Transaction, language_of, next_sequence

log = logging.getLogger(__name__)


# How long a text waits for them to write, where the channel takes free text only after their own.
HELD_FOR = {"caseworker": timedelta(days=14)}
BOTS_HELD_FOR = timedelta(days=3)
NEWS_FOR = timedelta(hours=1)  # the words of a text are kept this long after it went, where news may come that it did not

_table: Any = Message.__table__  # type: ignore[attr-defined]
_message: Any = _table.c
_address: Any = Address.__table__.c  # type: ignore[attr-defined]
_reporter: Any = Reporter.__table__.c  # type: ignore[attr-defined]
_case: Any = Case.__table__.c  # type: ignore[attr-defined]
_HELD = sa.select(_message.id).where(_message.direction == "out", _message.state.in_(("held", "invited")))


def may_write(store: Store, channel: Windowed, outgoing: Outgoing) -> bool:
    """Whether free text may go to its address now."""
    with store.reading() as db:
        return _is_open(db, channel, outgoing.address_id)


def _is_open(db: Transaction, channel: Windowed, address: UUID | None) -> bool:
    """Whether they wrote to this address within the channel's window, and the vendor has not said since that it is closed."""
    closed_at = db.execute(sa.select(_address.closed_at).where(_address.id == address)).scalar()
    theirs = sa.select(sa.func.max(_message.made_at, type_=_message.made_at.type))
    last: datetime | None = db.execute(theirs.where(_message.address_id == address, _message.direction == "in")).scalar()
    return last is not None and last > clock.now() - channel.window and (closed_at is None or last > closed_at)


def wait_for_them(store: Store, channel: Windowed, outgoing: Outgoing) -> None:
    """Keep a text until they write, and invite them once to do so, with a note that says nothing. Raises TransportError."""
    invitation = None
    with store.reading() as db:
        is_invited = db.execute(_invited(outgoing.address_id).limit(1)).scalar() is not None
        language = language_of(db, outgoing.reporter_id)
    if not is_invited:
        try:
            invitation = channel.invite(outgoing.message.address, language)
        except TransportError as error:
            if error.failure not in ("refused", "closed"):
                raise
            log.warning("message %s waits, and nobody could be invited to write: %s", outgoing.id, error)
    with store.transaction() as db:
        if invitation:
            _note_invitation(db, outgoing, invitation)
        waiting = sa.update(_table).where(_message.id == outgoing.id, _message.state == "sending")
        if _is_open(db, channel, outgoing.address_id):  # they wrote in this very moment
            db.execute(waiting.values(state="queued", leased_until=None))
            return
        state = "invited" if is_invited or invitation else "held"
        if db.execute(waiting.values(state=state, attempts=0, leased_until=None)).rowcount:
            show_to_caseworkers(db, outgoing.id)


def _note_invitation(db: Transaction, outgoing: Outgoing, external_id: str) -> None:
    row = Message(
        reporter_id=outgoing.reporter_id,
        address_id=outgoing.address_id,
        direction="out",
        author="invitation",
        sequence=next_sequence(db, outgoing.reporter_id),
        state="sent",
        external_id=db.vault.index(f"{outgoing.channel}\0{external_id}", "vendor id"),
        done_at=clock.now(),
    )
    row.vendor_box = vendor_copies.handle_of(db.vault, outgoing.channel, external_id, row.id)
    db.insert(row)


def release(db: Transaction, reporter: UUID) -> int:
    """They wrote: what waited for that goes out now, as if it had just been written. Returns how many."""
    waiting = sa.update(_table).where(_message.reporter_id == reporter, _message.state.in_(("held", "invited")))
    now = clock.now()
    return db.execute(waiting.values(state="queued", attempts=0, made_at=now, due_at=now, leased_until=None)).rowcount


def is_any_held(db: Transaction, reporter: UUID) -> bool:
    """Whether a text waits for this reporter to write."""
    return db.execute(_HELD.where(_message.reporter_id == reporter).limit(1)).scalar() is not None


def erase_late(db: Transaction) -> int:
    """Give up what waited too long for them to write; and forget the words of what went and of which no news came."""
    for author, age in (*HELD_FOR.items(), ("", BOTS_HELD_FOR)):
        whose = _message.author == author if author else _message.author.not_in(HELD_FOR)
        for message in db.execute(_HELD.where(whose, _message.made_at <= clock.now() - age)).scalars().all():
            end(db, message, "failed")
            show_to_caseworkers(db, message)
    silent = sa.update(_table).where(_message.direction == "out", _message.state == "sent", _message.body.is_not(None))
    return db.execute(silent.where(_message.done_at <= clock.now() - NEWS_FOR).values(body=None)).rowcount


def try_again_once_open(db: Transaction, message: UUID) -> None:
    """The vendor took a text and then found that their last word is too old: it waits, unless somebody took over meanwhile."""
    row = db.execute(sa.select(*_message).where(_message.id == message)).one()
    if row.address_id is not None:
        close(db, row.address_id, row.done_at)
    reporter = db.execute(sa.select(_reporter.state).where(_reporter.id == row.reporter_id)).scalar_one()
    claimed = sa.select(_case.id).where(_case.reporter_id == row.reporter_id, _case.state == "claimed").limit(1)
    is_taken_over = row.author != "caseworker" and db.execute(claimed).scalar() is not None
    if row.body is None or reporter != "open" or is_taken_over:
        end(db, message, "failed")
        show_to_caseworkers(db, message)
        if row.author == "invitation":
            withdraw_invitation(db, row.address_id)
        return
    waiting = sa.update(_table).where(_message.id == message)
    db.execute(waiting.values(state="queued", attempts=0, external_id=None, due_at=clock.now(), done_at=None))


def close(db: Transaction, address: UUID, at: datetime | None) -> None:
    """What they write after that opens it again."""
    db.execute(sa.update(Address).where(_address.id == address).values(closed_at=at or clock.now()))


def withdraw_invitation(db: Transaction, address: UUID | None) -> None:
    """The note did not arrive: what waits says so."""
    for message in db.execute(_invited(address)).scalars().all():
        db.execute(sa.update(_table).where(_message.id == message).values(state="held"))
        show_to_caseworkers(db, message)


def _invited(address: UUID | None) -> sa.Select[tuple[UUID]]:
    return sa.select(_message.id).where(_message.address_id == address, _message.direction == "out", _message.state == "invited")
