"""The translation process, without network: ``python -m translations.worker --socket PATH --packages FOLDER``.

Over the UNIX socket goes one JSON object a line each way, one request a connection:
``{"do": "ping"}`` →
``{"state": "loading|ready", "isolated": "namespace|hook", "pairs": [["pt", "en"]], "gist": ["es"], "refused": []}``
``{"do": "translate", "text", "source", "target", "within": 20.0, "working": "en", "names": []}`` →
``{"text", "engine", "route", "flags", "doubtful", "model"}``. Only toward ``working``, the caseworkers' language, may it be a rough
gist.
Anything it cannot do is ``{"error": "…"}`` without a word of the text.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import queue
import resource
import signal
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translations import apertium, catalog, isolation
from translations.draft import draft
from translations.scripts import scripts_of

if TYPE_CHECKING:
    from translations.argos import Argos, Leg

log = logging.getLogger(__name__)

LONGEST_LINE = 1_000_000  # bytes
LATIN = frozenset({"Latn"})  # Catalan and Galician are none of our languages, but Apertium reads them
WAITING = 100  # requests; more than that and the caller is told at once


@dataclass(frozen=True)
class Job:
    """One text to translate and where its answer goes; after ``until`` (monotonic seconds) nobody waits for it any more."""

    text: str
    source: str
    target: str
    working: str
    names: tuple[str, ...]
    until: float
    answer: Future[dict[str, Any]]


class Desk:
    """What the connections and the one translating thread share."""

    def __init__(self, isolated: isolation.Isolation) -> None:
        self.jobs: queue.Queue[Job] = queue.Queue(WAITING)
        self.health: dict[str, Any] = {"state": "loading", "isolated": isolated, "pairs": [], "gist": [], "refused": []}

    def ask(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            if request["do"] == "ping":
                return self.health
            within = float(request["within"])
            text, source, target, working = (request[name] for name in ("text", "source", "target", "working"))
            names = tuple(request["names"])
            if not all(isinstance(value, str) for value in (text, source, target, working, *names)):
                raise TypeError
            job = Job(text, source, target, working, names, time.monotonic() + within, Future())
        except (ValueError, KeyError, TypeError):
            return {"error": "not a request this process knows"}
        try:
            self.jobs.put_nowait(job)
            return job.answer.result(timeout=within)
        except queue.Full:
            return {"error": "too many texts are waiting"}
        except TimeoutError:
            job.answer.cancel()
            return {"error": "not done in time"}


class _Connection(socketserver.StreamRequestHandler):
    timeout = 60  # seconds of silence after which a caller that says nothing is let go
    server: _Server

    def handle(self) -> None:
        # A caller that has gone needs no answer, and its text must not end in a traceback.
        with contextlib.suppress(OSError):
            line = self.rfile.readline(LONGEST_LINE)
            if line:
                self.wfile.write(json.dumps(self.server.desk.ask(line)).encode() + b"\n")


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, path: Path, desk: Desk) -> None:
        self.desk = desk
        before = os.umask(0o177)  # the socket file is born readable by its owner alone
        try:
            super().__init__(str(path), _Connection)
        finally:
            os.umask(before)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop. Returns 2 when a setting is refused, 3 when another process already answers on the socket."""
    parser = argparse.ArgumentParser(prog="python -m translations.worker", description="Translate without network.")
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("--parent", type=int, default=0, help="end when this process has ended")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="translation: %(message)s")

    # Before anything starts a thread or reads a model. No core file: it would hold texts.
    desk = Desk(isolation.isolate())
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

    if not _free(options.socket):
        log.error("another translation process answers on this socket: stop it first")
        return 3
    with _Server(options.socket, desk) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        if options.parent:
            threading.Thread(target=_end_with, args=(options.parent,), daemon=True).start()
        try:
            return _serve(desk, options.packages)
        finally:
            with contextlib.suppress(FileNotFoundError):
                options.socket.unlink()


def _free(path: Path) -> bool:
    """True when nobody answers there; a socket file that a killed process left behind is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(2)
        try:
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            return True
        except OSError:
            return False
    return False


def _serve(desk: Desk, packages_dir: Path) -> int:
    # Heavy: half a second and most of the memory; the socket answers "loading" meanwhile.
    from translations.argos import Argos, SettingsRefusedError

    seen = _stamp(packages_dir)
    try:
        argos = Argos(packages_dir)
    except SettingsRefusedError as refused:
        log.error("%s", refused)
        return 2
    gist = apertium.Gist()
    desk.health = {**desk.health, "state": "ready", "pairs": argos.pairs, "gist": gist.sources, "refused": argos.refused}
    while True:
        try:
            # A signal that lands in another thread does not wake this one: so it looks up every second.
            job = desk.jobs.get(timeout=1)
        except queue.Empty:
            gist.close_idle()
            if _stamp(packages_dir) != seen:
                return 0  # packages came or went: whoever watches starts us again, with them
            continue
        if time.monotonic() > job.until or not job.answer.set_running_or_notify_cancel():
            continue
        try:
            answer = _answer(argos, gist, job)
        except Exception as error:
            # The class alone: a message may quote the text.
            log.error("a translation from %s to %s failed: %s", job.source, job.target, type(error).__name__)
            answer = _untranslated("engine_failed")
        with contextlib.suppress(InvalidStateError):
            job.answer.set_result(answer)


def _stamp(folder: Path) -> int | None:
    """When something was last put into a folder or taken out."""
    return folder.stat().st_mtime_ns if folder.is_dir() else None


def _answer(argos: Argos, gist: apertium.Gist, job: Job) -> dict[str, Any]:
    steps: Sequence[Leg | apertium.Step] = argos.route(job.source, job.target, job.working)
    is_gist = not steps and job.target == job.working
    if is_gist:
        steps = gist.route(job.source, job.target)
    if not steps:
        could_be = is_gist and job.source in apertium.WAYS and job.target == apertium.TARGET
        return _untranslated(*(["gist_not_installed"] if could_be else []))
    seen = scripts_of(job.text)
    expected = catalog.scripts(job.source) or LATIN
    if seen and sum(count for script, count in seen.items() if script in expected) < 0.5 * seen.total():
        # A model fed another alphabet answers with noise, such as fifty quotation marks.
        return _untranslated("wrong_script")
    made = draft(job.text, steps, job.source, job.target, job.names)
    flags = [*(["rough_gist"] if is_gist else []), *(["by_pivot"] if len(steps) > 1 else []), *made.flags]
    return {
        "text": made.text,
        "engine": ("" if is_gist else "argos/") + "+".join(dict.fromkeys(step.engine for step in steps)),
        "route": [steps[0].source, *(step.target for step in steps)],
        "flags": flags,
        "doubtful": made.doubtful,
        "model": "+".join(step.model for step in steps),
    }


def _untranslated(*reasons: str) -> dict[str, Any]:
    return {"text": None, "engine": "none", "route": [], "flags": ["interpreter_needed", *reasons], "doubtful": [], "model": ""}


def _end_with(parent: int) -> None:
    # A death signal would also fire when only the thread that started us ends, so we look instead.
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
