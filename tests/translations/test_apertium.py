"""The rough gist: toward the caseworker only, from its own programs, and never in the way when it fails."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from translations import apertium
from translations.apertium import Gist, GistError
from translations.machine import Translator

Process = tuple[object, Path]
EVERYTHING = "apt-get install --no-install-recommends apertium " + " ".join(apertium.PACKAGES.values())


def needs(*sources: str) -> pytest.MarkDecorator:
    missing = [source for source in sources if not apertium.is_installed(source)]
    return pytest.mark.skipif(bool(missing), reason=f"Apertium is not installed: {EVERYTHING}")


@pytest.fixture
def gist() -> Iterator[Gist]:
    made = Gist()
    yield made
    made.close_idle(0)


@needs("es", "ca", "gl", "fr", "pt", "it")
@pytest.mark.parametrize(
    ("language", "said", "route", "kept"),
    [
        ("es", "Me insultaron en el metro.", ("es", "en"), ["me", "insulted|abused", "metr"]),
        ("ca", "Em van insultar al metro.", ("ca", "en"), ["insulted me", "metro"]),
        ("gl", "Insultáronme no autobús.", ("gl", "en"), ["abused|insulted", "bus"]),
        ("fr", "On m'a insultée dans le bus.", ("fr", "es", "en"), ["bus"]),
        ("pt", "Fui insultado no metro.", ("pt", "en"), ["metro|subway|underground"]),
        ("it", "Mi hanno insultato in autobus.", ("it", "es", "en"), ["bus"]),
    ],
)
def test_a_caseworker_gets_the_gist(
    translator: Translator, language: str, said: str, route: tuple[str, ...], kept: list[str]
) -> None:
    made = translator.translate(said, language, "en")
    assert made.text is not None
    assert made.route == route
    for words in kept:
        assert any(word in made.text for word in words.split("|"))
    if language == "pt":  # the embedded models come first
        assert made.engine == "argos/firefox-marian"
        return
    assert made.engine == "apertium"
    assert made.flags[0] == "rough_gist"
    assert ("by_pivot" in made.flags) == (len(route) > 2)
    assert len(made.model.split("+")) == len(route) - 1


@pytest.mark.parametrize(("source", "target"), [("en", "es"), ("en", "ca"), ("en", "fr"), ("es", "pt"), ("mk", "en"), ("sr", "en")])
def test_no_gist_goes_to_a_reporter_nor_comes_from_a_pair_that_lies(translator: Translator, source: str, target: str) -> None:
    made = translator.translate("Do not go home.", source, target)
    assert made.text is None
    assert "interpreter_needed" in made.flags


@needs("es")
def test_a_reporter_who_reads_english_gets_no_gist_where_the_caseworkers_write_spanish(process: Process) -> None:
    made = Translator(process[1], working_language="es").translate("No vaya a casa.", "es", "en")
    assert (made.text, made.flags) == (None, ("interpreter_needed",))


@needs("es")
def test_details_pass_through_the_gist_unchanged(translator: Translator) -> None:
    made = translator.translate("llamame al +34 600 123 456 o a ana_b@ejemplo.es, me quitaron 30 €", "es", "en")
    assert made.text is not None
    for detail in ("+34 600 123 456", "ana_b@ejemplo.es", "30 €"):
        assert detail in made.text


@needs("es")
@pytest.mark.parametrize("odd", ["^a/b$ [x] <c> {d} @e *f #g \\ \0 h", "]" * 300, "[[[", "\\", "$1.00 ^", "#1 *", "a" * 3000])
def test_markup_neither_stops_a_pipe_nor_leaves_half_an_answer(gist: Gist, odd: str) -> None:
    (step,) = gist.route("es", "en")
    step.translate(odd)
    assert step.translate("Me insultaron.").text in ("They abused me.", "They insulted me.")


@needs("es")
def test_words_it_does_not_know_are_counted_and_shown_without_marks(gist: Gist) -> None:
    (step,) = gist.route("es", "en")
    made = step.translate("Me llamaron qwrtp y zxcvb.")
    assert made.unknown == 2
    assert "*" not in made.text


@needs("es")
def test_a_text_reaches_apertium_through_pipes_alone(gist: Gist) -> None:
    gist.render("spa-eng", "Zarzamora me insultó en el metro.")
    children = [int(pid) for pid in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()]
    programs = [Path(f"/proc/{pid}") for pid in children if b"spa-eng" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert len(programs) >= 6
    for program in programs:
        assert b"Zarzamora" not in (program / "cmdline").read_bytes() + (program / "environ").read_bytes()
        assert (program / "ns/net").readlink() == Path("/proc/self/ns/net").readlink()
        for open_file in (program / "fd").iterdir():
            # Written to are pipes and /dev/null; what is a file is only read.
            points_to = str(open_file.readlink())
            flags = int((program / "fdinfo" / open_file.name).read_text().split("flags:")[1].split()[0], 8)
            assert points_to.startswith("pipe:") or points_to == os.devnull or flags & os.O_ACCMODE == os.O_RDONLY


@needs("es")
def test_a_killed_program_is_started_again(gist: Gist) -> None:
    (step,) = gist.route("es", "en")
    first = step.translate("Tengo miedo.").text
    mine = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    victims = [int(child) for child in mine if "spa-eng" in Path(f"/proc/{child}/cmdline").read_text()]
    os.kill(victims[2], signal.SIGKILL)
    until = time.monotonic() + 5
    while step.translate("Tengo miedo.").text != first:
        assert time.monotonic() < until


@needs("es", "ca", "gl", "fr", "it")
def test_only_a_few_pipes_stay_open_and_none_for_ever(gist: Gist) -> None:
    for language, said in (("es", "Hola."), ("ca", "Hola."), ("gl", "Ola."), ("fr", "Bonjour."), ("it", "Ciao.")):
        for step in gist.route(language, "en"):
            step.translate(said)
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    lines = {Path(f"/proc/{child}/cmdline").read_text().split("\0")[-2] for child in children}
    assert len({line.split("/")[4] for line in lines if line.startswith("/usr/share/apertium/")}) <= 3
    gist.close_idle(0)
    assert all(step.translate("Hola.").text for step in gist.route("es", "en"))


def test_without_apertium_a_person_is_needed_and_the_reason_is_said(tmp_path: Path) -> None:
    gist = Gist(tmp_path)
    assert gist.sources == ()
    assert not gist.route("es", "en")
    assert apertium.install_line("fr").endswith("apertium apertium-fr-es apertium-eng-spa")


def test_a_mode_that_names_another_program_is_not_run(tmp_path: Path) -> None:
    for mode in ("spa-eng", "cat-eng"):
        (tmp_path / f"{mode}.mode").write_text("lt-proc 'a.bin' | sh -c 'touch /tmp/evil'\n")
    (step,) = Gist(tmp_path).route("es", "en")
    with pytest.raises(GistError, match="not one of Apertium's"):
        step.translate("Hola.")


def test_a_mode_whose_data_is_gone_fails_without_a_word_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "spa-eng.mode").write_text("lt-proc '/nonexistent/a.bin' | apertium-pretransfer\n")
    (step,) = Gist(tmp_path).route("es", "en")
    with pytest.raises(GistError) as failed:
        step.translate("secreto")
    assert "secreto" not in str(failed.value)


@needs("es")
def test_a_long_story_gets_its_gist_whole(translator: Translator) -> None:
    story = "\n\n".join(f"El día {number} me insultaron en la calle. Nadie hizo nada." for number in range(10, 390))
    assert len(story) > 20_000
    made = translator.translate(story, "es", "en")
    assert made.text is not None
    assert all(str(number) in made.text for number in range(10, 390))
    assert "negation_lost" in made.flags


@needs("es")
@pytest.mark.parametrize(
    "odd", ["", "   ", "😢", "<p>me <b>pegaron</b></p>", "me pegaron and then they ran away", "они меня избили"]
)
def test_odd_texts_keep_the_gist_going(translator: Translator, odd: str) -> None:
    made = translator.translate(odd, "es", "en")
    assert made.text is not None or "interpreter_needed" in made.flags
    assert translator.translate("Tengo miedo.", "es", "en").text
