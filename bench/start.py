"""How soon the first text is answered after `tellonce up`, and how much disk the installation takes."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import Any

import sqlalchemy as sa
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bench.installation import HOME, Installation, installed, started, until
from bench.load import Phones, closed
from bench.memory import NLU_WITHIN, STORY, is_served, nlu_is_there
from bench.results import Finding, at_most, heading, unmeasured
from bot.models import Message

_message: Any = Message.__table__.c  # type: ignore[attr-defined]


def first_reply() -> Iterator[Finding]:
    """Seconds from `tellonce up` to the first reply (by keywords) at the vendor, and until Rasa answers."""
    print(heading("Start (tellonce up on a database that is there)"))
    with installed() as here:
        since = perf_counter()
        with started(here, "-m", "bot", "up"):
            until(lambda: is_served(here), 90, f"serve did not start: {here.log()[-400:]}")
            served = perf_counter() - since
            phones = Phones(here.url)
            closed(here.settings.port, [[phones.text("+447900000001", STORY)]], 1)
            phones.close()
            until(lambda: _is_sent(here), 90, f"no reply: {here.log()[-400:]}")
            replied = perf_counter() - since
            print(f"  serve answers after {served:.1f} s, the first reply is with the vendor after {replied:.1f} s")
            yield at_most("#2", "from `tellonce up` to the first reply", replied, 60, "s", 1)
            if not (HOME / "nlu/models/nlu.tar.gz").exists():
                yield unmeasured("#2", "from `tellonce up` to Rasa", "-", "Rasa is not installed: run ./setup")
                return
            until(lambda: nlu_is_there(here), NLU_WITHIN, "Rasa did not come up")
            print(f"  Rasa answers after {perf_counter() - since:.1f} s")


def _is_sent(here: Installation) -> bool:
    with here.store.reading() as db:
        gone = sa.select(_message.id).where(_message.direction == "out", _message.state.in_(("sent", "delivered")))
        return db.execute(gone.limit(1)).scalar() is not None


def size() -> Iterator[Finding]:
    """GB on disk without development tools; a file that lies in two places by a hard link counts once."""
    print(heading("Size on disk (development tools left out)"))
    seen: set[tuple[int, int]] = set()
    development = _development_files()
    total = 0.0
    for name in (".venv", "nlu/.venv", "nlu", ".tools", "var", "bot", "flows", "translations"):
        leave_out = {(HOME / "var/demo").resolve(), *development} if name in (".venv", "var") else set()
        found = _bytes((HOME / name).resolve(), seen, leave_out) / 1e9
        total += found
        print(f"  {name:20} {found:6.2f} GB{'  (the rest of it)' if name == 'nlu' else ''}")
    yield at_most("#2", "on disk without development tools", total, 2.5, "GB", 2)


def _bytes(folder: Path, seen: set[tuple[int, int]], leave_out: set[Path]) -> int:
    found = 0
    for at, folders, files in os.walk(folder):
        here = Path(at)
        folders[:] = [one for one in folders if here / one not in leave_out and not (here / one).is_symlink()]
        for name in files:
            if here / name in leave_out:
                continue
            state = (here / name).lstat()
            if (state.st_dev, state.st_ino) not in seen:
                seen.add((state.st_dev, state.st_ino))
                found += state.st_blocks * 512
    return found


def _development_files() -> set[Path]:
    """The files of every installed package that the product does not need."""
    needed, look = set[str](), list(tomllib.loads((HOME / "pyproject.toml").read_text())["project"]["dependencies"])
    while look:
        wanted = Requirement(look.pop())
        if wanted.marker and not any(wanted.marker.evaluate({"extra": extra}) for extra in ("", *wanted.extras)):
            continue
        name = canonicalize_name(wanted.name)
        key = f"{name}[{','.join(sorted(wanted.extras))}]"
        if key in needed:
            continue
        try:
            requires = metadata.distribution(name).requires or []
        except metadata.PackageNotFoundError:
            continue  # for another system, or left out on purpose
        needed |= {name, key}
        for text in requires:
            inner = Requirement(text)
            if inner.marker is None or any(inner.marker.evaluate({"extra": extra}) for extra in ("", *wanted.extras)):
                inner.marker = None
                look.append(str(inner))
    found: set[Path] = set()
    for package in metadata.distributions():
        if canonicalize_name(package.metadata["Name"]) not in needed | {"tellonce"}:
            found |= {Path(str(package.locate_file(file))).resolve() for file in package.files or ()}
    return found
