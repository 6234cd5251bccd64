"""`tellonce doctor` on machines that have everything, nothing, or something in between."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from bot import doctor
from bot.schema import migrate
from bot.settings import Settings
from bot.store import engine_for


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Nothing is there, and nothing answers where Rasa should be."""
    return Settings(data_dir=tmp_path / "var", nlu_url="http://127.0.0.1:1")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder in which ./setup was run."""
    python = tmp_path / "home/nlu/.venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nexit 0\n")
    python.chmod(0o755)
    (tmp_path / "home/nlu/models").mkdir()
    (tmp_path / "home/nlu/models/nlu.tar.gz").touch()
    return tmp_path / "home"


@pytest.fixture
def rasa() -> Iterator[str]:
    """The address of something that answers GET /status as Rasa does with token `right`."""

    class Status(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/status?token=right" else 401)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Status)
    threading.Thread(target=server.serve_forever, args=(0.05,)).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def state_of(name: str, findings: list[doctor.Finding]) -> str:
    return next(finding.state for finding in findings if finding.name == name)


def test_on_an_empty_machine_every_missing_thing_has_a_cost_and_a_mend(settings: Settings, tmp_path: Path) -> None:
    findings = doctor.examine(settings, {"sms": ["TELLONCE_A_VARIABLE"]}, home=tmp_path)

    assert [f.name for f in findings if f.state == "missing"] == [
        "Rasa in its Python 3.10",
        "Language packages",
        "Database",
        "Service key",
    ]
    assert all(f.costs and f.mend for f in findings if f.state != "ok")
    assert doctor.report(findings, io.StringIO()) == 1


def test_looking_changes_nothing(settings: Settings, tmp_path: Path) -> None:
    doctor.examine(settings, home=tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_the_report_fits_80_columns_but_for_the_lines_to_copy(settings: Settings, tmp_path: Path) -> None:
    out = io.StringIO()
    doctor.report(doctor.examine(settings, {"sms": []}, home=tmp_path), out)

    assert [line for line in out.getvalue().splitlines() if len(line) > 80 and "->" not in line] == []


@pytest.mark.parametrize(
    ("token", "state"),
    [("right", "ok"), ("", "ok"), ("wrong", "missing")],
    ids=["our token", "a Rasa of `up` with a token of its own", "another token"],
)
def test_rasa_is_asked_whether_it_answers(settings: Settings, home: Path, rasa: str, token: str, state: str) -> None:
    settings = Settings(data_dir=settings.data_dir, nlu_url=rasa, nlu_token=token)  # type: ignore[arg-type]

    assert state_of("Rasa answers", list(doctor.understanding(settings, home))) == state


def test_a_rasa_that_is_not_running_is_a_warning_only(settings: Settings, home: Path) -> None:
    assert state_of("Rasa answers", list(doctor.understanding(settings, home))) == "warning"


def test_a_database_without_a_team_accepts_nothing_and_says_so(settings: Settings) -> None:
    engine = engine_for(settings.database)
    migrate(engine)
    engine.dispose()
    findings = list(doctor.database(settings))

    assert state_of("Database", findings) == "ok"
    assert state_of("A team to read the reports", findings) == "missing"


def test_a_damaged_database_is_named(settings: Settings) -> None:
    settings.data_dir.mkdir()
    (settings.data_dir / "tellonce.db").write_bytes(b"this is not a database" * 100)

    assert "may be damaged" in next(doctor.database(settings)).mend


def test_the_password_of_an_unreachable_database_is_not_shown(settings: Settings) -> None:
    settings = Settings(data_dir=settings.data_dir, database_url="postgresql://tellonce:secret-word@127.0.0.1:1/tellonce")
    out = io.StringIO()
    doctor.report(list(doctor.database(settings)), out)

    assert "It cannot be opened." in out.getvalue()
    assert "secret-word" not in out.getvalue()


def test_a_key_beside_its_database_that_others_can_read_gives_two_warnings(settings: Settings) -> None:
    key = settings.key_file
    key.parent.mkdir(parents=True)
    key.write_bytes(bytes(32))
    key.chmod(0o644)
    (settings.data_dir / "tellonce.db").touch()

    assert [f.state for f in doctor.service_key(settings)] == ["warning", "warning"]


def test_a_lost_key_is_to_be_put_back_not_made_anew(settings: Settings) -> None:
    settings.data_dir.mkdir()
    (settings.data_dir / "tellonce.db").touch()

    assert next(doctor.service_key(settings)).mend.startswith("put it back")


def test_a_channel_is_of_no_use_while_the_public_address_is_this_machine(settings: Settings) -> None:
    findings = list(doctor.channels(settings, {"sms": []}))

    assert (state_of("Channel sms", findings), state_of("Public address", findings)) == ("ok", "warning")


def test_this_very_python_is_not_mistaken_for_rasas(tmp_path: Path, settings: Settings) -> None:
    python = tmp_path / "nlu/.venv/bin/python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)

    assert state_of("Rasa in its Python 3.10", list(doctor.understanding(settings, tmp_path))) == "missing"
