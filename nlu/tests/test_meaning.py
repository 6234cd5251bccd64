"""What a trained model makes of sentences it has not seen."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluate import HELD_OUT, NLU_DATA, bias, intents
from rasa.shared.utils.io import read_yaml_file

RIGHT_INTENTS = 0.9
RIGHT_MOTIVATIONS = 0.6


def test_held_out_intents_are_understood_in_every_language(parse: Any) -> None:
    for language, (right, of, wrong) in intents(parse).items():
        assert right / of >= RIGHT_INTENTS, (language, wrong)


def test_a_motivation_is_suggested_for_most_biased_accounts_and_hardly_ever_a_wrong_one(parse: Any) -> None:
    for language, (counts, remarks) in bias(parse).items():
        assert counts["right"] / counts["biased"] >= RIGHT_MOTIVATIONS, (language, remarks)
        assert counts["wrong"] <= 1, (language, remarks)


def test_naming_who_somebody_is_suggests_no_motivation(parse: Any) -> None:
    for language, (counts, remarks) in bias(parse).items():
        assert counts["false alarm"] == 0, (language, remarks)


def test_held_out_sentences_are_in_no_training_file() -> None:
    trained = "\n".join(path.read_text(encoding="utf-8") for path in NLU_DATA.glob("*/*.yml"))
    for name in ("intents.yml", "bias.yml"):
        for groups in read_yaml_file(HELD_OUT / name).values():
            for sentence in (sentence for sentences in groups.values() for sentence in sentences):
                assert f"- {sentence}\n" not in trained, sentence


@pytest.mark.parametrize(
    ("text", "strand", "words"),
    [
        ("😀😀 a man on the bus told me to go back to my country", "race", "go back to my country"),
        ("Um homem gritou VIADO e cuspiu em mim na rua", "sexual_orientation", "VIADO"),
        ("íamos na rua e chamaram-me “traveco” e bateram-me", "transgender", "traveco"),
        ("رَجُلٌ في الباص نزع حجابي وقال لي إرهابيّة وضربني", "religion", "إرهابيّة"),
        ("he called me a \u200bretard and took my stick away", "disability", "retard"),
    ],
)
def test_evidence_marks_the_words_of_the_original(parse: Any, text: str, strand: str, words: str) -> None:
    found = {m["code"]: m["evidence"] for m in parse(text)["report"]["bias"]["motivations"]}
    assert strand in found
    assert words in [text[e["start"] : e["end"]].strip("\u200b") for e in found[strand]]


def test_a_long_story_is_judged_by_the_part_that_points_to_bias(parse: Any) -> None:
    before = "I went to the shops and then I had lunch with my aunt and we talked about her garden and the weather. " * 4
    text = before + "On the way home a man shouted dirty immigrant at me and spat on my shoes."
    found = parse(text)["report"]["bias"]
    assert [m["code"] for m in found["motivations"]] == ["race"]
    assert any(text[e["start"] : e["end"]] == "dirty immigrant" for e in found["motivations"][0]["evidence"])


@pytest.mark.parametrize(
    "text",
    [
        "मुझे बस में एक आदमी ने गाली दी और धक्का दिया",
        "یک مرد در اتوبوس به من گفت به کشورت برگرد",
        "мене вдарили на зупинці і сказали їхати додому, їх було двоє",
        "waxaan ahay nin waxaa i garaacay laba nin oo ku sugnaa baska",
        "sinuntok ako ng lalaki sa bus at sinabi niya na umuwi na ako sa amin",
        "M-a lovit un bărbat în stradă și a spus să plec în țara mea",
        "Tôi bị một người đàn ông đánh trên xe buýt và chửi",
    ],
)
def test_a_language_the_encoder_does_not_know_is_said_to_be_unsupported(parse: Any, text: str) -> None:
    assert parse(text)["report"]["bias"] == {"state": "unsupported", "motivations": []}


@pytest.mark.parametrize("text", ["hate", "they hate me", "I am muslim and gay", "hello"])
def test_too_little_to_judge_is_unclear(parse: Any, text: str) -> None:
    assert parse(text)["report"]["bias"] == {"state": "unclear", "motivations": []}


def test_training_twice_gives_the_same_numbers(model: Path, tmp_path: Path) -> None:
    from conftest import train

    again = train(tmp_path)
    assert np.array_equal(_weights(model, tmp_path / "one"), _weights(again, tmp_path / "two"))


def _weights(model: Path, folder: Path) -> np.ndarray:
    with tarfile.open(model) as archive:
        archive.extractall(folder)
    (path,) = folder.rglob("weights.npz")
    with np.load(path) as numbers:
        return np.concatenate([numbers["indicator"], numbers["strands"]])
