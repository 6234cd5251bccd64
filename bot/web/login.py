"""Signing in and out, and what happens to a text that was being written when the session ended."""

from __future__ import annotations

import re
import threading
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from bot import staff
from bot.keys import SessionSecret
from bot.web.desk import Desk, NotSignedIn, asked_for_a_part, go_to, whole_window

AT_ONCE = 3  # passwords tried at the same time: each takes 64 MiB
_CASE = r"/cases/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_PAGE = re.compile(rf"/queue|/team|{_CASE}")
_FORM = re.compile(rf"{_CASE}/(?:reply/preview|note|decide)")
_KEPT = ("text", "sent", "machine", "engine", "flags", "motivations")

Handler = Callable[[Request, Exception], Awaitable[Response]]


def routes(desk: Desk) -> APIRouter:
    router = APIRouter()
    trying = threading.BoundedSemaphore(AT_ONCE)

    @router.get("/sign-in")
    def sign_in_page(request: Request, next: str = "") -> Response:
        try:
            with desk.at_work(request):
                return go_to(_page(next))
        except NotSignedIn:
            return desk.page("sign_in.html", next=_page(next), again="", kept=[], problem="", name="")

    @router.post("/sign-in")
    def sign_in(
        request: Request,
        name: Annotated[str, Form()] = "",
        password: Annotated[str, Form()] = "",
        next: Annotated[str, Form()] = "",
        again: Annotated[str, Form()] = "",
        text: Annotated[str, Form()] = "",
        sent: Annotated[str, Form()] = "",
        machine: Annotated[str, Form()] = "",
        engine: Annotated[str, Form()] = "",
        flags: Annotated[list[str], Form()] = [],  # noqa: B006 - FastAPI copies it
        motivations: Annotated[list[str], Form()] = [],  # noqa: B006
    ) -> Response:
        many = [("flags", f) for f in flags] + [("motivations", m) for m in motivations]
        kept = [*(("text", text), ("sent", sent), ("machine", machine), ("engine", engine)), *many]
        again = again if _FORM.fullmatch(again) else ""

        def refused(status: int, problem: str) -> Response:
            return desk.page(
                "sign_in.html", status=status, next=_page(next), again=again, kept=kept, problem=problem, name=name.strip()
            )

        if not trying.acquire(blocking=False):
            return refused(503, "Several people are signing in at this moment. Please try again.")
        try:
            session = staff.sign_in(desk.store, name.strip(), password)
        except staff.SignInRefused as refusal:
            return refused(401, str(refusal))
        finally:
            trying.release()
        if before := request.cookies.get(desk.cookie):
            with desk.store.transaction() as db:
                staff.sign_out(db, before)
        answer = go_to(_page(next))
        if again:
            answer = desk.page("kept.html", again=again, kept=kept, token=session.form_token)
        _give_cookie(desk, answer, session)
        return answer

    @router.post("/sign-out", dependencies=[Depends(desk.requires_own_form)])
    def sign_out(request: Request) -> Response:
        with desk.at_work(request) as (db, member):
            staff.sign_out(db, member.session.cookie)
        answer = go_to("/sign-in")
        answer.delete_cookie(desk.cookie, secure=desk.settings.secure_cookies, httponly=True, samesite="lax")
        return answer

    return router


def _give_cookie(desk: Desk, answer: Response, session: SessionSecret) -> None:
    # Lax, not Strict: a caseworker who follows a link to her queue is still signed in. Every form carries a token besides.
    answer.set_cookie(desk.cookie, session.cookie, httponly=True, secure=desk.settings.secure_cookies, samesite="lax", path="/")


def _page(path: str) -> str:
    """Where to go after signing in: one of our own pages, never an address somebody else chose."""
    return path if _PAGE.fullmatch(path) else "/queue"


# -- when the session is over --------------------------------------------------------------------------------------------------


def asks_to_sign_in(desk: Desk) -> Handler:
    """Nobody is signed in: a page leads to sign-in, and a form brings its text along, through the browser alone."""

    async def handler(request: Request, _error: Exception) -> Response:
        path = request.url.path
        if request.method == "GET":
            where = "/".join(path.split("/")[:3])
            return _leave(request, "/sign-in" + (f"?next={where}" if _PAGE.fullmatch(where) else ""))
        kept, again = _kept(await request.form()), _form_to_send_again(path)
        case = "/".join(path.split("/")[:3])
        problem = "You were signed out before this was done. "
        problem += "Nothing was sent or saved; your text is kept on this page." if again else "Please sign in and do it again."
        values: dict[str, Any] = {"next": _page(case), "again": again, "kept": kept, "problem": problem, "name": ""}
        return whole_window(request, desk.page("sign_in.html", status=401, **values))

    return handler


def shows_text_back(desk: Desk) -> Handler:
    """The form is not of this session. Nothing is done; whatever was written is shown to be copied."""

    async def handler(request: Request, _error: Exception) -> Response:
        text = str((await request.form()).get("text") or "")
        case = "/".join(request.url.path.split("/")[:3])
        sentence = "This page is from before your last sign-in, so nothing was sent or saved. Please open it again."
        return desk.sentence(request, 403, "This page is too old", sentence, text=text, back=_page(case))

    return handler


def _leave(request: Request, path: str) -> Response:
    if asked_for_a_part(request):
        return Response(status_code=401, headers={"HX-Redirect": path})
    return go_to(path)


def _kept(form: FormData) -> list[tuple[str, str]]:
    """What she wrote and chose, in the order it came."""
    return [(name, value) for name, value in form.multi_items() if name in _KEPT and isinstance(value, str)]


def _form_to_send_again(path: str) -> str:
    """The form that takes a kept text again; a reply is always checked once more before it goes."""
    path = re.sub(r"/reply/\w+$", "/reply/preview", path)
    return path if _FORM.fullmatch(path) else ""
