"""The promises of the design, each tried in disorder: random walks, crashes at every step, and a thief with the disk."""

from __future__ import annotations

import logging
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot import case_files, cases, clock, inbox, keys
from bot.messages import OutgoingMessage, TransportError
from bot.models import Case, CheckIn, Message, Perception, Report, Reporter
from bot.privacy import Vault, place
from bot.settings import Settings
from bot.store import Store
from bot.testing import FakeChannel, FakeNlu, FakeTelephone, FakeTranslator
from bot.understanding import Understanding
from bot.worker import Worker
from tests.exchange import STORY, VICTIM, Exchange, employ, every_row, open_exchange, rows
from translations import catalog

NOW = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
NUMBER = "+447700900123"
EMERGENCY = catalog.render("emergency.now", "en", emergency="999")
SAID = ["1", "2", "0", "3", "hello", "person", "new", "START", "", "Português", "he has a knife", "He followed me to the tram stop"]

# -- 2 and 6: when the bot is silent -------------------------------------------------------------------------------------------

STEPS = st.one_of(
    st.sampled_from(SAID).map(lambda text: ("writes", text)),
    st.sampled_from(["writes silence", "writes STOP", "answer", "send", "tick", "claim", "close", "reply", "fail", "forget"]).map(
        lambda step: (step.split()[0], step.partition(" ")[2])
    ),
)


class Walk:
    """One reporter and one caseworker doing anything in any order, and what must hold after each step."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.caller = exchange.reports()
        self.now = NOW
        self.claimed: set[object] = set()
        self.worker = _worker(exchange)

    def step(self, verb: str, text: str) -> None:
        self.now += timedelta(minutes=7)
        exchange = self.exchange
        with clock.frozen(self.now):
            before = len(self.caller.heard)
            if verb == "writes":
                self.caller.writes(text)
            elif verb == "answer":
                exchange.telephone.answer()
            elif verb == "send":
                self._send(before)
            elif verb == "tick":
                self.now += timedelta(days=1)
                with clock.frozen(self.now):
                    self.worker.ask_check_ins()
            elif verb == "fail":
                exchange.channel.failures = [TransportError("later", "500")]
            elif verb == "forget":
                self.worker.forget_addresses()
            else:
                self._desk(verb)

    def _desk(self, verb: str) -> None:
        case = self.exchange.case().id
        try:
            if verb == "claim":
                self.exchange.claims()
                assert not self._queued_by_the_bot()
            elif verb == "close":
                self.exchange.closes(case)
            else:
                self.exchange.replies(case, "REPLY")
        except (cases.AlreadyClaimed, cases.CannotReply):
            pass

    def _send(self, before: int) -> None:
        is_owned = any(c.state == "claimed" for c in self.exchange.rows(Case))
        state = self.exchange.rows(Reporter)[0].state
        self.exchange.telephone.send()
        heard = self.caller.heard[before:]
        if state != "open":
            assert heard == []
        if is_owned:
            assert set(heard) <= {"REPLY", EMERGENCY}

    def _queued_by_the_bot(self) -> list[Message]:
        unsent = ("queued", "sending")
        return [m for m in self.exchange.rows(Message) if m.author in ("bot", "check_in") and m.state in unsent]

    def check(self) -> None:
        owned = any(c.state == "claimed" for c in self.exchange.rows(Case))
        reporter = self.exchange.rows(Reporter)[0]
        if reporter.state != "open":
            assert [m for m in self.exchange.rows(Message) if m.state in ("queued", "sending")] == []
            assert [c for c in self.exchange.rows(CheckIn) if c.state == "due"] == []
        if owned:
            for message in self._queued_by_the_bot():
                body = self.exchange.store.vault.reveal(message.body, "message", "body", message.id)
                assert body["text"] == EMERGENCY


def _worker(exchange: Exchange) -> Worker:
    telephone = exchange.telephone
    return Worker(exchange.store, telephone.conversation, {"sms": exchange.channel}, telephone.nlu, FakeTranslator(), Settings())


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(STEPS, min_size=10, max_size=30))
def test_the_bot_is_silent_while_a_person_owns_the_conversation_or_silence_was_asked_for(steps: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder, clock.frozen(NOW), open_exchange(Path(folder)) as exchange:
        walk = Walk(exchange)
        for verb, text in steps:
            walk.step(verb, text)
            walk.check()


def test_a_text_of_the_bot_that_failed_before_the_claim_is_not_tried_again_after_it(tmp_path: Path) -> None:
    with open_exchange(tmp_path) as exchange:
        caller = exchange.reports()
        exchange.channel.failures = [TransportError("later", "500")]
        assert caller.says("one more thing") == ""
        exchange.claims()
        with clock.frozen(clock.now() + timedelta(hours=1)):
            assert exchange.telephone.send() == 0


def test_a_text_of_the_bot_whose_sender_died_is_not_sent_after_silence(tmp_path: Path) -> None:
    class Dying(FakeChannel):
        def send(self, message: OutgoingMessage) -> str:
            raise KeyboardInterrupt

    with open_exchange(tmp_path) as exchange:
        caller = exchange.reports(STORY)
        caller.writes("1")
        exchange.telephone.answer()
        exchange.telephone.channel, alive = Dying(), exchange.channel
        with pytest.raises(KeyboardInterrupt):
            exchange.telephone.send()
        exchange.telephone.channel = alive
        assert caller.says("silence") == ""
        with clock.frozen(clock.now() + timedelta(hours=1)):
            assert exchange.telephone.send() == 0


def test_a_claim_in_the_middle_of_answering_leaves_no_text_of_the_bot_and_loses_none_of_theirs(store: Store) -> None:
    desk = employ(store)
    telephone = FakeTelephone(store)
    caller = telephone.caller()
    for text in VICTIM:
        caller.says(text)
    (case,) = rows(store, Case)
    texts = [f"another thing number {n}" for n in range(8)]
    for text in texts:
        caller.writes(text)
    answering = threading.Thread(target=telephone.answer)
    answering.start()
    deadline = time.monotonic() + 20
    while not [m for m in rows(store, Message) if m.direction == "out" and m.state == "queued"]:
        assert time.monotonic() < deadline
    with store.transaction() as db:
        cases.claim(db, desk, case.id)
    answering.join()
    assert telephone.send() == 0
    with store.transaction() as db:
        assert [line.text for line in case_files.open_file(db, desk, case.id).chat] == texts


# -- 1: nothing lost, doubled or reordered -------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process ends here."""


@contextmanager
def killed_at(exchange: Exchange, statement: int) -> Iterator[None]:
    """The process dies before the n-th statement from now on."""
    left = statement

    def count(*_args: object) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed

    engine = exchange.store.engine
    sa.event.listen(engine, "before_cursor_execute", count)
    try:
        yield
    except Killed:
        pass
    finally:
        sa.event.remove(engine, "before_cursor_execute", count)


def test_a_process_killed_anywhere_loses_and_doubles_nothing(tmp_path: Path) -> None:
    chance = random.Random(7)
    texts = [STORY, "He also took my phone", "And he laughed", "1", "1", "My headscarf", "Yesterday", "The bus", "1", "1", "1", "1"]
    with clock.frozen(NOW) as move, open_exchange(tmp_path) as exchange:
        for n, text in enumerate(texts):
            exchange.caller().writes(text)
            for _ in range(2 if n < 9 else 1):
                with killed_at(exchange, chance.randrange(1, 40)):
                    exchange.telephone.answer()
                    exchange.telephone.send()
                move(clock.now() + timedelta(seconds=61))
            exchange.telephone.answer()
            move(clock.now() + timedelta(seconds=61))
            exchange.telephone.send()
        report = exchange.file().report
        assert report["story"] == texts[:3] and (report["when"], report["where"]) == ("Yesterday", "The bus")
        assert len(exchange.rows(Report)) == len(exchange.rows(Case)) == len(exchange.rows(Perception)) == 1
        assert len(exchange.rows(CheckIn)) == 1
        assert {m.state for m in exchange.rows(Message)} <= {"done", "sent"}


def test_a_text_that_keeps_failing_is_handed_to_a_person_and_the_next_ones_go_on(tmp_path: Path) -> None:
    class Stumbling(FakeNlu):
        def understand(self, text: str, language: str | None = None) -> Understanding:
            if "poison" in text:
                raise ValueError(text)
            return super().understand(text, language)

    with clock.frozen(NOW) as move, open_exchange(tmp_path, Stumbling()) as exchange:
        caller = exchange.reports(STORY)
        caller.writes("the poison he sprayed at me")
        caller.writes("1")
        worker = _worker(exchange)
        for _ in range(8):
            with exchange.store.transaction() as db:
                message = inbox.claim_next(db)
            if message:
                worker.answer(message)
            move(clock.now() + timedelta(seconds=30))
        exchange.telephone.send()
        assert exchange.file().report["story"] == ["the poison he sprayed at me"] and exchange.case().kind == "fault"
        assert [m.state for m in exchange.rows(Message) if m.direction == "in"] == ["done", "handed_over", "done"]
        assert "Who did it happen to?" in caller.heard[-1] and "We had a fault" in caller.heard[-2]


# -- 4 and 7: perception and own words -----------------------------------------------------------------------------------------


def test_own_words_stay_byte_for_byte_beside_every_translation(tmp_path: Path) -> None:
    story = "  Un hombre\u202e me gritó\u202c en el autobús 😡 e\u0301 vuelve a tu país\r\n\ty me empujó  "
    with open_exchange(tmp_path) as exchange:
        exchange.reports(story, *VICTIM[1:])
        assert _worker(exchange).process_copies() == 1
        file = exchange.file()
        assert file.report["story"] == [story] and file.report_translation["story"]["text"] == f"[en] {story}"
        assert file.perceptions[0]["text"] == VICTIM[3]


# -- 8: what a thief can read --------------------------------------------------------------------------------------------------

CANARIES = {
    "story": "Zitronenfalter",
    "perception": "Schwalbenschwanz",
    "when": "Admiralstag",
    "where": "Pfauenaugenweg",
    "later": "Kaisermantel",
    "note": "Trauermantel",
    "reply": "Bläuling",
    "decision": "Aurorafalter",
    "number": "447700900123",
}


def _with_canaries(exchange: Exchange) -> None:
    """A report, a chat, a note, a reply and a decision, each with a word of its own; all work on them is done."""
    word = CANARIES
    caller = exchange.reports(
        f"{STORY} {word['story']}", "1", "1", word["perception"], word["when"], word["where"], "1", "1", "1", "1", word["later"]
    )
    case = exchange.claims()
    exchange.replies(case, word["reply"])
    with exchange.store.transaction() as db:
        cases.add_note(db, exchange.desk, case, word["note"])
        cases.decide(db, exchange.desk, case, ["religion"], word["decision"])
    exchange.telephone.send()
    caller.says(f"{word['later']} again")
    _worker(exchange).process_copies()
    exchange.closes(case)


def test_with_the_service_key_alone_no_confirmed_word_opens(tmp_path: Path) -> None:
    with open_exchange(tmp_path, FakeNlu({f"{STORY} {CANARIES['story']}": Understanding("report", 0.9)})) as exchange:
        _with_canaries(exchange)
        stolen = exchange.store.vault
        readable = 0
        with exchange.store.reading() as db:
            for table, row in every_row(db):
                for column, value in row.items():
                    if not isinstance(value, bytes):
                        assert not any(word in str(value) for word in CANARIES.values()), f"{table.name}.{column}"
                        continue
                    opened = _opened(stolen, table.name, str(column), row, value)
                    readable += opened is not None
                    told = (opened or "") + value.decode("utf-8", "replace")
                    words = CANARIES.values() if table.name != "address" else [w for k, w in CANARIES.items() if k != "number"]
                    assert not any(word in told for word in words), f"{table.name}.{column}"
        assert readable >= 2  # the address and the profile: the service key is the right one


def _opened(vault: Vault, table: str, column: str, row: object, value: bytes) -> str | None:
    try:
        return vault._key.decrypt(value, place(table, column, row["id"])).decode()  # type: ignore[index]
    except (keys.WrongKey, AttributeError, sa.exc.NoSuchColumnError):  # a row without an id holds hashes alone
        return None


def test_a_stolen_disk_shows_no_word_and_no_number(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), open_exchange(tmp_path) as exchange:
        _with_canaries(exchange)
        exchange.caller().says("half a story " + CANARIES["story"])
        files = [f for f in tmp_path.rglob("*") if f.is_file()]
        assert any(f.name.endswith("-wal") for f in files)
        on_disk = b"".join(f.read_bytes() for f in files)
    for word in CANARIES.values():
        assert word.encode() not in on_disk and word.encode("utf-16-le") not in on_disk
    ours = [
        r.getMessage() + str(r.exc_info or "") for r in caplog.records if r.name.split(".")[0] in ("bot", "flows", "translations")
    ]
    assert not any(word in line for line in ours for word in CANARIES.values())


def test_an_error_on_the_way_shows_no_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Telltale(FakeNlu):
        def understand(self, text: str, language: str | None = None) -> Understanding:
            raise ValueError(text)

    with caplog.at_level(logging.DEBUG), open_exchange(tmp_path, Telltale()) as exchange:
        exchange.caller().writes(f"{STORY} {CANARIES['story']}")
        with exchange.store.transaction() as db:
            message = inbox.claim_next(db)
        assert message is not None
        _worker(exchange).answer(message)
    assert "ValueError at" in caplog.text
    assert not any(word in r.getMessage() for r in caplog.records if r.name.startswith("bot") for word in CANARIES.values())


# -- 9: nothing asked twice ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", [set(), {"when"}, {"where"}, {"when", "where"}])
def test_no_question_is_asked_twice_nor_for_what_was_told(tmp_path: Path, told: set[str]) -> None:
    nlu = FakeNlu({STORY: Understanding("report", 0.9, frozenset(told))})
    with open_exchange(tmp_path, nlu) as exchange:
        caller = exchange.caller()
        # Whether it was the first time is a part of asking when, and asked alone where the story says when.
        for text in [t for t in VICTIM if not (t == VICTIM[5] and "where" in told)]:
            caller.says(text)
        heard = "\n".join(caller.heard)
        for question in ("story.ask", "motive.victim", "when.ask", "where.ask", "safe.ask", "contact.ask"):
            fact = question.removesuffix(".ask")
            expected = 0 if fact in told | {"story"} else 1
            assert heard.count(catalog.render(question, "en")) == expected, question
        assert exchange.case().kind == "report"
