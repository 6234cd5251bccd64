"""The process as it is started: answers on loopback to those with the token, and keeps no word."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_any_input import TEXTS

NLU = Path(__file__).resolve().parent.parent
TOKEN = secrets.token_hex(8)
CANARY = "zwyxcanary"


@pytest.fixture(scope="module")
def served(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("served")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(NLU / "serve.py"), str(model), str(port)]
    environment = {**os.environ, "PYTHONPATH": str(NLU), "TELLONCE_NLU_TOKEN": TOKEN}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    assert TOKEN not in Path(f"/proc/{process.pid}/cmdline").read_text()
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_ready(url, process)
        yield url, folder
    finally:
        process.terminate()
        process.wait(timeout=20)


def test_it_answers_those_who_have_the_token(served: tuple[str, Path]) -> None:
    answer = parse(served[0], "a man shouted at me on the bus yesterday", TOKEN)
    assert answer["intent"]["name"] == "report"
    assert answer["report"]["told"]["when"] is True
    with pytest.raises(urllib.error.HTTPError) as refused:
        parse(served[0], "hello", "wrong")
    assert refused.value.code == 401


def test_no_word_reaches_its_log_or_a_file(served: tuple[str, Path]) -> None:
    url, folder = served
    for text in (f"he hit me {CANARY}", f"/{CANARY} hello there", f"/{CANARY}", f"/{CANARY}{{", f"{CANARY} " * 1_000):
        assert parse(url, text, TOKEN)["report"]
    assert CANARY not in "".join(path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_any_text_is_answered_over_http_too(served: tuple[str, Path], text: str) -> None:
    assert set(parse(served[0], text, TOKEN)["report"]) == {"told", "incident", "bias"}


def parse(url: str, text: str, token: str) -> Any:
    request = urllib.request.Request(f"{url}/model/parse?token={token}", json.dumps({"text": text}).encode())
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def _wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        assert process.poll() is None, "rasa run ended by itself"
        try:
            with urllib.request.urlopen(f"{url}/status?token={TOKEN}", timeout=5):
                return
        except OSError:
            time.sleep(0.2)  # between two looks; the deadline above decides
    raise AssertionError("rasa run was not ready in time")
