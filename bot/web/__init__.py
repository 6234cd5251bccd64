"""The caseworkers' console: server-rendered pages that work without JavaScript."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from bot.cases import NotYours
from bot.engines import Engines
from bot.settings import Settings
from bot.staff import NotLead
from bot.store import Store
from bot.web import addresses, case_pages, custody, figures, files, login, queue, replies, team
from bot.web.desk import STATIC, Desk, NotSignedIn, OldForm, Translates
from bot.web.guard import Guard

__all__ = ["Translates", "console"]


def console(store: Store, settings: Settings, translator: Translates, engines: Engines | None = None) -> FastAPI:
    """The pages under /sign-in, /queue and /cases, as one application to be mounted at the root.

    ``engines``: whose silence the queue's page mentions.
    """
    desk = Desk.furnished(store, settings, translator)
    app = FastAPI(title="Tellonce", openapi_url=None, docs_url=None, redoc_url=None)
    app.add_middleware(Guard, desk=desk)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.include_router(queue.routes(desk, engines))
    for part in (login, case_pages, replies, addresses, custody, team, figures, files):
        app.include_router(part.routes(desk))
    app.add_exception_handler(NotSignedIn, login.asks_to_sign_in(desk))
    app.add_exception_handler(OldForm, login.shows_text_back(desk))
    app.add_exception_handler(NotYours, desk.nothing_here)
    app.add_exception_handler(NotLead, desk.only_leads)
    app.add_exception_handler(RequestValidationError, desk.nothing_here)
    app.add_exception_handler(HTTPException, desk.nothing_here)
    return app
