"""The same story gives the same record on every channel: what was played at the terminal is replayed to both vendors."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot import chat
from bot.settings import Settings
from tests.running import Running, running

STORIES = {
    "a victim in Portuguese": [
        "Ontem à noite no ônibus 42 um homem gritou que eu sou uma macaca e cuspiu em mim. Ninguém me ajudou.",
        "Ele estava bêbado.\nEu desci na paragem seguinte.",
        "1",
        "1",
        "Por causa da minha cor.",
        "ontem, umas 10 da noite",
        "0",
        "2",
        "1",
        "1",
        "1",
    ],
    "a witness in English who stays anonymous": [
        "hello",
        "A man on the bus tore off a woman's headscarf and shouted at her to go home. She cried.",
        "1",
        "2",
        "She wears a headscarf, he shouted about Muslims",
        "Monday, about 8 in the morning",
        "Bus 12 at the station",
        "3",
        "1",
    ],
    "a victim in Arabic who corrects and writes words where numbers are asked": [
        "السلام عليكم",
        "رجل بصق علي في الشارع وقال لي ارجعي إلى بلدك وأنا خائفة 😢",
        "1",
        "نعم هذا حدث لي أنا",
        "1",
        "بسبب حجابي",
        "أمس مساء",
        "في السوق",
        "3",
        "2",
        "2",
        "3",
        "قبل أمس مساء",
        "1",
    ],
}


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with pytest.MonkeyPatch.context() as monkeypatch, running(tmp_path_factory.mktemp("running"), monkeypatch) as started:
        yield started


_people = itertools.count(1)


@pytest.mark.parametrize("story", STORIES)
def test_a_story_told_at_the_terminal_replays_to_the_same_record_by_sms_whatsapp_and_telegram(
    story: str, everything: Running, tmp_path: Path
) -> None:
    recorded = tmp_path / "story.yaml"
    with chat.scratch(Settings(nlu_url="")) as talk:
        for text in STORIES[story]:
            assert talk.says(text), f"no answer to {text!r}"
        chat.write_transcript(recorded, talk.turns, talk.records())
        told = talk.records()
    assert [record["kind"] for record in told] == ["report"]

    number = next(_people)
    by_sms = replayed(everything, recorded, lambda text: everything.texts(f"+4477009001{number:02}", text))
    by_telegram = replayed(everything, recorded, lambda text: everything.writes(5000 + number, text))
    by_whatsapp = replayed(everything, recorded, lambda text: everything.texts(f"whatsapp:CC.{number}rosa", text))
    assert by_sms == told
    assert by_whatsapp == told
    assert by_telegram == told


def replayed(everything: Running, recorded: Path, say: Any) -> list[dict[str, Any]]:
    """Say every line of a transcript and return the records this added."""
    before = len(everything.records())
    for text in chat.read_script(recorded):
        assert say(text), f"no answer to {text!r}"
    return everything.records()[before:]
