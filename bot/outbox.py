"""What we send: written in the same commit as its reason, handed to the vendor afterwards, in order, and then erased."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from bot import clock, keys, pacing, vendor_copies, windows
from bot.messages import Channel, Choice, OutgoingMessage, Rate, TransportError, Windowed
from bot.models import Address, Case, CaseMessage, CheckIn, EarlyNews, Message, Reporter, Sender, new_id
from bot.outgoing import Outgoing, end, show_to_caseworkers
from bot.privacy import what_failed
from bot.store import Store, Transaction, lease_is_free, next_sequence, touch_reporter

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)
TRIES = 8  # at least
# How long a text is tried again while the vendor is out of reach, by who wrote it: a question that comes a day late confuses.
PATIENCE = {"caseworker": timedelta(hours=24)}
BOTS_PATIENCE = timedelta(hours=6)
LONGEST_WAIT = 300  # seconds between two tries


UNSENT = ("queued", "sending", "held", "invited")


FRESH = 1.0  # seconds after its claim within which a text is handed over without another look
AT_ONCE = 100  # texts put behind a busy sender in one transaction
CLOCKS_DIFFER = timedelta(seconds=30)  # between the vendor's and ours


_table: Any = Message.__table__  # type: ignore[attr-defined]
_message: Any = _table.c
_address: Any = Address.__table__.c  # type: ignore[attr-defined]
_reporter: Any = Reporter.__table__.c  # type: ignore[attr-defined]
_check_in: Any = CheckIn.__table__.c  # type: ignore[attr-defined]
_case: Any = Case.__table__.c  # type: ignore[attr-defined]
_line: Any = CaseMessage.__table__.c  # type: ignore[attr-defined]
_early: Any = EarlyNews.__table__.c  # type: ignore[attr-defined]
_sender: Any = Sender.__table__.c  # type: ignore[attr-defined]


def put(
    db: Transaction,
    reporter: UUID,
    text: str,
    *,
    author: str,
    address: UUID | None = None,
    choices: Sequence[Choice] = (),
    place: datetime | None = None,
) -> UUID | None:
    """Queue a text for a reporter; to ``address``, else to where they wrote last. None when there is nowhere to send it.

    ``place``: the place of the text it answers among all texts, so that answers to a flood come after everybody else's.
    """
    to = address or _last_address(db, reporter)
    if to is None:
        return None
    message = new_id()
    body = {"text": text, "choices": [[c.number, c.label] for c in choices]}
    row = {
        "id": message,
        "reporter_id": reporter,
        "address_id": to,
        "direction": "out",
        "author": author,
        "sequence": next_sequence(db, reporter),
        "state": "queued",
        "due_at": max(clock.now(), place) if place else clock.now(),
        "body": db.vault.hide(body, "message", "body", message),
    }
    db.write(_NEW, row)
    return message


def _last_address(db: Transaction, reporter: UUID) -> UUID | None:
    last = sa.select(_message.address_id).where(_message.reporter_id == reporter, _message.direction == "in")
    found: UUID | None = db.execute(
        last.where(_message.address_id.is_not(None)).order_by(_message.sequence.desc()).limit(1)
    ).scalar()
    return found


def cancel_queued(db: Transaction, reporter: UUID, authors: Sequence[str] = ("bot", "check_in", "emergency", "caseworker")) -> int:
    """Take back what has not gone out yet; its words are erased. Returns how many.

    A text that is being handed over at this moment may still arrive, but a failed hand-over is not tried again.
    """
    waiting = sa.update(Message).where(_message.reporter_id == reporter, _message.direction == "out", _message.author.in_(authors))
    unsent = waiting.where(_message.state.in_(UNSENT))
    return db.execute(unsent.values(state="cancelled", body=None, leased_until=None, done_at=clock.now())).rowcount


def send_due(store: Store, channels: Mapping[str, Channel]) -> int:
    """Hand over every text that is due, one after the other. Returns how many went out."""
    sent = 0
    while outgoing := claim_next(store, channels):
        sent += deliver(store, channels, outgoing)
    return sent


def deliver(store: Store, channels: Mapping[str, Channel], outgoing: Outgoing) -> bool:
    """Hand over a claimed text when its moment comes, and note what became of it. True: it went out."""
    if not _is_still_wanted(store, outgoing):
        return False
    channel = channels.get(outgoing.channel)
    try:
        if isinstance(channel, Windowed) and not windows.may_write(store, channel, outgoing):
            windows.wait_for_them(store, channel, outgoing)
            return False
        external_id = _hand_over(store, channels, outgoing)
    except TransportError as error:
        with store.transaction() as db:
            _record_failure(db, outgoing, error, channel.rate if channel else Rate())
        return False
    with store.transaction() as db:
        _record_sent(db, outgoing, external_id, keeps_words=isinstance(channel, Windowed))
    return True


def _is_still_wanted(store: Store, outgoing: Outgoing) -> bool:
    """Wait for its moment; somebody may have taken it back meanwhile, or taken it up while this machine stood still."""
    if outgoing.not_before is None and time.monotonic() - outgoing.claimed_at < FRESH:
        return True
    if outgoing.not_before is not None:
        time.sleep(max(0.0, (outgoing.not_before - clock.now()).total_seconds()))
    with store.reading() as db:
        return db.execute(_WANTED, {"taken": outgoing.id, "try": outgoing.attempts}).scalar() is not None


def _hand_over(store: Store, channels: Mapping[str, Channel], outgoing: Outgoing) -> str:
    """Give one text to its channel; one that breaks, or is not set up any more, must not hold up the other texts."""
    if outgoing.channel not in channels:
        raise TransportError("later", "channel not set up")
    channel = channels[outgoing.channel]
    try:
        return _found_after_a_lost_answer(store, channel, outgoing) or channel.send(outgoing.message)
    except TransportError:
        raise
    except Exception as error:  # broad, as a channel wraps a vendor's library; its own text may hold words or a number
        log.error("channel %s failed: %s", outgoing.channel, what_failed(error))
    raise TransportError("later", "fault in the channel")


def _found_after_a_lost_answer(store: Store, channel: Channel, outgoing: Outgoing) -> str | None:
    """An earlier try may have reached the vendor although we never heard so: what it has and we do not know of is this text.

    Texts to one reporter go in order, so this one stands at the vendor behind every text we know of: what is older is a second
    copy of an earlier text, or one that was taken back on its way, even where its words are the same. That holds whatever our own
    clock says; only how long ago this text was made is asked of it.
    """
    if outgoing.attempts == 1:
        return None
    age = max(clock.now() - outgoing.made_at, timedelta(0))
    for found in channel.find_sent(outgoing.message, age + CLOCKS_DIFFER):
        with store.reading() as db:
            found_by = db.vault.index(f"{outgoing.channel}\0{found.external_id}", "vendor id")
            if db.one(sa.select(_message.id).where(_message.external_id == found_by)):
                return None
        if found.is_this:
            return found.external_id
    return None


def claim_next(store: Store, channels: Mapping[str, Channel]) -> Outgoing | None:
    """Take the first text whose sender is free, or will be in a moment: what was left behind, then answers, then check-ins."""
    while True:
        with store.reading() as db:  # a cheap look without the write lock
            due = db.execute(_ANY_DUE, _moments()).one()
            if due == (None, None):
                return None
        in_turn = _IN_TURN if due.left else _IN_TURN[1:]
        with store.transaction() as db:
            for _ in range(AT_ONCE):
                now = _moments()
                found = next((found for which in in_turn if (found := db.execute(which, now).scalar())), None)
                if found is None:
                    return None
                if outgoing := _taken(db, found, channels):
                    return outgoing


def _moments() -> dict[str, datetime]:
    return {"now": clock.now(), "soon": clock.now() + pacing.LOOK_AHEAD}


def _taken(db: Transaction, message: UUID, channels: Mapping[str, Channel]) -> Outgoing | None:
    """The text, claimed for its moment; None when it must wait longer, or can never go."""
    row = db.execute(_TAKE, {"taken": message, "leased_until": clock.now() + LEASE}).one()
    try:
        outgoing = _opened(db, row)
    except keys.WrongKey as error:  # it waits for the right service key, and the others do not wait for it
        log.error("message %s cannot be sent: %s", message, error)
        return None
    if outgoing is None:
        end(db, message, "failed")
        return None
    channel = channels.get(outgoing.channel)
    if channel is None or not channel.rate.sender:
        return outgoing
    return pacing.paced(db, outgoing, row.address_id, channel.rate)


def _opened(db: Transaction, row: Any) -> Outgoing | None:
    """A text with its address; None when it can never go: the address was forgotten, or every try ended in a dead worker."""
    box = db.execute(_BOX, {"of": row.address_id}).scalar()
    if box is None or (row.attempts > TRIES and clock.now() > row.made_at + _patience(row.author) + LEASE):
        return None
    where = db.vault.reveal(box, "address", "box", row.address_id)
    body = db.vault.reveal(row.body, "message", "body", row.id)
    message = OutgoingMessage(where["address"], body["text"], [Choice(n, label) for n, label in body["choices"]])
    return Outgoing(
        row.id, row.reporter_id, where["channel"], message, row.attempts, row.made_at, address_id=row.address_id, author=row.author
    )


def _record_sent(db: Transaction, outgoing: Outgoing, external_id: str, *, keeps_words: bool = False) -> None:
    """The vendor has it: our copy of the words is erased (``keeps_words``: once news came), its id kept as a keyed hash."""
    # Taken back while it was on its way: it went out all the same, and we say so.
    found_by = db.vault.index(f"{outgoing.channel}\0{external_id}", "vendor id")
    noted = _SENT_WITH_WORDS if keeps_words else _SENT
    handle = vendor_copies.handle_of(db.vault, outgoing.channel, external_id, outgoing.id)
    db.execute(noted, {"gone": outgoing.id, "external_id": found_by, "vendor_box": handle, "done_at": clock.now()})


def _record_failure(db: Transaction, outgoing: Outgoing, error: TransportError, rate: Rate) -> None:
    log.warning("message %s was not sent: %s", outgoing.id, error)
    wait = timedelta(seconds=error.retry_after or min(2 ** min(outgoing.attempts, 10), LONGEST_WAIT))
    if error.failure == "stopped":
        opt_out(db, outgoing.reporter_id)  # the reporter's row first, as everybody does
        end(db, outgoing.id, "stopped")
    elif error.is_too_fast and rate.sender:
        pacing.wait(db, outgoing, rate, wait)
    elif error.failure == "refused" or _is_late(outgoing):
        end(db, outgoing.id, "failed")
        show_to_caseworkers(db, outgoing.id)
    else:
        if error.failure == "closed" and outgoing.address_id:
            windows.close(db, outgoing.address_id, clock.now())
            wait = timedelta(0)
        # Only while it is still ours: after a long pause of this machine another worker may have taken it up.
        mine = _message.attempts == outgoing.attempts
        again = sa.update(Message).where(_message.id == outgoing.id, _message.state == "sending", mine)
        db.execute(again.values(state="queued", due_at=clock.now() + wait, leased_until=None))


def _is_late(outgoing: Outgoing) -> bool:
    return outgoing.attempts >= TRIES and clock.now() >= outgoing.made_at + _patience(outgoing.author)


def _patience(author: str) -> timedelta:
    return PATIENCE.get(author, BOTS_PATIENCE)


def opt_out(db: Transaction, reporter: UUID) -> None:
    """The carrier says the person wants nothing more: cancel everything, check-ins included, and let the caseworkers see it."""
    touch_reporter(db, reporter, state="opted_out")
    cancel_queued(db, reporter)
    waiting = sa.update(CheckIn).where(_check_in.reporter_id == reporter, _check_in.state == "due")
    db.execute(waiting.values(state="cancelled"))


# -- forgetting ----------------------------------------------------------------------------------------------------------------


def forget_addresses(db: Transaction) -> int:
    """Erase the addresses of reporters who stay anonymous: once the last text was delivered, or when their time is over."""
    pending = sa.exists().where(
        _message.address_id == _address.id,
        _message.direction == "out",
        _message.state.in_(("queued", "sending", "sent")),
    )
    # SMS tells us of delivery; where a channel does not, "sent" holds until forget_at.
    ready = sa.select(_address.id).where(_address.forget_at.is_not(None), sa.or_(~pending, _address.forget_at <= clock.now()))
    forgotten = list(db.execute(ready).scalars())
    for address in forgotten:
        theirs = _message.address_id == address
        unsent = sa.update(Message).where(theirs, _message.direction == "out", _message.state.in_(UNSENT))
        db.execute(unsent.values(state="failed", body=None, done_at=clock.now()))
        vendor_copies.want_deleted(db, theirs)
        db.execute(sa.update(Message).where(theirs).values(external_id=None, address_id=None))
        db.execute(sa.delete(Address).where(_address.id == address))
    return len(forgotten)


# -- the statements every text takes, built once (see store) -------------------------------------------------------------------

_NEW = sa.insert(_table)

_now: Any = sa.bindparam("now", type_=_message.due_at.type)
_soon: Any = sa.bindparam("soon", type_=_sender.free_at.type)
_IS_BUSY = sa.exists().where(_sender.id == _message.waits_for, _sender.free_at > _soon)
_DUE = sa.select(_message.id).where(
    _message.direction == "out",
    sa.or_(_message.due_at <= _now, _message.attempts == 0),  # a time to wait for only once a try has failed
    lease_is_free(_message.leased_until, _now),
    sa.or_(_message.waits_for.is_(None), ~_IS_BUSY),
)
_ANY_DUE = sa.select(
    _DUE.where(_message.state == "sending").limit(1).scalar_subquery().label("left"),
    _DUE.where(_message.state == "queued").limit(1).scalar_subquery().label("queued"),
)
_earlier = _table.alias()
_IS_FIRST = ~sa.exists().where(
    _earlier.c.reporter_id == _message.reporter_id,
    _earlier.c.direction == "out",
    _earlier.c.state.in_(("queued", "sending")),
    _earlier.c.sequence < _message.sequence,
)
_FIRST_DUE = _DUE.where(_IS_FIRST).order_by(_message.due_at).limit(1).with_for_update(skip_locked=True)
# One state at a time, so that an index gives the order and the first row is enough however long the line is.
_IN_TURN = (
    _FIRST_DUE.where(_message.state == "sending"),  # what a dead worker left: behind the others it would wait until nobody writes
    _FIRST_DUE.where(_message.state == "queued", _message.author != "check_in"),
    _FIRST_DUE.where(_message.state == "queued", _message.author == "check_in"),
)
_WANTED = sa.select(_message.id).where(_message.id == sa.bindparam("taken"), _message.state == "sending")
_WANTED = _WANTED.where(_message.attempts == sa.bindparam("try"))


_TAKE = sa.update(_table).where(_message.id == sa.bindparam("taken"))
_TAKE = _TAKE.values(state="sending", attempts=_message.attempts + 1).returning(*_message)
_BOX = sa.select(_address.box).where(_address.id == sa.bindparam("of"))
_SENT = sa.update(_table).where(_message.id == sa.bindparam("gone"), _message.state.in_(("sending", "cancelled")))
_SENT_WITH_WORDS = _SENT.values(state="sent", leased_until=None)
_SENT = _SENT.values(state="sent", body=None, leased_until=None)
