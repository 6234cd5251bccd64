"""Words that must be found nowhere: where to look for them, and how they may be written."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path


class Canaries:
    """Markers, and a search for them: ``Canaries({"story": "Zitronenfalter"}).in_file(path)`` gives ``["story as utf-8"]``."""

    def __init__(self, words: Mapping[str, str]) -> None:
        self._spellings = {f"{name} as {how}": as_written for name, word in words.items() for how, as_written in _spellings(word)}

    def shown_in(self, content: bytes) -> list[str]:
        """Which markers are there; capitals count for nothing."""
        lowered = content.lower()
        return [name for name, spelling in self._spellings.items() if spelling.lower() in lowered]

    def in_files(self, *folders: Path) -> dict[str, list[str]]:
        """Every file below the folders that shows one, with what it shows: database, WAL, logs, temporary files, core dumps."""
        files = (file for folder in folders for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
        return {str(file): shown for file in files if (shown := self.shown_in(_content(file)))}

    def in_processes(self, pids: Iterable[int]) -> dict[str, list[str]]:
        """Every process whose command line, environment or name of a thread shows one, with its descendants."""
        found: dict[str, list[str]] = {}
        for pid in with_descendants(pids):
            folder = Path(f"/proc/{pid}")
            for file in (folder / "cmdline", folder / "environ", *folder.glob("task/*/comm")):
                if shown := self.shown_in(_content(file)):
                    found[str(file)] = shown
        return found


def _spellings(word: str) -> Iterator[tuple[str, bytes]]:
    yield "utf-8", word.encode()
    yield "utf-16", word.encode("utf-16-le")
    yield "hexadecimal", word.encode().hex().encode()
    yield "capitals", word.upper().encode()
    yield "escapes", word.encode("unicode_escape")
    yield "escapes of JSON", json.dumps(word)[1:-1].encode()
    for shift in range(3):  # base64 looks different with what stands before; the ends depend on the neighbours
        spelled = base64.b64encode(b" " * shift + word.encode())
        yield f"base64 {shift}", spelled[4 if shift else 0 : -4]


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:  # gone meanwhile, as temporary files and threads are
        return b""


def with_descendants(pids: Iterable[int]) -> Iterator[int]:
    """The processes and all that they started."""
    for pid in pids:
        yield pid
        yield from with_descendants(int(child) for child in _content(Path(f"/proc/{pid}/task/{pid}/children")).split())
