"""The read log: who read, changed, unmasked or exported what and when, each entry chained to the one before by its hash."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from bot import clock
from bot.models import AuditEntry, Case, Caseworker
from bot.store import Transaction

NOTHING_BEFORE = bytes(32)
_ONE_AT_A_TIME = 7_316_071  # the number of PostgreSQL's lock under which the chain grows

_table: Any = AuditEntry.__table__  # type: ignore[attr-defined]
_entry: Any = _table.c
_case: Any = Case.__table__.c  # type: ignore[attr-defined]
_caseworker: Any = Caseworker.__table__.c  # type: ignore[attr-defined]
_done_to: Any = sa.alias(Caseworker.__table__)  # type: ignore[attr-defined]
_NAMED = (
    sa.select(*_entry, _caseworker.name, _done_to.c.name.label("member"), _case.reference)
    .select_from(_table)
    .outerjoin(Caseworker.__table__, _entry.caseworker_id == _caseworker.id)  # type: ignore[attr-defined]
    .outerjoin(_done_to, _entry.member_id == _done_to.c.id)
    .outerjoin(Case.__table__, _entry.case_id == _case.id)  # type: ignore[attr-defined]
    .order_by(_entry.sequence.desc())
)


class DamagedLog(Exception):
    """The chain does not hold; the text says at which entry and what is wrong."""


@dataclass(frozen=True)
class Head:
    """The end of the chain: ``Head(41, b"…")``. Who holds it can tell later whether anything up to here was changed."""

    sequence: int
    hash: bytes

    def __str__(self) -> str:
        # In groups, as long runs of digits are masked in logs.
        text = self.hash.hex()
        return f"{self.sequence} {'.'.join(text[i : i + 4] for i in range(0, len(text), 4))}"


def note(db: Transaction, who: UUID | None, verb: str, case: UUID | None, member: UUID | None = None) -> None:
    """Write an entry in the deed's own commit. Take it last: it holds everybody else's next entry.

    ``who`` None: the machine. ``member``: the caseworker it was done to.
    """
    if db.skips_locked:
        db.execute(sa.select(sa.func.pg_advisory_xact_lock(_ONE_AT_A_TIME)))
    last = head(db)
    row = AuditEntry(sequence=last.sequence + 1, caseworker_id=who, verb=verb, case_id=case, previous=last.hash, hash=b"")
    row.member_id = member
    row.hash = _hash(row)
    db.insert(row)


def head(db: Transaction) -> Head:
    """The newest entry; number 0 before the first."""
    row = db.execute(sa.select(_entry.sequence, _entry.hash).order_by(_entry.sequence.desc()).limit(1)).one_or_none()
    return Head(row.sequence, row.hash) if row else Head(0, NOTHING_BEFORE)


def _hash(row: Any) -> bytes:
    told = [row.sequence, row.at.isoformat(), _hex(row.caseworker_id), row.verb, _hex(row.case_id)]
    if row.member_id:  # older entries were chained without it
        told.append(row.member_id.hex)
    return hashlib.sha256(row.previous + json.dumps(told).encode()).digest()


def _hex(id: UUID | None) -> str:
    return id.hex if id else ""


# -- looking whether it still holds --------------------------------------------------------------------------------------------


def verify(db: Transaction, heads: Path | None = None) -> int:
    """Go through the whole chain, and compare it with the heads that were sent out. Returns how many entries there are.

    Raises DamagedLog at the first entry that was changed, removed or put elsewhere.
    """
    previous, hashes = NOTHING_BEFORE, {0: NOTHING_BEFORE}
    number = 0
    for row in db.execute(sa.select(*_entry).order_by(_entry.sequence)):
        number += 1
        if row.sequence != number:
            raise DamagedLog(f"entry {number} is missing: after {number - 1} comes {row.sequence}")
        if row.previous != previous:
            raise DamagedLog(f"entry {number} does not follow entry {number - 1}: one of them was changed or put elsewhere")
        if row.hash != _hash(row):
            raise DamagedLog(f"entry {number} of {row.at:%d %B %Y, %H:%M} UTC was changed")
        previous = hashes[number] = row.hash
    for sent in _sent(heads):
        if sent.sequence > number:
            raise DamagedLog(f"entries {number + 1} to {sent.sequence} are missing: a head of entry {sent.sequence} was sent out")
        if hashes[sent.sequence] != sent.hash:
            raise DamagedLog(f"the log up to entry {sent.sequence} was written anew: its head is not the one that was sent out")
    return number


def _sent(heads: Path | None) -> list[Head]:
    if heads is None or not heads.exists():
        return []
    found = []
    for line in filter(str.strip, heads.read_text("utf-8").splitlines()):
        try:
            _, sequence, text = line.split()
            found.append(Head(int(sequence), bytes.fromhex(text.replace(".", ""))))
        except ValueError:
            raise DamagedLog(f"{heads} holds a line that is no head") from None
    return found


def send_head(db: Transaction, heads: Path) -> Head | None:
    """Add today's head to a file that lies elsewhere; once a day. Returns it when it was added. Raises OSError."""
    today = clock.now().date().isoformat()
    lines = heads.read_text("utf-8").splitlines() if heads.exists() else []
    if lines and lines[-1].startswith(today):
        return None
    now = head(db)
    with heads.open("a", encoding="utf-8") as file:
        file.write(f"{today} {now}\n")
    return now


def entries(db: Transaction, since: datetime) -> list[Any]:
    """What was done since then, oldest first: ids, never content."""
    return list(db.execute(sa.select(*_entry).where(_entry.at >= since).order_by(_entry.sequence)))


def of_case(db: Transaction, case: UUID) -> list[Any]:
    """What was done to a case, newest first, with the ``name`` of who did it (None: the machine)."""
    return list(db.execute(_NAMED.where(_entry.case_id == case)))


def of_team(db: Transaction, team: UUID, before: int | None = None, limit: int = 100) -> list[Any]:
    """What a team's members did, newest first, with ``name`` and ``reference`` (None: the case is erased); ``before``: an entry."""
    theirs = _NAMED.where(_entry.caseworker_id.in_(sa.select(_caseworker.id).where(_caseworker.team_id == team)))
    return list(db.execute((theirs.where(_entry.sequence < before) if before else theirs).limit(limit)))
