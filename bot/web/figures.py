"""Figures without a text: decisions beside suggestions, stories nobody finished, and examples for the machine."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Form
from starlette.requests import Request
from starlette.responses import Response

from bot import agreement, case_files, checkins, examples
from bot.case_files import CaseFile
from bot.examples import Approved, NotAllowed
from bot.web import accounts, wording
from bot.web.case_pages import plain, wrong_length
from bot.web.desk import Desk, go_to


def routes(desk: Desk) -> APIRouter:
    router = APIRouter()
    own_form = [Depends(desk.requires_own_form)]

    @router.get("/figures")
    def figures(request: Request) -> Response:
        with desk.at_work(request) as (db, member):
            rows, unfinished = agreement.rows(db, member.team_id), agreement.half_told(db, member.team_id)
        return desk.page("figures.html", member, 200, rows=rows, half_told=unfinished, tongue=wording.tongue)

    # -- one account as an example -------------------------------------------------------------------------------------------

    def shown(request: Request, case: UUID, problem: str = "", text: str = "") -> Response:
        with desk.at_work(request) as (db, member):
            file = case_files.open_file(db, member, case)
            is_agreed = checkins.has_consent(db, file.row.reporter_id, examples.PURPOSE)
            kept = examples.find(db, member, case)
        story = accounts.story_of(file)
        values: dict[str, Any] = {"file": file, "case": file.row, "reporter": file.reporter, "is_agreed": is_agreed, "kept": kept}
        values |= {"story": story, "text": text or examples.redacted(story), "problem": problem, "decided": _decided(file)}
        language = wording.tongue(file.language)
        return desk.page("example.html", member, 422 if problem else 200, **values, language=language)

    @router.get("/cases/{case}/example")
    def example(request: Request, case: UUID) -> Response:
        return shown(request, case)

    @router.post("/cases/{case}/example/consent", dependencies=own_form)
    def consent(request: Request, case: UUID, text: Annotated[str, Form()] = "", ends: Annotated[str, Form()] = "") -> Response:
        words = plain(text)
        if problem := wrong_length(words, "sentence in which they said so"):
            return shown(request, case, problem)
        with desk.at_work(request) as (db, member):
            examples.note_consent(db, member, case, words, is_given=not ends)
        return go_to(f"/cases/{case}/example")

    @router.post("/cases/{case}/example", dependencies=own_form)
    def approve(request: Request, case: UUID, text: Annotated[str, Form()] = "", read: Annotated[str, Form()] = "") -> Response:
        text = plain(text)
        if not read:
            return shown(request, case, "Please read it once more, and say that nobody can be recognised.", text)
        try:
            with desk.at_work(request) as (db, member):
                file = case_files.open_file(db, member, case)
                if not (decided := _decided(file)):
                    raise NotAllowed("Write down a decision first: it is what the machine learns.")
                suggested = [str(m["code"]) for m in (file.suggestion or {}).get("motivations", ())]
                examples.approve(db, member, case, Approved(text, file.language or "", decided, suggested))
        except NotAllowed as refusal:
            return shown(request, case, str(refusal), text)
        return go_to(f"/cases/{case}/example")

    @router.post("/figures/examples.jsonl", dependencies=own_form)
    def export(request: Request) -> Response:
        with desk.at_work(request) as (db, member):
            lines = examples.export(db, member)
        named = {"Content-Disposition": 'attachment; filename="examples.jsonl"'}
        return Response(lines, media_type="application/jsonl; charset=utf-8", headers=named)

    return router


def _decided(file: CaseFile) -> list[str]:
    return list(file.decisions[-1]["motivations"]) if file.decisions else []
