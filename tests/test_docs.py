"""What the documents name is there: code, tests, files, settings, gauges, and units that systemd takes."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pydantic_settings import BaseSettings

from bot import metrics
from bot.channels.telegram import TelegramSettings
from bot.channels.twilio_sms import TwilioSettings
from bot.settings import Settings

HOME = Path(__file__).parent.parent
README = (HOME / "README.md").read_text()
THREATS = (HOME / "docs/threat-model.md").read_text()
OPERATIONS = (HOME / "docs/operations.md").read_text()
DOCUMENTS = [HOME / "README.md", *sorted((HOME / "docs").rglob("*.md"))]
UNITS = sorted((HOME / "deploy").glob("*.service"))


def promises(text: str) -> list[int]:
    return [int(n) for n in re.findall(r"^### (\d)\. ", text, re.M)]


def named_tests(text: str) -> list[str]:
    return re.findall(r"`((?:nlu/)?tests/[\w/]+\.py::\w+)`", text)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`((?:bot|flows|translations)(?:\.\w+)+)`", THREATS))))
def test_the_code_that_keeps_a_promise_is_there(name: str) -> None:
    thing: Any = None
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            thing = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            thing = getattr(thing, part)
        break
    assert callable(thing) or inspect.ismodule(thing)


@pytest.mark.parametrize("named", sorted(set(named_tests(THREATS))))
def test_the_test_that_keeps_a_promise_is_there(named: str) -> None:
    path, _, name = named.partition("::")
    functions = {node.name for node in ast.walk(ast.parse((HOME / path).read_text())) if isinstance(node, ast.FunctionDef)}
    assert name in functions


def test_every_promise_names_code_and_at_least_two_tests() -> None:
    parts = re.split(r"^### ", THREATS, flags=re.M)[1:]
    assert promises(THREATS) == list(range(1, 10))
    for part in parts:
        assert "`bot." in part or "`flows." in part, part[:60]
        assert len(named_tests(part)) >= 2, part[:60]


def test_every_promise_of_the_readme_names_files_of_tests_that_are_there() -> None:
    rows = re.findall(r"^\| (\d) \| .* \| (.*) \|$", README.partition("## Promises")[2], re.M)
    assert [int(n) for n, _ in rows] == list(range(1, 10))
    for number, where in rows:
        files = re.findall(r"`(tests/[\w/]+\.py)`", where)
        assert files and all((HOME / file).is_file() for file in files), f"promise {number}: {where}"


def variables(settings: type[BaseSettings]) -> list[str]:
    prefix = settings.model_config.get("env_prefix", "")
    return [f"{prefix}{name}".upper() for name in settings.model_fields]


@pytest.mark.parametrize("name", [v for s in (Settings, TwilioSettings, TelegramSettings) for v in variables(s)])
def test_every_setting_is_explained_in_the_readme(name: str) -> None:
    table = README.partition("## Settings")[2].partition("\n## ")[0]
    named = set()
    for row in re.findall(r"^\| (`TELLONCE_.*?) \|", table, re.M):
        first, *others = re.findall(r"`(\w+)`", row)
        channel = re.match(r"TELLONCE_(?:TWILIO|TELEGRAM)", first)
        named |= {first, *(f"{channel[0] if channel else 'TELLONCE'}{o}" if o.startswith("_") else o for o in others)}
    assert name in named


def test_the_settings_used_in_the_documents_exist() -> None:
    known = {v for s in (Settings, TwilioSettings, TelegramSettings) for v in variables(s)}
    known.add("TELLONCE_LANGUAGE_INDEX")  # an option of `languages install`, not of the service
    for document in DOCUMENTS:
        for name in re.findall(r"TELLONCE_[A-Z_]*[A-Z]", document.read_text()):
            assert name in known or name.startswith("TELLONCE_TESTS"), f"{document.name}: {name}"


def test_every_gauge_is_one_that_metrics_writes() -> None:
    written = set(re.findall(r'yield \(?\s*"(\w+)"', inspect.getsource(metrics)))
    for name in re.findall(r"tellonce_(\w+)`", OPERATIONS):
        assert name in written, name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_to_a_file(document: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text()):
        assert (document.parent / link).exists(), link


# -- systemd -------------------------------------------------------------------------------------------------------------------

needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")


@needs_systemd
def test_systemd_takes_every_unit_without_a_word(tmp_path: Path) -> None:
    for unit in UNITS:
        command = re.compile(r"^ExecStart=\S+", re.M)  # the real one is not installed here
        (tmp_path / unit.name).write_text(command.sub("ExecStart=/bin/true", unit.read_text()))
    shutil.copy(HOME / "deploy/tellonce.target", tmp_path)
    files = sorted(map(str, tmp_path.iterdir()))
    checked = subprocess.run(["systemd-analyze", "verify", "--man=no", *files], capture_output=True, text=True)
    said = [line for line in checked.stderr.splitlines() if "tellonce" in line]
    assert (checked.returncode, said) == (0, [])


@needs_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_systemd_finds_little_of_a_unit_exposed(unit: Path) -> None:
    """The scale goes from 0 (nothing) to 10; a unit without any hardening has 9.6."""
    looked = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=20", str(unit)], capture_output=True, text=True
    )
    assert looked.returncode == 0, looked.stdout[-2000:] + looked.stderr


def test_the_units_run_what_there_is() -> None:
    for unit in UNITS:
        command = re.findall(r"^ExecStart=(.*)$", unit.read_text(), re.M)
        assert len(command) == 1
        program = command[0].split()
        assert program[0].startswith("/opt/tellonce/") and (program[1] in ("serve", "work") or "nlu/serve.py" in program[1])


def test_the_proxy_keeps_health_and_metrics_to_itself_and_logs_nobody() -> None:
    proxy = (HOME / "deploy/nginx.conf").read_text()
    for line in ("location = /health { return 404; }", "location = /metrics { return 404; }", "access_log off;"):
        assert line in proxy
