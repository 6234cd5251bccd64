"""The processes of one machine: started together, killed in the middle, stopped together; nothing is lost."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from bot import app, processes, staff
from bot.settings import Settings
from tests.running import until
from tests.standins.twilio_api import TwilioApi

PHONE = "+447700900123"


@dataclass
class Started:
    settings: Settings
    machine: processes.Machine
    twilio: TwilioApi

    def process(self, name: str) -> int:
        kept = next(one for one in self.machine.kept if one.name == name)
        assert kept.process is not None
        return kept.process.pid

    def kill(self, name: str) -> None:
        """As a crash would: at once, with nothing put in order, and started again by `up`."""
        kept = next(one for one in self.machine.kept if one.name == name)
        os.kill(self.process(name), signal.SIGKILL)
        assert kept.process is not None
        kept.process.wait()

    def again(self, name: str) -> None:
        kept = next(one for one in self.machine.kept if one.name == name)
        until(lambda: kept.keep() or (kept.process is not None and kept.process.poll() is None), f"{name} was not started again")

    def is_served(self) -> bool:
        try:
            return httpx.get(f"{self.settings.public_url}/sign-in", trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Started]:
    with TwilioApi() as twilio:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        settings = Settings(data_dir=tmp_path / "var", port=port, public_url=url, nlu_url="")
        staff.add(app.set_up_store(settings), "Ana")
        environment = {
            **twilio.environment(),
            "TELLONCE_DATA_DIR": str(settings.data_dir),
            "TELLONCE_PORT": str(port),
            "TELLONCE_PUBLIC_URL": url,
            "TELLONCE_NLU_URL": "http://127.0.0.1:9",
        }
        with processes.Machine(settings, environment, is_quiet=True) as machine:
            running = Started(settings, machine, twilio)
            until(running.is_served, "serve did not come up")
            yield running


def test_a_worker_killed_in_the_middle_loses_and_doubles_nothing(started: Started) -> None:
    def heard() -> list[str]:
        return started.twilio.to(PHONE)

    texts = ["A man spat at me on the bus yesterday and called me names", "1", "1", "Because of my skin", "yesterday", "bus 12"]
    for number, text in enumerate(texts, start=1):
        if number % 2 == 0:
            started.kill("work")
        assert started.twilio.deliver(PHONE, text, url=f"{started.settings.public_url}/sms").status == 200
        if number % 2 == 0:
            started.again("work")
        until(lambda number=number: len(heard()) >= number, f"text {number} was not answered")
    time.sleep(0.3)  # a doubled answer would come now
    assert len(heard()) == len(texts)
    assert len(set(heard())) == len(texts)


def test_serve_killed_in_the_middle_is_back_and_the_vendor_s_retry_is_stored_once(started: Started) -> None:
    url = f"{started.settings.public_url}/sms"
    assert started.twilio.deliver(PHONE, "hello", sid="SM" + "1" * 32, url=url).status == 200
    started.kill("serve")
    assert started.twilio.deliver(PHONE, "hello", sid="SM" + "1" * 32, url=url).status == 0
    started.again("serve")
    until(started.is_served, "serve did not come back")
    assert started.twilio.deliver(PHONE, "hello", sid="SM" + "1" * 32, url=url).status == 200
    until(lambda: started.twilio.to(PHONE), "no answer")
    time.sleep(0.3)
    assert len(started.twilio.to(PHONE)) == 1


def test_what_up_started_ends_with_it_even_when_it_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, time; from bot.processes import Kept; one = Kept('sleeper', ['sleep', '600'], {}); one.start(); "
        "print(one.process.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(child, 0)
        parent.kill()
    until(lambda: not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split()[2], "it lives on")


def test_leaving_stops_everything_the_translation_child_too(started: Started) -> None:
    translate = started.settings.translate_socket
    until(translate.exists, "the translation child did not come up")
    pids = [started.process(name) for name in ("serve", "work")]
    started.machine.__exit__(None, None, None)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    until(lambda: not translate.exists(), "the translation child is still there")
