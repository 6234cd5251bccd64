"""The linter, the cost of a report over SMS, the places, and the catalogues as they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

from bot.effects import EFFECTS
from flows.check import CARRIER_WORDS, Catalogs, check, placeholders
from flows.engine import load
from flows.model import FlowError
from flows.places import load_places
from flows.segments import GSM, REFERENCES, played_report, report_total, segments

FLOWS = load()
EVENTS = set(EFFECTS)
FOLDER = Path(__file__).parent.parent / "translations"


def _texts(language: str) -> Mapping[str, str]:
    with (FOLDER / language / "messages.po").open("rb") as file:
        return {str(message.id): str(message.string) for message in read_po(file, locale=language) if message.id}


CATALOGS = {language: _texts(language) for language in ("en", "pt", "ar")}


def render(msgid: str, language: str, **values: object) -> str:
    return CATALOGS[language][msgid].format(**values)


def problems(flow: str, catalogs: Catalogs, tmp_path: Path) -> list[str]:
    (tmp_path / "small.yaml").write_text(flow, "utf-8")
    return [str(problem) for problem in check(load(tmp_path), catalogs, {"told"})]


def test_the_products_own_flows_and_texts_have_no_problem() -> None:
    assert [str(problem) for problem in check(FLOWS, CATALOGS, EVENTS)] == []


SMALL = """
flow: small
start: hello
nodes:
  hello: {say: a, ask: choice, options: {one: b, two: c}, saves: fact, next: bye}
  bye: {emit: {event: told}, say: d, next: over}
"""
SMALL = SMALL.replace("{event: told}", "[{event: told}]")
TEXTS = {"a": "Well?", "b": "First", "c": "Second", "d": "Bye, {organisation}.", "unclear": "A number, please."}
TEXTS |= {"person.not_understood": "A person reads it."}


def test_a_sound_small_flow_passes(tmp_path: Path) -> None:
    assert problems(SMALL, {"en": TEXTS}, tmp_path) == []


@pytest.mark.parametrize(
    ("flow", "change", "sentence"),
    [
        (SMALL + "  lost: {say: d, next: over}\n", {}, "flow 'small', node 'lost': nothing leads to it"),
        (SMALL.replace("event: told", "event: tole"), {}, "flow 'small', node 'bye': nothing happens on the event 'tole'"),
        (SMALL.replace("say: d", "say: [{say: d, when: {fcat: one}}]"), {},
         "flow 'small', node 'bye': no node saves the fact 'fcat'"),
        (SMALL.replace("next: bye", "next: [{to: over, when: {answer: thre}}, {to: bye}]"), {},
         "flow 'small', node 'hello': 'answer' is never 'thre'"),
        (SMALL, {"d": "Bye, {fact}."}, "flow 'small', node 'bye': nothing fills {fact} in 'd'"),
        (SMALL, {"b": ""}, "language 'en': 'b' has no text"),
        (SMALL, {"b": "YES!"}, "flow 'small', node 'hello', language 'en': carriers eat 'yes' ('b')"),
        (SMALL, {"a": "Send STOP to go on."}, "language 'en', 'a': it teaches 'stop'"),
        (SMALL, {"a": "Envie «info» agora."}, "language 'en', 'a': it teaches 'info'"),
        (SMALL, {"a": "Lone } brace"}, "language 'en', 'a': a brace stands alone"),
        (SMALL, {"a": "x" * 400}, "language 'en', 'a': it takes 3 SMS parts (GSM-7)"),
    ],
)  # fmt: skip
def test_the_linter_finds(flow: str, change: dict[str, str], sentence: str, tmp_path: Path) -> None:
    found = problems(flow, {"en": TEXTS | change}, tmp_path)
    assert any(problem.startswith(sentence) for problem in found), found


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"d": "Adeus."},
            "language 'pt', 'd': its placeholders are not those of the English text; use exactly these: organisation",
        ),
        ({"c": ""}, "language 'pt': 'c' has no text; add it to translations/pt/messages.po"),
        ({"e": "Mais"}, "language 'pt', 'e': English has no such text"),
        ({"b": "Info"}, "flow 'small', node 'hello', language 'pt': carriers eat 'info' ('b')"),
    ],
)
def test_the_linter_compares_languages(change: dict[str, str], sentence: str, tmp_path: Path) -> None:
    found = problems(SMALL, {"en": TEXTS, "pt": TEXTS | change}, tmp_path)
    assert any(problem.startswith(sentence) for problem in found), found


def test_every_text_is_there_in_every_language_and_in_the_same_order() -> None:
    assert list(CATALOGS["en"]) == list(CATALOGS["pt"]) == list(CATALOGS["ar"])
    assert all(all(texts.values()) for texts in CATALOGS.values())


def test_no_text_asks_whether_it_was_a_hate_crime_or_blames() -> None:
    for text in CATALOGS["en"].values():
        assert "hate" not in text.lower()
        assert "why did you" not in text.lower()


def test_the_check_in_names_neither_report_nor_hate_nor_organisation() -> None:
    for language, texts in CATALOGS.items():
        shown = " ".join(text for msgid, text in texts.items() if "checkin." in msgid)
        forbidden = {"en": ["report", "case", "hate"], "pt": ["relato", "caso", "ódio"], "ar": ["بلاغ", "كراهية", "قضية"]}[language]
        assert not [word for word in (*forbidden, "{organisation}", "{reference}") if word in shown.lower()]


def test_a_bare_carrier_word_is_no_answer_in_any_language() -> None:
    for texts in CATALOGS.values():
        assert not [text for msgid, text in texts.items() if msgid.startswith("option.") and text.casefold() in CARRIER_WORDS]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("GSM-7", 1)),
        ("a" * 160, ("GSM-7", 1)),
        ("a" * 161, ("GSM-7", 2)),
        ("a" * 306, ("GSM-7", 2)),
        ("a" * 307, ("GSM-7", 3)),
        ("€" * 80, ("GSM-7", 1)),
        ("€" * 81, ("GSM-7", 2)),
        ("a" * 152 + "€" + "a" * 153, ("GSM-7", 3)),
        ("ã" + "a" * 69, ("UCS-2", 1)),
        ("ã" + "a" * 70, ("UCS-2", 2)),
        ("😀" * 35, ("UCS-2", 1)),
        ("😀" * 67, ("UCS-2", 3)),
        ("ş" * 70, ("UCS-2", 1)),
        ("\ud83d" + "a" * 69, ("UCS-2", 1)),
    ],
)
def test_a_text_is_counted_as_the_carrier_counts_it(text: str, expected: tuple[str, int]) -> None:
    assert segments(text) == expected


@pytest.mark.parametrize(("language", "most"), [("en", 12), ("pt", 12), ("ar", 15)])
def test_a_whole_report_stays_within_its_budget(language: str, most: int) -> None:
    assert len(REFERENCES[language].story) <= 160
    assert report_total(FLOWS["report"], render, language) <= most


def test_the_reference_report_is_asked_every_question() -> None:
    ids = [text.id for text in played_report(FLOWS["report"], render, "en")]
    assert ids == [
        "more.ask", "role.ask", "motive.victim", "when.ask", "where.ask", "safe.ask", "contact.ask", "check_in.word",
        "readback.where", "receipt",
    ]  # fmt: skip
    assert [text.id for text in played_report(FLOWS["report"], render, "en", opens_with_story=False)][:2] == [
        "story.ask",
        "more.ask",
    ]


def test_a_portuguese_text_that_needs_its_accents_fits_one_part() -> None:
    for text in played_report(FLOWS["report"], render, "pt"):
        assert not set(text.text) - GSM or text.segments == 1, text.id


def test_every_place_has_an_emergency_number_and_texts_that_exist() -> None:
    places = load_places()
    assert {code: place.number for code, place in places.items()} == {
        "ca": "911",
        "de": "110",
        "eu": "112",
        "gb": "999",
        "gb-eng-wls": "999",
        "gb-nir": "999",
        "gb-sct": "999",
        "ie": "112",
        "pt": "112",
        "us": "911",
        "us-ca": "911",
    }
    for place in places.values():
        if place.emergency_text:
            assert placeholders(CATALOGS["en"][place.emergency_text.says]) == {"number"}
    assert places["gb"].emergency_text is not None
    assert places["gb"].emergency_text.register_with == "register"


def test_a_state_or_nation_says_only_where_it_differs() -> None:
    places = load_places()
    assert places["us-ca"].helpers == places["us"].helpers
    assert [line.name for line in places["us-ca"].helplines] == ["CA vs Hate"] and places["us"].helplines == ()
    assert places["gb-sct"].emergency_text == places["gb"].emergency_text


def test_a_mistake_in_a_place_file_is_named_with_its_mend(tmp_path: Path) -> None:
    eu = (Path(__file__).parent.parent / "flows" / "places" / "eu.yaml").read_text("utf-8")
    (tmp_path / "eu.yaml").write_text(eu.replace("emergency:", "emergancy:"), "utf-8")
    with pytest.raises(FlowError, match=r"eu.yaml: the file: 'emergency' is missing; add it"):
        load_places(tmp_path)
    (tmp_path / "eu.yaml").unlink()
    (tmp_path / "xx.yaml").write_text(eu, "utf-8")
    with pytest.raises(FlowError, match=r"xx.yaml: the file: its code is 'eu'; name the file eu.yaml"):
        load_places(tmp_path)
    with pytest.raises(FlowError, match=r"the places have no eu.yaml"):
        (tmp_path / "xx.yaml").unlink()
        load_places(tmp_path)
