"""Reads the database when all is quiet: is every text there once, in order, and answered once?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from bench.installation import Installation, until
from bench.load import BY_NUMBER, Answered, Text, story_of
from bot import inbox
from bot.models import Address, FlowSession, Message

_message: Any = Message.__table__.c  # type: ignore[attr-defined]
_address: Any = Address.__table__.c  # type: ignore[attr-defined]
_session: Any = FlowSession.__table__.c  # type: ignore[attr-defined]


def drained(here: Installation, seconds: float = 120, sent: bool = False) -> None:
    """Wait until every text is answered and, if ``sent``, every reply handed over."""

    def is_quiet() -> bool:
        with here.store.reading() as db:
            leaving = sa.select(sa.func.count()).where(_message.direction == "out", _message.state.in_(("queued", "sending")))
            return inbox.waiting(db) == 0 and not (sent and db.execute(leaving).scalar())

    until(is_quiet, seconds, f"still not answered after {seconds:.0f} s: {here.log()[-600:]}", every=0.05)


def faults(here: Installation, lines: Sequence[Sequence[Text]], answers: Sequence[Answered], parts: int) -> list[str]:
    """What was lost, doubled or out of order, a sentence each. ``parts``: how many texts of each line are its story."""
    found = [f"{text.sid} was answered {one.status}" for one in answers if not one.is_right for text in [one.text]]
    with here.store.reading() as db:
        came = {row.external_id: row for row in db.execute(sa.select(*_message).where(_message.direction == "in"))}
        left = Counter(db.execute(sa.select(_message.reporter_id).where(_message.direction == "out")).scalars())
        kept = dict(
            db.execute(
                sa.select(_address.found_by, _session.id).join_from(
                    Address, FlowSession, _address.reporter_id == _session.reporter_id
                )
            ).all()
        )
        bodies = dict(db.execute(sa.select(_session.id, _session.body)).all())
        vault = db.vault
    if len(came) != len({text.sid for line in lines for text in line}):
        found.append(f"{len(came)} rows for {sum(map(len, lines))} texts")
    for line in lines:
        rows = [came.get(vault.index(f"sms\0{text.sid}", "vendor id")) for text in line]
        if None in rows:
            found.append(f"{rows.count(None)} texts of one phone are lost")
            continue
        if [row.sequence for row in rows] != sorted(row.sequence for row in rows):
            found.append("texts of one phone were numbered out of order")
        if any(row.state != "done" for row in rows):
            found.append("a text of one phone was not answered")
        if left[rows[0].reporter_id] != len(line):
            found.append(f"{left[rows[0].reporter_id]} replies to {len(line)} texts of one phone")
        session = kept[vault.index(f"sms\0{line[0].number}", "address")]
        position = vault.reveal(bodies[session], "flow_session", "body", session)["position"]
        if position["facts"]["story"] != story_of(line[0].number, parts):
            found.append("the story of one phone is not in the order it was told")
        if len(line) == parts + len(BY_NUMBER) and position["node"] != "read_back":
            found.append(f"one phone stands at {position['node']}")
    return found
