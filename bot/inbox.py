"""What reporters send: stored once, in order, and handed out one reporter at a time."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from bot import clock, keys, vendor_copies
from bot.messages import IncomingMessage, Media, NoRoom
from bot.models import Address, Message, Reporter, Team
from bot.store import Transaction, lease_is_free, next_sequence

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)
TRIES = 3
LONGEST_WAIT = 300  # seconds between two tries
# A text takes its place among all texts as if it had come at least this long after the same reporter's last text that still waits.
# So whoever sends a thousand texts stands behind everybody who sends a few; with nobody else waiting, nothing is slower.
SPACING = timedelta(seconds=10)
LONG_LINE = 30 * SPACING  # once the house is full, nothing more is taken from whoever has some thirty texts waiting

_table: Any = Message.__table__  # type: ignore[attr-defined]
_message: Any = _table.c
_address: Any = Address.__table__.c  # type: ignore[attr-defined]
_reporter: Any = Reporter.__table__.c  # type: ignore[attr-defined]


class NobodyToReadIt(Exception):
    """There is no team yet, so nothing may be accepted."""


@dataclass(frozen=True)
class Claimed:
    """A message a worker holds for a minute: its reporter, and what was written."""

    id: UUID
    reporter_id: UUID
    address_id: UUID | None
    channel: str
    text: str
    attachments: int
    attempts: int
    came_at: datetime
    place: datetime  # among all texts (see SPACING); the answer takes the same place
    media: Sequence[Media] = ()
    is_place: bool = False


def accept(db: Transaction, incoming: IncomingMessage, *, is_full: bool = False) -> UUID | None:
    """Store a text that came in and return its id; the same vendor id a second time is a no-op (None).

    A stranger's address becomes a new reporter. Raises NobodyToReadIt when no team could ever open the report, and NoRoom
    when the house ``is_full`` and this reporter has many texts waiting.
    """
    external_id = db.vault.index(f"{incoming.channel}\0{incoming.external_id}", "vendor id")
    reporter_id, address_id = _find_or_name_reporter(db, incoming)
    # Taking the reporter's row first makes the order of sequence numbers the order of commits.
    sequence = next_sequence(db, reporter_id)
    before = db.execute(_BEFORE, {"vendor_id": external_id, "from_reporter": reporter_id}).one()
    if before.same:
        return None
    now = clock.now()
    due_at = max(now, before.last_due + SPACING) if before.last_due else now
    if is_full and due_at > now + LONG_LINE:
        raise NoRoom("too many texts wait, some thirty of them from this reporter")
    message = uuid4()
    handle = incoming.external_id if incoming.copy is None else incoming.copy
    body: dict[str, Any] = {"text": incoming.text, "attachments": incoming.attachments, "channel": incoming.channel}
    if incoming.media or incoming.is_place:
        files = [[one.reference, one.type, one.size] for one in incoming.media]
        body |= {"media": files, "is_place": incoming.is_place}
    row = {
        "id": message,
        "reporter_id": reporter_id,
        "address_id": address_id,
        "direction": "in",
        "author": "reporter",
        "sequence": sequence,
        "state": "waiting",
        "external_id": external_id,
        "due_at": due_at,
        "body": db.vault.hide(body, "message", "body", message),
        "vendor_box": vendor_copies.handle_of(db.vault, incoming.channel, handle, message),
    }
    db.execute(_NEW, row)
    return message


def _find_or_name_reporter(db: Transaction, incoming: IncomingMessage) -> tuple[UUID, UUID]:
    found_by = db.vault.index(f"{incoming.channel}\0{incoming.address}", "address")
    # Held until the commit: an address that is being forgotten goes before this text or after it, never in between.
    if row := db.execute(_KNOWN, {"address": found_by}).one_or_none():
        return row.reporter_id, row.id
    try:
        with db.connection.begin_nested():
            return _name_reporter(db, incoming, found_by)
    except sa.exc.IntegrityError:  # another text of the same stranger came at the same moment and was quicker
        row = db.execute(_KNOWN, {"address": found_by}).one()
        return row.reporter_id, row.id


def _name_reporter(db: Transaction, incoming: IncomingMessage, found_by: bytes) -> tuple[UUID, UUID]:
    team = db.execute(sa.select(Team.__table__.c.id).order_by(Team.__table__.c.made_at).limit(1)).scalar()  # type: ignore[attr-defined]
    if team is None:
        raise NobodyToReadIt("no team has been made yet: run `tellonce staff add NAME`")
    reporter_id, address_id = uuid4(), uuid4()
    profile = db.vault.hide({"channel": incoming.channel}, "reporter", "profile", reporter_id)
    db.insert(Reporter(id=reporter_id, team_id=team, profile=profile))
    where = {"channel": incoming.channel, "address": incoming.address}
    db.insert(
        Address(id=address_id, reporter_id=reporter_id, found_by=found_by, box=db.vault.hide(where, "address", "box", address_id))
    )
    return reporter_id, address_id


def is_any_due(db: Transaction) -> bool:
    """A cheap look, without the write lock, before claim."""
    return db.execute(_ANY_DUE, {"now": clock.now()}).scalar() is not None


def claim(db: Transaction, most: int = 1) -> list[Claimed]:
    """Take the first texts of all, each the first in its reporter's line, on which nobody works; counted as a try at once.

    ``due_at`` is a text's place among all texts (see SPACING); it is a time to wait for only once a try has failed.
    A text that does not open (a service key is missing) stays where it is and does not hold up the others.
    """
    now = clock.now()
    claimed: list[Claimed] = []
    while len(claimed) < most and (found := db.execute(_FIRST_DUE, {"now": now, "most": most - len(claimed)}).scalars().all()):
        rows = {row.id: row for row in db.execute(_TAKE, {"taken": found, "leased_until": now + LEASE})}
        claimed += [taken for message in found if (taken := _opened(db, rows[message]))]
    return claimed


def claim_next(db: Transaction) -> Claimed | None:
    """The first text of all, claimed (see claim)."""
    return next(iter(claim(db)), None)


def _opened(db: Transaction, row: Any) -> Claimed | None:
    try:
        body = db.vault.reveal(row.body, "message", "body", row.id)
    except keys.WrongKey as error:
        log.error("message %s waits: %s", row.id, error)
        return None
    return Claimed(
        id=row.id,
        reporter_id=row.reporter_id,
        address_id=row.address_id,
        channel=body["channel"],
        text=body["text"],
        attachments=body["attachments"],
        attempts=row.attempts,
        came_at=row.made_at,
        place=row.due_at,
        media=tuple(Media(*one) for one in body.get("media", ())),
        is_place=body.get("is_place", False),
    )


def finish(db: Transaction, message: UUID, state: str = "done") -> None:
    """The text has done its work: its words are erased. Raises NoResultFound when somebody else already finished it."""
    db.execute(_FINISH, {"finished": message, "state": state, "done_at": clock.now()}).one()


def put_back(db: Transaction, message: Claimed) -> None:
    """Handling failed: try again a little later; the reporter's other texts wait behind it."""
    later = clock.now() + timedelta(seconds=min(2**message.attempts, LONGEST_WAIT))
    db.execute(sa.update(Message).where(_message.id == message.id).values(due_at=later, leased_until=None))


def forget_leases(db: Transaction) -> None:
    """Give back what a dead worker held; only where there is one worker (SQLite)."""
    db.execute(sa.update(Message).where(_message.leased_until.is_not(None)).values(leased_until=None))


def waiting(db: Transaction) -> int:
    """How many texts wait to be answered."""
    counted = sa.select(sa.func.count()).where(_message.direction == "in", _message.state == "waiting")
    return int(db.execute(counted).scalar_one())


# -- the statements every text takes, built once (see store) -------------------------------------------------------------------

_KNOWN = sa.select(_address.id, _address.reporter_id).where(_address.found_by == sa.bindparam("address"))
_KNOWN = _KNOWN.with_for_update(key_share=True, read=True)
_same = sa.select(_message.id).where(_message.external_id == sa.bindparam("vendor_id"))
_last_due = sa.select(_message.due_at).where(
    _message.direction == "in", _message.state == "waiting", _message.reporter_id == sa.bindparam("from_reporter")
)
_last_due = _last_due.order_by(_message.sequence.desc()).limit(1)
_BEFORE = sa.select(_same.scalar_subquery().label("same"), _last_due.scalar_subquery().label("last_due"))
_NEW = sa.insert(_table)

_now: Any = sa.bindparam("now", type_=_message.due_at.type)
_DUE = sa.select(_message.id).where(
    _message.direction == "in",
    _message.state == "waiting",
    sa.or_(_message.due_at <= _now, _message.attempts == 0),
    lease_is_free(_message.leased_until, _now),
)
_ANY_DUE = _DUE.limit(1)
_earlier = _table.alias()
_IS_FIRST = ~sa.exists().where(
    _earlier.c.reporter_id == _message.reporter_id,
    _earlier.c.direction == "in",
    _earlier.c.state == "waiting",
    _earlier.c.sequence < _message.sequence,
)
_FIRST_DUE = _DUE.where(_IS_FIRST).order_by(_message.due_at).limit(sa.bindparam("most", type_=sa.Integer))
_FIRST_DUE = _FIRST_DUE.with_for_update(skip_locked=True)
_TAKE = sa.update(_table).where(_message.id.in_(sa.bindparam("taken", expanding=True)))
_TAKE = _TAKE.values(attempts=_message.attempts + 1).returning(*_message)
_FINISH = sa.update(_table).where(_message.id == sa.bindparam("finished"), _message.state == "waiting")
_FINISH = _FINISH.values(body=None, leased_until=None).returning(_message.id)
