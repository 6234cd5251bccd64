"""What every page of the console needs: the store, who is signed in, the form token, and how a page is made."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from bot import staff
from bot.keys import SessionSecret
from bot.settings import Settings
from bot.staff import SignedIn
from bot.store import Store, Transaction
from bot.web import wording
from flows.places import DEFAULT, load_places
from translations.machine import Translation

STATIC = Path(__file__).parent / "static"
_TEMPLATES = Path(__file__).parent / "templates"
_HALF_CHARACTERS = re.compile("[\ud800-\udfff]")


class Translates(Protocol):
    """Something that translates: translations.machine.Translator, or a fake."""

    def translate(self, text: str, source: str, target: str) -> Translation: ...


class NotSignedIn(Exception):
    """Nobody is signed in with this cookie."""


class OldForm(Exception):
    """A form without the token of this session: another site's, or one from before the last sign-in."""


@dataclass(frozen=True)
class Desk:
    """One console: where its cases are kept, who translates for it, and its page templates."""

    store: Store
    settings: Settings
    translator: Translates
    templates: jinja2.Environment
    emergency: str  # the number that ready replies name

    @classmethod
    def furnished(cls, store: Store, settings: Settings, translator: Translates) -> Desk:
        templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_TEMPLATES),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        templates.globals.update(version=_version_of_static(), say=wording)
        zone = ZoneInfo(settings.time_zone)
        templates.filters["moment"] = lambda at: wording.moment(at, zone)
        templates.filters["age"] = wording.age
        places = load_places()
        emergency = places.get(settings.place, places[DEFAULT]).number
        return cls(store, settings, translator, templates, emergency)

    # -- who is there --------------------------------------------------------------------------------------------------------

    @property
    def cookie(self) -> str:
        """The cookie's name; ``__Host-`` ties it to https and to this host."""
        return "__Host-tellonce" if self.settings.secure_cookies else "tellonce"

    @property
    def idle(self) -> timedelta:
        return timedelta(minutes=self.settings.session_idle_minutes)

    @contextmanager
    def at_work(self, request: Request, *, is_use: bool = True) -> Iterator[tuple[Transaction, SignedIn]]:
        """The one transaction of a request and who makes it. ``is_use``: whether this keeps the session alive.

        Raises NotSignedIn.
        """
        with self.store.transaction() as db:
            member = self._signed_in(db, request, is_use=is_use)
            if member is not None:
                yield db, member
                return
        raise NotSignedIn  # not in the transaction: an idle session is erased in it

    @contextmanager
    def looking(self, request: Request) -> Iterator[tuple[Transaction, SignedIn]]:
        """What an open page asks by itself, again and again: it writes nothing and holds nobody up. Raises NotSignedIn.

        An idle session is left for whoever asks next, or for `work`, to erase.
        """
        with self.store.reading() as db:
            member = self._signed_in(db, request, is_use=False)
            if member is None:
                raise NotSignedIn
            yield db, member

    def _signed_in(self, db: Transaction, request: Request, *, is_use: bool) -> SignedIn | None:
        cookie = request.cookies.get(self.cookie)
        return staff.signed_in(db, cookie, self.idle, is_use=is_use) if cookie else None

    async def requires_own_form(self, request: Request) -> None:
        """A dependency of every form but sign-in. Raises NotSignedIn, OldForm."""
        cookie = request.cookies.get(self.cookie)
        if not cookie:
            raise NotSignedIn
        token = (await request.form()).get("token")
        if not hmac.compare_digest(str(token).encode(), SessionSecret.from_cookie(cookie).form_token.encode()):
            raise OldForm

    # -- pages ---------------------------------------------------------------------------------------------------------------

    def page(self, template: str, member: SignedIn | None = None, status: int = 200, **values: Any) -> Response:
        """A page or a part of one."""
        return HTMLResponse(self.rendered(template, member, **values), status)

    def rendered(self, template: str, member: SignedIn | None = None, **values: Any) -> str:
        given = {"member": member, "token": member.session.form_token if member else "", "settings": self.settings, **values}
        text = self.templates.get_template(template).render(given)
        # Half a surrogate pair can come out of a phone; it is kept in the report and cannot be written as UTF-8.
        return _HALF_CHARACTERS.sub("\N{REPLACEMENT CHARACTER}", text)

    def sentence(self, request: Request, status: int, title: str, sentence: str, **values: Any) -> Response:
        """A page that says one thing, plainly; it takes the whole window even where htmx asked for a part."""
        values = {"member": None, **values}
        page = self.page("sentence.html", status=status, title=title, sentence=sentence, **values)
        return whole_window(request, page)

    def nothing_here(self, request: Request, error: Exception) -> Response:
        """What is not there and what belongs to another team look the same."""
        status = getattr(error, "status_code", 404)
        if status == 405:
            return self.sentence(request, 405, "This was not done", "Please go back and use the button on the page.")
        return self.sentence(request, 404, "Nothing here", "There is no such page, or it belongs to another team.")

    def only_leads(self, request: Request, _error: Exception) -> Response:
        """Signed in, but not a lead."""
        sentence = "Only a lead of your team can do this. Who leads stands on the page “Team”."
        return self.sentence(request, 403, "For leads only", sentence)


def asked_for_a_part(request: Request) -> bool:
    """Whether htmx wants a part of a page only."""
    return request.headers.get("hx-request") == "true"


def whole_window(request: Request, page: Response) -> Response:
    """Let a page replace everything, even where htmx asked for a part."""
    if asked_for_a_part(request):
        page.headers["HX-Retarget"] = "body"
        page.headers["HX-Reswap"] = "innerHTML"
    return page


def go_to(path: str) -> Response:
    """Look at ``path`` next (after a form: with GET)."""
    return RedirectResponse(path, 303)


def _version_of_static() -> str:
    """Changes whenever a static file does, so that browsers may keep them for good."""
    digest = hashlib.sha256()
    for file in sorted(STATIC.iterdir()):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
