"""The console in a real browser: sign in, claim, preview and send a reply, with and without scripts; no barrier on any page."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import sqlalchemy as sa
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from bot.models import Case, ConsoleSession, Message
from bot.settings import Settings
from bot.web import console
from tests.web_fixtures import STORY, STORY_EN, Office, caseworkers, office

__all__ = ["caseworkers", "office"]

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage"
).split()
RULES = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]
ENGLISH = "Are you safe tonight?"
PORTUGUESE = "Está segura esta noite?"

pytestmark = [
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no browser: apt-get install -y chromium"),
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), headless=True, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def served(office: Office) -> Iterator[tuple[Office, str]]:
    """The console on a port of this machine, and its address."""
    settings = Settings(secure_cookies=False)
    app = console(office.store, settings, office.translator)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        until = time.monotonic() + 10
        while not server.started and time.monotonic() < until:
            time.sleep(0.01)
        yield replace(office, app=app, settings=settings), address
        server.should_exit = True
        thread.join()


class Visit:
    """A caseworker at her screen. Every page she sees is looked at for barriers and for what the policy forbade."""

    def __init__(self, context: BrowserContext, pictures: Path) -> None:
        self.page: Page = context.new_page()
        self.pictures = pictures
        self.complaints: list[str] = []
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _hear(self, said: ConsoleMessage) -> None:
        if said.type == "error" and not {"401", "422"} & set(said.text.split()):  # a refusal that the page itself explains
            self.complaints.append(said.text)

    def looks_well(self, name: str) -> None:
        """No barrier, no sideways scrolling, nothing refused by the policy; a picture is kept."""
        self.page.screenshot(path=self.pictures / f"{name}.png", full_page=True)
        found = Axe().run(self.page, options={"runOnly": RULES}).response["violations"]
        assert not found, f"{name}: " + json.dumps([(v["id"], v["nodes"][0]["html"]) for v in found], indent=1)
        wide = self.page.evaluate("document.documentElement.scrollWidth > innerWidth")
        assert not wide, f"{name} scrolls sideways"
        assert not self.complaints, f"{name}: {self.complaints}"

    def signs_in(self, address: str, office: Office) -> None:
        self.page.goto(f"{address}/queue")
        self.looks_well("1-sign-in")
        self.page.get_by_label("Name").fill("Amira")
        self.page.get_by_label("Password").fill(office.amira.password)
        self.page.get_by_role("button", name="Sign in").click()
        expect(self.page.get_by_role("heading", name="Queue")).to_be_visible()


def tell(office: Office) -> None:
    """A Portuguese report that the machine has read, an Arabic one that it could not, and a translator for the reply."""
    office.report(risk=2)
    words = "volta para a tua terra"
    evidence = [{"start": STORY.index(words), "end": STORY.index(words) + len(words), "why": "hostile_words"}]
    bias = {"state": "suggested", "motivations": [{"code": "race", "confidence": 0.9, "evidence": evidence}]}
    office.machine_is_done(STORY_EN, bias, ["negation_lost"])
    long = "https://maps.example/" + "a" * 120  # must not widen the page
    office.report({"language": "ar", "story": ["صرخ رجل في وجهي 😢"], "when": "أمس", "where": long}, risk=0)
    office.report({"language": "en"}, risk=1, kind="person_wanted")
    office.report({"language": "en"}, risk=3, kind="fault")
    office.translator.knows(ENGLISH, "en", "pt", PORTUGUESE, "numbers_changed")
    office.translator.knows(PORTUGUESE, "pt", "en", "Are you safe this night?")


@pytest.fixture
def visit(chromium: Browser, tmp_path: Path) -> Iterator[Visit]:
    """A visit on a desk screen."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    yield Visit(context, tmp_path)
    context.close()


def replies(page: Page, office: Office) -> None:
    """Claim the Portuguese case, look at the translation, send it."""
    page.get_by_role("button", name="Claim this case").click()
    page.get_by_label("Your words, in English").fill(ENGLISH)
    page.get_by_role("button", name="Preview the translation").click()
    expect(page.get_by_label("They will read, in Portuguese")).to_have_value(PORTUGUESE)
    expect(page.get_by_text("Are you safe this night?")).to_be_visible()


def what_was_sent(office: Office) -> list[str]:
    sent = office.rows(Message, author="caseworker")
    return [office.store.vault.reveal(m.body, "message", "body", m.id)["text"] for m in sent]


@pytest.mark.parametrize(
    ("width", "height", "scheme"), [(390, 844, "light"), (1280, 900, "light"), (360, 740, "dark"), (1280, 900, "dark")]
)
def test_a_caseworker_signs_in_claims_a_case_and_replies(
    served: tuple[Office, str], chromium: Browser, tmp_path: Path, width: int, height: int, scheme: Literal["light", "dark"]
) -> None:
    office, address = served
    tell(office)
    context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce")
    visit = Visit(context, tmp_path)
    page = visit.page
    visit.signs_in(address, office)
    visit.looks_well("2-queue")
    arabic, portuguese = (next(row for row in office.rows(Case) if row.risk == risk) for risk in (0, 2))
    page.locator(f"#case-{arabic.id}").click()
    expect(page.locator(".original").first).to_have_css("direction", "rtl")
    visit.looks_well("3-arabic")
    page.goto(f"{address}/cases/{portuguese.id}")
    expect(page).to_have_title(f"Case {portuguese.reference} · Tellonce")
    expect(page.locator("mark")).to_have_text("volta para a tua terra")
    page.get_by_text("Write down a decision").click()
    visit.looks_well("4-case")
    replies(page, office)
    expect(page.get_by_role("heading", name="Check before sending")).to_be_focused()
    visit.looks_well("5-check")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("Waiting to be sent")).to_be_visible()
    page.get_by_label("New note").fill("Rings back tomorrow")
    page.get_by_role("button", name="Add the note").click()
    page.locator("#history-fold").click()
    visit.looks_well("6-replied")
    assert what_was_sent(office) == [f"Tradução automática. Se não se entende, escreva: errado\n{PORTUGUESE}"]
    context.close()


def test_everything_works_without_scripts(served: tuple[Office, str], chromium: Browser) -> None:
    office, address = served
    tell(office)
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/sign-in")
    page.get_by_label("Name").fill("Amira")
    page.get_by_label("Password").fill(office.amira.password)
    page.get_by_role("button", name="Sign in").click()
    page.locator(".row.risk-2 a").click()
    replies(page, office)
    page.get_by_role("button", name="Change my words").click()
    expect(page.get_by_label("Your words, in English")).to_have_value(ENGLISH)
    page.get_by_role("button", name="Preview the translation").click()
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("Waiting to be sent")).to_be_visible()
    assert what_was_sent(office) == [f"Tradução automática. Se não se entende, escreva: errado\n{PORTUGUESE}"]
    context.close()


def test_a_case_renews_itself_and_leaves_what_is_being_written(served: tuple[Office, str], visit: Visit) -> None:
    office, address = served
    case, page = office.report(risk=2), visit.page
    visit.signs_in(address, office)
    page.goto(f"{address}/cases/{case}")
    expect(page.get_by_text("being translated…").first).to_be_visible()
    page.get_by_label("New note").fill("half a th")
    page.locator("#story-fold").click()
    page.get_by_label("New note").focus()
    office.machine_is_done(STORY_EN)
    expect(page.get_by_text("[ontem]")).to_be_visible(timeout=10_000)
    expect(page.get_by_text("being translated…")).to_have_count(0)
    expect(page.get_by_label("New note")).to_have_value("half a th")
    expect(page.get_by_label("New note")).to_be_focused()
    expect(page.locator("details.story")).not_to_have_attribute("open", "")
    assert not visit.complaints


def test_a_reply_outlives_the_session_and_the_case_leaves_the_screen(served: tuple[Office, str], visit: Visit) -> None:
    office, address = served
    case, page = office.report(risk=2), visit.page
    office.translator.knows(ENGLISH, "en", "pt", PORTUGUESE)
    visit.signs_in(address, office)
    page.goto(f"{address}/cases/{case}")
    page.get_by_role("button", name="Claim this case").click()
    page.get_by_label("Your words, in English").fill(ENGLISH)
    with office.store.transaction() as db:
        db.execute(sa.delete(ConsoleSession))
    expect(page.get_by_text("You were signed out.")).to_be_visible(timeout=10_000)
    expect(page.get_by_text("Ontem um homem")).to_have_count(0)
    page.get_by_role("button", name="Preview the translation").click()
    page.get_by_label("Name").fill("Amira")
    page.get_by_label("Password").fill(office.amira.password)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_label("What you wrote")).to_have_value(ENGLISH)
    visit.looks_well("kept")
    page.get_by_role("button", name="Go on and check the reply").click()
    expect(page.get_by_label("They will read, in Portuguese")).to_have_value(PORTUGUESE)
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("Waiting to be sent")).to_be_visible()
    assert len(what_was_sent(office)) == 1


def test_the_queue_renews_itself_without_losing_the_place(served: tuple[Office, str], visit: Visit) -> None:
    office, address = served
    case, page = office.report(risk=1), visit.page
    visit.signs_in(address, office)
    page.locator(f"#case-{case}").focus()
    office.report(risk=3)
    expect(page.get_by_text("Emergency words")).to_be_visible(timeout=15_000)
    expect(page.locator(f"#case-{case}")).to_be_focused()
