"""Insults stay as they were said, and the caseworker learns what they mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from translations import catalog, lexicon
from translations.lexicon import LexiconError, gloss


@pytest.mark.parametrize(
    ("language", "text", "terms"),
    [
        ("pt", "ele gritou BICHA e sapatão pra minha irmã", ["BICHA", "sapatão"]),
        ("es", "vete mora de mierda", ["mora de mierda"]),
        ("fr", "sale arabe, pédé!", ["sale arabe", "pédé"]),
        ("ru", "кричали чурка", ["чурка"]),
        ("zh-Hans", "他叫我黑鬼滚出去", ["黑鬼"]),
        ("ko", "짱깨라고 했어요", ["짱깨"]),
        ("ur", "mujhe chuhra kaha", ["chuhra"]),
        ("en", "he called us pakis", ["pakis"]),
    ],
)
def test_an_insult_is_found_where_it_was_said(language: str, text: str, terms: list[str]) -> None:
    found = gloss(text, language)
    assert [one.term for one in found] == terms
    for one in found:
        assert text[one.start : one.end] == one.term
        assert one.literal
        assert one.target


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("pt", "o bichano dorme"),
        ("es", "me demoré mucho"),
        ("en", "the fagade of spices"),
        ("it", "mi chiamo Viadotto"),
        ("xx", "bicha"),
    ],
)
def test_a_word_that_only_looks_like_one_is_left_alone(language: str, text: str) -> None:
    assert gloss(text, language) == []


def test_every_language_has_a_lexicon() -> None:
    assert lexicon.languages() == frozenset(catalog.languages())


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "slurs.yaml"
    file.write_text("pt:\n  - 'bicha|faggot'\n")
    with pytest.raises(LexiconError, match=r"'bicha\|faggot' of 'pt'"):
        lexicon.read(file)
