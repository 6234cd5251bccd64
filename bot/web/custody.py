"""Keeping, handing over and erasing a case, and who read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Form
from starlette.requests import Request
from starlette.responses import Response

from bot import audit, cases, retention, staff, transfer
from bot.privacy import pseudonym
from bot.web import wording
from bot.web.case_pages import plain, wrong_length
from bot.web.desk import Desk, go_to


def routes(desk: Desk) -> APIRouter:
    router = APIRouter()
    own_form = [Depends(desk.requires_own_form)]

    def shown(request: Request, template: str, case: UUID, **values: Any) -> Response:
        with desk.at_work(request) as (db, member):
            row = cases.mine(db, member, case)
            teams = transfer.others(db, member)
            leads = [c.name for c in staff.colleagues(db, member.team_id) if c.is_lead]
        values = {"problem": "", "reason": "", **values, "case": row, "teams": teams, "leads": leads}
        values["may_hand_over"] = member.is_lead or row.claimed_by == member.caseworker_id
        return desk.page(template, member, 422 if values["problem"] else 200, reporter=pseudonym(row.reporter_id), **values)

    # -- legal hold ----------------------------------------------------------------------------------------------------------

    @router.get("/cases/{case}/hold")
    def hold_page(request: Request, case: UUID) -> Response:
        return shown(request, "hold.html", case)

    @router.post("/cases/{case}/hold", dependencies=own_form)
    def hold(request: Request, case: UUID, text: Annotated[str, Form()] = "", ends: Annotated[str, Form()] = "") -> Response:
        reason = plain(text)
        if problem := wrong_length(reason, "reason"):
            return shown(request, "hold.html", case, problem=problem, reason=reason)
        with desk.at_work(request) as (db, member):
            retention.hold(db, member, case, reason, is_held=not ends)
        return go_to(f"/cases/{case}/hold")

    # -- another team --------------------------------------------------------------------------------------------------------

    @router.get("/cases/{case}/transfer")
    def transfer_page(request: Request, case: UUID) -> Response:
        return shown(request, "transfer.html", case)

    @router.post("/cases/{case}/transfer", dependencies=own_form)
    def hand_over(request: Request, case: UUID, team: Annotated[str, Form()] = "") -> Response:
        try:
            with desk.at_work(request) as (db, member):
                reference = cases.mine(db, member, case).reference
                transfer.hand_over(db, member, case, team)
        except transfer.NoSuchTeam:
            return shown(request, "transfer.html", case, problem="Please choose the team it goes to.")
        sentence = f"Case {reference} belongs to the team “{team}” now. Your team opens nothing of it any more."
        return desk.sentence(request, 200, "Handed over", sentence, member=member)

    # -- erasing -------------------------------------------------------------------------------------------------------------

    @router.get("/cases/{case}/delete")
    def delete_page(request: Request, case: UUID) -> Response:
        return shown(request, "delete.html", case)

    @router.post("/cases/{case}/delete", dependencies=own_form)
    def delete(request: Request, case: UUID, reference: Annotated[str, Form()] = "") -> Response:
        with desk.at_work(request) as (db, member):
            staff.require_lead(member)
            expected = cases.mine(db, member, case).reference
            is_meant = reference.strip().upper() == expected
            is_gone = is_meant and retention.erase_at_desk(db, member, case)
        if not is_gone:
            why = "It is under legal hold." if is_meant else f"Please type {expected}."
            return shown(request, "delete.html", case, problem=f"Nothing was deleted. {why}")
        retention.leave_no_trace(desk.store)
        sentence = f"Case {expected} is erased, with everything told in it. The read log keeps that it was, when and by whom."
        return desk.sentence(request, 200, "Deleted", sentence, member=member)

    # -- who read it ---------------------------------------------------------------------------------------------------------

    @router.get("/cases/{case}/read-log")
    def read_log(request: Request, case: UUID) -> Response:
        with desk.at_work(request) as (db, member):
            staff.require_lead(member)
            row = cases.mine(db, member, case)
            entries = audit.of_case(db, case)
        values = {"case": row, "reporter": pseudonym(row.reporter_id), "entries": logged(entries)}
        return desk.page("read_log.html", member, **values)

    return router


@dataclass(frozen=True)
class LogLine:
    """Entries of the read log as one line; ``times`` readings from ``since`` to ``at``. ``by`` None: the machine."""

    verb: str
    said: str
    by: str | None
    to: str | None
    case: UUID | None
    reference: str | None
    at: datetime
    since: datetime
    times: int = 1

    def takes(self, other: LogLine) -> bool:
        return self.verb == other.verb == "read" and (self.by, self.case) == (other.by, other.case)


def logged(entries: Sequence[Any]) -> list[LogLine]:
    """Entries of the read log in plain words, newest first; somebody's readings of one case one after another are one line."""
    lines: list[LogLine] = []
    for e in entries:
        said = wording.ACTIONS.get(e.verb, e.verb.replace("_", " "))
        line = LogLine(e.verb, said, e.name, e.member, e.case_id, e.reference, e.at, e.at)
        if lines and lines[-1].takes(line):
            lines[-1] = replace(lines[-1], since=line.since, times=lines[-1].times + 1)
        else:
            lines.append(line)
    return lines
