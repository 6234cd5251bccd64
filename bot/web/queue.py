"""The queue: who waits, the highest risk first; and new caseworkers who wait to be let in."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Form
from starlette.requests import Request
from starlette.responses import Response

from bot import audit, case_files, clock, staff, unmasking
from bot.case_files import QueueRow
from bot.engines import Engines
from bot.staff import SignedIn
from bot.store import Transaction
from bot.web.desk import Desk, go_to

AT_MOST = 100
SHOWN: dict[str, dict[str, Any]] = {"all": {}, "mine": {"is_mine": True}, "danger": {"least_risk": 2}}
TABS = {"open": ("open", "claimed"), "closed": ("closed",)}


def routes(desk: Desk, engines: Engines | None = None) -> APIRouter:
    router = APIRouter()

    @router.get("/")
    def start(request: Request) -> Response:
        with desk.at_work(request):
            return go_to("/queue")

    @router.get("/queue")
    def queue(request: Request, tab: str = "open", show: str = "all", page: int = 1) -> Response:
        view = View.of(tab, show, page)
        with desk.at_work(request) as (db, member):
            rows = view.rows(db, member)
            newcomers = staff.waiting_to_be_let_in(db, member)
            questions = unmasking.waiting(db, member)
        rows_part, seen = _rows(desk, view, rows)
        missing = engines.missing() if engines else []
        values = {"tab": view.tab, "view": view, "rows_part": rows_part, "seen": seen, "newcomers": newcomers}
        return desk.page("queue.html", member, 200, **values, questions=questions, missing=missing)

    @router.get("/queue/rows")
    def rows(request: Request, tab: str = "open", show: str = "all", page: int = 1, seen: str = "") -> Response:
        """The rows alone, for the page that refreshes itself; nothing when they look as they did."""
        view = View.of(tab, show, page)
        with desk.at_work(request, is_use=False) as (db, member):
            found = view.rows(db, member)
        rows_part, now = _rows(desk, view, found)
        if now == seen:
            return Response(status_code=204)
        return desk.page("_queue_poll.html", tab=view.tab, view=view, rows_part=rows_part, seen=now)

    @router.post("/queue/let-in", dependencies=[Depends(desk.requires_own_form)])
    def let_in(request: Request, newcomer: Annotated[UUID, Form()]) -> Response:
        with desk.at_work(request) as (db, member):
            if staff.let_in(db, member, newcomer):
                audit.note(db, member.caseworker_id, "let_in", None, newcomer)
        return go_to("/queue")

    return router


@dataclass(frozen=True)
class View:
    """Which cases a page of the queue shows: ``View("open", "mine", 1)``."""

    tab: str
    show: str
    page: int

    @classmethod
    def of(cls, tab: str, show: str, page: int) -> View:
        """Whatever an address says that is not ours counts as the plain queue."""
        return cls(tab if tab in TABS else "open", show if show in SHOWN else "all", min(max(page, 1), 10_000))

    def rows(self, db: Transaction, member: SignedIn) -> list[QueueRow]:
        wanted = SHOWN[self.show]
        return case_files.queue(db, member, TABS[self.tab], AT_MOST, start=(self.page - 1) * AT_MOST, **wanted)


def _rows(desk: Desk, view: View, rows: list[QueueRow]) -> tuple[str, str]:
    """The rows as they are shown, and a mark that changes when they do."""
    is_cut = len(rows) == AT_MOST
    part = desk.rendered("_queue_rows.html", tab=view.tab, view=view, rows=rows, now=clock.now(), is_cut=is_cut)
    return part, hashlib.sha256(part.encode()).hexdigest()[:16]
