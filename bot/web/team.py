"""The team: who belongs to it, ending an access, a new password, and what everybody did."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form
from starlette.requests import Request
from starlette.responses import Response

from bot import audit, cases, staff
from bot.staff import NoSuchCaseworker
from bot.web.custody import logged
from bot.web.desk import Desk, go_to

AT_MOST = 200  # entries of the read log on one page


def routes(desk: Desk) -> APIRouter:
    router = APIRouter()
    own_form = [Depends(desk.requires_own_form)]

    def shown(request: Request, problem: str = "") -> Response:
        with desk.at_work(request) as (db, member):
            colleagues = staff.colleagues(db, member.team_id)
        return desk.page("team.html", member, 422 if problem else 200, colleagues=colleagues, problem=problem)

    @router.get("/team")
    def team(request: Request) -> Response:
        return shown(request)

    @router.post("/team/disable", dependencies=own_form)
    def disable(request: Request, name: Annotated[str, Form()] = "") -> Response:
        """Hers is ended on another's console or with the command, so that a lead never locks the last door behind herself."""
        try:
            with desk.at_work(request) as (db, member):
                staff.require_lead(member)
                if name == member.name:
                    raise NoSuchCaseworker("You cannot end your own access here. Another lead can, or the command line.")
                gone, _ = staff.disable(db, name, member.team_id)
                cases.hand_back(db, gone)
                audit.note(db, member.caseworker_id, "disabled", None, gone)
        except NoSuchCaseworker as refusal:
            return shown(request, str(refusal))
        return go_to("/team")

    @router.post("/team/reset", dependencies=own_form)
    def reset(request: Request, name: Annotated[str, Form()] = "") -> Response:
        with desk.at_work(request) as (db, member):
            staff.require_lead(member)
            found = next((c for c in staff.colleagues(db, member.team_id) if c.name == name), None)
        if name == member.name:
            return shown(request, "You cannot reset yourself here. Another lead can, or the command line.")
        if found is None:
            return shown(request, "There is nobody of that name in your team.")
        password = staff.reset(desk.store, name, member.team_id)
        with desk.store.transaction() as db:
            audit.note(db, member.caseworker_id, "reset", None, found.id)
        return desk.page("new_password.html", member, name=name, password=password)

    @router.post("/team/lead", dependencies=own_form)
    def lead(request: Request, name: Annotated[str, Form()] = "") -> Response:
        try:
            with desk.at_work(request) as (db, member):
                staff.require_lead(member)
                made = staff.let_lead(db, name, member.team_id)
                audit.note(db, member.caseworker_id, "made_lead", None, made)
        except NoSuchCaseworker as refusal:
            return shown(request, str(refusal))
        return go_to("/team")

    @router.get("/team/read-log")
    def read_log(request: Request, before: int | None = None) -> Response:
        with desk.at_work(request) as (db, member):
            staff.require_lead(member)
            found = audit.of_team(db, member.team_id, before, AT_MOST)
        older = found[-1].sequence if len(found) == AT_MOST else None
        return desk.page("team_log.html", member, entries=logged(found), older=older)

    return router
