"""A rough gist by Apertium's rules, for a caseworker's eyes only: programs of the system, asked through pipes that stay open.

Measured on incident sentences, Spanish, Catalan and Galician into English can be used to see what a message is about; French,
Portuguese and Italian go through Spanish and come out rougher. Macedonian lost a "not" and Serbo-Croatian was word salad: both
stay off, whatever is installed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import select
import shlex
import subprocess
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from translations.draft import Rendered

MODES = Path("/usr/share/apertium/modes")
# Each way into English, as Apertium's modes in order; two of them are a pivot through Spanish.
WAYS: Mapping[str, tuple[str, ...]] = {
    "es": ("spa-eng",),
    "ca": ("cat-eng",),
    "gl": ("gl-en",),
    "fr": ("fr-es", "spa-eng"),
    "pt": ("pt-es", "spa-eng"),
    "it": ("ita-spa", "spa-eng"),
}
TARGET = "en"
PACKAGES: Mapping[str, str] = {
    "spa-eng": "apertium-eng-spa",
    "cat-eng": "apertium-eng-cat",
    "gl-en": "apertium-en-gl",
    "fr-es": "apertium-fr-es",
    "pt-es": "apertium-es-pt",
    "ita-spa": "apertium-spa-ita",
}

_PROGRAMS = frozenset(
    """
    lt-proc cg-proc apertium-tagger apertium-pretransfer lsx-proc lrx-proc apertium-anaphora apertium-transfer apertium-interchunk
    apertium-postchunk
    """.split()
)
_OPEN = 3  # pipes of one direction; each is about ten small programs, 80 to 200 MB together
_IDLE = 300.0  # seconds after which an unused pipe is closed
_PATIENCE = 8.0  # seconds for one sentence; it needs some milliseconds
_RESERVED = re.compile(r"([\\^$@*/\[\]{}<>])")
_MARKED = re.compile(r"(?<!\\)[*@#](?=\w)")


class GistError(Exception):
    """Apertium did not answer; the message holds no word of the text."""


def install_line(source: str) -> str:
    """What an operator types to get the gist of a language."""
    return "apt-get install --no-install-recommends apertium " + " ".join(PACKAGES[mode] for mode in WAYS[source])


def is_installed(source: str, modes: Path = MODES) -> bool:
    """Whether every step from a language into English is on this machine."""
    return source in WAYS and all((modes / f"{mode}.mode").is_file() for mode in WAYS[source])


class Gist:
    """All the pipes, for one thread. Their programs have no network: they inherit what the translation process was left with."""

    def __init__(self, modes: Path = MODES) -> None:
        self._modes = modes
        self._pipes: OrderedDict[str, _Pipe] = OrderedDict()

    @property
    def sources(self) -> tuple[str, ...]:
        """The languages whose gist can be had here."""
        return tuple(source for source in WAYS if is_installed(source, self._modes))

    def route(self, source: str, target: str) -> Sequence[Step]:
        """The steps from a language into English; empty when there are none or when they are not installed."""
        if target != TARGET or not is_installed(source, self._modes):
            return ()
        stops = [source, *("es" for _ in WAYS[source][1:]), TARGET]
        return [Step(self, mode, stops[place], stops[place + 1]) for place, mode in enumerate(WAYS[source])]

    def render(self, mode: str, sentence: str) -> Rendered:
        """One sentence through one mode. A pipe that has died is opened once more. Raises GistError when that fails too."""
        try:
            return self._pipe(mode).render(sentence)
        except GistError:
            self.close(mode)
        try:
            return self._pipe(mode).render(sentence)
        except GistError:
            self.close(mode)
            raise

    def weights(self, mode: str) -> str:
        """The start of the SHA-256 over all the data a mode reads."""
        return _weights(self._modes / f"{mode}.mode")

    def close(self, mode: str) -> None:
        pipe = self._pipes.pop(mode, None)
        if pipe:
            pipe.close()

    def close_idle(self, seconds: float = _IDLE) -> None:
        """Close the pipes nobody used for so long."""
        now = time.monotonic()
        for mode in [mode for mode, pipe in self._pipes.items() if now - pipe.used >= seconds]:
            self.close(mode)

    def _pipe(self, mode: str) -> _Pipe:
        if mode not in self._pipes:
            while len(self._pipes) >= _OPEN:
                self.close(next(iter(self._pipes)))
            self._pipes[mode] = _Pipe(_commands(self._modes / f"{mode}.mode"))
        self._pipes.move_to_end(mode)
        return self._pipes[mode]


@dataclass(frozen=True)
class Step:
    """One direction: ``Step(gist, "spa-eng", "es", "en")``."""

    gist: Gist
    mode: str
    source: str
    target: str

    engine = "apertium"

    @property
    def model(self) -> str:
        return self.gist.weights(self.mode)

    def translate(self, sentence: str) -> Rendered:
        return self.gist.render(self.mode, sentence)


class _Pipe:
    """The programs of one mode, each feeding the next; every one flushes at a NUL, which the wrapper ``apertium -z`` does not."""

    def __init__(self, commands: Sequence[Sequence[str]]) -> None:
        self.used = time.monotonic()
        self._processes: list[subprocess.Popen[bytes]] = []
        before = None
        try:
            for command in commands:
                process = subprocess.Popen(
                    command, stdin=before or subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/"
                )
                if before:
                    before.close()  # else a dead reader is not noticed by its writer
                before = process.stdout
                self._processes.append(process)
        except OSError as error:
            self.close()
            raise GistError(f"a program of Apertium could not be started: {type(error).__name__}") from None

    def render(self, sentence: str) -> Rendered:
        self.used = time.monotonic()
        first, last = self._processes[0].stdin, self._processes[-1].stdout
        if first is None or last is None:
            raise GistError("a pipe of Apertium has no ends")
        # The full stop and the empty bracket end the sentence for the tagger, which otherwise waits for the next one.
        asked = _RESERVED.sub(r"\\\1", sentence.replace("\0", " ")) + ".[]\0"
        try:
            first.write(asked.encode("utf-8", "replace"))
            first.flush()
            answer = self._read(last.fileno())
        except OSError:
            raise GistError("a program of Apertium has ended") from None
        return _read_answer(answer)

    def _read(self, end: int) -> str:
        until = time.monotonic() + _PATIENCE
        answer = bytearray()
        while not answer.endswith(b"\0"):
            if not select.select([end], [], [], max(0.0, until - time.monotonic()))[0]:
                raise GistError(f"Apertium gave no answer in {_PATIENCE:.0f} seconds")
            part = os.read(end, 65536)
            if not part:
                raise GistError("a program of Apertium has ended")
            answer += part
        return answer[:-1].decode("utf-8", "replace")

    def close(self) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
            for end in (process.stdin, process.stdout):
                if end:
                    with contextlib.suppress(OSError):
                        end.close()


def _read_answer(answer: str) -> Rendered:
    text = answer.removesuffix("[]").rstrip().removesuffix(".")
    # A name and a placeholder are rightly unknown.
    unknown = len(re.findall(r"(?<!\\)[*@#](?=[^\W\d_])(?![A-Z])", text))
    text = re.sub(r"\\(.)", r"\1", _MARKED.sub("", text))
    return Rendered(re.sub(r"\s+", " ", text).strip(), unknown)


@cache
def _weights(mode: Path) -> str:
    sum_ = hashlib.sha256()
    for command in _commands(mode):
        for argument in command[1:]:
            if argument.startswith("/") and Path(argument).is_file():
                sum_.update(Path(argument).read_bytes())
    return sum_.hexdigest()[:12]


def _commands(mode: Path) -> list[list[str]]:
    """The programs of a mode file, which is one line of shell. Raises GistError when it holds anything but Apertium's own."""
    try:
        line = mode.read_text("utf-8")
        stages = [shlex.split(stage) for stage in line.strip().split("|")]
    except (OSError, ValueError):
        raise GistError(f"the mode {mode.stem} of Apertium cannot be read: install its package again") from None
    commands = []
    for stage in stages:
        if not stage or stage[0] not in _PROGRAMS:
            raise GistError(f"the mode {mode.stem} of Apertium names a program that is not one of Apertium's")
        # $1 asks for marks on words it could not write (-g); $2 for options of the tagger, of which we want none.
        arguments = ["-g" if word == "$1" else word for word in stage[1:] if word != "$2"]
        commands.append([stage[0], "-z", *arguments])
    return commands
