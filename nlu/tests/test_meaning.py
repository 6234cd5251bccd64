"""What a trained model makes of sentences it has not seen."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from components.lexicon import STRANDS
from evaluate import development, evidence_hits, false_alarms, fresh, intents, judge, macro_f1, shared_runs, told_counts

# Floors under what nlu/REPORT.md shows, so that a change for the worse is seen; the goals stand there.
LEAST_F1, MOST_FALSE_ALARMS, LEAST_EVIDENCE, LEAST_TOLD, RIGHT_INTENTS = 0.7, 0.12, 0.8, 0.85, 0.93
MARKED_LANGUAGES = ("en", "pt", "ar", "hi", "so")  # enough to notice; nlu/evaluate.py measures all


@pytest.fixture(scope="module")
def judged(parse: Any) -> Any:
    return judge(parse, [account for account in fresh() if account.language in MARKED_LANGUAGES])


def test_most_motivations_are_found_and_few_are_seen_where_there_are_none(judged: Any) -> None:
    assert macro_f1(judged) >= LEAST_F1
    assert false_alarms(judged) <= MOST_FALSE_ALARMS


def test_evidence_touches_the_words_that_carry_it(judged: Any) -> None:
    touched, suggested = evidence_hits(judged)
    assert touched / suggested >= LEAST_EVIDENCE


def test_what_is_told_is_true(judged: Any) -> None:
    counts = told_counts(judged)
    right, said = sum(c[0] for c in counts.values()), sum(c[1] for c in counts.values())
    assert right / said >= LEAST_TOLD, counts


def test_held_out_intents_are_understood(parse: Any) -> None:
    found = intents(parse)
    assert sum(row[0] for row in found.values()) / sum(row[1] for row in found.values()) >= RIGHT_INTENTS


@pytest.mark.parametrize("part", [development, fresh])
def test_there_are_forty_held_out_accounts_in_each_language_and_none_repeats_a_training_sentence(part: Any) -> None:
    accounts = part()
    assert min(sum(a.language == language for a in accounts) for language in {a.language for a in accounts}) >= 40
    assert len({a.language for a in accounts}) == 24
    assert shared_runs(account.text for account in accounts) == []


@pytest.mark.parametrize(
    ("text", "strand", "words"),
    [
        ("😀😀 a man on the bus told me to go back to my country", "race", "go back to my country"),
        ("Um homem gritou VIADO e cuspiu em mim na rua", "sexual_orientation", "VIADO"),
        ("íamos na rua e chamaram-me “traveco” e bateram-me", "transgender", "traveco"),
        ("رَجُلٌ في الباص نزع حجابي وقال لي إرهابيّة وضربني", "religion", "إرهابيّة"),
        ("he called me a \u200bretard and took my stick away", "disability", "retard"),
        ("two lads called me a f4gg0t and kicked me", "sexual_orientation", "f4gg0t"),
        ("a man spat at me and called me a p.a.k.i outside my shop", "race", "p.a.k.i"),
        ("мужик назвал меня чуркой и ударил в лицо", "race", "чуркой"),
        ("公交车上有人骂我黑鬼还推我", "race", "黑鬼"),
        ("रास्ते में मुझे हिजड़ा कहा और बाल खींचे", "transgender", "हिजड़ा कहा"),
    ],
)
def test_evidence_marks_the_words_of_the_original(parse: Any, text: str, strand: str, words: str) -> None:
    found = {m["code"]: m["evidence"] for m in parse(text)["report"]["bias"]["motivations"]}
    assert strand in found
    assert words in [text[e["start"] : e["end"]].strip("\u200b") for e in found[strand]]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("they called me a raghead and pulled my headscarf", "religion.muslim"),
        ("someone shouted dirty jew and knocked my kippah off", "religion.jewish"),
        ("the sign says no gypsies and he called us pikeys and would not serve us", "race.roma_gypsy_traveller"),
        ("меня обозвали жидом и ударили у синагоги", "religion.jewish"),
    ],
)
def test_a_finer_code_is_given_where_the_words_say_it(parse: Any, text: str, code: str) -> None:
    found = parse(text)["report"]["bias"]["motivations"]
    assert code in [detail for motivation in found for detail in motivation["detail"]]


def test_a_long_story_is_judged_by_the_part_that_points_to_bias(parse: Any) -> None:
    before = "I went to the shops and then I had lunch with my aunt and we talked about her garden and the weather. " * 4
    text = before + "On the way home a man shouted dirty immigrant at me and told me to go back to my country."
    found = parse(text)["report"]["bias"]
    assert [m["code"] for m in found["motivations"]] == ["race"]
    assert any(text[e["start"] : e["end"]] == "dirty immigrant" for e in found["motivations"][0]["evidence"])


def test_earlier_incidents_are_shown_beside_the_words(parse: Any) -> None:
    found = parse("every day my neighbour calls me a dirty muslim and spits at my door")["report"]["bias"]["motivations"]
    assert "earlier_incidents" in {e["why"] for e in found[0]["evidence"]}


def test_the_kind_of_incident_is_told(parse: Any) -> None:
    found = [i["code"] for i in parse("someone smashed our windows and sprayed paint on the door last night")["report"]["incident"]]
    assert "damage" in found


@pytest.mark.parametrize(
    "text",
    [
        "நேற்று பேருந்தில் ஒருவர் என்னை அடித்தார்",
        "გუშინ ავტობუსში კაცმა დამარტყა და მაგინა",
        "ትናንት በአውቶቡስ ውስጥ አንድ ሰው መታኝ",
        "電車で知らない男に急に押されました",
        "เมื่อวานผู้ชายคนหนึ่งตีผมบนรถเมล์",
    ],
)
def test_a_writing_the_network_was_not_tuned_to_is_said_to_be_unsupported(parse: Any, text: str) -> None:
    assert parse(text)["report"]["bias"] == {"state": "unsupported", "motivations": []}


@pytest.mark.parametrize("text", ["いいえ、違います", "ไม่ใช่"])
def test_a_no_in_a_writing_it_was_not_tuned_to_is_not_guessed_at(parse: Any, text: str) -> None:
    assert parse(text)["intent"]["name"] is None


@pytest.mark.parametrize(
    "text", ["hate", "they hate me", "I am muslim and gay", "hello", "?", "وشكرا", "я мусульманка", "我是同性恋"]
)
def test_too_little_to_judge_is_unclear(parse: Any, text: str) -> None:
    assert parse(text)["report"]["bias"] == {"state": "unclear", "motivations": []}


def test_a_suggestion_says_how_sure_it_is(judged: Any) -> None:
    for motivation in (m for j in judged for m in j.report["bias"]["motivations"]):
        assert motivation["code"] in STRANDS
        assert motivation["band"] in ("likely", "possible")
        assert motivation["evidence"]


def test_training_twice_gives_the_same_numbers(model: Path, tmp_path: Path) -> None:
    from conftest import train

    again = train(tmp_path)
    assert np.array_equal(_weights(model, tmp_path / "one"), _weights(again, tmp_path / "two"))


def _weights(model: Path, folder: Path) -> np.ndarray:
    with tarfile.open(model) as archive:
        archive.extractall(folder)
    (path,) = folder.rglob("weights.npz")
    with np.load(path) as numbers:
        return np.concatenate([numbers[name].ravel() for name in sorted(numbers.files)])
