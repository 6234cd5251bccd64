"""A conversation typed at a screen, with everything real behind it, in a folder that is gone afterwards: ``tellonce chat``."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml

from bot import app, inbox, outbox, staff
from bot.channels.terminal import Terminal
from bot.messages import IncomingMessage
from bot.models import Case, Perception, Report
from bot.privacy import TeamOpener
from bot.settings import Settings
from bot.store import Store

_case: Any = Case.__table__.c  # type: ignore[attr-defined]


@dataclass
class Talk:
    """One person's chat. ``says`` sends a text through the whole engine and returns what is answered."""

    made: app.Parts
    terminal: Terminal
    opener: TeamOpener
    turns: list[dict[str, str]] = field(default_factory=list)
    _ids: Iterator[int] = field(default_factory=lambda: count(1))

    def says(self, text: str) -> list[str]:
        """The bot's answers to ``text``, in order."""
        with self.made.store.transaction() as db:
            inbox.accept(db, IncomingMessage("terminal", "this screen", text, f"terminal-{next(self._ids)}"))
        with self.made.store.transaction() as db:
            message = inbox.claim_next(db)
        if message:
            self.made.conversation.handle(message)
        self.terminal.heard.clear()
        outbox.send_due(self.made.store, self.made.channels)
        self.turns += [{"reporter": text}, *({"bot": answer} for answer in self.terminal.heard)]
        return list(self.terminal.heard)

    def records(self) -> list[dict[str, Any]]:
        """The reports as their team reads them, oldest first."""
        return records(self.made.store, self.opener)


@contextmanager
def scratch(settings: Settings) -> Iterator[Talk]:
    """A whole Tellonce of its own for one chat: a new database, a new key, one team; gone at the end."""
    with tempfile.TemporaryDirectory(prefix="tellonce-chat-") as folder:
        own = settings.model_copy(
            update={"data_dir": Path(folder), "database_url": "", "service_key_file": None, "day_keys_dir": None}
        )
        store = app.set_up_store(own)
        added = staff.add(store, "chat")
        session = staff.sign_in(store, "chat", added.password)
        with store.transaction() as db:
            member = staff.signed_in(db, session.cookie, timedelta(hours=1))
        if member is None:
            raise RuntimeError("the caseworker made for this chat could not sign in")
        terminal = Terminal()
        yield Talk(app.parts(own, {"terminal": terminal}), terminal, member.opener)
        store.engine.dispose()


def records(store: Store, opener: TeamOpener) -> list[dict[str, Any]]:
    """What the cases hold, without ids and times: the same story gives the same record on every channel."""
    report: Any = Report.__table__.c  # type: ignore[attr-defined]
    perception: Any = Perception.__table__.c  # type: ignore[attr-defined]
    found = []
    with store.reading() as db:
        for case in db.execute(sa.select(*_case).order_by(_case.opened_at)).all():
            row = db.one(sa.select(*report).where(report.id == case.report_id))
            told = opener.open(row.sealed, row.team_key_id, "report", row.id) if row else {}
            perceived = db.execute(sa.select(*perception).where(perception.case_id == case.id)).all()
            opened = [opener.open(p.sealed, p.team_key_id, "perception", p.id) for p in perceived]
            found.append({"kind": case.kind, "risk": case.risk, "report": told, "perceptions": opened})
    return found


# -- transcripts ---------------------------------------------------------------------------------------------------------------


def write_transcript(path: Path, turns: Sequence[Mapping[str, str]], record: Sequence[Mapping[str, Any]]) -> None:
    """Save a chat as a transcript: what was said, and the record it led to."""
    text = yaml.safe_dump(
        {"turns": [dict(t) for t in turns], "records": [dict(r) for r in record]}, allow_unicode=True, sort_keys=False, width=120
    )
    path.write_text(text, encoding="utf-8")


def read_script(path: Path) -> list[str]:
    """The reporter's lines: of a transcript, or a plain text with a line a message."""
    text = path.read_text(encoding="utf-8")
    if path.suffix in (".yaml", ".yml"):
        return [turn["reporter"] for turn in yaml.safe_load(text)["turns"] if "reporter" in turn]
    return [line for line in text.splitlines() if line.strip()]
