"""Resident memory of every process, idle and after the work that makes it grow."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import sqlalchemy as sa

from bench.installation import HOME, NAME, Installation, installed, started, until
from bench.load import CONFIRM, Phones, closed
from bench.machine import command_line, descendants, peak_mb, resident_mb, share_mb
from bench.results import Finding, at_most, heading, unmeasured
from bot import inbox
from bot.models import SealedTranslation

STORY = (
    "Ontem à noite no ônibus 42 um homem gritou que eu sou uma macaca, cuspiu em mim e disse para eu voltar para a minha terra. "
    "Ninguém me ajudou. Tenho medo de sair de casa."
)
PARSES = 20
NLU_WITHIN = 180


def processes() -> Iterator[Finding]:
    """`tellonce up` with everything that is installed here."""
    print(heading("Memory (MB of 10^6 bytes; RSS counts shared pages in full, PSS its share of them)"))
    with installed() as here:
        packages = HOME / "var" / "argos"
        if packages.exists():
            (here.folder / "argos").symlink_to(packages)
        with started(here, "-m", "bot", "up") as up:
            serve = find(up.pid, "bot serve")
            until(lambda: is_served(here), 120, f"serve did not start: {here.log()[-400:]}")
            idle = _told("serve, idle", serve)
            yield at_most("#2", "serve idle, RSS", idle, 120, "MB")
            yield _sign_in(here, serve, idle)
            yield from _work(here, up.pid)
            yield _rasa(here, up.pid)


def find(parent: int, words: str, seconds: float = 120) -> int:
    """The process below ``parent`` whose command line holds ``words``."""
    return until(
        lambda: next((pid for pid in descendants(parent) if words in command_line(pid)), 0), seconds, f"no process {words}"
    )


def is_served(here: Installation) -> bool:
    try:
        return httpx.get(here.url + "/sign-in", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def nlu_is_there(here: Installation) -> bool:
    try:
        status = httpx.get(here.settings.nlu_url + "/status", params={"token": "bench"}, trust_env=False)
        return bool(status.json().get("model_file"))
    except (httpx.HTTPError, ValueError):
        return False


def _sign_in(here: Installation, serve: int, idle: float) -> Finding:
    """Argon2id takes 64 MiB: in a child that ends, not in serve."""
    before = peak_mb(serve)
    with httpx.Client(base_url=here.url, trust_env=False, follow_redirects=True, timeout=30) as browser:
        page = browser.get("/sign-in").text
        fields = dict(re.findall(r'<input[^>]*type="hidden"[^>]*name="([^"]+)"[^>]*value="([^"]*)"', page))
        form = {**fields, "name": NAME, "password": here.password}
        signed_in = browser.post("/sign-in", data=form, headers={"Origin": here.url})
    if "/sign-in" in str(signed_in.url):
        return unmeasured("#2", "serve after a sign-in", "+ <= 10 MB", f"the sign-in was answered {signed_in.status_code}")
    _told("serve, after a sign-in", serve)
    return at_most("#2", "a sign-in adds to serve's peak (Argon2id: 67 MB)", peak_mb(serve) - before, 20, "MB")


def _work(here: Installation, up: int) -> Iterator[Finding]:
    work = find(up, "bot work")
    phones = Phones(here.url)
    number = "+447900000001"
    closed(here.settings.port, [[phones.text(number, STORY), *phones.answers(number, ("1", "1", "0", "0", "0", "1", "1", "2"))]], 1)
    closed(here.settings.port, [phones.answers(number, (CONFIRM,))], 1)
    phones.close()
    until(lambda: _is_quiet(here), 120, "the report was not worked out")
    alone = _told("work, after a report", work)
    yield at_most("G10", "work without translation, RSS", alone, 130, "MB")
    if not (here.folder / "argos").exists():
        yield unmeasured("#2", "work with translation loaded", "<= 450 MB", "no language packages: run ./setup")
        return
    child = find(work, "translations.worker")
    together = alone + _told("its translation child, after translating", child)
    print(f"  {'together':44} RSS {together:6.0f}")
    yield at_most("#2", "work with translation loaded, RSS of both", together, 450, "MB")


def _is_quiet(here: Installation) -> bool:
    """Nothing waits, and no working copy is left to translate; without Rasa its part of the copy stays."""
    with here.store.reading() as db:
        has_packages = (here.folder / "argos").exists()
        translated = db.execute(sa.select(sa.func.count()).select_from(SealedTranslation)).scalar_one()
        return inbox.waiting(db) == 0 and (translated > 0 or not has_packages)


def _rasa(here: Installation, up: int) -> Finding:
    what = "Rasa after its first parses, RSS"
    if not (HOME / "nlu/models/nlu.tar.gz").exists():
        return unmeasured("#2", what, "<= 800 MB", "Rasa is not installed: run ./setup")
    until(lambda: nlu_is_there(here), NLU_WITHIN, "Rasa did not come up")
    rasa = find(up, "nlu/serve.py")
    for _ in range(PARSES):
        httpx.post(
            here.settings.nlu_url + "/model/parse", params={"token": "bench"}, json={"text": STORY}, trust_env=False, timeout=30
        )
    return at_most("#2", what, _told(f"Rasa, after {PARSES} parses", rasa), 800, "MB")


def _told(what: str, pid: int) -> float:
    found = resident_mb(pid)
    print(f"  {what:44} RSS {found:6.0f}   PSS {share_mb(pid):6.0f}   highest {peak_mb(pid):6.0f}")
    return found
