"""Addresses, legal hold, transfer, deletion and the team in a real browser, on a phone and at a desk; no barrier on any page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from bot import cases, tallies
from bot.models import Case
from tests.browser.test_console import CHROMIUM, Visit, chromium, served
from tests.web_fixtures import Office, caseworkers, office

__all__ = ["caseworkers", "chromium", "office", "served"]

pytestmark = [pytest.mark.skipif(not CHROMIUM.exists(), reason="no browser: apt-get install -y chromium")]


@pytest.fixture(params=[(375, 667), (1280, 800)], ids=["phone", "desk"])
def desks(request: pytest.FixtureRequest, served: tuple[Office, str], chromium: Browser, tmp_path: Path) -> Iterator[list[Visit]]:
    """Amira, who leads, and Lena, each at her screen and signed in."""
    office, address = served
    width, height = request.param
    visits = []
    for name, who in (("Amira", office.amira), ("Lena", office.lena)):
        context = chromium.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce", base_url=address)
        visit = Visit(context, tmp_path)
        visit.page.goto("/sign-in")
        visit.page.get_by_label("Name").fill(name)
        visit.page.get_by_label("Password").fill(who.password)
        visit.page.get_by_role("button", name="Sign in").click()
        expect(visit.page.get_by_role("heading", name="Queue")).to_be_visible()
        visits.append(visit)
    yield visits
    for visit in visits:
        visit.page.context.close()


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name).click()


def test_two_caseworkers_unmask_an_address(served: tuple[Office, str], desks: list[Visit]) -> None:
    case, (amira, lena) = served[0].report({"language": "ar", "story": ["صرخ رجل في وجهي"]}, risk=2), desks
    amira.page.goto(f"/cases/{case}")
    amira.looks_well("1-case")
    amira.page.get_by_role("link", name="See the reporter’s address").click()
    amira.looks_well("2-ask")
    amira.page.get_by_label("Why is it needed?").fill("يجب أن تصل إليهم سيارة إسعاف")
    press(amira.page, "Ask a colleague to agree")
    amira.looks_well("3-asked")
    lena.page.goto("/queue")
    lena.looks_well("4-queue")
    lena.page.get_by_role("link", name=re.compile("Amira asks to see the address")).click()
    expect(lena.page.locator(".quoted")).to_have_css("direction", "rtl")
    lena.looks_well("5-asked-of-me")
    press(lena.page, "Agree: Amira may see it once")
    lena.looks_well("6-granted")
    amira.page.goto("/queue")
    amira.page.get_by_role("link", name=re.compile("You may see the address")).click()
    press(amira.page, "Show the address now")
    expect(amira.page.get_by_text("+447700900001")).to_be_visible()
    amira.looks_well("7-shown")
    amira.page.get_by_role("link", name="Done: back to the case").click()
    amira.page.get_by_role("link", name="Who read it").click()
    amira.looks_well("8-read-log")


def test_a_lead_holds_hands_over_and_deletes(served: tuple[Office, str], desks: list[Visit]) -> None:
    office, (amira, lena) = served[0], desks
    first, second = office.report(), office.report()
    page = lena.page
    page.goto(f"/cases/{first}/hold")
    lena.looks_well("1-hold")
    page.get_by_label("Reason").fill("Order of the court")
    press(page, "Hold this case")
    lena.looks_well("2-held-not-lead")
    page.goto(f"/cases/{first}/transfer")
    lena.looks_well("3-transfer-not-mine")
    page = amira.page
    page.goto(f"/cases/{first}")
    amira.looks_well("4-case-held")
    page.goto(f"/cases/{first}/delete")
    amira.looks_well("5-delete-held")
    page.goto(f"/cases/{first}/hold")
    amira.looks_well("6-held-lead")
    page.goto(f"/cases/{first}/transfer")
    amira.looks_well("7-transfer")
    page.get_by_label("another team").check()
    press(page, "Hand the case over")
    amira.looks_well("8-handed-over")
    page.goto(f"/cases/{second}/delete")
    page.get_by_label("To be sure").fill("nonsense")
    press(page, "Delete it for good")
    amira.looks_well("9-delete")
    page.get_by_label("To be sure").fill(next(c.reference for c in office.rows(Case) if c.id == second))
    press(page, "Delete it for good")
    expect(page.get_by_role("heading", name="Deleted")).to_be_visible()
    amira.looks_well("10-deleted")


def test_a_lead_looks_after_the_team(served: tuple[Office, str], desks: list[Visit]) -> None:
    amira, lena = desks
    lena.page.goto("/team")
    lena.looks_well("1-team-not-lead")
    page = amira.page
    page.goto("/team")
    amira.looks_well("2-team")
    page.get_by_text("New password", exact=True).click()
    page.locator("summary", has_text="End the access").click()
    amira.looks_well("3-unfolded")
    press(page, "Make a new password")
    amira.looks_well("4-password")
    page.get_by_role("link", name="Done: back to the team").click()
    amira.looks_well("5-waiting")
    press(page, "Let Lena in")
    page.get_by_role("link", name="Team").click()
    page.locator("summary", has_text="End the access").click()
    page.get_by_role("button", name="End the access").click()
    expect(page.get_by_text("has left")).to_be_visible()
    page.get_by_role("link", name="What the team did").click()
    amira.looks_well("6-log")


def test_a_ready_reply_is_chosen_looked_at_and_sent(served: tuple[Office, str], desks: list[Visit]) -> None:
    office, amira = served[0], desks[0]
    case, page = office.report({"language": "ar", "story": ["صرخ رجل في وجهي"]}, risk=2), desks[0].page
    page.goto(f"/cases/{case}")
    press(page, "Claim this case")
    page.get_by_text("Ready replies").click()
    amira.looks_well("1-list")
    page.get_by_label("I will write again tomorrow").check()
    page.get_by_label("Time (for a reply").fill("18:30")
    press(page, "See what they will read")
    expect(page.locator("#reply .original")).to_have_css("direction", "rtl")
    amira.looks_well("2-check")
    press(page, "Send")
    expect(page.get_by_text("Waiting to be sent")).to_be_visible()
    with office.store.transaction() as db:
        cases.note_event(db, case, "reads_wrong")
    page.reload()
    expect(page.get_by_text("The reporter says that this reads wrong.")).to_be_visible()
    amira.looks_well("3-reads-wrong")


def test_figures_and_an_example(served: tuple[Office, str], desks: list[Visit]) -> None:
    office, amira = served[0], desks[0]
    case, page = office.report({"language": "ar", "story": ["صرخ رجل في وجهي"]}, risk=2), desks[0].page
    bias = {"code": "race", "confidence": 0.9, "band": "likely", "detail": ["race.black"], "evidence": []}
    with office.store.transaction() as db:
        tallies.add(db, office.rows(Case)[0].team_id, {"decided ar race likely yes": 7, "half_told ar": 6})
    office.machine_is_done(suggestion={"state": "suggested", "motivations": [bias], "incident": ["threat"], "told": ["damage"]})
    page.goto("/queue?show=danger")
    amira.looks_well("1-queue")
    page.goto("/figures")
    amira.looks_well("2-figures")
    page.goto(f"/cases/{case}/example")
    page.get_by_label("Their words, when they said yes").fill("نعم")
    press(page, "Write down their consent")
    amira.looks_well("3-example")
    page.goto(f"/cases/{case}")
    amira.looks_well("4-case")
