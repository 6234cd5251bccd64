"""Reading an answer, and going on whatever the understanding process says, or does not."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.understanding import SILENT, NluClient, Understanding, as_number, is_account, is_readable, pick_answer
from bot.web import wording
from flows.model import Ask, Option

NLU_DATA = Path(__file__).resolve().parent.parent / "nlu" / "data"
YES_NO = Ask("safe_now", "choice", (Option("yes", "y"), Option("no", "n"), Option("not_sure", "s")), None)
MORE = Ask("more", "text", (Option("done", "d"),), None)
WHEN = Ask("when", "text", (), "when")
LABELS = ["Yes, I am safe", "No", "I am not sure"]


@contextmanager
def rasa(answer: Callable[[dict[str, Any]], bytes]) -> Iterator[tuple[NluClient, list[dict[str, Any]]]]:
    """Something that answers on a port like Rasa, and a client of it."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            body = answer(asked[-1])
            try:
                self.send_response(500 if body == b"broken" else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except OSError:  # the client did not wait
                pass

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    client = NluClient(f"http://127.0.0.1:{server.server_port}", "token", timeout=0.3)
    try:
        yield client, asked
    finally:
        client._client.close()
        server.shutdown()
        thread.join()
        server.server_close()


def reply(**changes: Any) -> bytes:
    said = {"intent": {"name": "report", "confidence": 0.9}, "report": {"told": {"when": True, "where": False, "colour": True}}}
    return json.dumps({**said, **changes}).encode()


# -- the client ----------------------------------------------------------------------------------------------------------------


def test_what_rasa_says_is_read() -> None:
    with rasa(lambda _q: reply()) as (client, asked):
        assert client.understand("he hit me", "en") == Understanding("report", 0.9, frozenset({"when"}), {})
        assert asked == [{"text": "he hit me"}]


@pytest.mark.parametrize(
    "garbage",
    [
        b"", b"broken", b"not json", b"[]", b'"text"', b"null", b"{}", b'{"intent": null}', b'{"intent": "report"}',
        b'{"intent": {"name": "a"}}', b'{"intent": {"name": "a", "confidence": "high"}}',
        b'{"intent": {"name": "a", "confidence": null}}', b'{"intent": {"name": "a", "confidence": 1}, "report": "yes"}',
        b'{"intent": {"name": "a", "confidence": 1}, "report": [1]}',
        b'{"intent": {"name": "a", "confidence": 1}, "report": {"told": [1]}}', b"\xff\xfe\x00",
    ],
)  # fmt: skip
def test_garbage_is_silence(garbage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "bot"), rasa(lambda _q: garbage) as (client, _asked):
        assert client.understand("Zitronenfalter hit me", "en") is SILENT
    assert "Zitronenfalter" not in "".join(r.getMessage() for r in caplog.records if r.name.startswith("bot"))


@pytest.mark.parametrize("bias", ["high", [1], 7, {"state": "suggested"}, {"motivations": [{"code": "race"}]}])
def test_a_suggestion_of_the_wrong_shape_is_silence(bias: object) -> None:
    with rasa(lambda _q: reply(report={"bias": bias})) as (client, _asked):
        assert client.understand("he hit me", "en") is SILENT


def test_a_slow_rasa_is_not_waited_for_and_left_alone_for_a_while() -> None:
    def slow(_question: dict[str, Any]) -> bytes:
        time.sleep(1)
        return reply()

    with rasa(slow) as (client, asked):
        began = time.monotonic()
        assert client.understand("he hit me", "en") is SILENT
        assert client.understand("he hit me", "en") is SILENT
        assert time.monotonic() - began < 0.9 and len(asked) == 1


def test_where_nobody_listens_there_is_silence() -> None:
    client = NluClient("http://127.0.0.1:1", "token", timeout=0.3)
    assert client.understand("he hit me", "en") is SILENT and not client.is_there()
    client._client.close()


def test_half_a_character_is_replaced_and_everything_else_keeps_its_place() -> None:
    with rasa(lambda _q: reply()) as (client, asked):
        assert client.understand("he hit \ud83d me", "en").intent == "report"
        assert asked[0]["text"] == "he hit ? me"


def test_only_the_beginning_of_a_long_text_is_sent() -> None:
    with rasa(lambda _q: reply()) as (client, asked):
        client.understand("x" * 10_000, "en")
        assert len(asked[0]["text"]) == 4_000


@pytest.mark.parametrize(
    ("text", "language"), [("123", "en"), ("", "en"), ("👊", "en"), ("hapana", "sw"), ("አይ", "am"), ("いいえ", "ja")]
)
def test_rasa_is_not_asked_what_it_would_get_wrong(text: str, language: str) -> None:
    assert not is_readable(text, language)
    with rasa(lambda _q: reply()) as (client, asked):
        assert client.understand(text, language) is SILENT and asked == []


# -- an answer -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"),
    [("2", 2), (" 2. ", 2), ("2)", 2), ("٢", 2), ("۲", 2), ("२", 2), ("２", 2), ("0", 0), ("12", 12),
     ("2 men", None), ("", None), ("two", None), ("123", None), ("1 2", None)],
)  # fmt: skip
def test_a_number_is_read_in_any_script(text: str, number: int | None) -> None:
    assert as_number(text) == number


@pytest.mark.parametrize(
    ("text", "language", "kind", "value"),
    [
        ("1", "en", "option", "yes"), ("2", "en", "option", "no"), ("٣", "ar", "option", "not_sure"), ("4", "en", "unclear", None),
        ("yeah", "en", "option", "yes"), ("não", "pt", "option", "no"), ("yes, i am safe", "en", "option", "yes"),
        ("0", "en", "skip", None), ("pular", "pt", "skip", None), ("maybe tomorrow", "en", "unclear", None),
    ],
)  # fmt: skip
def test_a_choice_is_read(text: str, language: str, kind: str, value: str | None) -> None:
    answer = pick_answer(YES_NO, LABELS, text, language)
    assert (answer.kind, answer.value, answer.text) == (kind, value, text)


def test_a_yes_is_never_taken_from_understanding() -> None:
    answer = pick_answer(YES_NO, LABELS, "mm", "en", Understanding("affirm", 0.99))
    assert (answer.kind, answer.intent) == ("unclear", "affirm")


def test_where_words_are_wanted_a_number_that_is_no_option_is_words() -> None:
    assert pick_answer(WHEN, [], "12", "en").kind == "text"
    assert pick_answer(MORE, ["Go on"], "1", "en").value == "done"
    assert pick_answer(MORE, ["Go on"], "7", "en").kind == "text"


def test_what_a_text_tells_comes_with_it() -> None:
    told = pick_answer(WHEN, [], "yesterday on the bus", "en", Understanding("report", 0.9, frozenset({"where"}))).told
    assert told == {"where"}


@pytest.mark.parametrize(
    ("text", "understood", "expected"),
    [
        ("hello", SILENT, False), ("can you help me", SILENT, False), ("he spat at me on the bus today", SILENT, True),
        ("I need to tell you something", Understanding("greet", 0.9), False), ("he spat", Understanding("report", 0.9), True),
        ("spat on", Understanding("greet", 0.4, frozenset({"when"})), True),
    ],
)  # fmt: skip
def test_a_first_text_that_tells_something_is_the_story(text: str, understood: Understanding, expected: bool) -> None:
    assert is_account(text, understood) is expected


def test_every_finer_code_of_the_lists_has_words_for_a_caseworker_and_every_slur_says_what_it_means() -> None:
    lists = [yaml.safe_load(path.read_text("utf-8"))["lexicon"] for path in NLU_DATA.glob("*/lexicon.yml")]
    assert len(lists) == 24
    terms = [term for one in lists for term in one["terms"]]
    codes = {code for _, code, *_ in terms} | {code for one in lists for code in one["identity"]}
    assert {code for code in codes if "." in code} <= set(wording.DETAILS)
    assert {code for code in codes if "." not in code} <= {*wording.STRANDS, "any"}
    assert [words for kind, _, _, words, means in terms if kind == "slur" and not means] == []
