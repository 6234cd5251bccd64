"""What caseworkers decide beside what the machine suggested: counted without a text, so that one sees where it goes wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from bot import cases, tallies
from bot.models import Case, Caseworker, Decision, Report, Suggestion
from bot.staff import SignedIn
from bot.store import Transaction

NOTHING = "none"  # a decision: no bias motivation was seen
_LABEL = "decided"

_case: Any = Case.__table__.c  # type: ignore[attr-defined]
_report: Any = Report.__table__.c  # type: ignore[attr-defined]
_decision: Any = Decision.__table__.c  # type: ignore[attr-defined]
_suggestion: Any = Suggestion.__table__.c  # type: ignore[attr-defined]
_caseworker: Any = Caseworker.__table__.c  # type: ignore[attr-defined]


def decide(db: Transaction, member: SignedIn, case: UUID, motivations: Sequence[str], reason: str) -> None:
    """Write down a decision and count how it compares; one that is decided anew counts once, as it stands. Raises NotYours."""
    row = cases.mine(db, member, case)
    before = db.one(
        sa.select(*_decision, _caseworker.team_id)
        .join_from(Decision.__table__, Caseworker.__table__, _decision.caseworker_id == _caseworker.id)  # type: ignore[attr-defined]
        .where(_decision.case_id == case)
        .order_by(_decision.at.desc())
        .limit(1)
    )
    language = _language(db, member, row)
    if before is not None:
        was = member.opener.open(before.sealed, before.team_key_id, "decision", before.id)["motivations"]
        past = compared(language, _suggested(db, member, case, before.at), was)
        tallies.add(db, before.team_id, {label: -number for label, number in past.items()}, before.at.year)
    tallies.add(db, member.team_id, compared(language, _suggested(db, member, case), motivations))
    cases.decide(db, member, case, motivations, reason)


def _language(db: Transaction, member: SignedIn, case: Any) -> str:
    row = db.one(sa.select(*_report).where(_report.id == case.report_id)) if case.report_id else None
    told = member.opener.open(row.sealed, row.team_key_id, "report", row.id) if row else {}
    return str(told.get("language") or "unknown")


def _suggested(db: Transaction, member: SignedIn, case: UUID, by: Any = None) -> Mapping[str, Any] | None:
    """The suggestion that stood there, now or at a time."""
    found = sa.select(*_suggestion).where(_suggestion.case_id == case, _suggestion.at <= by if by else sa.true())
    row = db.one(found.order_by(_suggestion.at.desc()).limit(1))
    return member.opener.open(row.sealed, row.team_key_id, "suggestion", row.id) if row else None


def compared(language: str, suggestion: Mapping[str, Any] | None, decided: Sequence[str]) -> Mapping[str, int]:
    """What is counted: ``{"decided pt race likely yes": 1, "decided pt religion no yes": 1}``.

    One label a motivation that either of them named: what the machine said of it (likely, possible, no) and what she decided.
    "none" is compared with "unclear". Nothing where the machine said nothing or does not read the language.
    """
    if not suggestion or suggestion.get("state") not in ("suggested", "unclear"):
        return {}
    said = {str(m["code"]): str(m.get("band") or "possible") for m in suggestion.get("motivations", ())}
    if not said:
        said = {NOTHING: "likely"}
    codes = sorted({*said, *decided})
    return Counter(f"{_LABEL} {language} {code} {said.get(code, 'no')} {'yes' if code in decided else 'no'}" for code in codes)


@dataclass(frozen=True)
class Row:
    """Of a year, language and motivation: named by both, by the machine alone, by the caseworker alone."""

    year: int
    language: str
    motivation: str
    both: str
    machine: str
    caseworker: str


def rows(db: Transaction, team: UUID) -> list[Row]:
    """How decisions compare with suggestions. What fewer than five stand behind is left out, and no sum tells it all the same."""
    found = []
    for year, counts in tallies.read(db, team).items():
        cells: dict[tuple[str, str], Counter[str]] = {}
        for label, number in counts.items():
            kind, *of = label.split(" ")
            if kind == _LABEL:
                language, code, said, decided = of
                who = "caseworker" if said == "no" else "both" if decided == "yes" else "machine"
                cells.setdefault((language, code), Counter())[who] += number
        for (language, code), numbers in sorted(cells.items()):
            if numbers.total() >= tallies.FEWEST:
                shown = {who: tallies.shown(numbers[who]) for who in ("both", "machine", "caseworker")}
                found.append(Row(year, language, code, **shown))
    return found


def half_told(db: Transaction, team: UUID) -> list[tuple[int, str, str]]:
    """Stories nobody finished, erased and only counted: year, language and how many, where five or more."""
    return [
        (year, label.split(" ")[1], str(number))
        for year, counts in tallies.read(db, team).items()
        for label, number in sorted(counts.items())
        if label.startswith("half_told ") and number >= tallies.FEWEST
    ]
