"""Seeing a reporter's address: one caseworker asks and says why, another agrees, it is shown once."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Form
from starlette.requests import Request
from starlette.responses import Response

from bot import cases, unmasking
from bot.privacy import pseudonym
from bot.unmasking import CannotUnmask
from bot.web.case_pages import plain, wrong_length
from bot.web.desk import Desk, go_to


def routes(desk: Desk) -> APIRouter:
    router = APIRouter()
    own_form = [Depends(desk.requires_own_form)]

    def shown(request: Request, case: UUID, problem: str = "", reason: str = "") -> Response:
        with desk.at_work(request) as (db, member):
            row = cases.mine(db, member, case)
            asked = unmasking.open_question(db, member, case)
        values = {"case": row, "reporter": pseudonym(row.reporter_id), "asked": asked, "problem": problem, "reason": reason}
        return desk.page("address.html", member, 422 if problem else 200, **values)

    @router.get("/cases/{case}/address")
    def address(request: Request, case: UUID) -> Response:
        return shown(request, case)

    @router.post("/cases/{case}/address/ask", dependencies=own_form)
    def ask(request: Request, case: UUID, text: Annotated[str, Form()] = "") -> Response:
        reason = plain(text)
        if problem := wrong_length(reason, "reason"):
            return shown(request, case, problem, reason)
        with desk.at_work(request) as (db, member):
            unmasking.ask(db, member, case, reason)
        return go_to(f"/cases/{case}/address")

    @router.post("/cases/{case}/address/grant", dependencies=own_form)
    def grant(request: Request, case: UUID, id: Annotated[UUID, Form()]) -> Response:
        try:
            with desk.at_work(request) as (db, member):
                unmasking.grant(db, member, case, id)
        except CannotUnmask:
            return shown(request, case, "The question was taken back or changed meanwhile. This is how it stands now.")
        return go_to(f"/cases/{case}/address")

    @router.post("/cases/{case}/address/refuse", dependencies=own_form)
    def refuse(request: Request, case: UUID) -> Response:
        try:
            with desk.at_work(request) as (db, member):
                unmasking.refuse(db, member, case)
        except CannotUnmask as refusal:
            return shown(request, case, str(refusal))
        return go_to(f"/cases/{case}/address")

    @router.post("/cases/{case}/address/show", dependencies=own_form)
    def show(request: Request, case: UUID) -> Response:
        try:
            with desk.at_work(request) as (db, member):
                row = cases.mine(db, member, case)
                addresses = unmasking.show(db, member, case)
        except CannotUnmask as refusal:
            return shown(request, case, str(refusal))
        return desk.page("address_shown.html", member, case=row, reporter=pseudonym(row.reporter_id), addresses=addresses)

    return router
