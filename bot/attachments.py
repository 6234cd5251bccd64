"""Pictures, recordings and papers that come with a text: fetched from the vendor and sealed to the team, never in the clear."""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from bot import clock, keys, staff
from bot.messages import Channel, Media, TransportError
from bot.models import Attachment, Reporter
from bot.privacy import TeamOpener, what_failed
from bot.store import Store, Transaction, lease_is_free

log = logging.getLogger(__name__)

BIGGEST = 10 * 1024 * 1024  # bytes; a phone's photo has 2 to 5 million
LEASE = timedelta(seconds=120)
LONGEST_WAIT = timedelta(minutes=30)  # between two tries
GIVE_UP_AFTER = timedelta(days=2)
WITHOUT_CASE = timedelta(days=30)  # as long as an unfinished conversation lives
AT_ONCE = 20  # files in one tick

_attachment: Any = Attachment.__table__.c  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Wanted:
    """A file somebody is fetching."""

    id: UUID
    reporter_id: UUID
    channel: str
    media: Media
    attempts: int


@dataclass(frozen=True)
class Attached:
    """A file of a case as its page lists it: ``Attached(…, "kept", "image/jpeg", 48211)``."""

    id: UUID
    at: datetime
    state: str  # wanted | kept | too_large | lost
    type: str
    size: int


def want(db: Transaction, reporter: UUID, channel: str, media: Sequence[Media]) -> None:
    """Note the files that came with a text; `work` fetches them. What is known to be too large is not fetched."""
    for one in media:
        row = Attachment(reporter_id=reporter)
        if one.size > BIGGEST:
            row.state = "too_large"
        else:
            row.box = db.vault.hide({"channel": channel, "reference": one.reference, "type": one.type}, "attachment", "box", row.id)
        db.insert(row)


def give(db: Transaction, reporter: UUID, case: UUID) -> None:
    """What a reporter sent and no case has yet belongs to this one."""
    theirs = sa.update(Attachment).where(_attachment.reporter_id == reporter, _attachment.case_id.is_(None))
    db.execute(theirs.values(case_id=case))


def fetch_due(store: Store, channels: Mapping[str, Channel]) -> int:
    """Fetch the files that wait, and seal each to its reporter's team. Nothing touches a disk in the clear. Returns how many."""
    kept = 0
    for _ in range(AT_ONCE):
        with store.transaction() as db:
            wanted = _claim(db)
        if wanted is None:
            break
        found = _fetch(channels, wanted)
        with store.transaction() as db:
            if isinstance(found, TransportError):
                _note_failure(db, wanted, found)
            else:
                _keep(db, wanted, found)
                kept += 1
    return kept


def _claim(db: Transaction) -> Wanted | None:
    now = clock.now()
    free = lease_is_free(_attachment.leased_until, now)
    due = sa.select(_attachment.id).where(_attachment.state == "wanted", _attachment.due_at <= now, free)
    while found := db.execute(due.order_by(_attachment.due_at).limit(1).with_for_update(skip_locked=True)).scalar():
        taking = sa.update(Attachment).where(_attachment.id == found)
        taken = taking.values(leased_until=now + LEASE, attempts=_attachment.attempts + 1).returning(*_attachment)
        row = db.execute(taken).one()
        try:
            where = db.vault.reveal(row.box, "attachment", "box", row.id)
        except keys.WrongKey as error:  # it waits for the right service key
            log.error("attachment %s waits: %s", row.id, error)
            continue
        return Wanted(row.id, row.reporter_id, where["channel"], Media(where["reference"], where["type"]), row.attempts)
    return None


def _fetch(channels: Mapping[str, Channel], wanted: Wanted) -> bytes | TransportError:
    if wanted.channel not in channels:
        return TransportError("later", "channel not set up")
    try:
        return channels[wanted.channel].fetch(wanted.media.reference, BIGGEST)
    except TransportError as error:
        return error
    except Exception as error:  # broad, as a channel wraps a vendor's library; its own text may hold an address
        log.error("channel %s failed: %s", wanted.channel, what_failed(error))
        return TransportError("later", "fault in the channel")


def _keep(db: Transaction, wanted: Wanted, content: bytes) -> None:
    team = db.execute(sa.select(Reporter.__table__.c.team_id).where(Reporter.__table__.c.id == wanted.reporter_id)).scalar()  # type: ignore[attr-defined]
    if team is None:  # they were erased meanwhile, and this with them
        return
    seal = staff.team_seal(db, team)
    about = {"type": wanted.media.type, "size": len(content)}
    mine = sa.update(Attachment).where(_attachment.id == wanted.id, _attachment.state == "wanted")
    db.execute(
        mine.values(
            state="kept",
            box=None,
            leased_until=None,
            team_key_id=seal.team_key,
            sealed=seal.seal(about, "attachment", wanted.id),
            content=seal.seal(base64.b64encode(content).decode(), "attachment_content", wanted.id),
        )
    )


def _note_failure(db: Transaction, wanted: Wanted, error: TransportError) -> None:
    log.warning("attachment %s was not fetched: %s", wanted.id, error)
    mine = sa.update(Attachment).where(_attachment.id == wanted.id)
    if error.failure == "refused" or error.failure == "stopped":
        state = "too_large" if error.code == "too large" else "lost"
        db.execute(mine.values(state=state, box=None, leased_until=None))
        return
    wait = min(timedelta(seconds=error.retry_after or 5 * 2 ** min(wanted.attempts, 10)), LONGEST_WAIT)
    is_late = _attachment.made_at <= clock.now() - GIVE_UP_AFTER
    if db.execute(mine.where(is_late).values(state="lost", box=None, leased_until=None)).rowcount == 0:
        db.execute(mine.values(due_at=clock.now() + wait, leased_until=None))


def of_case(db: Transaction, opener: TeamOpener, case: UUID) -> list[Attached]:
    """The files of a case, oldest first; only what they are is opened, not what is in them."""
    columns = (_attachment.id, _attachment.made_at, _attachment.state, _attachment.team_key_id, _attachment.sealed)
    rows = db.execute(sa.select(*columns).where(_attachment.case_id == case).order_by(_attachment.made_at)).all()
    found = []
    for row in rows:
        about = opener.open(row.sealed, row.team_key_id, "attachment", row.id) if row.sealed else {}
        found.append(Attached(row.id, row.made_at, row.state, about.get("type", ""), about.get("size", 0)))
    return found


def content_of(db: Transaction, opener: TeamOpener, case: UUID, attachment: UUID) -> bytes | None:
    """What is in a file of a case; None when it is not there."""
    row = db.one(sa.select(*_attachment).where(_attachment.id == attachment, _attachment.case_id == case))
    if row is None or row.content is None:
        return None
    return base64.b64decode(opener.open(row.content, row.team_key_id, "attachment_content", row.id))


def erase_without_case(db: Transaction) -> int:
    """Erase what was sent and never became part of a case. Returns how many."""
    old = sa.delete(Attachment).where(_attachment.case_id.is_(None), _attachment.made_at <= clock.now() - WITHOUT_CASE)
    return db.execute(old).rowcount
