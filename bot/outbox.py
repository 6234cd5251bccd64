"""What we send: written in the same commit as its reason, handed to the vendor afterwards, in order, and then erased."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from bot import clock, keys, vendor_copies
from bot.messages import Channel, Choice, Delivery, OutgoingMessage, Rate, Standing, TransportError, Windowed
from bot.models import Address, Case, CaseMessage, CheckIn, EarlyNews, Message, Reporter, Sender
from bot.privacy import what_failed
from bot.store import Store, Transaction, lease_is_free, lock_reporter, next_sequence, touch_reporter
from flows.segments import segments

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)
TRIES = 8  # at least
# How long a text is tried again while the vendor is out of reach, by who wrote it: a question that comes a day late confuses.
PATIENCE = {"caseworker": timedelta(hours=24)}
BOTS_PATIENCE = timedelta(hours=6)
LONGEST_WAIT = 300  # seconds between two tries
# How long a text waits for them to write, where the channel takes free text only after their own.
HELD_FOR = {"caseworker": timedelta(days=14)}
BOTS_HELD_FOR = timedelta(days=3)
EARLY_FOR = timedelta(hours=12)  # news of an unknown text: twice as long as a text is tried again
NEWS_FOR = timedelta(hours=1)  # the words of a text are kept this long after it went, where news may come that it did not
UNSENT = ("queued", "sending", "held", "invited")
LOOK_AHEAD = timedelta(milliseconds=100)  # a text is taken this long before its sender is free, so that no moment goes unused
USED = 0.97  # of the rate we may send at: texts that are pushed together on the way still keep to it
FRESH = 1.0  # seconds after its claim within which a text is handed over without another look
AT_ONCE = 100  # texts put behind a busy sender in one transaction
CLOCKS_DIFFER = timedelta(seconds=30)  # between the vendor's and ours
# A vendor's news may come late or out of order: a text only ever moves to a higher step.
_STEP = {"queued": 0, "sending": 0, "sent": 1, "delivered": 2, "read": 3, "failed": 2, "stopped": 2, "closed": 2, "cancelled": 9}
_STEP |= {"held": 0, "invited": 0}

_table: Any = Message.__table__  # type: ignore[attr-defined]
_message: Any = _table.c
_address: Any = Address.__table__.c  # type: ignore[attr-defined]
_reporter: Any = Reporter.__table__.c  # type: ignore[attr-defined]
_check_in: Any = CheckIn.__table__.c  # type: ignore[attr-defined]
_case: Any = Case.__table__.c  # type: ignore[attr-defined]
_line: Any = CaseMessage.__table__.c  # type: ignore[attr-defined]
_early: Any = EarlyNews.__table__.c  # type: ignore[attr-defined]
_sender: Any = Sender.__table__.c  # type: ignore[attr-defined]


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
    message = uuid4()
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
    db.execute(_NEW, row)
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
        if isinstance(channel, Windowed) and not _may_write(store, channel, outgoing):
            _wait_for_them(store, channel, outgoing)
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
    """An earlier try may have reached the vendor although we never heard so: what it has and we do not know of is this text."""
    if outgoing.attempts == 1:
        return None
    for external_id in channel.find_sent(outgoing.message, outgoing.made_at - CLOCKS_DIFFER):
        with store.reading() as db:
            found_by = db.vault.index(f"{outgoing.channel}\0{external_id}", "vendor id")
            if db.one(sa.select(_message.id).where(_message.external_id == found_by)) is None:
                return external_id
    return None


def claim_next(store: Store, channels: Mapping[str, Channel]) -> Outgoing | None:
    """Take the first text whose sender is free, or will be in a moment: answers before check-ins, else the longest due."""
    while True:
        with store.reading() as db:  # a cheap look without the write lock
            if db.execute(_ANY_DUE, _moments()).scalar() is None:
                return None
        with store.transaction() as db:
            for _ in range(AT_ONCE):
                now = _moments()
                found = next((found for which in _IN_TURN if (found := db.execute(which, now).scalar())), None)
                if found is None:
                    return None
                if outgoing := _taken(db, found, channels):
                    return outgoing


def free_in(db: Transaction) -> float:
    """Seconds until a busy sender may be given its next text; a minute when none is busy."""
    free_at = db.execute(_NEXT_FREE, _moments()).scalar()
    return 60.0 if free_at is None else max(0.0, (free_at - LOOK_AHEAD - clock.now()).total_seconds())


def _moments() -> dict[str, datetime]:
    return {"now": clock.now(), "soon": clock.now() + LOOK_AHEAD}


def _taken(db: Transaction, message: UUID, channels: Mapping[str, Channel]) -> Outgoing | None:
    """The text, claimed for its moment; None when it must wait longer, or can never go."""
    row = db.execute(_TAKE, {"taken": message, "leased_until": clock.now() + LEASE}).one()
    try:
        outgoing = _opened(db, row)
    except keys.WrongKey as error:  # it waits for the right service key, and the others do not wait for it
        log.error("message %s cannot be sent: %s", message, error)
        return None
    if outgoing is None:
        _end(db, message, "failed")
        return None
    channel = channels.get(outgoing.channel)
    if channel is None or not channel.rate.sender:
        return outgoing
    return _paced(db, outgoing, row.address_id, channel.rate)


# -- how fast ------------------------------------------------------------------------------------------------------------------


def _paced(db: Transaction, outgoing: Outgoing, address: UUID, rate: Rate) -> Outgoing | None:
    """Reserve the sender's next moment for this text, in the transaction that claims it; None: it was put off."""
    sender = db.vault.index(rate.sender, "sender")
    now = clock.now()
    free_at = _free_at(db, sender)
    if free_at > now + LOOK_AHEAD:
        _put_off(db, outgoing, waits_for=sender)
        return None
    moment = max(now, free_at, _next_to_one(db, address, rate))
    if moment > now + LOOK_AHEAD:
        _put_off(db, outgoing, leased_until=moment - LOOK_AHEAD)
        return None
    if rate.per_second:
        weight = segments(outgoing.message.text)[1] if rate.counts == "segments" else 1
        busy = timedelta(seconds=weight / (rate.per_second * USED))
        db.execute(_RESERVE, {"sender": sender, "free_at": moment + busy})
    return replace(outgoing, not_before=moment) if moment > now else outgoing


def _free_at(db: Transaction, sender: bytes) -> datetime:
    """When the sender is free; its row is held until the commit, so that two workers never take the same moment."""
    free_at: datetime | None = db.execute(_FREE_AT, {"sender": sender}).scalar()
    if free_at is not None:
        return free_at
    try:
        with db.connection.begin_nested():
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


def _put_off(db: Transaction, outgoing: Outgoing, **changes: Any) -> None:
    """It was not tried: back into the line, and this does not count."""
    waiting = sa.update(_table).where(_message.id == outgoing.id, _message.state == "sending")
    db.execute(waiting.values(state="queued", attempts=_message.attempts - 1, **{"leased_until": None, **changes}))


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


def _end(db: Transaction, message: UUID, state: str) -> None:
    ended = sa.update(Message).where(_message.id == message)
    db.execute(ended.values(state=state, body=None, leased_until=None, done_at=clock.now()))


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
        _end(db, outgoing.id, "stopped")
    elif error.is_too_fast and rate.sender:  # the vendor took nothing: all texts of this sender wait, and this was no try
        sender = db.vault.index(rate.sender, "sender")
        db.execute(_RESERVE, {"sender": sender, "free_at": max(_free_at(db, sender), clock.now() + wait)})
        _put_off(db, outgoing, waits_for=sender)
    elif error.failure == "refused" or _is_late(outgoing):
        _end(db, outgoing.id, "failed")
        _show_to_caseworkers(db, outgoing.id)
    else:
        if error.failure == "closed" and outgoing.address_id:
            _close_window(db, outgoing.address_id, clock.now())
            wait = timedelta(0)
        # Only while it is still ours: after a long pause of this machine another worker may have taken it up.
        mine = _message.attempts == outgoing.attempts
        again = sa.update(Message).where(_message.id == outgoing.id, _message.state == "sending", mine)
        db.execute(again.values(state="queued", due_at=clock.now() + wait, leased_until=None))


def _is_late(outgoing: Outgoing) -> bool:
    return outgoing.attempts >= TRIES and clock.now() >= outgoing.made_at + _patience(outgoing.author)


def _patience(author: str) -> timedelta:
    return PATIENCE.get(author, BOTS_PATIENCE)


def _show_to_caseworkers(db: Transaction, message: UUID) -> None:
    """A reply of hers did not arrive: its case is unread again."""
    hers = sa.select(_line.case_id).where(_line.message_id == message, _line.author == "caseworker")
    db.execute(sa.update(Case).where(_case.id.in_(hers)).values(is_unread=True))


def opt_out(db: Transaction, reporter: UUID) -> None:
    """The carrier says the person wants nothing more: cancel everything, check-ins included, and let the caseworkers see it."""
    touch_reporter(db, reporter, state="opted_out")
    cancel_queued(db, reporter)
    waiting = sa.update(CheckIn).where(_check_in.reporter_id == reporter, _check_in.state == "due")
    db.execute(waiting.values(state="cancelled"))


def record_standing(db: Transaction, standing: Standing) -> None:
    """Somebody blocked us: nothing more is sent. Unblocked: they may be written to again, unless they asked for silence."""
    found_by = db.vault.index(f"{standing.channel}\0{standing.address}", "address")
    reporter = db.execute(sa.select(_address.reporter_id).where(_address.found_by == found_by)).scalar()
    if reporter is None:
        return
    state = lock_reporter(db, reporter).state
    if standing.is_blocked and state != "silent":
        opt_out(db, reporter)
    elif not standing.is_blocked and state == "opted_out":
        touch_reporter(db, reporter, state="open")


def record_delivery(db: Transaction, channel: str, delivery: Delivery) -> bool:
    """Note what a vendor says of a text; news that is older than what we know is ignored. False: we do not know this text (yet)."""
    found_by = db.vault.index(f"{channel}\0{delivery.external_id}", "vendor id")
    return _record_news(db, found_by, delivery)


def keep_news(db: Transaction, channel: str, delivery: Delivery) -> None:
    """Keep news of a text we do not know: its sending may not be noted yet, or noted only when a lost answer is cleared up."""
    found_by = db.vault.index(f"{channel}\0{delivery.external_id}", "vendor id")
    db.insert(EarlyNews(found_by=found_by, state=delivery.state))


def hear_news(db: Transaction) -> int:
    """Look again for the texts of the news we kept; what nobody knows after a while is dropped. Returns how many were found."""
    known = sa.select(*_early).join_from(EarlyNews.__table__, _table, _message.external_id == _early.found_by)  # type: ignore[attr-defined]
    heard = db.execute(known.order_by(_early.came_at).limit(AT_ONCE)).all()
    for news in heard:
        _record_news(db, news.found_by, Delivery("", news.state))
    done = [news.id for news in heard]
    db.execute(sa.delete(EarlyNews).where(sa.or_(_early.id.in_(done), _early.came_at <= clock.now() - EARLY_FOR)))
    return len(heard)


def _record_news(db: Transaction, found_by: bytes, delivery: Delivery) -> bool:
    row = db.execute(_KNOWN, {"vendor_id": found_by}).one_or_none()
    if row is None:
        return False
    if _STEP[delivery.state] <= _STEP[row.state]:
        return True
    if delivery.state == "closed":
        _try_again_once_open(db, row.id)
        return True
    if delivery.state == "stopped":
        opt_out(db, row.reporter_id)
    db.execute(_NEWS if delivery.state == "sent" else _LAST_NEWS, {"about": row.id, "state": delivery.state})
    if delivery.state in ("failed", "stopped"):
        _show_to_caseworkers(db, row.id)
        if row.author == "invitation":
            _uninvited(db, row.address_id)
    return True


# -- where free text goes only after their own ---------------------------------------------------------------------------------


def _may_write(store: Store, channel: Windowed, outgoing: Outgoing) -> bool:
    with store.reading() as db:
        return _is_open(db, channel, outgoing.address_id)


def _is_open(db: Transaction, channel: Windowed, address: UUID | None) -> bool:
    """Whether they wrote to this address within the channel's window, and the vendor has not said since that it is closed."""
    closed_at = db.execute(sa.select(_address.closed_at).where(_address.id == address)).scalar()
    theirs = sa.select(sa.func.max(_message.made_at, type_=_message.made_at.type))
    last: datetime | None = db.execute(theirs.where(_message.address_id == address, _message.direction == "in")).scalar()
    return last is not None and last > clock.now() - channel.window and (closed_at is None or last > closed_at)


def _wait_for_them(store: Store, channel: Windowed, outgoing: Outgoing) -> None:
    """Keep a text until they write, and invite them once to do so, with a note that says nothing. Raises TransportError."""
    invitation = None
    with store.reading() as db:
        is_invited = db.execute(_invited(outgoing.address_id).limit(1)).scalar() is not None
        language = _language(db, outgoing.reporter_id)
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
            _show_to_caseworkers(db, outgoing.id)


def _language(db: Transaction, reporter: UUID) -> str | None:
    profile = db.execute(sa.select(_reporter.profile).where(_reporter.id == reporter)).scalar_one()
    language: str | None = db.vault.reveal(profile, "reporter", "profile", reporter).get("language")
    return language


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
            _end(db, message, "failed")
            _show_to_caseworkers(db, message)
    silent = sa.update(_table).where(_message.direction == "out", _message.state == "sent", _message.body.is_not(None))
    return db.execute(silent.where(_message.done_at <= clock.now() - NEWS_FOR).values(body=None)).rowcount


def _try_again_once_open(db: Transaction, message: UUID) -> None:
    """The vendor took a text and then found that their last word is too old: it waits, unless somebody took over meanwhile."""
    row = db.execute(sa.select(*_message).where(_message.id == message)).one()
    if row.address_id is not None:
        _close_window(db, row.address_id, row.done_at)
    reporter = db.execute(sa.select(_reporter.state).where(_reporter.id == row.reporter_id)).scalar_one()
    claimed = sa.select(_case.id).where(_case.reporter_id == row.reporter_id, _case.state == "claimed").limit(1)
    is_taken_over = row.author != "caseworker" and db.execute(claimed).scalar() is not None
    if row.body is None or reporter != "open" or is_taken_over:
        _end(db, message, "failed")
        _show_to_caseworkers(db, message)
        if row.author == "invitation":
            _uninvited(db, row.address_id)
        return
    waiting = sa.update(_table).where(_message.id == message)
    db.execute(waiting.values(state="queued", attempts=0, external_id=None, due_at=clock.now(), done_at=None))


def _close_window(db: Transaction, address: UUID, at: datetime | None) -> None:
    """What they write after that opens it again."""
    db.execute(sa.update(Address).where(_address.id == address).values(closed_at=at or clock.now()))


def _uninvited(db: Transaction, address: UUID | None) -> None:
    """The note did not arrive: what waits says so."""
    for message in db.execute(_invited(address)).scalars().all():
        db.execute(sa.update(_table).where(_message.id == message).values(state="held"))
        _show_to_caseworkers(db, message)


def _invited(address: UUID | None) -> sa.Select[tuple[UUID]]:
    return sa.select(_message.id).where(_message.address_id == address, _message.direction == "out", _message.state == "invited")


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
_ANY_DUE = _DUE.where(_message.state.in_(("queued", "sending"))).limit(1)
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
    _FIRST_DUE.where(_message.state == "queued", _message.author != "check_in"),
    _FIRST_DUE.where(_message.state == "sending"),  # what a dead worker left
    _FIRST_DUE.where(_message.state == "queued", _message.author == "check_in"),
)
_WANTED = sa.select(_message.id).where(_message.id == sa.bindparam("taken"), _message.state == "sending")
_WANTED = _WANTED.where(_message.attempts == sa.bindparam("try"))
_NEXT_FREE = sa.select(sa.func.min(_sender.free_at, type_=_sender.free_at.type)).where(_sender.free_at > _soon)
_FREE_AT = sa.select(_sender.free_at).where(_sender.id == sa.bindparam("sender")).with_for_update()
_RESERVE = sa.update(Sender.__table__).where(_sender.id == sa.bindparam("sender"))  # type: ignore[attr-defined]
_LAST_TO = sa.select(sa.func.max(_message.done_at, type_=_message.done_at.type)).where(
    _message.address_id == sa.bindparam("address"),
    _message.direction == "out",
    _message.state.in_(("sent", "delivered", "read")),
)
_TAKE = sa.update(_table).where(_message.id == sa.bindparam("taken"))
_TAKE = _TAKE.values(state="sending", attempts=_message.attempts + 1).returning(*_message)
_BOX = sa.select(_address.box).where(_address.id == sa.bindparam("of"))
_SENT = sa.update(_table).where(_message.id == sa.bindparam("gone"), _message.state.in_(("sending", "cancelled")))
_SENT_WITH_WORDS = _SENT.values(state="sent", leased_until=None)
_SENT = _SENT.values(state="sent", body=None, leased_until=None)
_HELD = sa.select(_message.id).where(_message.direction == "out", _message.state.in_(("held", "invited")))
_KNOWN = sa.select(_message.id, _message.state, _message.reporter_id, _message.author, _message.address_id).where(
    _message.external_id == sa.bindparam("vendor_id")
)
_NEWS = sa.update(_table).where(_message.id == sa.bindparam("about"))
_LAST_NEWS = _NEWS.values(body=None)
