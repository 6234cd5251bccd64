"""The page of one case, and what is done there: claim, note, decide, close."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Form
from starlette.requests import Request
from starlette.responses import Response

from bot import agreement, case_files, cases
from bot.case_files import CaseFile
from bot.cases import AlreadyClaimed
from bot.staff import SignedIn
from bot.store import Transaction
from bot.web import accounts, ready, wording
from bot.web.desk import Desk, NotSignedIn, go_to

LONGEST_NOTE = 10_000  # characters


def routes(desk: Desk) -> APIRouter:
    router = APIRouter()
    own_form = [Depends(desk.requires_own_form)]

    def shown(request: Request, case: UUID, status: int = 200, **values: Any) -> Response:
        with desk.at_work(request) as (db, member):
            file = case_files.open_file(db, member, case)
            seen = case_files.news_mark(db, member, case)
        return desk.page("case.html", member, status, **values_of(desk, file, seen), **{**_nothing_typed(), **values})

    def done(request: Request, case: UUID, verb: Callable[[Transaction, SignedIn], None], place: str = "") -> Response:
        """Do one thing in one transaction, then show the case again, at ``place``."""
        try:
            with desk.at_work(request) as (db, member):
                verb(db, member)
        except AlreadyClaimed as refusal:
            return shown(request, case, 409, problem=f"That was not done: {refusal}.")
        return go_to(f"/cases/{case}{place}")

    @router.get("/cases/{case}")
    def case_page(request: Request, case: UUID) -> Response:
        return shown(request, case)

    @router.get("/cases/{case}/news")
    def news(request: Request, case: UUID, seen: str = "", writing: str = "") -> Response:
        """What is new on a case, for the page that refreshes itself; the forms in it are left alone."""
        try:
            with desk.looking(request) as (db, member):
                if case_files.news_mark(db, member, case) == seen:
                    return Response(status_code=204)
            with desk.at_work(request, is_use=False) as (db, member):
                now, file = case_files.news_mark(db, member, case), case_files.open_file(db, member, case)
        except NotSignedIn:
            if not writing:
                raise
            return desk.page("_signed_out.html")  # the case goes from the screen, what she was writing stays
        return desk.page("_news.html", member, **values_of(desk, file, now))

    @router.post("/cases/{case}/claim", dependencies=own_form)
    def claim(request: Request, case: UUID) -> Response:
        return done(request, case, lambda db, member: cases.claim(db, member, case), "#reply")

    @router.post("/cases/{case}/close", dependencies=own_form)
    def close(request: Request, case: UUID) -> Response:
        return done(request, case, lambda db, member: cases.close(db, member, case))

    @router.post("/cases/{case}/note", dependencies=own_form)
    def note(request: Request, case: UUID, text: Annotated[str, Form()] = "") -> Response:
        text = plain(text)
        if problem := wrong_length(text, "note"):
            return shown(request, case, 422, note_problem=problem, note=text)
        return done(request, case, lambda db, member: cases.add_note(db, member, case, text), "#notes-heading")

    @router.post("/cases/{case}/decide", dependencies=own_form)
    def decide(
        request: Request,
        case: UUID,
        motivations: Annotated[list[str], Form()] = [],  # noqa: B006 - FastAPI copies it
        text: Annotated[str, Form()] = "",
    ) -> Response:
        chosen, reason = [m for m in (*wording.STRANDS, wording.NO_MOTIVATION) if m in motivations], plain(text)
        if problem := _cannot_decide(chosen, reason):
            return shown(request, case, 422, decision_problem=problem, reason=reason, chosen=chosen)
        return done(request, case, lambda db, member: agreement.decide(db, member, case, chosen, reason), "#decision-heading")

    return router


def values_of(desk: Desk, file: CaseFile, seen: str) -> dict[str, Any]:
    """What the templates of a case need."""
    working = desk.settings.working_language
    return {
        "file": file,
        "case": file.row,
        "seen": seen,
        "language": wording.tongue(file.language),
        "working": wording.tongue(working),
        "account": accounts.account(file, working),
        "lines": accounts.chat(file, working),
        "history": accounts.history(file.actions),
        "ready_replies": ready.choices(desk, file.language),
        "chosen_ready": "",
    }


def _nothing_typed() -> dict[str, Any]:
    names = ("problem", "note_problem", "note", "decision_problem", "reason", "reply_problem", "text")
    return {**dict.fromkeys(names, ""), "chosen": []}


def plain(text: str) -> str:
    """What was typed into a form; browsers end its lines as on a typewriter."""
    return text.replace("\r\n", "\n").strip()


def wrong_length(text: str, what: str) -> str:
    """Why a text cannot be taken as a ``what``; empty: it can."""
    if not text:
        return f"Please write the {what} first."
    if len(text) > LONGEST_NOTE:
        return f"This {what} has {len(text):,} characters; {LONGEST_NOTE:,} are the most."
    return ""


def _cannot_decide(chosen: list[str], reason: str) -> str:
    if not chosen:
        return f"Please choose at least one motivation, or “{wording.NO_MOTIVATION_LABEL}”."
    if wording.NO_MOTIVATION in chosen and len(chosen) > 1:
        return f"“{wording.NO_MOTIVATION_LABEL}” does not go together with a motivation. Please choose."
    return wrong_length(reason, "reason")
