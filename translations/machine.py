"""Ask the translation process, which has no network; a dead or slow one costs a translation, never a message."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from translations import sentences
from translations.lines import answer_lines, text_of

LONGEST_PIECE = 1500  # characters in one request
_LONGEST_SOCKET_PATH = 107  # bytes, by Linux

# All the child gets of our environment: it needs no token, no key, no database address. ARGOS_* so that it can refuse them.
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR")


@dataclass(frozen=True)
class Translation:
    """``Translation("I am afraid.", "argos/firefox-marian", ("pt", "en"), (), "6c3b7af01772")``.

    ``doubtful`` holds the words of the original that may be missing or wrong, where the flag ``doubtful`` is raised.
    ``text`` is None when a person must translate: ``flags`` then hold ``interpreter_needed`` and the reason where there is one:
    ``engine_down`` (the process did not answer: ask again later), ``engine_failed``, ``gist_not_installed``, ``wrong_script``.
    The other flags say what to check against the original; quality.flag_in_words() says each in a sentence. ``rough_gist`` is a
    translation by rules that never goes to a reporter. ``model`` starts the SHA-256 of each step's data, joined by "+".
    """

    text: str | None
    engine: str
    route: tuple[str, ...]
    flags: tuple[str, ...]
    model: str
    doubtful: tuple[str, ...] = ()


@dataclass(frozen=True)
class Health:
    """What the process says of itself. ``isolated`` is "namespace", or "hook" where the kernel gave it none.

    ``refused`` holds one sentence for each package that was left out; ``gist`` the languages of which a rough gist can be had.
    """

    state: str
    isolated: str
    pairs: tuple[tuple[str, str], ...]
    refused: tuple[str, ...]
    gist: tuple[str, ...] = ()


class EngineDownError(Exception):
    """The translation process did not answer; inside this module only."""


class Translator:
    """The caller's end of the socket. Threads may share one; each request is a connection of its own."""

    def __init__(self, socket_path: Path, timeout: float = 20.0, working_language: str = "en") -> None:
        """``timeout``: seconds to wait for one piece of at most LONGEST_PIECE characters.

        ``working_language`` is the caseworkers': only toward it may a rough gist be given, and pivots go through it.
        """
        self._socket_path = socket_path
        self._timeout = timeout
        self._working_language = working_language

    def translate(self, text: str, source: str, target: str, names: Sequence[str] = ()) -> Translation:
        """Translate between two BCP 47 codes; ``names`` of people and places known from a case stay as they are written.

        Never raises for a process that is dead, slow or confused.
        """
        if source == target:
            return Translation(text, "none", (source,), (), "")
        if not text.strip():
            return Translation("", "none", (), ("empty",), "")
        pieces = []
        for piece in sentences.pieces(text, LONGEST_PIECE):
            made = self._translate_piece(piece, source, target, names)
            if made.text is None:
                return made
            pieces.append(made)
        flags = tuple(dict.fromkeys(flag for piece in pieces for flag in piece.flags))
        doubtful = tuple(dict.fromkeys(word for piece in pieces for word in piece.doubtful))
        joined = "\n\n".join(piece.text or "" for piece in pieces)
        return Translation(joined, pieces[0].engine, pieces[0].route, flags, pieces[0].model, doubtful)

    def ping(self) -> Health | None:
        """How the process is, or None when it does not answer within two seconds."""
        try:
            answer = self._ask({"do": "ping"}, timeout=2.0)
            pairs = tuple((str(source), str(target)) for source, target in answer["pairs"])
            return Health(
                str(answer["state"]), str(answer["isolated"]), pairs, tuple(map(str, answer["refused"])), tuple(answer["gist"])
            )
        except (EngineDownError, KeyError, TypeError, ValueError):
            return None

    def wait_until_ready(self, seconds: float) -> bool:
        """Wait for the models to be loaded; False when they are not after so many seconds."""
        return self.wait_for_health(seconds) is not None

    def wait_for_health(self, seconds: float, process: subprocess.Popen[bytes] | None = None) -> Health | None:
        """How the process is once its models are loaded; None when they are not after so many seconds, or ``process`` has ended."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and (process is None or process.poll() is None):
            health = self.ping()
            if health is not None and health.state == "ready":
                return health
            time.sleep(0.05)
        return None

    def _translate_piece(self, text: str, source: str, target: str, names: Sequence[str]) -> Translation:
        request = {"do": "translate", "text": text, "source": source, "target": target, "within": self._timeout}
        request |= {"working": self._working_language, "names": list(names)}
        try:
            answer = self._ask(request, self._timeout)
            made = answer["text"]
            if made is not None and not isinstance(made, str):
                raise TypeError
            route, flags, doubtful = (tuple(map(str, answer[name])) for name in ("route", "flags", "doubtful"))
            return Translation(made, str(answer["engine"]), route, flags, str(answer["model"]), doubtful)
        except (EngineDownError, KeyError, TypeError):
            return Translation(None, "none", (), ("interpreter_needed", "engine_down"), "")

    def _ask(self, request: dict[str, Any], timeout: float) -> dict[str, Any]:
        until = time.monotonic() + timeout
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(timeout)
                connection.connect(str(self._socket_path))
                connection.sendall(json.dumps(request).encode() + b"\n")
                answer = bytearray()
                while not answer.endswith(b"\n"):
                    connection.settimeout(max(0.01, until - time.monotonic()))
                    part = connection.recv(65536)
                    if not part:
                        raise EngineDownError
                    answer += part
            parsed = json.loads(answer)
        except (OSError, ValueError) as error:
            raise EngineDownError from error
        if not isinstance(parsed, dict):
            raise EngineDownError
        return parsed


def start(socket_path: Path, packages_dir: Path, *, is_quiet: bool = False) -> subprocess.Popen[bytes]:
    """Start the process and return at once; it loads its models meanwhile and ends when this process ends. Stop it with stop().

    It also ends, to be started again, when packages were installed or removed. ``is_quiet``: its warnings go nowhere.
    Raises ValueError when the socket's path is too long for a UNIX socket.
    """
    if len(os.fsencode(socket_path)) > _LONGEST_SOCKET_PATH:
        raise ValueError(
            f"the path of the translation socket is longer than {_LONGEST_SOCKET_PATH} bytes: choose a shorter run folder"
        )
    environment = {name: value for name, value in os.environ.items() if name in _PASSED_ON or name.startswith("ARGOS_")}
    home = packages_dir.absolute().parent / "argos-home"
    root = str(Path(__file__).absolute().parent.parent)
    # -P and our own root: a folder named "translations" where the operator stands must not be taken for ours.
    command = [sys.executable, "-P", "-m", "translations.worker"]
    command += ["--socket", str(socket_path), "--packages", str(packages_dir), "--parent", str(os.getpid())]
    # Telemetry must be off before the first import, and nothing may land in the home of the person who started us.
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL if is_quiet else None,
        env={**environment, "HOME": str(home), "PYTHONPATH": root, "ORT_DISABLE_TELEMETRY": "1", "OPENBLAS_NUM_THREADS": "1"},
    )


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the process, by force after five seconds."""
    process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def translate_lines(stdin: TextIO, stdout: TextIO, translator: Translator) -> int:
    """``tellonce translate --jsonl``: one object a line in, one a line out, in order; returns the exit status."""

    def answer(request: Mapping[str, Any]) -> Mapping[str, Any]:
        made = translator.translate(text_of(request, "text"), text_of(request, "source"), text_of(request, "target"))
        told = {"route": list(made.route), "flags": list(made.flags), "doubtful": list(made.doubtful)}
        return {"text": made.text, "engine": made.engine, **told}

    return answer_lines(stdin, stdout, answer)
