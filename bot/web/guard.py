"""What holds for every page: the headers, where a form may come from, how big it may be, and that no failure shows a word."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bot.privacy import what_failed

if TYPE_CHECKING:
    from bot.web.desk import Desk

log = logging.getLogger(__name__)

BIGGEST_FORM = 200_000  # bytes
SELF_ALONE = "script-src style-src img-src font-src connect-src form-action".split()
POLICY = "; ".join(
    ["default-src 'none'", *(f"{what} 'self'" for what in SELF_ALONE), "frame-ancestors 'none'", "base-uri 'none'"],
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Guard:
    """ASGI middleware round the console."""

    def __init__(self, app: ASGIApp, desk: Desk) -> None:
        self._app = app
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_static = scope["path"].startswith("/static/")
        has_begun = False

        async def with_headers(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)  # a file that is sent on may have a stricter policy
                # Our own stylesheet and scripts carry their version in the address; a page with a case in it is never kept.
                headers["Cache-Control"] = "public, max-age=31536000, immutable" if is_static else "no-store"
            await send(message)

        request = Request(scope)
        if refusal := self._refusal(request):
            status, sentence = refusal
            await self._desk.sentence(request, status, "This was not done", sentence)(scope, receive, with_headers)
            return
        try:
            await self._app(scope, receive, with_headers)
        except Exception as error:  # the one broad catch of the console: what failed may hold a reporter's words
            log.error("%s failed: %s", scope["method"], what_failed(error))
            if has_begun:
                return
            page = self._desk.sentence(request, 500, "This did not work", "Something failed on our side. Please try again.")
            await page(scope, receive, with_headers)

    def _refusal(self, request: Request) -> tuple[int, str] | None:
        """Why a request goes no further: status and sentence."""
        if request.method in ("GET", "HEAD"):
            return None
        if not came_from_here(request.headers, urlsplit(self._desk.settings.public_url).netloc):
            return 403, "This form was sent from another site. Please open Tellonce itself and try again."
        length = request.headers.get("content-length", "")
        if not length.isdigit():
            return 411, "This form came without its length."
        if int(length) > BIGGEST_FORM:
            return 413, "This is too long. Please send it in several parts."
        return None


def came_from_here(headers: Headers, public: str) -> bool:
    """Whether a form was sent from one of our own pages, as far as the browser says.

    Under our no-referrer policy browsers send "Origin: null"; then Sec-Fetch-Site speaks, where there is https or a local address.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin", "null")
    return origin == "null" or urlsplit(origin).netloc in (headers.get("host"), public)
