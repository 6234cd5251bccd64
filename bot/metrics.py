"""What a monitoring system may see: ``/health`` and ``/metrics``, counts and ages, never a word, a number or a name."""

from __future__ import annotations

import hmac
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import PlainTextResponse

from bot import clock, staff
from bot.engines import Engines
from bot.models import Case, CheckIn, CodeTries, Message, VendorCopy, WorkingCopy
from bot.store import Store, Transaction

LOOPBACK = ("127.0.0.1", "::1", "localhost")
EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"

Sample = tuple[str, float]  # the labels as they are written, and the value: ('{state="open"}', 3)

_message: Any = Message.__table__.c  # type: ignore[attr-defined]
_case: Any = Case.__table__.c  # type: ignore[attr-defined]
_check_in: Any = CheckIn.__table__.c  # type: ignore[attr-defined]
_vendor_copy: Any = VendorCopy.__table__.c  # type: ignore[attr-defined]
_copy: Any = WorkingCopy.__table__.c  # type: ignore[attr-defined]


def routes(store: Store, engines: Engines, token: str = "", folder: Path | None = None) -> APIRouter:
    """``/health`` and ``/metrics``, for this machine alone, or for whoever brings ``token``; for anybody else there is nothing.

    ``folder``: where the database lies, if that is on this machine's disk.
    """

    def require_neighbour(request: Request) -> None:
        if not may_look(request, token):
            raise HTTPException(404)

    router = APIRouter(dependencies=[Depends(require_neighbour)])

    @router.get("/health")
    def health() -> Response:
        """200 while texts can be taken in; 503 with the reason. Processes beside us that are silent do not make us ill."""
        try:
            with store.reading() as db:
                is_staffed = staff.has_team(db)
        except sa.exc.SQLAlchemyError:
            return PlainTextResponse("the database does not answer\n", 503)
        return PlainTextResponse("ok\n") if is_staffed else PlainTextResponse("there is no team\n", 503)

    @router.get("/metrics")
    def metrics() -> Response:
        try:
            with store.reading() as db:
                text = "".join(_written(*gauge) for gauge in _gauges(db))
        except sa.exc.SQLAlchemyError:
            return PlainTextResponse("the database does not answer\n", 503)
        return Response(text + "".join(_written(*gauge) for gauge in _surroundings(engines, folder)), media_type=EXPOSITION)

    return router


def may_look(request: Request, token: str) -> bool:
    """Whether a request comes from this machine itself, not through a reverse proxy on it, or brings the token."""
    if token and hmac.compare_digest(request.headers.get("authorization", "").encode(), f"Bearer {token}".encode()):
        return True
    is_forwarded = any(name in request.headers for name in ("forwarded", "x-forwarded-for", "x-real-ip", "via"))
    return request.client is not None and request.client.host in LOOPBACK and request.url.hostname in LOOPBACK and not is_forwarded


def _gauges(db: Transaction) -> Iterator[tuple[str, str, Sequence[Sample]]]:
    now = clock.now()

    def age(column: Any, *where: Any) -> Sequence[Sample]:
        oldest = db.execute(sa.select(sa.func.min(column)).where(*where)).scalar()
        return [("", max(0.0, (now - oldest).total_seconds()) if oldest else 0.0)]

    def count(*where: Any) -> Sequence[Sample]:
        return [("", db.execute(sa.select(sa.func.count()).where(*where)).scalar_one())]

    waiting = (_message.direction == "in", _message.state == "waiting")
    sending = (_message.direction == "out", _message.state.in_(("queued", "sending")))
    yield "texts_waiting", "Texts of reporters that wait to be answered.", count(*waiting)
    yield "texts_waiting_oldest_seconds", "Age of the oldest of them.", age(_message.made_at, *waiting)
    yield "texts_tried_again", "Of those, the ones that failed at least once.", count(*waiting, _message.attempts > 1)
    yield "texts_to_send", "Texts of ours that have not gone out.", count(*sending)
    yield "texts_to_send_oldest_seconds", "Age of the oldest of them.", age(_message.made_at, *sending)
    held = (_message.direction == "out", _message.state.in_(("held", "invited")))
    yield "texts_held", "Texts of ours that wait until the reporter writes (WhatsApp).", count(*held)
    failed = (_message.direction == "out", _message.state == "failed")
    yield "texts_not_sent", "Texts of ours that were given up or refused.", count(*failed)
    waiting_copies = (_vendor_copy.state == "due",)
    yield "vendor_copies_waiting", "Texts erased here and still to be deleted at the vendor.", count(*waiting_copies)
    yield "vendor_copies_waiting_oldest_seconds", "Age of the oldest of them.", age(_vendor_copy.made_at, *waiting_copies)
    given_up = (_vendor_copy.state == "given_up",)
    yield "vendor_copies_given_up", "Texts a vendor did not delete, of the last 90 days.", count(*given_up)
    counted: Any = db.execute(sa.select(_case.state, sa.func.count()).group_by(_case.state))
    states = dict(counted.all())
    yield "cases", "Cases.", [(f'{{state="{state}"}}', states.get(state, 0)) for state in ("open", "claimed", "closed")]
    yield "cases_open_oldest_seconds", "Age of the oldest case nobody has claimed.", age(_case.opened_at, _case.state == "open")
    unsafe = (_case.state == "open", _case.risk >= 2)
    yield "cases_at_risk_oldest_seconds", "Age of the oldest unclaimed case with danger.", age(_case.opened_at, *unsafe)
    due = (_check_in.state == "due", _check_in.due_at <= now)
    yield "check_ins_overdue_seconds", "How long the oldest check-in is overdue.", age(_check_in.due_at, *due)
    refused = db.execute(sa.select(CodeTries.__table__.c.refused)).scalar_one()  # type: ignore[attr-defined]
    yield "codes_turned_away", "Codes not looked at as too many were tried, since the beginning.", [("", refused)]
    yield "working_copies", "Texts on their way through translation and classification.", count(_copy.id.is_not(None))


def _surroundings(engines: Engines, folder: Path | None) -> Iterator[tuple[str, str, Sequence[Sample]]]:
    answering = engines.answering()
    up = {"understanding": answering.understanding, "translation": answering.translation}
    yield (
        "engine_up",
        "Whether it answers; absent when it is switched off.",
        [(f'{{engine="{name}"}}', float(is_up)) for name, is_up in up.items() if is_up is not None],
    )
    if folder is not None:
        yield "disk_free_bytes", "Free space where the database lies.", [("", shutil.disk_usage(folder).free)]


def _written(name: str, meaning: str, samples: Sequence[Sample]) -> str:
    lines = [f"# HELP tellonce_{name} {meaning}", f"# TYPE tellonce_{name} gauge"]
    return "\n".join([*lines, *(f"tellonce_{name}{labels} {value:.15g}" for labels, value in samples)]) + "\n"
