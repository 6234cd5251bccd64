"""Working copies: what the machine translates and classifies, kept under the service key for minutes at most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from bot import clock, staff
from bot.models import Case, SealedTranslation, Suggestion, WorkingCopy
from bot.store import Transaction, lease_is_free

LIVES = timedelta(minutes=15)
TRY_AGAIN = timedelta(seconds=5)

_case: Any = Case.__table__.c  # type: ignore[attr-defined]
_copy: Any = WorkingCopy.__table__.c  # type: ignore[attr-defined]


def put(db: Transaction, case: UUID, of: UUID, language: str | None, texts: Mapping[str, str | None], *, classify: bool) -> None:
    """A working copy for the machine: lives at most 15 minutes under the service key."""
    row = WorkingCopy(case_id=case, of=of, body=b"", erase_at=clock.now() + LIVES)
    wants = ["translation", "suggestion"] if classify else ["translation"]
    body = {"language": language, "texts": {k: t for k, t in texts.items() if t}, "wants": wants}
    row.body = db.vault.hide(body, "working_copy", "body", row.id)
    db.insert(row)


@dataclass(frozen=True)
class Work:
    """A working copy somebody took on: the texts of one report or case message, and what is still ``wanted`` of the machine."""

    id: UUID
    case_id: UUID
    of: UUID
    language: str | None
    texts: Mapping[str, str]
    wanted: frozenset[str]  # translation, suggestion


def claim(db: Transaction) -> Work | None:
    """Take the oldest working copy nobody works on; expired ones are erased on the way."""
    now = clock.now()
    db.execute(sa.delete(WorkingCopy).where(_copy.erase_at <= now))
    free = sa.select(_copy.id).where(lease_is_free(_copy.leased_until, now)).order_by(_copy.erase_at).limit(1)
    found = db.execute(free.with_for_update(skip_locked=True)).scalar()
    if found is None:
        return None
    lease = sa.update(WorkingCopy).where(_copy.id == found).values(leased_until=now + timedelta(seconds=90))
    row = db.execute(lease.returning(*_copy)).one()
    body = db.vault.reveal(row.body, "working_copy", "body", row.id)
    return Work(row.id, row.case_id, row.of, body["language"], body["texts"], frozenset(body["wants"]))


def finish(db: Transaction, work: Work, translated: Mapping[str, Any] | None, suggestion: Mapping[str, Any] | None) -> None:
    """Seal what the machine found to the case. The copy is erased, unless something that is wanted could not be had yet (None)."""
    team = db.execute(sa.select(_case.team_id).where(_case.id == work.case_id)).scalar_one()
    seal = staff.team_seal(db, team)
    if translated:
        row = SealedTranslation(case_id=work.case_id, of=work.of, team_key_id=seal.team_key, sealed=b"")
        row.sealed = seal.seal(dict(translated), "sealed_translation", row.id)
        db.insert(row)
    if suggestion:
        hint = Suggestion(case_id=work.case_id, team_key_id=seal.team_key, sealed=b"")
        hint.sealed = seal.seal(dict(suggestion), "suggestion", hint.id)
        db.insert(hint)
    found = {name for name, result in (("translation", translated), ("suggestion", suggestion)) if result is not None}
    still_wanted = sorted(work.wanted - found)
    if not still_wanted:
        db.execute(sa.delete(WorkingCopy).where(_copy.id == work.id))
        return
    body = {"language": work.language, "texts": work.texts, "wants": still_wanted}
    waiting = sa.update(WorkingCopy).where(_copy.id == work.id)
    hidden = db.vault.hide(body, "working_copy", "body", work.id)
    db.execute(waiting.values(body=hidden, leased_until=clock.now() + TRY_AGAIN))
