"""Answering a reporter: write, look at what they will read and what that means, then send."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, Form
from starlette.requests import Request
from starlette.responses import Response

from bot import case_files, cases
from bot.case_files import CaseFile
from bot.cases import CannotReply, Reply
from bot.staff import SignedIn
from bot.web import ready, wording
from bot.web.case_pages import plain
from bot.web.desk import Desk, asked_for_a_part, go_to
from translations import catalog

LONGEST = 1500  # characters of a text that goes out


@dataclass(frozen=True)
class Draft:
    """A reply before it is sent.

    ``way``: same (the reporter reads the caseworkers' language), machine (translated), none (it goes as written), ready (written
    beforehand in their language). ``machine``: the machine's own words; ``back``: ``sent`` translated back, empty when that could
    not be had; ``ready``, ``time``: which ready reply, and what it leaves open.
    """

    id: UUID
    text: str
    to: str
    way: str
    sent: str
    machine: str = ""
    engine: str = ""
    back: str = ""
    flags: tuple[str, ...] = ()
    doubtful: tuple[str, ...] = ()  # her words that may be missing or wrong in the first translation
    chosen: str = ""
    time: str = ""
    review: str = ""

    @property
    def goes_out(self) -> str:
        """Exactly what the reporter gets; a machine's words say that they are."""
        if self.way != "machine":
            return self.sent
        return f"{catalog.render('transcript.automatic', self.to)}\n{self.sent}"


def routes(desk: Desk) -> APIRouter:
    router = APIRouter()
    own_form = [Depends(desk.requires_own_form)]

    def box(request: Request, template: str, member: SignedIn, file: CaseFile, problem: str = "", **values: Any) -> Response:
        """The reply box: alone for htmx, else with a page round it."""
        page = "_as_is.html" if asked_for_a_part(request) else "reply.html"
        values = {"text": "", "chosen_ready": "", **values} | {
            "case": file.row,
            "language": wording.tongue(file.language),
            "working": wording.tongue(desk.settings.working_language),
            "problem": problem,
            "ready_replies": ready.choices(desk, file.language),
        }
        return desk.page(page, member, 422 if problem else 200, box=desk.rendered(template, member, **values), **values)

    @router.post("/cases/{case}/reply/preview", dependencies=own_form)
    def preview(
        request: Request,
        case: UUID,
        text: Annotated[str, Form()] = "",
        sent: Annotated[str, Form()] = "",
        machine: Annotated[str, Form()] = "",
        engine: Annotated[str, Form()] = "",
        flags: Annotated[list[str], Form()] = [],  # noqa: B006 - FastAPI copies it
    ) -> Response:
        """``sent`` empty: translate; else she changed the translation and wants to see what it means now."""
        text = plain(text)
        with desk.at_work(request) as (db, member):
            file = case_files.open_file(db, member, case)
        if problem := _problem(text, file.is_mine, file.can_reply):
            return box(request, "_reply_write.html", member, file, problem, text=text)
        if plain(sent) and machine and file.language:
            told = tuple(f for f in flags if f in wording.FLAGS) if plain(sent) == plain(machine) else ()
            draft = Draft(uuid4(), text, file.language, "machine", plain(sent), plain(machine), engine, "", told)
        else:
            draft = _drafted(desk, text, file.language)
        draft = _translated_back(desk, draft)
        return box(request, "_reply_check.html", member, file, _too_long(draft), draft=draft)

    @router.post("/cases/{case}/reply/ready", dependencies=own_form)
    def ready_reply(
        request: Request,
        case: UUID,
        chosen: Annotated[str, Form()] = "",
        time: Annotated[str, Form()] = "",
    ) -> Response:
        """A reply that was written beforehand in the reporter's language: looked at before it goes, as any other."""
        with desk.at_work(request) as (db, member):
            file = case_files.open_file(db, member, case)
        try:
            draft = _from_ready(desk, uuid4(), chosen, file.language or "", time)
        except ready.NotReady as missing:
            return box(request, "_reply_write.html", member, file, str(missing), chosen_ready=chosen)
        if problem := _problem(draft.text, file.is_mine, file.can_reply):
            return box(request, "_reply_write.html", member, file, problem)
        return box(request, "_reply_check.html", member, file, draft=draft)

    @router.post("/cases/{case}/reply/change", dependencies=own_form)
    def change(request: Request, case: UUID, text: Annotated[str, Form()] = "") -> Response:
        with desk.at_work(request) as (db, member):
            file = case_files.open_file(db, member, case)
        return box(request, "_reply_write.html", member, file, text=plain(text))

    @router.post("/cases/{case}/reply/send", dependencies=own_form)
    def send(
        request: Request,
        case: UUID,
        id: Annotated[UUID, Form()],
        text: Annotated[str, Form()] = "",
        sent: Annotated[str, Form()] = "",
        way: Annotated[str, Form()] = "none",
        to: Annotated[str, Form()] = "",
        machine: Annotated[str, Form()] = "",
        engine: Annotated[str, Form()] = "",
        back: Annotated[str, Form()] = "",
        flags: Annotated[list[str], Form()] = [],  # noqa: B006
        chosen: Annotated[str, Form()] = "",
        time: Annotated[str, Form()] = "",
    ) -> Response:
        working = desk.settings.working_language
        sent = plain(sent) if way == "machine" else plain(text)
        kept = tuple(f for f in flags if f in wording.FLAGS and f != "edited")
        kept += ("edited",) if way == "machine" and sent != plain(machine) else ()
        draft = Draft(id, plain(text), to or working, way, sent, plain(machine), engine, plain(back), kept)
        if way == "ready":
            try:
                draft = _from_ready(desk, id, chosen, to, time)
            except ready.NotReady:
                draft = replace(draft, sent="")
        problem = _too_long(draft) or ("" if draft.sent and draft.text else "There is nothing to send yet.")
        with desk.at_work(request) as (db, member):
            if not problem:
                try:
                    said = Reply(
                        draft.text, working, draft.goes_out, to if way in ("machine", "ready") else working, engine, kept, id
                    )
                    cases.reply(db, member, case, said)
                    return go_to(f"/cases/{case}#chat-end")
                except CannotReply as refusal:
                    problem = str(refusal)
            file = case_files.open_file(db, member, case)
        return box(request, "_reply_check.html", member, file, problem, draft=draft)

    return router


def _problem(text: str, is_mine: bool, cannot: str) -> str:
    if not is_mine:
        return "Claim the case first: then the conversation is yours and the bot is silent."
    if cannot:
        return cannot
    if not text:
        return "Please write your reply first."
    if len(text) > LONGEST:
        return f"Your reply has {len(text):,} characters. {LONGEST:,} are the most that can be sent at once: please shorten it."
    return ""


def _too_long(draft: Draft) -> str:
    if len(draft.goes_out) <= LONGEST:
        return ""
    return f"What would be sent has {len(draft.goes_out):,} characters. {LONGEST:,} are the most: please shorten it."


def _from_ready(desk: Desk, id: UUID, msgid: str, language: str, time: str) -> Draft:
    """Raises ready.NotReady."""
    found = ready.written(desk, msgid, language, time)
    return Draft(id, found.means, language, "ready", found.text, chosen=msgid, time=time, review=found.review)


def _drafted(desk: Desk, text: str, to: str | None) -> Draft:
    """Translate a reply; called with no transaction open, for it may take seconds."""
    working = desk.settings.working_language
    if to == working:
        return Draft(uuid4(), text, to, "same", text)
    if to is None:
        return Draft(uuid4(), text, working, "none", text, flags=("interpreter_needed",))
    made = desk.translator.translate(text, working, to)
    if not made.text:
        return Draft(uuid4(), text, to, "none", text, flags=made.flags or ("interpreter_needed",))
    return Draft(uuid4(), text, to, "machine", made.text, made.text, made.engine, flags=made.flags, doubtful=made.doubtful)


def _translated_back(desk: Desk, draft: Draft) -> Draft:
    if draft.way != "machine":
        return draft
    return replace(draft, back=desk.translator.translate(draft.sent, draft.to, desk.settings.working_language).text or "")
