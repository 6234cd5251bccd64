"""The queue: who waits, the highest risk first; and new caseworkers who wait to be let in."""

from __future__ import annotations

import hashlib
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Form
from starlette.requests import Request
from starlette.responses import Response

from bot import audit, case_files, clock, staff, unmasking
from bot.engines import Engines
from bot.web.desk import Desk, go_to

AT_MOST = 100
TABS = {"open": ("open", "claimed"), "closed": ("closed",)}


def routes(desk: Desk, engines: Engines | None = None) -> APIRouter:
    router = APIRouter()

    @router.get("/")
    def start(request: Request) -> Response:
        with desk.at_work(request):
            return go_to("/queue")

    @router.get("/queue")
    def queue(request: Request, tab: str = "open") -> Response:
        tab = tab if tab in TABS else "open"
        with desk.at_work(request) as (db, member):
            rows = case_files.queue(db, member, TABS[tab], AT_MOST)
            newcomers = staff.waiting_to_be_let_in(db, member)
            questions = unmasking.waiting(db, member)
        rows_part, seen = _rows(desk, tab, rows)
        missing = engines.missing() if engines else []
        values = {"tab": tab, "rows_part": rows_part, "seen": seen, "newcomers": newcomers, "questions": questions}
        return desk.page("queue.html", member, 200, **values, missing=missing)

    @router.get("/queue/rows")
    def rows(request: Request, tab: str = "open", seen: str = "") -> Response:
        """The rows alone, for the page that refreshes itself; nothing when they look as they did."""
        tab = tab if tab in TABS else "open"
        with desk.at_work(request, is_use=False) as (db, member):
            found = case_files.queue(db, member, TABS[tab], AT_MOST)
        rows_part, now = _rows(desk, tab, found)
        if now == seen:
            return Response(status_code=204)
        return desk.page("_queue_poll.html", tab=tab, rows_part=rows_part, seen=now)

    @router.post("/queue/let-in", dependencies=[Depends(desk.requires_own_form)])
    def let_in(request: Request, newcomer: Annotated[UUID, Form()]) -> Response:
        with desk.at_work(request) as (db, member):
            if staff.let_in(db, member, newcomer):
                audit.note(db, member.caseworker_id, "let_in", None, newcomer)
        return go_to("/queue")

    return router


def _rows(desk: Desk, tab: str, rows: list[case_files.QueueRow]) -> tuple[str, str]:
    """The rows as they are shown, and a mark that changes when they do."""
    part = desk.rendered("_queue_rows.html", tab=tab, rows=rows, now=clock.now(), is_cut=len(rows) == AT_MOST)
    return part, hashlib.sha256(part.encode()).hexdigest()[:16]
