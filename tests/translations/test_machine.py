"""Translation on the real engine: what must survive, what must be said, and what happens when the process dies."""

from __future__ import annotations

import io
import json
import os
import socket
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from translations import lexicon, machine, packages
from translations.machine import Translator

Process = tuple[subprocess.Popen[bytes], Path]


@pytest.mark.parametrize(
    "said",
    [
        "Não quero que minha família saiba.",
        "nao quero q minha familia saiba",
        "NAO QUERO Q MINHA FAMILIA SAIBA",
        "n quero q minha familia saiba",
    ],
)
def test_a_negation_survives_in_careful_and_in_sms_spelling(translator: Translator, said: str) -> None:
    made = translator.translate(said, "pt", "en")
    assert made.text == "I don't want my family to know."
    assert made.flags == ()


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("Ele disse que me ia matar.", "He said he was going to kill me."),
        ("eles me querem matar", "They want to kill me."),
        ("Eles vão nos matar.", "They will kill us."),
        ("ele gritou comigo", "He yelled at me."),
    ],
)
def test_who_does_what_to_whom_survives(translator: Translator, said: str, meant: str) -> None:
    made = translator.translate(said, "pt", "en")
    assert (made.text, made.flags) == (meant, ())


def test_an_insult_the_model_does_not_know_is_flagged_and_explained(translator: Translator) -> None:
    said = "chamaram meu irmao de viado"
    assert "slur" in translator.translate(said, "pt", "en").flags
    assert [one.literal for one in lexicon.gloss(said, "pt")] == ["deer; faggot"]


def test_known_names_come_through_as_they_are_written(translator: Translator) -> None:
    made = translator.translate("a Rosa Pereira e o Bento me ajudaram", "pt", "en", names=["Rosa Pereira", "Bento"])
    assert made.text is not None
    assert "Rosa Pereira" in made.text
    assert "Bento" in made.text


def test_a_street_keeps_its_name(translator: Translator) -> None:
    made = translator.translate("Eles me bateram na Rua do Ouro. Eles vieram da Praça da Alegria.", "pt", "en")
    assert made.text is not None
    assert "Rua do Ouro" in made.text
    assert "Praça da Alegria" in made.text


@pytest.mark.parametrize(
    "odd",
    [
        "<b>eles</b> me <script>alert(1)</script> bateram",
        "{'a': [1, 2]} eles me bateram",
        "eles me bateram " * 1250,
        "они меня избили и eles me bateram e me xingaram muito",
        "😢" * 5000,
        "\u202eeles me bateram\u202c \x00",
        "XX1 XX2 eles me bateram",
    ],
)
def test_odd_texts_are_answered(translator: Translator, odd: str) -> None:
    made = translator.translate(odd, "pt", "en")
    assert made.text or "interpreter_needed" in made.flags
    assert translator.translate("Ninguém me ajudou.", "pt", "en").text == "No one helped me."


def test_a_text_in_another_language_than_said_is_flagged_or_refused(translator: Translator) -> None:
    assert translator.translate("they spat at my wife yesterday evening", "pt", "en").flags
    assert translator.translate("они плюнули в мою жену", "pt", "en").flags == ("interpreter_needed", "wrong_script")


def test_a_translation_says_how_it_was_made(translator: Translator) -> None:
    made = translator.translate("Ninguém me ajudou.", "pt", "en")
    assert made.engine == "argos/firefox-marian"
    assert made.route == ("pt", "en")
    assert made.model == packages.EMBEDDED[0].sha256[:12]


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("Me liga no +351 912 345 678 depois das 18.", ["+351 912 345 678", "18"]),
        ("O email dele é maria_silva@exemplo.pt", ["maria_silva@exemplo.pt"]),
        ("ele roubou €30 e R$ 1.500,00 de mim", ["€30", "R$ 1.500,00"]),
        ("a placa era 24-AB-17", ["24-AB-17"]),
        ("está em https://exemplo.org/a_b?c=1", ["https://exemplo.org/a_b?c=1"]),
        ("dois homens me empurraram no onibus 24", ["24"]),
    ],
)
def test_numbers_and_addresses_come_through_unchanged(translator: Translator, said: str, kept: list[str]) -> None:
    made = translator.translate(said, "pt", "en")
    assert made.text is not None
    for fact in kept:
        assert fact in made.text
    assert "numbers_changed" not in made.flags


@pytest.mark.parametrize(
    ("reply", "meant"),
    [
        ("We believe you. You are not alone.", "Nós acreditamos em você. Você não está sozinho."),
        ("dont go home", "Não vá para casa."),
        ("Call 112 now.", "Ligue para o 112 agora."),
    ],
)
def test_a_reply_is_translated_into_portuguese(translator: Translator, reply: str, meant: str) -> None:
    assert translator.translate(reply, "en", "pt").text == meant


def test_shouting_is_translated_too(translator: Translator) -> None:
    assert translator.translate("SOCORRO", "pt", "en").text == "Help."


def test_paragraphs_stay_and_wrapped_lines_are_one_sentence(translator: Translator) -> None:
    made = translator.translate("eles nao pararam\nde me xingar\n\nontem foi pior", "pt", "en")
    assert made.text is not None
    first, second = made.text.split("\n\n")
    assert "didn't stop" in first
    assert second == "Yesterday was worse."


def test_pictures_pass_beside_the_words(translator: Translator) -> None:
    made = translator.translate("eles me bateram 😢", "pt", "en")
    assert made.text is not None
    assert made.text.endswith("😢")
    assert translator.translate("😢😢", "pt", "en").text == "😢😢"


@pytest.mark.parametrize(("source", "target"), [("so", "en"), ("pt", "ur"), ("xx", "en"), ("zh-Hant", "pt")])
def test_without_a_route_a_person_is_needed(translator: Translator, source: str, target: str) -> None:
    made = translator.translate("Waan ka baqayaa.", source, target)
    assert made.text is None
    assert made.flags == ("interpreter_needed",)
    assert made.route == ()


def test_another_alphabet_than_the_language_has_is_not_turned_into_noise(translator: Translator) -> None:
    made = translator.translate("صرخ رجل في وجهي", "pt", "en")
    assert made.text is None
    assert made.flags == ("interpreter_needed", "wrong_script")


def test_the_same_language_needs_no_engine(tmp_path: Path) -> None:
    made = Translator(tmp_path / "nobody").translate("Oi", "pt", "pt")
    assert (made.text, made.route, made.flags) == ("Oi", ("pt",), ())


def test_an_empty_text_says_so(translator: Translator) -> None:
    assert translator.translate("  \n ", "pt", "en").flags == ("empty",)


def test_a_long_story_is_translated_in_pieces(translator: Translator) -> None:
    story = "\n\n".join(f"Eles vieram {number} vezes. Eu não abri a porta." for number in range(10, 160))
    assert len(story) > machine.LONGEST_PIECE
    made = translator.translate(story, "pt", "en")
    assert made.text is not None
    assert made.text.count("I didn't open the door.") == 150
    assert "159" in made.text


def test_odd_characters_never_break_the_process(translator: Translator) -> None:
    for odd in ("\x00\x07", "\u202eoi\u202c", "a" * 3000, "\ud83d", "?!?!?!", "<b>não</b>", "XX1 XX2", '{"do": "ping"}\n'):
        translator.translate(odd, "pt", "en")
    assert translator.translate("Eu não fui.", "pt", "en").text


def test_many_threads_may_ask_at_once(translator: Translator) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: translator.translate(f"Foram {number} homens.", "pt", "en").text, range(20, 60)))
    assert all(text and str(number) in text for number, text in zip(range(20, 60), answers, strict=True))


def test_the_process_has_no_network(process: Process, translator: Translator) -> None:
    health = translator.ping()
    assert health is not None
    if health.isolated == "hook":
        pytest.skip("this kernel gives no network namespace; the hook has its own test")
    ours, theirs = Path("/proc/self/ns/net"), Path(f"/proc/{process[0].pid}/ns/net")
    assert ours.readlink() != theirs.readlink()


@pytest.mark.parametrize("cut", ["isolation.isolate()", "sys.addaudithook(isolation._refuse_network)"])
def test_a_connection_from_the_inside_fails(cut: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        attempt = (
            "import socket, sys\nfrom translations import isolation\n"
            f"{cut}\n"
            f"try:\n    socket.create_connection(('127.0.0.1', {port}), 2)\n"
            "except OSError:\n    sys.exit(0)\nsys.exit(1)\n"
        )
        assert subprocess.run([sys.executable, "-c", attempt], check=False, timeout=30).returncode == 0


def test_the_socket_is_for_its_owner_alone(process: Process) -> None:
    assert stat.S_IMODE(process[1].stat().st_mode) == 0o600


def test_no_secret_of_ours_reaches_the_process(packages_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELLONCE_TWILIO_AUTH_TOKEN", "marker-secret")
    child = machine.start(tmp_path / "t.sock", packages_dir)
    try:
        assert Translator(tmp_path / "t.sock").wait_until_ready(60)
        assert b"marker-secret" not in Path(f"/proc/{child.pid}/environ").read_bytes()
    finally:
        machine.stop(child)


def test_a_killed_process_costs_a_translation_and_a_new_one_takes_over(packages_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "t.sock"
    translator = Translator(path)
    child = machine.start(path, packages_dir)
    assert translator.wait_until_ready(60)
    child.kill()
    child.wait()
    made = translator.translate("Estou com medo.", "pt", "en")
    assert made.text is None
    assert made.flags == ("interpreter_needed", "engine_down")
    assert path.exists(), "a killed process leaves its socket file"
    child = machine.start(path, packages_dir)
    try:
        assert translator.wait_until_ready(60)
        assert translator.translate("Estou com medo.", "pt", "en").text == "I am in fear."
    finally:
        machine.stop(child)
    assert not path.exists()


def test_a_second_process_leaves_the_first_its_socket(process: Process, packages_dir: Path, translator: Translator) -> None:
    second = machine.start(process[1], packages_dir)
    assert second.wait(timeout=30) == 3
    assert translator.ping() is not None


def test_a_process_that_never_answers_is_waited_for_no_longer_than_asked(tmp_path: Path) -> None:
    path = tmp_path / "slow.sock"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        made = Translator(path, timeout=0.2).translate("Oi, tudo bem?", "pt", "en")
    assert made.flags == ("interpreter_needed", "engine_down")


def test_nonsense_from_the_socket_is_no_translation(tmp_path: Path) -> None:
    path = tmp_path / "mad.sock"
    with socket.socket(socket.AF_UNIX) as mad:
        mad.bind(str(path))
        mad.listen()

        def answer() -> None:
            connection, _ = mad.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b'["not", "what", "was", "asked"]\n')

        thread = threading.Thread(target=answer)
        thread.start()
        made = Translator(path, timeout=5).translate("Oi, tudo bem?", "pt", "en")
        thread.join()
    assert made.flags == ("interpreter_needed", "engine_down")


@pytest.mark.parametrize(
    ("name", "value"), [("ARGOS_MODEL_PROVIDER", "LIBRETRANSLATE"), ("ARGOS_DEBUG", "1"), ("ARGOS_CHUNK_TYPE", "SPACY")]
)
def test_a_setting_that_would_send_or_log_a_text_stops_the_start(
    packages_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert machine.start(tmp_path / "t.sock", packages_dir).wait(timeout=30) == 2


def test_no_text_is_left_in_a_file_or_in_the_cache_of_argos(packages_dir: Path, translator: Translator) -> None:
    marker = "Serafinadagama"
    made = translator.translate(f"Meu nome é {marker} e eu não sei.", "pt", "en")
    assert made.text and marker in made.text
    for file in packages_dir.parent.rglob("*"):
        if file.is_file():
            assert marker.encode() not in file.read_bytes(), file.name
    # The memory of the process cannot be looked into from here, so the same code runs once more where it can.
    look = (
        "import sys\nfrom pathlib import Path\nfrom translations.argos import Argos\nfrom translations.draft import draft\n"
        "argos = Argos(Path(sys.argv[1]))\ndraft(sys.argv[2], argos.route('pt', 'en'), 'pt', 'en')\n"
        "kept = [each.cached_translation.cache for each in sys.modules['argostranslate.translate'].installed_translates]\n"
        "assert len(kept) == 2 and not any(kept), 'Argos kept a text'\n"
        "assert not {'torch', 'onnxruntime'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", look, str(packages_dir), f"Olá {marker}."], check=False, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode()
    assert marker not in (done.stdout + done.stderr).decode()


def test_the_process_ends_when_the_one_that_started_it_is_gone(packages_dir: Path, tmp_path: Path) -> None:
    begin = (
        "import sys\nfrom pathlib import Path\nfrom translations import machine\n"
        "child = machine.start(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "machine.Translator(Path(sys.argv[1])).wait_until_ready(60)\nprint(child.pid, flush=True)\n"
        "import os\nos._exit(0)\n"
    )
    path = tmp_path / "t.sock"
    done = subprocess.run([sys.executable, "-c", begin, str(path), str(packages_dir)], check=True, capture_output=True, timeout=60)
    pid = int(done.stdout)
    waited = threading.Event()
    for _ in range(100):
        if not _runs(pid):
            break
        waited.wait(0.1)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_lines_are_answered_in_order_and_a_bad_one_spoils_no_other(translator: Translator) -> None:
    lines = [
        {"id": "a", "text": "Não quero que minha família saiba.", "source": "pt", "target": "en"},
        {"id": "b", "text": "Waan ka baqayaa.", "source": "so", "target": "en"},
        {"id": 3, "source": "pt", "target": "en"},
        {"id": "d", "text": "Oi.", "source": "pt", "target": "pt"},
    ]
    stdin = io.StringIO("\n".join(json.dumps(line) for line in lines) + "\nnot json\n[]\n" + "[" * 100_000 + "\n")
    stdout = io.StringIO()
    assert machine.translate_lines(stdin, stdout, translator) == 1
    answers = [json.loads(line) for line in stdout.getvalue().splitlines()]
    assert answers[0] == {
        "id": "a",
        "text": "I don't want my family to know.",
        "engine": "argos/firefox-marian",
        "route": ["pt", "en"],
        "flags": [],
        "doubtful": [],
    }
    assert answers[1] == {"id": "b", "text": None, "engine": "none", "route": [], "flags": ["interpreter_needed"], "doubtful": []}
    assert answers[2] == {"id": 3, "error": "'text' must be a text"}
    assert answers[3]["text"] == "Oi."
    assert [answer["id"] for answer in answers[4:]] == [None, None, None]
    assert all("error" in answer for answer in answers[4:])


def test_half_a_character_in_a_line_is_answered(translator: Translator) -> None:
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    stdin = io.StringIO('{"id": 1, "text": "oi \\ud83d", "source": "pt", "target": "pt"}\n')
    assert machine.translate_lines(stdin, stdout, translator) == 0


def test_without_any_package_a_person_is_needed(tmp_path: Path) -> None:
    child = machine.start(tmp_path / "t.sock", tmp_path / "argos" / "packages")
    try:
        translator = Translator(tmp_path / "t.sock")
        assert translator.wait_until_ready(60)
        assert translator.translate("Waan ka baqayaa.", "so", "en").flags == ("interpreter_needed",)
    finally:
        machine.stop(child)


def test_a_path_too_long_for_a_socket_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shorter run folder"):
        machine.start(tmp_path / ("long" * 30) / "t.sock", tmp_path)


def test_good_lines_alone_end_well(translator: Translator) -> None:
    stdout = io.StringIO()
    stdin = io.StringIO('{"id": 1, "text": "Ninguém me ajudou.", "source": "pt", "target": "en"}\n\n')
    assert machine.translate_lines(stdin, stdout, translator) == 0
    assert json.loads(stdout.getvalue())["text"] == "No one helped me."


def test_the_process_stays_small(process: Process, translator: Translator) -> None:
    translator.translate("Eles me seguiram até em casa.", "pt", "en")
    translator.translate("We will call you tomorrow.", "en", "pt")
    pages = int(Path(f"/proc/{process[0].pid}/statm").read_text().split()[1])
    assert pages * os.sysconf("SC_PAGE_SIZE") < 400 * 1024 * 1024
