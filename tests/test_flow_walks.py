"""Random walks: through every flow and every language no dead end, no missing text, no question twice, no word too many."""

from __future__ import annotations

import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.testing import FakeChannel
from flows import picture
from flows.check import CARRIER_WORDS
from flows.engine import advance, begin, load
from flows.model import SKIPPED, Answer, Ask, Turn
from flows.segments import VALUES, as_text, played_report, segments
from tests.exchange import STORY, VICTIM, open_exchange
from translations import catalog

FLOWS = load()
LANGUAGES = ("en", "pt", "ar")
BEGINNINGS: dict[str, dict[str, Any]] = {"return": {"case": "00000000-0000-0000-0000-000000000000"}}
CHANNELS = {"sms": 1600, "whatsapp": 1600, "telegram": 4096, "terminal": 4096}
# Asked again on purpose: the same words after an answer that did not fit, or after going back.
MOVES = ("option", "text", "skip", "told", "unclear", "back", "correct")


def _answer(ask: Ask, move: str, number: int, told: frozenset[str]) -> Answer:
    if move == "option" and ask.options:
        return Answer("option", "1", ask.options[number % len(ask.options)].value)
    if move in ("skip", "told", "back", "correct"):
        return Answer(move, "0")  # type: ignore[arg-type]
    if ask.kind == "choice":
        return Answer("unclear", "neither of those")
    return Answer("text", "words of their own", told=told, intent="report" if told else None)


steps = st.lists(
    st.tuples(st.sampled_from(MOVES), st.integers(0, 5), st.frozensets(st.sampled_from(["when", "where", "who"]))), max_size=40
)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", FLOWS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps, channel=st.sampled_from(sorted(CHANNELS)))
def test_a_walk_always_says_something_whole_and_comes_to_an_end(
    name: str, language: str, steps: list[tuple[str, int, frozenset[str]]], channel: str
) -> None:
    turn = begin(FLOWS[name], {"channel": channel, **BEGINNINGS.get(name, {})})
    for move, number, told in steps:
        _is_whole(turn, language)
        if turn.position is None or turn.ask is None:
            return
        turn = advance(FLOWS[name], turn.position, _answer(turn.ask, move, number, told))
    for _ in range(30):  # whatever happened, answering leads to the end
        if turn.position is None or turn.ask is None:
            return
        turn = advance(FLOWS[name], turn.position, _towards_the_end(turn.ask))
    raise AssertionError(f"no end from {turn.position}")


def _towards_the_end(ask: Ask) -> Answer:
    if ask.node == "read_back":
        return Answer("option", "1", "yes")
    return Answer("skip", "0")


def _is_whole(turn: Turn, language: str) -> None:
    said = as_text(turn, catalog.render, language)
    happened = [event.name for event in turn.events]
    assert said or happened, "a turn without a word"
    assert turn.position is None or said, "a question without a word"
    assert turn.position is None or turn.ask is not None


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from(["option", "text", "skip", "told"]), st.integers(0, 5), st.frozensets(
    st.sampled_from(["when", "where"]))), max_size=25))  # fmt: skip
def test_no_question_is_asked_twice_and_none_for_what_was_told(steps: list[tuple[str, int, frozenset[str]]]) -> None:
    turn = begin(FLOWS["report"], {"channel": "sms"})
    asked: list[str] = []
    for move, number, told in steps:
        if turn.position is None or turn.ask is None or turn.ask.node in ("read_back", "change"):
            return
        if turn.ask.node != "more_again":  # asked after each addition, as it may always be more
            asked.append(turn.ask.node)
        assert len(asked) == len(set(asked)), asked
        assert turn.ask.told is None or turn.ask.told not in turn.position.facts.get("told", ())
        if move == "text" and turn.ask.kind == "choice":
            move = "skip"
        turn = advance(FLOWS["report"], turn.position, _answer(turn.ask, move, number, told))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("channel", CHANNELS)
def test_every_languages_script_fits_every_channel(language: str, channel: str) -> None:
    for sent in played_report(FLOWS["report"], catalog.render, language):
        assert len(sent.text.encode("utf-16-le")) // 2 <= CHANNELS[channel], sent.id
    for msgid, text in catalog.texts()[language].items():
        whole = text.format_map(
            {**VALUES, **dict.fromkeys(("story", "perception", "when", "earlier", "where", "remarks", "number"), "")}
        )
        assert segments(whole)[1] <= 2, msgid
        label = whole.strip(" .!?").casefold()
        assert not msgid.startswith("option.") or label not in CARRIER_WORDS
        assert not msgid.startswith("option.") or len(whole.encode()) <= 128, msgid  # a Telegram button shows no more


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(told=st.integers(1, len(VICTIM)), after=st.lists(st.sampled_from(["1", "hello", "person", "new", "0", STORY]), max_size=4))
def test_after_a_claim_and_after_silence_the_bot_says_no_word(
    told: int, after: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with open_exchange(tmp_path_factory.mktemp("walk"), channel=FakeChannel()) as exchange:
        caller = exchange.reports()
        caller.says("new")
        for text in VICTIM[: told - 1]:
            caller.says(text)
        exchange.claims()
        assert [caller.says(text) for text in after] == [""] * len(after)
        assert caller.says("silence") == ""


# -- pictures and speed --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_is_drawn_with_every_node(name: str) -> None:
    words = catalog.texts()["ar"].__getitem__
    drawn = picture.svg(FLOWS[name], words)
    texts = [element.text for element in ElementTree.fromstring(drawn).iter() if element.tag.endswith("text")]
    assert set(FLOWS[name].nodes) <= set(texts)
    assert all(f"n_{node}" in picture.mermaid(FLOWS[name], words) for node in FLOWS[name].nodes)


def test_a_turn_takes_less_than_a_millisecond_of_cpu() -> None:
    answers = [Answer("text", STORY), Answer("option", "1", "done"), Answer("option", "1", "victim"), *[Answer("skip", "0")] * 4]
    begun = time.process_time()
    turns = 0
    for _ in range(40):
        turn = begin(FLOWS["report"], {"channel": "sms"})
        for answer in answers:
            assert turn.position is not None and turn.position.facts.get("role") != SKIPPED
            turn = advance(FLOWS["report"], turn.position, answer)
            as_text(turn, catalog.render, "ar")
            turns += 1
    assert (time.process_time() - begun) / turns < 0.001


def test_all_flows_and_catalogues_load_in_a_second_and_forty_megabytes() -> None:
    program = (
        "import resource, time, yaml, pydantic, babel.messages.pofile\n"
        "before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()\n"
        "from flows import engine, places\nfrom translations import catalog\n"
        "engine.load(), places.load_places(), catalog.texts(), catalog.languages()\n"
        "print(time.process_time() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    root = Path(__file__).parent.parent
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=root, check=True)
    seconds, kilobytes = map(float, shown.stdout.split())
    assert seconds < 1.0 and kilobytes < 40_000, (seconds, kilobytes)
