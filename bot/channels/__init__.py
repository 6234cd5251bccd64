"""The ways in and out, and what their webhooks share: a bounded body, and a handing over whose failures tell no secrets."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from bot.messages import Delivery, IncomingMessage, NoRoom, Standing
from bot.privacy import what_failed

log = logging.getLogger(__name__)

Accept = Callable[[IncomingMessage], Awaitable[None]]
"""Stores one text and commits; the same ``external_id`` twice is a no-op."""
RecordDelivery = Callable[[str, Delivery], Awaitable[None]]
"""Stores what a vendor says of a text we sent; the first argument is the channel's name."""

RecordStanding = Callable[[Standing], Awaitable[None]]
"""Stores that somebody blocked or unblocked us."""

MAX_BODY = 256 * 1024  # bytes: 10,000 emoji are 120 kB once percent-encoded, and no text of a reporter may bounce off


COME_AGAIN = 60  # seconds, when there is no room


async def read_body(request: Request) -> bytes:
    """The raw body, read no further than MAX_BODY. Raises HTTPException 413, or 400 when it breaks off."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                raise HTTPException(413)
    except ClientDisconnect:
        raise HTTPException(400) from None
    return bytes(body)


async def hand_over(storing: Awaitable[None], about: str) -> None:
    """Wait until something is stored. Raises HTTPException 500 when it fails, 503 when there is no room: the vendor posts again.

    ``about`` says in the log which message it was. A database error may quote the row it failed on: the log never gets its text.
    """
    try:
        await storing
    except NoRoom as reason:
        log.error("%s was not stored, the vendor is asked to post it again: %s", about, reason)
        raise HTTPException(503, headers={"Retry-After": str(COME_AGAIN)}) from None
    except Exception as error:
        log.error("%s was not stored, the vendor will post it again: %s", about, what_failed(error))
        raise HTTPException(500) from None
