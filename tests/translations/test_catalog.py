"""The bot's words and the words it listens for."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from translations import catalog
from translations.catalog import CatalogError

THE_24 = {
    "en", "es", "fr", "pt", "de", "it", "pl", "ro", "ru", "uk", "tr", "ar", "fa", "ur", "hi", "pa", "bn", "gu", "zh-Hans",
    "zh-Hant", "vi", "ko", "tl", "so",
}  # fmt: skip


def test_the_24_languages_are_there_with_their_own_names() -> None:
    assert set(catalog.languages()) == THE_24
    assert catalog.languages()["pt"].name == "Português"
    assert {code for code, language in catalog.languages().items() if language.direction == "rtl"} == {"ar", "fa", "ur"}
    assert not [code for code, language in catalog.languages().items() if language.catalog == "reviewed"]


@pytest.mark.parametrize("code", sorted(THE_24))
def test_every_language_has_the_words_a_reporter_needs(code: str) -> None:
    for kind in ("yes", "no", "skip", "dont_know", "silent_stop", "person", "new", "greeting", "emergency"):
        assert catalog.words(code, kind)
    assert not catalog.words(code, "yes") & catalog.words(code, "no")
    assert "" not in frozenset().union(*catalog.languages()[code].words.values())


@pytest.mark.parametrize("code", sorted(THE_24))
def test_silence_is_never_asked_for_with_a_carriers_word(code: str) -> None:
    eaten = {"stop", "end", "quit", "cancel", "unsubscribe", "stopall", "start", "yes", "help", "info", "arret", "unstop"}
    assert not catalog.words(code, "silent_stop") & eaten


@pytest.mark.parametrize(
    ("text", "kind", "language"),
    [
        (" Não! ", "no", "pt"),
        ("NAO", "no", "pt"),
        ("no", "no", "en"),
        ("silêncio.", "silent_stop", "pt"),
        ("SILENCIO", "silent_stop", None),
        ("صمت", "silent_stop", None),
        ("I don’t know", "dont_know", "en"),
        ("não sei...", "dont_know", None),
        ("HAYIR", "no", "tr"),
        ("हाँ", "yes", "hi"),
        ("نَعَم", "yes", "ar"),
        ("sim 👍", "yes", "pt"),
        ("Stop", "carrier_stop", None),
        ("ARRÊT", "carrier_stop", "pt"),
        ("unstop", "carrier_start", None),
        ("ਸਤ ਸ੍ਰੀ ਅਕਾਲ", "greeting", None),
    ],
)
def test_a_word_is_known_in_any_spelling(text: str, kind: catalog.Kind, language: str | None) -> None:
    assert catalog.matches_word(text, kind, language)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("please stop them", "carrier_stop"),
        ("eles pediram silêncio", "silent_stop"),
        ("they told me to be silent", "silent_stop"),
        ("", "yes"),
        ("...", "no"),
        ("हा न", "yes"),
    ],
)
def test_a_word_counts_only_as_the_whole_message(text: str, kind: catalog.Kind) -> None:
    assert not catalog.matches_word(text, kind)


@pytest.mark.parametrize(
    "text",
    [
        "please he has a knife!!",
        "SOCORRO",
        "gente me ajude agora por favor",
        "ele ta com uma faca",
        "النجده",
        "أرجوكم ساعدوني الآن!",
        "他有刀快来",
        "살려주세요 제발",
    ],
)
def test_danger_now_is_heard_inside_a_message(text: str) -> None:
    assert catalog.matches_word(text, "emergency")


@pytest.mark.parametrize(
    "text",
    ["yesterday a man shouted at me", "ontem um homem gritou comigo", "he had a knife last year", "ajuda", "help", "شتمني رجل أمس"],
)
def test_a_story_of_yesterday_is_no_emergency(text: str) -> None:
    assert not catalog.matches_word(text, "emergency")


def test_no_stays_a_word_when_the_file_is_read() -> None:
    assert "no" in catalog.words("en", "no")
    assert "False" not in catalog.words("en", "no")


def test_a_carriers_word_for_silence_stops_the_start(tmp_path: Path) -> None:
    file = tmp_path / "languages.yaml"
    text = (Path(catalog.__file__).parent / "languages.yaml").read_text()
    file.write_text(text.replace("silent_stop: [silent,", "silent_stop: [Stop!, silent,"))
    with pytest.raises(CatalogError, match="silent_stop of 'en' holds 'stop'"):
        catalog.read_languages(file)


def test_a_key_written_twice_stops_the_start(tmp_path: Path) -> None:
    file = tmp_path / "languages.yaml"
    file.write_text("carrier: {}\nlanguages: {}\nlanguages: {}\n")
    with pytest.raises(CatalogError, match="'languages' is written twice"):
        catalog.read_languages(file)


def _write(folder: Path, language: str, **messages: str) -> None:
    (folder / language).mkdir()
    entries = "".join(f'msgid "{msgid}"\nmsgstr "{text}"\n\n' for msgid, text in messages.items())
    header = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\n'
    (folder / language / "messages.po").write_text(header + entries)


def test_a_message_is_rendered_with_its_values() -> None:
    assert "112" in catalog.render("welcome.emergency", "en", emergency="112")
    assert catalog.has("en")
    assert not catalog.has("xx")


def test_what_a_reporter_wrote_is_never_read_as_a_placeholder() -> None:
    assert "{organisation}" in catalog.render("welcome.emergency", "en", emergency="{organisation}")


def test_a_language_without_a_catalogue_hears_english() -> None:
    assert catalog.render("welcome.emergency", "so", emergency="999") == catalog.render("welcome.emergency", "en", emergency="999")


def test_an_unknown_message_is_named() -> None:
    with pytest.raises(KeyError, match=r"'no\.such\.message'"):
        catalog.render("no.such.message", "pt")


def test_a_missing_value_is_named_with_its_message() -> None:
    with pytest.raises(KeyError, match=r"welcome\.emergency.*\{emergency\}"):
        catalog.render("welcome.emergency", "en")


def test_a_translation_with_a_value_that_english_lacks_is_refused(tmp_path: Path) -> None:
    _write(tmp_path, "en", greet="Hello {name}")
    _write(tmp_path, "pt", greet="Olá {nome}")
    with pytest.raises(CatalogError, match=r"pt/messages\.po: 'greet' uses \{nome\}"):
        catalog.read_catalogs(tmp_path)


@pytest.mark.parametrize("text", ["Hello {name.secret}", "Hello {0}", "Hello {name", "Hello {name!r}"])
def test_a_placeholder_is_a_plain_name_or_refused(tmp_path: Path, text: str) -> None:
    _write(tmp_path, "en", greet=text)
    with pytest.raises(CatalogError, match="'greet' has a broken placeholder"):
        catalog.read_catalogs(tmp_path)


@pytest.mark.parametrize("language", catalog.languages())
def test_what_may_not_be_missed_is_listened_for_in_every_language(language: str) -> None:
    kinds: tuple[catalog.Kind, ...] = ("yes", "no", "skip", "silent_stop", "person", "emergency", "self_harm")
    for kind in kinds:
        assert catalog.words(language, kind), kind
        assert all(catalog.matches_word(word, kind) for word in catalog.words(language, kind))


@pytest.mark.parametrize("language", catalog.languages())
def test_every_kind_of_word_is_listened_for_in_every_language(language: str) -> None:
    kinds = {kind for kind in get_args(catalog.Kind) if not kind.startswith("carrier")}
    assert set(catalog.languages()[language].words) == kinds
    for kind in ("told_already", "back", "correction", "later", "abuse", "help", "reads_wrong", "my_data", "wipe"):
        danger = [word for word in catalog.words(language, kind) if is_danger(word, language)]  # type: ignore[arg-type]
        assert not danger, kind


def is_danger(text: str, language: str) -> bool:
    return any(catalog.matches_word(text, kind, language) for kind in catalog.ANYWHERE)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "kind", "language"),
    [
        ("hola, mi padre me pega y tengo 12 años", "child_risk", "es"),
        ("mam 13 lat i boje sie wracac do domu", "child_risk", "pl"),
        ("میری عمر 12 سال ہے", "child_risk", "ur"),
        ("Mein Betreuer schlägt mich!", "adult_risk", "de"),
        ("eşim beni dövüyor, yardım eden yok", "adult_risk", "tr"),
        ("guriga ayay igu xiraan", "adult_risk", "so"),
    ],
)
def test_who_is_at_risk_is_heard_inside_a_message(text: str, kind: catalog.Kind, language: str) -> None:
    assert catalog.matches_word(text, kind, language)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("un hombre pegó a mi vecino en el bus", "es"),
        ("mój syn ma 12 lat i ktoś go wyzwał w szkole", "pl"),
        ("ein Mann hat meinen Bruder geschlagen", "de"),
        ("otobüste bir adam bana bağırdı", "tr"),
    ],
)
def test_a_story_about_others_puts_nobody_at_risk(text: str, language: str) -> None:
    assert not is_danger(text, language)
