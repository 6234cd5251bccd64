"""What reporters send: stored once, in order, and handed out one reporter at a time."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from bot import clock, keys, vendor_copies
from bot.messages import IncomingMessage, Media, NoRoom
from bot.models import Address, Message, Reporter, Team, new_id
from bot.store import Transaction, hold_reporters, lease_is_free, next_sequence

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
_addresses: Any = Address.__table__  # type: ignore[attr-defined]
_address: Any = _addresses.c
_reporters: Any = Reporter.__table__  # type: ignore[attr-defined]
_reporter: Any = _reporters.c
_team: Any = Team.__table__  # type: ignore[attr-defined]


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

    Raises NobodyToReadIt when no team could ever open the report, and NoRoom when the house ``is_full`` and this reporter has
    many texts waiting.
    """
    [stored] = accept_all(db, [incoming], is_full=is_full)
    if isinstance(stored, NoRoom):
        raise stored
    return stored


def accept_all(db: Transaction, texts: Sequence[IncomingMessage], *, is_full: bool = False) -> list[UUID | NoRoom | None]:
    """Store texts of any reporters, in the order they came in, with as many statements as one would take.

    For each its id, or None where its vendor id is known already, or why there is no room for it. A stranger's address becomes a
    new reporter. Raises NobodyToReadIt; then none is stored.
    """
    vendor_ids = [db.vault.index(f"{one.channel}\0{one.external_id}", "vendor id") for one in texts]
    found_by = [db.vault.index(f"{one.channel}\0{one.address}", "address") for one in texts]
    known = _find_or_name(db, dict(zip(found_by, texts, strict=True)))
    # Holding the reporters' rows first makes the order of sequence numbers the order of commits.
    held = hold_reporters(db, {row.reporter_id for row in known.values()})
    stored_already = set(db.execute(_STORED, {"vendor_ids": list(set(vendor_ids))}).scalars())
    last_due: dict[UUID, datetime] = {}
    if wrote_before := [row.id for row in held.values() if row.last_sequence]:
        last_due = {row.id: row.due_at for row in db.execute(_LAST_DUE, {"reporters": wrote_before}) if row.due_at}
    now = clock.now()
    outcome: list[UUID | NoRoom | None] = []
    for incoming, vendor_id, address in zip(texts, vendor_ids, found_by, strict=True):
        reporter = known[address].reporter_id
        due_at = max(now, last_due[reporter] + SPACING) if reporter in last_due else now
        if vendor_id in stored_already:
            outcome.append(None)
        elif is_full and due_at > now + LONG_LINE:
            outcome.append(NoRoom("too many texts wait, some thirty of them from this reporter"))
        else:
            stored_already.add(vendor_id)
            last_due[reporter] = due_at
            message = new_id()
            outcome.append(message)
            row = {
                "id": message,
                "reporter_id": reporter,
                "address_id": known[address].id,
                "direction": "in",
                "author": "reporter",
                "sequence": next_sequence(db, reporter),
                "state": "waiting",
                "external_id": vendor_id,
                "due_at": due_at,
            }
            db.write(_NEW, row | _boxes(db, incoming, message))
    return outcome


def _boxes(db: Transaction, incoming: IncomingMessage, message: UUID) -> dict[str, Any]:
    body: dict[str, Any] = {"text": incoming.text, "attachments": incoming.attachments, "channel": incoming.channel}
    if incoming.media or incoming.is_place:
        files = [[one.reference, one.type, one.size] for one in incoming.media]
        body |= {"media": files, "is_place": incoming.is_place}
    handle = incoming.external_id if incoming.copy is None else incoming.copy
    return {
        "body": db.vault.hide(body, "message", "body", message),
        "vendor_box": vendor_copies.handle_of(db.vault, incoming.channel, handle, message),
    }


def _find_or_name(db: Transaction, by_address: Mapping[bytes, IncomingMessage]) -> dict[bytes, Any]:
    """The address and reporter of each text, by the address's index; strangers become reporters."""
    # In one order everywhere, or two processes could wait for each other's strangers.
    wanted = sorted(by_address)
    known: dict[bytes, Any] = {}
    while wanted:
        # Held until the commit: an address that is being forgotten goes before its text or after it, never in between.
        found = {row.found_by: row for row in db.execute(_KNOWN, {"addresses": wanted})}
        known |= found
        wanted = [address for address in wanted if address not in found]
        if not wanted:
            break
        try:
            with db.savepoint():
                _name_all(db, [(address, by_address[address]) for address in wanted])
        except sa.exc.IntegrityError:  # a text of the same stranger came at the same moment elsewhere, and was quicker
            continue
    return known


def _name_all(db: Transaction, strangers: Sequence[tuple[bytes, IncomingMessage]]) -> None:
    team = db.execute(_FIRST_TEAM).scalar()
    if team is None:
        raise NobodyToReadIt("no team has been made yet: run `tellonce staff add NAME`")
    reporters, addresses = [], []
    for found_by, incoming in strangers:
        reporter, address = uuid4(), uuid4()
        profile = db.vault.hide({"channel": incoming.channel}, "reporter", "profile", reporter)
        reporters.append({"id": reporter, "team_id": team, "profile": profile})
        where = db.vault.hide({"channel": incoming.channel, "address": incoming.address}, "address", "box", address)
        addresses.append({"id": address, "reporter_id": reporter, "found_by": found_by, "box": where})
    db.execute(_NEW_REPORTERS, reporters)
    db.execute(_NEW_ADDRESSES, addresses)


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
    if not finish_all(db, [message], state):
        raise sa.exc.NoResultFound("the text was finished already")


def finish_all(db: Transaction, messages: Sequence[UUID], state: str = "done") -> set[UUID]:
    """Finish many; those that nobody else had finished."""
    return set(db.execute(_FINISH, {"finished": list(messages), "state": state, "done_at": clock.now()}).scalars())


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

_KNOWN = sa.select(_address.found_by, _address.id, _address.reporter_id)
_KNOWN = _KNOWN.where(_address.found_by.in_(sa.bindparam("addresses", expanding=True))).order_by(_address.found_by)
_KNOWN = _KNOWN.with_for_update(key_share=True, read=True)
_FIRST_TEAM = sa.select(_team.c.id).order_by(_team.c.made_at).limit(1)
_NEW_REPORTERS = sa.insert(_reporters)
_NEW_ADDRESSES = sa.insert(_addresses)
_STORED = sa.select(_message.external_id).where(_message.external_id.in_(sa.bindparam("vendor_ids", expanding=True)))
_last = sa.select(_message.due_at).where(
    _message.direction == "in", _message.state == "waiting", _message.reporter_id == _reporter.id
)
_last = _last.order_by(_message.sequence.desc()).limit(1)
_LAST_DUE = sa.select(_reporter.id, _last.correlate(_reporters).scalar_subquery().label("due_at"))
_LAST_DUE = _LAST_DUE.where(_reporter.id.in_(sa.bindparam("reporters", expanding=True)))
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
_TAKE = _TAKE.values(attempts=_message.attempts + 1).returning(
    _message.id, _message.reporter_id, _message.address_id, _message.body, _message.attempts, _message.made_at, _message.due_at
)
_FINISH = sa.update(_table).where(_message.id.in_(sa.bindparam("finished", expanding=True)), _message.state == "waiting")
_FINISH = _FINISH.values(body=None, leased_until=None).returning(_message.id)
