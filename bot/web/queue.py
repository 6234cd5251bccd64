"""The queue: who waits, the highest risk first; and new caseworkers who wait to be let in."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Depends, Form
from starlette.requests import Request
from starlette.responses import Response

from bot import audit, case_queue, clock, staff, unmasking
from bot.case_queue import AT_MOST, UNKNOWN, Place, QueueRow, Wanted
from bot.engines import Engines
from bot.staff import SignedIn
from bot.store import Transaction
from bot.web.desk import Desk, go_to
from translations import catalog

TABS = ("open", "closed")
SHOWN: dict[str, dict[str, Any]] = {
    "all": {},
    "mine": {"is_mine": True},
    "free": {"is_free": True},
    "danger": {"least_risk": 2},
}
SHOWN_CLOSED = ("all", "mine")


def routes(desk: Desk, engines: Engines | None = None) -> APIRouter:
    router = APIRouter()

    @router.get("/")
    def start(request: Request) -> Response:
        with desk.at_work(request):
            return go_to("/queue")

    @router.get("/queue")
    def queue(
        request: Request, tab: str = "", show: str = "", language: str = "", after: str = "", reference: str = ""
    ) -> Response:
        view = View.of(tab, show, language, after)
        with desk.at_work(request) as (db, member):
            if reference and (found := case_queue.find(db, member, reference)):
                return go_to(f"/cases/{found}")
            rows = view.rows(db, member)
            newcomers = staff.waiting_to_be_let_in(db, member)
            questions = unmasking.waiting(db, member)
        rows_part, seen = _rows(desk, view, rows)
        missing = engines.missing() if engines else []
        values = {"view": view, "rows_part": rows_part, "seen": seen, "newcomers": newcomers, "reference": reference[:20]}
        return desk.page("queue.html", member, 200, **values, questions=questions, missing=missing)

    @router.get("/queue/rows")
    def rows(request: Request, tab: str = "", show: str = "", language: str = "", after: str = "", seen: str = "") -> Response:
        """The rows alone, for the page that refreshes itself; nothing when they look as they did."""
        view = View.of(tab, show, language, after)
        with desk.looking(request) as (db, member):
            found = view.rows(db, member)
        rows_part, now = _rows(desk, view, found)
        if now == seen:
            return Response(status_code=204)
        return desk.page("_queue_poll.html", view=view, rows_part=rows_part, seen=now)

    @router.post("/queue/let-in", dependencies=[Depends(desk.requires_own_form)])
    def let_in(request: Request, newcomer: Annotated[UUID, Form()]) -> Response:
        with desk.at_work(request) as (db, member):
            if staff.let_in(db, member, newcomer):
                audit.note(db, member.caseworker_id, "let_in", None, newcomer)
        return go_to("/queue")

    return router


@dataclass(frozen=True)
class View:
    """Which cases a page of the queue shows: ``View("open", "mine", "pl", "2.1763799000000000.7f3c…")``."""

    tab: str
    show: str
    language: str
    after: str = ""

    @classmethod
    def of(cls, tab: str, show: str, language: str, after: str) -> View:
        """Whatever an address says that is not ours counts as the plain queue."""
        tab = tab if tab in TABS else "open"
        show = show if show in (SHOWN if tab == "open" else SHOWN_CLOSED) else "all"
        language = language if language == UNKNOWN or language in catalog.languages() else ""
        return cls(tab, show, language, after if Place.parse(after) else "")

    def rows(self, db: Transaction, member: SignedIn) -> list[QueueRow]:
        wanted = Wanted(self.tab == "closed", language=self.language, **SHOWN[self.show])
        return case_queue.page(db, member, wanted, Place.parse(self.after))

    @property
    def shows(self) -> tuple[str, ...]:
        """What else this tab can be narrowed to."""
        return tuple(SHOWN) if self.tab == "open" else SHOWN_CLOSED

    def query(self, **changes: str) -> str:
        """This view as a page's address has it, with changes, from the start of the list unless they name a place."""
        said = replace(self, **{"after": "", **changes})
        plain = {"tab": "open", "show": "all", "language": "", "after": ""}
        return urlencode({name: value for name, value in vars(said).items() if value != plain[name]})


def _rows(desk: Desk, view: View, rows: list[QueueRow]) -> tuple[str, str]:
    """The rows as they are shown, and a mark that changes when they do."""
    after = str(Place.of(rows[-1])) if len(rows) == AT_MOST else ""
    part = desk.rendered("_queue_rows.html", view=view, rows=rows, now=clock.now(), after=after)
    return part, hashlib.sha256(part.encode()).hexdigest()[:16]
