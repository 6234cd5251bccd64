"""The doubt: a fluent translation that is wrong is doubted, by words, and what cannot be read never stops a translation."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import sentencepiece

from bot.web import wording
from bot.worker import as_dict
from translations import doubt, glossary, quality
from translations.doubt import Word
from translations.glossary import counterparts
from translations.machine import Translation, Translator
from translations.marian import Marian, ModelError


@pytest.fixture(scope="module")
def reader(packages_dir: Path) -> Marian:
    folder = packages_dir / "translate-pt_en-firefox-1_0"
    return Marian(folder / "firefox", sentencepiece.SentencePieceProcessor(str(folder / "sentencepiece.model")))


def test_the_model_expects_its_own_words_and_is_surprised_by_others(reader: Marian) -> None:
    said, meant = "Não quero que minha família saiba.", "I don't want my family to know."
    expected = reader.read(said, meant)
    assert [word.text for word in expected] == meant.split()
    assert all(0 <= word.surprise < 1.5 for word in expected)
    assert {word.text: word.of for word in expected}["family"] == "família"
    other = {word.text: word for word in reader.read(said, "I don't want my banana to know.")}
    assert other["banana"].surprise > 5
    assert other["banana"].of == "família"


def test_a_text_too_long_for_the_model_is_not_read(reader: Marian) -> None:
    assert reader.read("família " * 600, "family") == ()
    assert reader.read("", "") == ()


@pytest.mark.parametrize(
    ("said", "suspect"),
    [
        ("Rasgaram o meu cartão de residência.", "Rasgaram"),
        ("Partiram o vidro da nossa loja.", "Partiram"),
        ("riscaram meu carro c uma chave", "Riscaram"),
    ],
)
def test_a_fluent_translation_that_is_wrong_is_doubted_by_its_word(translator: Translator, said: str, suspect: str) -> None:
    made = translator.translate(said, "pt", "en")
    assert "doubtful" in made.flags
    assert suspect in made.doubtful


@pytest.mark.parametrize("said", ["Não quero que minha família saiba.", "Um homem gritou com a minha mãe na rua.", "Socorro."])
def test_a_right_translation_is_not_doubted(translator: Translator, said: str) -> None:
    made = translator.translate(said, "pt", "en")
    assert "doubtful" not in made.flags
    assert made.doubtful == ()


def test_a_long_text_names_the_doubtful_words_of_all_its_sentences(translator: Translator) -> None:
    said = (
        "Partiram o vidro da nossa loja. "
        + "Um homem gritou com a minha mãe na rua. " * 150
        + "Rasgaram o meu cartão de residência."
    )
    assert {"Partiram", "Rasgaram"} <= set(translator.translate(said, "pt", "en").doubtful)


def test_without_chances_the_glossary_alone_doubts() -> None:
    lost = counterparts("Rasgaram o meu cartão.", "They scraped my card.", "pt", "en")
    assert (lost.missing, lost.confirmed) == (("Rasgaram",), frozenset({"card"}))
    assert doubt.is_doubtful((), lost)
    assert not doubt.is_doubtful((), counterparts("Rasgaram o meu cartão.", "They tore my card.", "pt", "en"))
    assert counterparts("Rompieron mi tarjeta.", "They scraped my card.", "es", "en").known == 0


def test_a_word_of_two_meanings_counts_with_the_one_that_hurts() -> None:
    assert counterparts("Partiram o vidro.", "They left the glass.", "pt", "en").missing == ("Partiram",)
    assert counterparts("Partiram o vidro.", "They broke the glass.", "pt", "en").missing == ()


def test_at_most_four_words_are_named_and_the_known_ones_first() -> None:
    lost = counterparts("Rasgaram tudo.", "They scraped it all.", "pt", "en")
    unlikely = [Word(f"w{number}", 2.0 + number, 1.0, f"palavra{number}") for number in range(6)]
    assert doubt.suspects(unlikely, lost) == ("Rasgaram", "palavra5", "palavra4", "palavra3")


def test_every_line_of_the_glossary_has_two_sides_and_no_stray_letters() -> None:
    lines = [line for line in glossary.FILE.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    for line in lines:
        portuguese, english = line.split(" | ")
        for side in (portuguese, english):
            assert len(side.split("/")) <= 2, line
            assert all(re.fullmatch(r"[\w|()\[\]$?!<.-]+", word) for word in side.replace("/", " ").split()), line
            re.compile(side)
        assert portuguese.replace("/", " ").split(), line
        assert english.replace("/", " ").split(), line


def test_a_model_of_another_shape_is_not_read(packages_dir: Path, tmp_path: Path) -> None:
    whole = packages_dir / "translate-pt_en-firefox-1_0" / "firefox"
    broken = tmp_path / "firefox"
    broken.mkdir()
    shutil.copy(next(whole.glob("lex.*.bin")), broken)
    with pytest.raises(ModelError, match=r"holds 0 files model\.\*\.bin"):
        Marian(broken, sentencepiece.SentencePieceProcessor())
    (broken / "model.x.bin").write_bytes(next(whole.glob("model.*.bin")).read_bytes()[:5000])
    with pytest.raises(ModelError, match=r"model\.x\.bin"):
        Marian(broken, sentencepiece.SentencePieceProcessor())


def test_the_flag_says_what_to_do_in_words() -> None:
    assert "compare with the original" in quality.flag_in_words("doubtful")


def test_the_doubtful_words_reach_the_caseworker() -> None:
    made = Translation("They scraped my card.", "argos/test", ("pt", "en"), ("doubtful",), "0", ("rasgaram", "cartão"))
    sealed = as_dict(made)
    assert sealed["doubtful"] == ["rasgaram", "cartão"]
    assert wording.flags(sealed["flags"], sealed["doubtful"]) == [
        quality.IN_WORDS["doubtful"],
        "May be missing or wrong: “rasgaram”, “cartão”",
    ]
    assert "doubtful" not in as_dict(Translation("A card.", "argos/test", ("pt", "en"), (), "0"))
