"""The commands, as operators' scripts call them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bot import clock
from bot.app import open_store
from bot.models import Installation
from bot.processes import HOME
from bot.settings import Settings
from translations.packages import install_embedded

RASA = HOME / "nlu/.venv/bin/python"
MODEL = HOME / "nlu/models/nlu.tar.gz"
needs_rasa = pytest.mark.skipif(not (RASA.exists() and MODEL.exists()), reason="Rasa is not installed: run ./setup")


def tellonce(*arguments: str, given: str = "", folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    own = {"TELLONCE_DATA_DIR": str(folder / "var"), "TELLONCE_NLU_URL": "http://127.0.0.1:9", **environment}
    return subprocess.run(
        [sys.executable, "-m", "bot", *arguments],
        input=given,
        capture_output=True,
        text=True,
        cwd=HOME,
        env={**os.environ, **own},
        timeout=240,
        check=False,
    )


def lines(*asked: Any) -> str:
    return "".join((one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)) + "\n" for one in asked)


def answers(finished: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in finished.stdout.splitlines()]


def test_detect_answers_every_line_and_fails_for_the_bad_one(tmp_path: Path) -> None:
    given = lines({"id": 1, "text": "Um homem gritou comigo na rua ontem"}, "not json", {"id": "c", "text": "ok"}, {"id": 4})
    finished = tellonce("detect", "--jsonl", given=given, folder=tmp_path)
    first, bad, short, incomplete = answers(finished)
    assert finished.returncode == 1
    assert (first["id"], first["lang"], first["ask"]) == (1, "pt", False)
    assert (short["id"], short["ask"]) == ("c", True)
    assert "error" in bad
    assert incomplete["id"] == 4
    assert "error" in incomplete


def test_translate_starts_what_it_needs_and_says_where_an_interpreter_is_needed(tmp_path: Path) -> None:
    install_embedded(tmp_path / "var/argos/packages")
    given = lines(
        {"id": 1, "text": "Não quero que minha família saiba.", "source": "pt", "target": "en"},
        {"id": 2, "text": "Waan cabsanayaa", "source": "so", "target": "en"},
    )
    finished = tellonce("translate", "--jsonl", given=given, folder=tmp_path)
    translated, without = answers(finished)
    assert finished.returncode == 0
    assert "not" in translated["text"] or "n't" in translated["text"]
    assert (without["text"], without["flags"]) == (None, ["interpreter_needed"])
    assert not (tmp_path / "var/run/translate.sock").exists()


@needs_rasa
def test_understand_starts_rasa_and_answers_in_the_shape_of_the_service(tmp_path: Path) -> None:
    story = "😢 Ontem um homem no autocarro chamou-me macaca e disse para voltar para a minha terra"
    given = lines(
        {"id": 1, "text": story, "lang": "pt"}, {"id": 2, "text": "?"}, "{", {"id": 3, "text": "Nimeogopa sana", "lang": "sw"}
    )
    finished = tellonce("understand", "--jsonl", given=given, folder=tmp_path)
    told, empty, bad, swahili = answers(finished)
    assert finished.returncode == 1
    assert told["intent"]["name"] == "report"
    assert set(told["told"]) == {"when", "where", "who", "injury", "online", "threat", "ongoing"}
    assert told["told"]["when"] is True
    assert told["bias"]["state"] == "suggested"
    evidence = [story[e["start"] : e["end"]] for m in told["bias"]["motivations"] for e in m["evidence"]]
    assert any("macaca" in words for words in evidence)
    assert empty["bias"]["state"] == "unclear"
    assert empty["intent"]["name"] is None
    assert "error" in bad
    assert swahili["bias"]["state"] == "unsupported"


def test_understand_says_when_it_is_switched_off(tmp_path: Path) -> None:
    asked = lines({"id": 1, "text": "He shouted at me"})
    finished = tellonce("understand", "--jsonl", given=asked, folder=tmp_path, TELLONCE_NLU_URL="off")
    assert finished.returncode == 1
    assert finished.stdout == ""
    assert "TELLONCE_NLU_URL" in finished.stderr


def test_rasa_on_another_machine_is_refused(tmp_path: Path) -> None:
    refused = tellonce("migrate", folder=tmp_path, TELLONCE_NLU_URL="http://192.0.2.7:5005")
    assert refused.returncode == 1
    assert "this machine" in refused.stderr


def test_purge_refuses_while_the_clock_is_in_doubt(tmp_path: Path) -> None:
    assert tellonce("purge", folder=tmp_path).stdout == "Erased: 0 closed cases, 0 reporters.\n"
    store = open_store(Settings(data_dir=tmp_path / "var"))
    with store.transaction() as db:
        db.execute(sa.update(Installation).values(seen_at=clock.now() - timedelta(days=3)))
    store.engine.dispose()
    refused = tellonce("purge", folder=tmp_path)
    assert refused.returncode == 1 and "--clock-is-right" in refused.stderr
    assert tellonce("purge", "--clock-is-right", folder=tmp_path).returncode == 0


def test_the_flows_and_their_translations_are_whole(tmp_path: Path) -> None:
    finished = tellonce("flows", "check", folder=tmp_path)
    assert finished.returncode == 0, finished.stdout
    assert "0 problems" in finished.stdout


def test_a_report_costs_at_most_twelve_parts_and_fifteen_in_arabic(tmp_path: Path) -> None:
    counted = json.loads(tellonce("flows", "segments", "--json", folder=tmp_path).stdout)["languages"]
    totals = {language: found["report_total"] for language, found in counted.items()}
    assert totals["en"] <= 12
    assert totals["pt"] <= 12
    assert totals["ar"] <= 15
    for found in counted.values():
        assert sum(message["segments"] for message in found["messages"]) == found["report_total"]


def test_a_chat_is_played_recorded_and_printed(tmp_path: Path) -> None:
    (tmp_path / "story.txt").write_text("hello\nA man shouted at me and pushed me in the shop\n1\n", encoding="utf-8")
    record = tmp_path / "chat.yaml"
    finished = tellonce("chat", "--json", "--script", str(tmp_path / "story.txt"), "--record", str(record), folder=tmp_path)
    played = json.loads(finished.stdout)
    assert played["turns"][0] == {"reporter": "hello"}
    assert played["records"] == []
    assert record.exists()
    assert not (tmp_path / "var").exists()


def test_the_first_caseworker_gets_a_recovery_key_and_the_database_a_service_key(tmp_path: Path) -> None:
    made = tellonce("migrate", folder=tmp_path)
    added = tellonce("staff", "add", "Ana", folder=tmp_path)
    again = tellonce("staff", "add", "Ana", folder=tmp_path)
    second = tellonce("staff", "add", "Bea", folder=tmp_path)
    assert made.returncode == added.returncode == second.returncode == 0
    assert (tmp_path / "var/keys/service-key").stat().st_mode & 0o777 == 0o600
    assert "Recovery key" in added.stdout
    assert "Recovery key" not in second.stdout
    assert "let her in" in second.stdout
    assert again.returncode == 1
    assert "already" in again.stderr


def test_without_a_team_nothing_starts_and_the_reason_is_said(tmp_path: Path) -> None:
    tellonce("migrate", folder=tmp_path)
    refused = tellonce("serve", folder=tmp_path)
    assert refused.returncode == 1
    assert "tellonce staff add" in refused.stderr


def test_a_lost_service_key_is_never_replaced_by_a_new_one(tmp_path: Path) -> None:
    tellonce("migrate", folder=tmp_path)
    (tmp_path / "var/keys/service-key").unlink()
    refused = tellonce("up", folder=tmp_path)
    assert refused.returncode == 1
    assert "service key" in refused.stderr
    assert not (tmp_path / "var/keys/service-key").exists()


def test_a_wrong_setting_stops_the_start_and_is_named_without_its_value(tmp_path: Path) -> None:
    refused = tellonce("migrate", folder=tmp_path, TELLONCE_PORT="secret-port")
    assert refused.returncode == 1
    assert "TELLONCE_PORT" in refused.stderr
    assert "secret-port" not in refused.stderr


def test_a_command_of_a_later_release_says_not_yet(tmp_path: Path) -> None:
    finished = tellonce("export", folder=tmp_path)
    assert finished.returncode == 2
    assert "not yet" in finished.stderr


def test_doctor_says_what_is_missing_and_the_line_that_mends_it(tmp_path: Path) -> None:
    finished = tellonce("doctor", folder=tmp_path)
    assert finished.returncode == 1
    assert "tellonce migrate" in finished.stdout
    assert "-> tellonce migrate" in finished.stdout
