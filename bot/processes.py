"""The processes of one machine: the translation child of `work`, and `up`, which starts and stops everything together."""

from __future__ import annotations

import gc
import os
import resource
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

import uvicorn

from bot.app import build_app, build_worker, register_webhooks
from bot.intake import BACKLOG, CONNECTIONS, InTime, allow_connections
from bot.settings import Settings, WrongSetting
from bot.understanding import NluClient
from translations import machine

HOME = Path(__file__).resolve().parent.parent  # the folder that ./setup was run in
NICE = 5  # where they share cores, `serve` goes before `work`: a text is taken in first and answered afterwards
PATIENCE = 15.0  # seconds a process gets to end before it is killed


def serve(settings: Settings) -> None:
    """Run the webhooks and the console until told to stop."""
    leave_no_core()
    app = build_app(settings)
    register_webhooks(settings)
    allow_connections()
    keep_what_is_loaded()
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        http=InTime,
        limit_concurrency=CONNECTIONS,
        backlog=BACKLOG,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
    )


def work(settings: Settings) -> None:
    """Run the conversations until told to stop, with the translation child beside them."""
    leave_no_core()
    os.nice(NICE)
    worker = build_worker(settings)
    on_stop(worker.stop)
    keep_what_is_loaded()
    with TranslationChild(settings):
        worker.run()
    worker.close()


def keep_what_is_loaded() -> None:
    """Spare the garbage collector a look at all that was loaded, which stays for as long as the process, each time it runs."""
    gc.collect()
    gc.freeze()


def leave_no_core() -> None:
    """What crashes leaves no copy of its memory, which holds words and keys; this holds for all that we start, too."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def on_stop(stop: object) -> None:
    """Call ``stop`` on SIGTERM and SIGINT."""

    def stopped(_signal: int, _frame: FrameType | None) -> None:
        stop()  # type: ignore[operator]

    signal.signal(signal.SIGTERM, stopped)
    signal.signal(signal.SIGINT, stopped)


class TranslationChild:
    """Keeps the translation process running: one that dies is started again."""

    def __init__(self, settings: Settings) -> None:
        self._socket = settings.translate_socket
        self._packages = settings.argos_packages
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="translation", daemon=True)

    def __enter__(self) -> TranslationChild:
        self._socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _watch(self) -> None:
        pause = 1.0
        while not self._stopping.is_set():
            started = time.monotonic()
            child = machine.start(self._socket, self._packages)
            while child.poll() is None and not self._stopping.wait(0.2):
                pass
            if child.poll() is None:
                machine.stop(child)
                return
            pause = 1.0 if time.monotonic() - started > 60 else min(pause * 2, 60)
            self._stopping.wait(pause)


# -- all of one machine --------------------------------------------------------------------------------------------------------


# What `up` started ends when `up` is killed: the kernel tells it.
WITH_US = ("setpriv", "--pdeathsig", "TERM") if shutil.which("setpriv") else ()


@dataclass
class Kept:
    """A process `up` keeps running."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path | None = None  # where its words go; None: where ours go
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause: float = field(default=1.0)
    resume_at: float = 0.0

    def start(self) -> None:
        self.started = time.monotonic()
        environment = {**os.environ, **self.environment}
        # A group of its own: Ctrl+C reaches `up` alone, which then stops everything in order.
        command = [*WITH_US, *self.command]
        if self.log is None:
            self.process = subprocess.Popen(command, env=environment, start_new_session=True)
            return
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=environment, start_new_session=True, stdout=log, stderr=log)

    def keep(self) -> None:
        """Start it again when it has ended, each time a little later."""
        if self.process is not None and self.process.poll() is None:
            return
        now = time.monotonic()
        if self.process is not None:
            self.pause = 1.0 if now - self.started > 60 else min(self.pause * 2, 60)
            self.process, self.resume_at = None, now + self.pause
        if now >= self.resume_at:
            self.start()


class Machine:
    """`serve`, `work` and Rasa of one machine. Use it as a context: leaving it stops all three."""

    def __init__(self, settings: Settings, extra: Mapping[str, str] | None = None, *, is_quiet: bool = False) -> None:
        """``extra``: variables for `serve` and `work`. ``is_quiet``: their logs go to files as Rasa's does, which warns a lot."""
        token = settings.nlu_token.get_secret_value() or secrets.token_urlsafe(16)
        environment = {"TELLONCE_NLU_TOKEN": token, **(extra or {})}
        leave_token(settings, token)
        logs = settings.data_dir / "log"
        self.kept = [
            Kept(name, [sys.executable, "-m", "bot", name], environment, logs / f"{name}.log" if is_quiet else None)
            for name in ("serve", "work")
        ]
        rasa = rasa_command(settings, HOME)
        if rasa:
            self.kept.append(Kept("rasa", rasa, rasa_environment(token), logs / "rasa.log"))
        self._stopping = threading.Event()

    def __enter__(self) -> Machine:
        try:
            for one in self.kept:
                one.start()
        except OSError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        running = [one.process for one in self.kept if one.process is not None and one.process.poll() is None]
        for process in running:
            process.terminate()
        until = time.monotonic() + PATIENCE
        for process in running:
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def watch(self) -> None:
        """Keep everything running until stop()."""
        while not self._stopping.wait(0.5):
            for one in self.kept:
                one.keep()

    def stop(self) -> None:
        self._stopping.set()


def up(settings: Settings) -> None:
    """Run everything until told to stop."""
    leave_no_core()
    with Machine(settings) as machine_:
        on_stop(machine_.stop)
        machine_.watch()


# -- Rasa ----------------------------------------------------------------------------------------------------------------------

# Telemetry off; the rest silences start-up warnings of libraries inside Rasa.
RASA_ENVIRONMENT = {
    "RASA_TELEMETRY_ENABLED": "false",
    "SQLALCHEMY_SILENCE_UBER_WARNING": "1",
    "SQLALCHEMY_WARN_20": "0",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "PYTHONWARNINGS": "ignore",
    "MPLCONFIGDIR": "/tmp",  # noqa: S108 - a cache of fonts nobody draws with
}


@contextmanager
def own_rasa(settings: Settings, within: float) -> Iterator[NluClient]:
    """A Rasa on a free port for as long as it is needed. Raises WrongSetting when it is not installed or does not come up."""
    token, port = secrets.token_urlsafe(16), _free_port()
    own = settings.model_copy(update={"nlu_url": f"http://127.0.0.1:{port}"})
    command = rasa_command(own, HOME)
    if not settings.nlu_url:
        raise WrongSetting("understanding is switched off (TELLONCE_NLU_URL=off)")
    if not command:
        raise WrongSetting("Rasa does not answer and is not installed here: run ./setup")
    process = subprocess.Popen(
        command, env={**os.environ, **rasa_environment(token)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    nlu = NluClient(own.nlu_url, token, timeout=20)
    try:
        until = time.monotonic() + within
        while not nlu.is_there():
            if process.poll() is not None or time.monotonic() > until:
                raise WrongSetting("Rasa did not come up: run `tellonce doctor`")
            time.sleep(0.3)
        yield nlu
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def rasa_environment(token: str) -> dict[str, str]:
    """What Rasa's process gets; the token goes this way because a process list shows every argument."""
    return {**RASA_ENVIRONMENT, "TELLONCE_NLU_TOKEN": token, "PYTHONPATH": str(HOME / "nlu")}


def rasa_command(settings: Settings, home: Path) -> list[str]:
    """How Rasa is started on the loopback port of TELLONCE_NLU_URL; empty when it is not installed or lies elsewhere."""
    python, model = home / "nlu/.venv/bin/python", home / "nlu/models/nlu.tar.gz"
    where = urlsplit(settings.nlu_url)
    if not python.exists() or not model.exists() or where.hostname not in ("127.0.0.1", "localhost"):
        return []
    return [str(python), str(home / "nlu/serve.py"), str(model), str(where.port or 5005)]


def leave_token(settings: Settings, token: str) -> None:
    """Leave Rasa's token where commands of the same user find it."""
    settings.runtime_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = settings.runtime_folder / "nlu-token"
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(token)
