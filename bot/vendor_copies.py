"""The copies of texts that a vendor holds: deleted there by a job that tries again, once what they belong to is erased here."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from bot import clock, keys
from bot.messages import Channel, TransportError
from bot.models import Message, VendorCopy
from bot.privacy import Vault, what_failed
from bot.store import Store, Transaction, lease_is_free

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)
LONGEST_WAIT = timedelta(hours=1)  # between two tries
GIVE_UP_AFTER = timedelta(days=14)  # as long as a vendor may take to finalise a text, before which it deletes nothing
SHOWN_FOR = timedelta(days=90)  # how long `doctor` and the metrics tell that a copy was given up
AT_ONCE = 200  # copies in one tick

_message: Any = Message.__table__.c  # type: ignore[attr-defined]
_copy: Any = VendorCopy.__table__.c  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Taken:
    """A copy somebody is deleting: its channel and the vendor's handle of it."""

    id: UUID
    channel: str
    handle: str
    attempts: int


def handle_of(vault: Vault, channel: str, handle: str, message: UUID) -> bytes | None:
    """What is kept with a message so that its copy can be deleted one day; None where the vendor holds none."""
    return vault.hide({"channel": channel, "id": handle}, "message", "vendor_box", message) if handle else None


def want_deleted(db: Transaction, *which: Any) -> int:
    """Have the vendors' copies of these messages deleted, in the commit that erases them here. Returns how many."""
    found = db.execute(sa.select(_message.id, _message.vendor_box).where(*which, _message.vendor_box.is_not(None))).all()
    for row in found:
        try:
            handle = db.vault.reveal(row.vendor_box, "message", "vendor_box", row.id)
        except keys.WrongKey as error:
            log.error("the vendor's copy of message %s cannot be deleted: %s", row.id, error)
            continue
        copy = VendorCopy()
        copy.box = db.vault.hide(handle, "vendor_copy", "box", copy.id)
        db.insert(copy)
        db.execute(sa.update(Message).where(_message.id == row.id).values(vendor_box=None))
    return len(found)


def delete_due(store: Store, channels: Mapping[str, Channel]) -> int:
    """Delete at the vendors what is due. Returns how many copies are gone."""
    gone = 0
    for _ in range(AT_ONCE):
        with store.transaction() as db:
            taken = _claim(db)
        if taken is None:
            break
        error = _delete(channels, taken)
        with store.transaction() as db:
            _note(db, taken, error)
        gone += error is None
    return gone


def _claim(db: Transaction) -> Taken | None:
    now = clock.now()
    db.execute(sa.delete(VendorCopy).where(_copy.state == "given_up", _copy.made_at <= now - SHOWN_FOR))
    due = sa.select(_copy.id).where(_copy.state == "due", _copy.due_at <= now, lease_is_free(_copy.leased_until, now))
    while found := db.execute(due.order_by(_copy.due_at).limit(1).with_for_update(skip_locked=True)).scalar():
        taking = sa.update(VendorCopy).where(_copy.id == found).values(leased_until=now + LEASE, attempts=_copy.attempts + 1)
        row = db.execute(taking.returning(*_copy)).one()
        try:
            handle = db.vault.reveal(row.box, "vendor_copy", "box", row.id)
        except keys.WrongKey as error:  # it waits for the right service key
            log.error("vendor copy %s waits: %s", row.id, error)
            continue
        return Taken(row.id, handle["channel"], handle["id"], row.attempts)
    return None


def _delete(channels: Mapping[str, Channel], taken: Taken) -> TransportError | None:
    if taken.channel not in channels:
        return TransportError("later", "channel not set up")
    try:
        channels[taken.channel].delete(taken.handle)
    except TransportError as error:
        return error
    except Exception as error:  # broad, as a channel wraps a vendor's library; its own text may hold a number
        log.error("channel %s failed: %s", taken.channel, what_failed(error))
        return TransportError("later", "fault in the channel")
    return None


def _note(db: Transaction, taken: Taken, error: TransportError | None) -> None:
    if error is None:
        db.execute(sa.delete(VendorCopy).where(_copy.id == taken.id))
        return
    mine = sa.update(VendorCopy).where(_copy.id == taken.id)
    is_late = _copy.made_at <= clock.now() - GIVE_UP_AFTER
    if error.failure != "later":
        is_late = sa.true()
    wait = max(timedelta(seconds=error.retry_after or 0), min(timedelta(seconds=5 * 2 ** min(taken.attempts, 12)), LONGEST_WAIT))
    if db.execute(mine.where(is_late).values(state="given_up", box=None, leased_until=None)).rowcount:
        log.warning("vendor copy %s was given up after %d tries: %s", taken.id, taken.attempts, error)
        return
    db.execute(mine.values(due_at=clock.now() + wait, leased_until=None))


def given_up(db: Transaction) -> int:
    """How many copies stay at a vendor because it did not delete them."""
    return int(db.execute(sa.select(sa.func.count()).where(_copy.state == "given_up")).scalar_one())
