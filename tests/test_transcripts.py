"""Golden conversations: every file of tests/transcripts is played, text by text, and asking for what was told is a retell.

A transcript names its ``language`` and ``channel`` and lists turns: what the reporter writes (``tells``: the facts a reader finds
in it, marked by hand), what the bot must answer (ids of its texts; ``nothing`` is silence), ``days`` that pass, what a
``caseworker`` does. ``records`` is what the cases hold at the end: every key named must be there just so.
``understanding: silent`` plays it without NLU.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from bot import chat, checkins, clock, sessions
from bot.models import CheckIn
from bot.testing import FakeChannel, FakeNlu
from bot.understanding import Understanding
from tests.exchange import Exchange, open_exchange
from tests.running import Running, running
from translations import catalog

FOLDER = Path(__file__).parent / "transcripts"
FILES = sorted(FOLDER.glob("*.yaml"))
CHANNELS = {"sms": (False, 1600), "whatsapp": (False, 1600), "telegram": (True, 4096), "terminal": (False, 4096)}
# The questions that ask for each fact. Where no machine read the story a question may open with "already.said" instead.
QUESTIONS = {
    "story": ("story.ask",),
    "role": ("role.ask",),
    "perception": ("motive.victim", "motive.witness", "motive.unknown"),
    "when": ("when.ask",),
    "where": ("where.ask",),
    "earlier": ("earlier.ask", "when.ask"),
    "safe_now": ("safe.ask",),
    "contact": ("contact.ask", "contact.witness"),
}
HEARD_BY_NLU = {"when", "where", "who", "injury", "online", "threat", "ongoing"}


def _read(path: Path) -> Mapping[str, Any]:
    read: Mapping[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return read


def is_said(msgid: str, heard: str, language: str) -> bool:
    """Whether a text of ours is among what was heard; its values may be anything."""
    parts = re.split(r"\{\w+\}", catalog.texts()[language][msgid])
    return re.search(".*".join(map(re.escape, parts)), heard, re.DOTALL) is not None


def _understanding(transcript: Mapping[str, Any]) -> FakeNlu:
    if transcript.get("understanding") == "silent":
        return FakeNlu()
    turns = [turn for turn in transcript["turns"] if "reporter" in turn]
    return FakeNlu(
        {turn["reporter"]: Understanding("report", 0.9, frozenset(turn.get("tells", ())) & HEARD_BY_NLU) for turn in turns}
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_transcript_is_played_as_it_is_written(path: Path, tmp_path: Path) -> None:
    transcript = _read(path)
    has_buttons, longest = CHANNELS[transcript["channel"]]
    channel = FakeChannel(transcript["channel"], has_buttons=has_buttons, max_length=longest)
    morning = clock.now().replace(hour=9)
    with open_exchange(tmp_path, _understanding(transcript), channel) as exchange, clock.frozen(morning) as move:
        _play(transcript, exchange, move)
        _compare(transcript, exchange)


def _play(transcript: Mapping[str, Any], exchange: Exchange, move: Callable[[datetime], None]) -> None:
    told: set[str] = set()
    heard, language = "", transcript["language"]
    callers = {"": exchange.caller()}
    for place, turn in enumerate(transcript["turns"], start=1):
        at = f"turn {place}"
        move(clock.now() + timedelta(days=turn.get("days", 0), seconds=1))
        if "reporter" in turn:
            told -= set(turn.get("takes_back", ()))
            caller = callers.setdefault(turn.get("phone", ""), exchange.caller(f"+4477009{turn.get('phone', '')}"))
            heard = caller.says(_filled(turn["reporter"], exchange), turn.get("attachments", 0))
            retold = [fact for fact in sorted(told) if any(is_said(ask, heard, language) for ask in QUESTIONS.get(fact, ()))]
            assert not retold or is_said("already.said", heard, language), f"{at}: a retell: {retold} was told already"
            told |= set(turn.get("tells", ()))
        elif "caseworker" in turn:
            _at_the_desk(turn["caseworker"], exchange)
        elif "check_in" in turn:
            heard = _checked_in_on(exchange)
        elif "offered" in turn:
            noon = clock.now().replace(hour=12)
            move(noon)
            with exchange.store.transaction() as db:
                assert exchange.telephone.conversation.offer_again(db) == turn["offered"], at
            exchange.telephone.send()
            heard = exchange.channel.sent[-1].text
        elif "erased" in turn:
            with exchange.store.transaction() as db:
                assert sessions.erase_expired(db) == turn["erased"], at
        elif "bot" in turn:
            language = turn.get("language", language)
            wanted = [turn["bot"]] if isinstance(turn["bot"], str) else turn["bot"]
            for msgid in wanted:
                said = heard == "" if msgid == "nothing" else is_said(msgid, heard, language)
                assert said, f"{at}: '{msgid}' was not said in: {heard}"


def _checked_in_on(exchange: Exchange) -> str:
    """The check-in that is due by now is asked; what the phone shows."""
    with exchange.store.transaction() as db:
        db.execute(sa.update(CheckIn).values(due_at=clock.now()))
        due = checkins.claim_due(db, 11, _where_it_is_noon(clock.now()))
        assert due is not None
        exchange.telephone.conversation.check_in(db, due)
    exchange.telephone.send()
    return exchange.channel.sent[-1].text


def _where_it_is_noon(now: datetime) -> str:
    """A time zone where a phone may buzz, at whatever hour the tests are run."""
    offset = 12 - now.hour
    return f"Etc/GMT{-offset:+d}" if offset else "Etc/GMT"


def _filled(text: str, exchange: Exchange) -> str:
    """``{receipt}`` in a reporter's text is the code the bot gave last."""
    if "{receipt}" not in text:
        return text
    codes = re.findall(r"\d{4} \d{4} \d{4} \d{4}", "\n".join(message.text for message in exchange.channel.sent))
    return text.replace("{receipt}", codes[-1])


def _at_the_desk(does: str, exchange: Exchange) -> None:
    if does == "claims":
        exchange.claims()
    elif does == "closes":
        exchange.closes(exchange.case().id)
        exchange.telephone.send()
    else:
        exchange.replies(exchange.case().id, does)
        exchange.telephone.send()


def _compare(transcript: Mapping[str, Any], exchange: Exchange) -> None:
    records = chat.records(exchange.store, exchange.desk.opener)
    wanted = transcript["records"]
    assert len(records) == len(wanted), [record["kind"] for record in records]
    for record, expected in zip(records, wanted, strict=True):
        report = {**record["report"], "perception": next((p["text"] for p in record["perceptions"]), None)}
        for key, value in expected.items():
            found = record[key] if key in ("kind", "risk") else report.get(key)
            assert found == value, f"{key} of the record is {found!r}"


# -- the same over both vendors' stand-ins -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with pytest.MonkeyPatch.context() as monkeypatch, running(tmp_path_factory.mktemp("running"), monkeypatch) as started:
        yield started


ON_VENDORS = [path for path in FILES if _read(path).get("on_vendors")]


@pytest.mark.parametrize("path", ON_VENDORS, ids=lambda path: path.stem)
def test_a_transcript_gives_the_same_record_by_sms_and_telegram(path: Path, everything: Running) -> None:
    transcript = _read(path)
    person = 10 + ON_VENDORS.index(path)
    spoken = [turn["reporter"] for turn in transcript["turns"] if "reporter" in turn]
    by_sms: Callable[[str], list[str]] = lambda text: everything.texts(f"+4477009002{person:02}", text)  # noqa: E731
    by_telegram: Callable[[str], list[str]] = lambda text: everything.writes(7000 + person, text)  # noqa: E731
    for say in (by_sms, by_telegram):
        before = len(everything.records())
        for text in spoken:
            assert say(text), f"no answer to {text!r}"
        records = everything.records()[before:]
        assert [record["kind"] for record in records] == [record["kind"] for record in transcript["records"]]
        for record, expected in zip(records, transcript["records"], strict=True):
            assert record["report"]["story"] == expected.get("story", record["report"]["story"])
