"""What is installed, what is missing, what each missing thing costs, and the line that mends it: ``tellonce doctor``."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Literal, TextIO
from urllib.parse import urlsplit

import httpx
import sqlalchemy as sa

from bot import models
from bot.schema import schema_state
from bot.settings import Settings
from bot.store import engine_for
from translations.machine import Translator

HOME = Path(__file__).resolve().parent.parent  # the folder that ./setup was run in
PATIENCE = 5.0  # seconds to wait for a process to answer
WIDTH = 80
State = Literal["ok", "warning", "missing"]


@dataclass(frozen=True)
class Finding:
    """One thing looked at: ``Finding("Rasa", "missing", "Texts are understood by keywords alone.", "./setup")``.

    ``missing``: something Tellonce is built to do does not work. ``warning``: it works, but there is something to know or to do.
    """

    name: str
    state: State
    costs: str = ""
    mend: str = ""


def examine(settings: Settings, unset: Mapping[str, Sequence[str]] = {}, home: Path = HOME) -> list[Finding]:
    """Look at everything and change nothing.

    ``unset`` says for each channel which variables it still needs: ``{"sms": [], "telegram": ["TELLONCE_TELEGRAM_TOKEN"]}``.
    """
    return [
        *understanding(settings, home),
        *translation(settings),
        *database(settings),
        *service_key(settings),
        *channels(settings, unset),
        *development(home),
    ]


def report(findings: Sequence[Finding], out: TextIO) -> int:
    """Write the findings for a screen of 80 columns. Returns the exit status: 1 when something is missing."""
    for finding in findings:
        out.write(f"{finding.state:8} {finding.name}\n")
        if finding.costs:
            out.writelines(f"{'':9}{part}\n" for part in wrap(finding.costs, WIDTH - 9))
        if finding.mend:
            out.write(f"{'':9}-> {finding.mend}\n")  # never wrapped: it is there to be copied
    missing = sum(finding.state == "missing" for finding in findings)
    warnings = sum(finding.state == "warning" for finding in findings)
    out.write(f"\n{missing} missing, {_count(warnings, 'warning')}, {len(findings) - missing - warnings} in order\n")
    return 1 if missing else 0


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# -- understanding and translation ---------------------------------------------------------------------------------------------


def understanding(settings: Settings, home: Path) -> Iterator[Finding]:
    """Rasa: its environment and model where we run it ourselves, and whether it answers."""
    by_keywords = "Texts are understood by numbers and keywords alone, and no bias motivation is suggested."
    if not settings.nlu_url:
        yield Finding("Rasa", "warning", by_keywords, "unset TELLONCE_NLU_URL")
        return
    is_ours = _is_here(settings.nlu_url)
    if is_ours and not _runs_rasa(home / "nlu/.venv/bin/python"):
        yield Finding("Rasa in its Python 3.10", "missing", by_keywords, "./setup --strict")
        return
    if is_ours and not (home / "nlu/models/nlu.tar.gz").is_file():
        yield Finding("The model Rasa answers from", "missing", by_keywords, "./setup --strict")
        return
    if is_ours:
        yield Finding("Rasa and its model", "ok")
    status = _rasa_status(settings)
    if status == 200 or (status == 401 and not settings.nlu_token.get_secret_value()):  # `up` gives its Rasa a token of its own
        yield Finding("Rasa answers", "ok")
    elif status == 401:
        yield Finding("Rasa answers", "missing", f"It refuses our token. {by_keywords}", "set TELLONCE_NLU_TOKEN to Rasa's -t")
    else:
        yield Finding(
            "Rasa answers",
            "warning" if is_ours else "missing",
            f"Nothing answers at TELLONCE_NLU_URL. {by_keywords}",
            "tellonce up   (Rasa then needs up to a minute)" if is_ours else "start Rasa there, or correct TELLONCE_NLU_URL",
        )


def _runs_rasa(python: Path) -> bool:
    # Importing Rasa takes seconds; to find it is enough.
    program = "import importlib.util as i, sys; sys.exit(sys.version_info[:2] != (3, 10) or i.find_spec('rasa') is None)"
    try:
        return subprocess.run([python, "-c", program], capture_output=True, timeout=PATIENCE).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _rasa_status(settings: Settings) -> int | None:
    token = settings.nlu_token.get_secret_value()
    try:
        return httpx.get(
            f"{settings.nlu_url.rstrip('/')}/status", params={"token": token} if token else None, timeout=PATIENCE, trust_env=False
        ).status_code
    except (httpx.HTTPError, httpx.InvalidURL):
        return None


def translation(settings: Settings) -> Iterator[Finding]:
    """The language packages and the process without network that uses them."""
    original = "Every text arrives in its original language, marked 'interpreter needed'."
    pairs = len(list(settings.argos_packages.glob("*/metadata.json")))
    if pairs == 0:
        yield Finding("Language packages", "missing", original, "./setup")
        return
    yield Finding(f"Language packages: {_count(pairs, 'direction')}", "ok")
    health = Translator(settings.translate_socket).ping()
    if health is None:
        yield Finding("The translating process", "warning", f"It is not running. {original}", "tellonce up")
        return
    for sentence in health.refused:
        yield Finding("A language package", "warning", f"It was left out: {sentence}")
    if health.isolated == "namespace":
        yield Finding("The translating process, without network", "ok")
    else:
        yield Finding(
            "The translating process",
            "warning",
            "The kernel gave it no empty network of its own: only a guard inside Python keeps texts from leaving.",
            "allow user namespaces (sysctl -w user.max_user_namespaces=1000), or start it under systemd with PrivateNetwork=yes",
        )


# -- the database and its key --------------------------------------------------------------------------------------------------


def database(settings: Settings) -> Iterator[Finding]:
    """Whether it can be reached, fits this code, and has a team that can read what comes in."""
    nothing_is_kept = "No text can be received and no case opened."
    file = _sqlite_file(settings)
    if file is not None and not file.exists():  # connecting would create it
        yield Finding("Database", "missing", nothing_is_kept, "tellonce migrate")
        return
    try:
        engine = engine_for(settings.database)
        try:
            state = schema_state(engine)
            teams = _teams(engine) if state == "current" else 0
            kept = _kept_by_vendors(engine) if state == "current" else 0
        finally:
            engine.dispose()
    except (sa.exc.SQLAlchemyError, OSError):  # the error itself may name the password
        mend = (
            "start PostgreSQL, or correct TELLONCE_DATABASE_URL"
            if file is None
            else f"look at {file}: it may be damaged, or not ours"
        )
        yield Finding("Database", "missing", f"It cannot be opened. {nothing_is_kept}", mend)
        return
    if state == "newer":
        yield Finding("Database", "missing", f"It belongs to a newer Tellonce. {nothing_is_kept}", "install the newer release")
    elif state != "current":
        yield Finding("Database", "missing", f"It was not set up for this release. {nothing_is_kept}", "tellonce migrate")
    else:
        yield Finding("Database", "ok")
        if kept:
            yield Finding(
                "Copies at the vendors",
                "warning",
                f"{_count(kept, 'text')} erased here in the last 90 days could not be deleted there: Telegram deletes nothing "
                "older than 48 hours, or Twilio refused for 14 days.",
                "delete the account's old messages in Twilio's console; a Telegram chat only the person can delete",
            )
        if teams:
            yield Finding("A team to read the reports", "ok")
        else:
            yield Finding(
                "A team to read the reports",
                "missing",
                "Reports are sealed to a team from the first; without one nothing is accepted.",
                "tellonce staff add NAME",
            )


def _sqlite_file(settings: Settings) -> Path | None:
    url = sa.make_url(settings.database)
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def _teams(engine: sa.Engine) -> int:
    with engine.connect().execution_options(reading=True) as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(models.Team)).scalar_one()


def _kept_by_vendors(engine: sa.Engine) -> int:
    given_up = sa.select(sa.func.count()).where(models.VendorCopy.__table__.c.state == "given_up")  # type: ignore[attr-defined]
    with engine.connect().execution_options(reading=True) as connection:
        return connection.execute(given_up).scalar_one()


def service_key(settings: Settings) -> Iterator[Finding]:
    """Whether it is there, only its owner can read it, and it does not lie beside what it protects."""
    file, beside = settings.key_file, _sqlite_file(settings)
    if not file.exists():
        is_new = beside is not None and not beside.exists()
        yield Finding(
            "Service key",
            "missing",
            "Addresses and unfinished conversations cannot be read or written.",
            "tellonce migrate" if is_new else f"put it back at {file}: a new one would not open what is there",
        )
        return
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        yield Finding("Service key", "warning", "Other accounts of this machine can read it.", f"chmod 600 {file}")
    else:
        yield Finding("Service key", "ok")
    if beside is not None and beside.exists() and beside.stat().st_dev == file.stat().st_dev:
        yield Finding(
            "Key and database apart",
            "warning",
            "Both lie on one volume: who takes the disk reads addresses and unfinished conversations. "
            "Confirmed reports stay closed without a caseworker's password.",
            "move it to another volume (or a systemd credential) and set TELLONCE_SERVICE_KEY_FILE",
        )


# -- channels and development --------------------------------------------------------------------------------------------------


def channels(settings: Settings, unset: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    """Which ways in are open, and whether the vendors can reach us."""
    for name, variables in unset.items():
        if variables:
            yield Finding(f"Channel {name}", "warning", "Nobody can write to us this way.", f"set {', '.join(variables)}")
        else:
            yield Finding(f"Channel {name}", "ok")
    if not unset.get("whatsapp", ["unknown"]) and not os.environ.get("TELLONCE_TWILIO_WHATSAPP_TEMPLATES"):
        yield Finding(
            "WhatsApp's templates",
            "warning",
            "After 24 hours without a word of theirs WhatsApp takes no free text: what comes later waits until they write.",
            "set TELLONCE_TWILIO_WHATSAPP_TEMPLATES to approved neutral templates (docs/sending.md): en=HX...,pt=HX...",
        )
    if _is_here(settings.public_url) and not all(unset.values()):
        yield Finding(
            "Public address",
            "warning",
            "TELLONCE_PUBLIC_URL names this machine itself: no vendor can post a text to it.",
            "set TELLONCE_PUBLIC_URL to the https address of your reverse proxy",
        )


def development(home: Path) -> Iterator[Finding]:
    """What only tests need, looked at only where they were set up."""
    if not (home / ".tools/dev").exists():
        return
    if shutil.which("chromium"):
        yield Finding("Chromium, for tests", "ok")
    else:
        yield Finding("Chromium, for tests", "warning", "Tests in a browser are left out.", "sudo apt-get install chromium")


def _is_here(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
