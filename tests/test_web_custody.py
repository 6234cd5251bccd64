"""Addresses, legal hold, transfer, deletion and the read log on the console: who may, what it asks for, what stays."""

from __future__ import annotations

import re

import pytest
import sqlalchemy as sa

from bot import audit, clock, unmasking
from bot.models import (
    Address,
    AuditEntry,
    Case,
    CaseAction,
    CaseMessage,
    Caseworker,
    Message,
    Perception,
    Receipt,
    Report,
    Unmasking,
)
from tests.test_web_pages import claimed, seen
from tests.web_fixtures import Browser, Office, caseworkers, caseworkers_on_postgres
from tests.web_fixtures import office_on_both as office

__all__ = ["caseworkers", "caseworkers_on_postgres", "office"]

REASON = "An ambulance has to find them"


def lena(office: Office) -> Browser:
    return office.signs_in(office.lena, "Lena")


def asked(office: Office) -> tuple[Browser, str]:
    """Amira has asked for the address of a case: her browser and the page about it."""
    path = f"/cases/{office.report()}/address"
    browser = office.signed_in()
    assert browser.send(path, f"{path}/ask", {"text": REASON}).status_code == 303
    return browser, path


def question(page: str) -> str:
    return re.search(r'name="id" value="([^"]+)"', page)[1]  # type: ignore[index]


# -- the address ---------------------------------------------------------------------------------------------------------------


def test_an_address_is_shown_once_after_a_second_person_agreed(office: Office) -> None:
    amira, path = asked(office)
    assert "Somebody else of your team has to agree" in seen(amira.get(path).text)
    colleague = lena(office)
    assert "Amira asks to see the address of case" in seen(colleague.get("/queue").text)
    page = colleague.get(path).text
    assert REASON in page
    colleague.send(path, f"{path}/grant", {"id": question(page)})
    assert "You may see the address of case" in seen(amira.get("/queue").text)
    assert "Lena agreed" in seen(amira.get(path).text)
    assert "+447700900001" not in amira.get(path).text
    shown = amira.send(path, f"{path}/show")
    assert (shown.status_code, "+447700900001" in shown.text) == (200, True)
    again = amira.post(f"{path}/show", {"token": amira.token()})
    assert (again.status_code, "+447700900001" in again.text) == (422, False)
    verbs = [e.verb for e in office.rows(AuditEntry) if e.verb.startswith("unmask")]
    assert verbs == ["unmask_asked", "unmask_granted", "unmasked"]


def test_nobody_agrees_to_her_own_question_and_a_reason_is_needed(office: Office) -> None:
    amira, path = asked(office)
    assert f'action="{path}/grant"' not in amira.get(path).text
    row = office.rows(Unmasking)[0]
    answer = amira.send(path, f"{path}/grant", {"id": str(row.id)})
    assert (answer.status_code, office.rows(Unmasking)[0].granted_by) == (422, None)
    assert amira.send(path, f"{path}/show").status_code == 422
    empty = amira.send(path, f"{path}/ask", {"text": " "})
    assert (empty.status_code, "Please write the reason first." in empty.text) == (422, True)


def test_a_yes_counts_for_the_question_that_was_read_alone(office: Office) -> None:
    amira, path = asked(office)
    colleague = lena(office)
    read = question(colleague.get(path).text)
    amira.send(path, f"{path}/ask", {"text": "something else"})
    answer = colleague.send(path, f"{path}/grant", {"id": read})
    assert answer.status_code == 422
    assert "something else" in answer.text
    assert office.rows(Unmasking)[0].granted_by is None


def test_a_question_is_refused_or_taken_back_and_both_are_written_down(office: Office) -> None:
    amira, path = asked(office)
    lena(office).send(path, f"{path}/refuse")
    assert not office.rows(Unmasking)
    page = amira.get(path).text
    assert "Ask a colleague to agree" in page
    amira.send(path, f"{path}/ask", {"text": REASON})
    amira.send(path, f"{path}/refuse")
    assert amira.send(path, f"{path}/refuse").status_code == 422
    assert {"unmask_refused", "unmask_taken_back"} <= {a.verb for a in office.rows(CaseAction)}
    history = seen(amira.get(path.removesuffix("/address")).text)
    assert f"Amira asked to see the reporter's address: {REASON}" in history
    assert "Lena refused to show the reporter's address" in history


def test_a_question_nobody_answered_is_over_after_a_day(office: Office) -> None:
    _, path = asked(office)
    with clock.frozen(clock.now() + unmasking.LIVES):
        amira = office.signs_in()
        assert "Ask a colleague to agree" in amira.get(path).text
        assert "/address" not in amira.get("/queue").text


def test_who_stayed_anonymous_has_no_address_to_show(office: Office) -> None:
    amira, path = asked(office)
    colleague = lena(office)
    colleague.send(path, f"{path}/grant", {"id": question(colleague.get(path).text)})
    with office.store.transaction() as db:
        db.execute(sa.delete(Address))
    assert "No address is kept any more" in amira.send(path, f"{path}/show").text


# -- legal hold ----------------------------------------------------------------------------------------------------------------


def test_anybody_holds_a_case_and_only_a_lead_lets_it_go(office: Office) -> None:
    path = f"/cases/{office.report()}/hold"
    colleague, amira = lena(office), office.signed_in()
    assert colleague.send(path, path, {"text": ""}).status_code == 422
    colleague.send(path, path, {"text": "Order of the court, 12 March"})
    assert office.rows(Case)[0].held_at is not None
    page = colleague.get(path).text
    assert "Only a lead of your team can end it" in page
    assert "Amira" in page
    refused = colleague.post(path, {"token": colleague.token(), "text": "why not", "ends": "1"})
    assert (refused.status_code, office.rows(Case)[0].held_at is None) == (403, False)
    assert "Under legal hold since" in amira.get(path.removesuffix("/hold")).text
    amira.send(path, path, {"text": "The court has decided", "ends": "1"})
    assert office.rows(Case)[0].held_at is None
    history = seen(amira.get(path.removesuffix("/hold")).text)
    assert "Lena put the case under legal hold: Order of the court, 12 March" in history
    assert "Amira ended the legal hold: The court has decided" in history


# -- another team --------------------------------------------------------------------------------------------------------------


def test_a_case_handed_over_opens_for_the_other_team_alone(office: Office) -> None:
    browser, path = claimed(office)
    assert browser.send(f"{path}/transfer", f"{path}/transfer", {"team": "nobody"}).status_code == 422
    done = browser.send(f"{path}/transfer", f"{path}/transfer", {"team": "another team"})
    assert "belongs to the team “another team” now" in seen(done.text)
    assert browser.get(path).status_code == 404
    sam = office.signs_in(office.sam, "Sam")
    page = sam.get(path).text
    assert "Ontem um homem" in page
    assert "Claim this case" in page


def test_who_neither_holds_a_case_nor_leads_cannot_hand_it_over(office: Office) -> None:
    path, colleague = f"/cases/{office.report()}/transfer", lena(office)
    assert "Claim the case first" in colleague.get(path).text
    answer = colleague.post(path, {"token": colleague.token(), "team": "another team"})
    assert (answer.status_code, "Only a lead of your team can do this." in answer.text) == (403, True)
    assert "Ontem" in colleague.get(path.removesuffix("/transfer")).text


# -- erasing -------------------------------------------------------------------------------------------------------------------


def test_a_lead_deletes_a_case_by_typing_its_reference(office: Office) -> None:
    browser, path = claimed(office)
    reference = office.rows(Case)[0].reference
    page = seen(browser.get(f"{path}/delete").text)
    assert "Nobody can bring them back." in page
    wrong = browser.send(f"{path}/delete", f"{path}/delete", {"reference": "K7MQ-24XP"})
    assert (wrong.status_code, f"Please type {reference}." in wrong.text, len(office.rows(Case))) == (422, True, 1)
    done = browser.send(f"{path}/delete", f"{path}/delete", {"reference": f" {reference.lower()} "})
    assert f"Case {reference} is erased" in seen(done.text)
    for table in (Case, Report, Perception, CaseAction, CaseMessage, Receipt):
        assert not office.rows(table), table
    assert office.rows(Message)
    log = seen(browser.get("/team/read-log").text)
    assert "Amira erased a case (a case that is erased)" in log
    assert browser.get(path).status_code == 404


def test_neither_a_colleague_nor_a_lead_deletes_what_is_held(office: Office) -> None:
    case = office.report()
    path, reference = f"/cases/{case}/delete", office.rows(Case)[0].reference
    colleague, amira = lena(office), office.signed_in()
    assert "Only a lead of your team can delete a case" in colleague.get(path).text
    assert colleague.post(path, {"token": colleague.token(), "reference": reference}).status_code == 403
    amira.send(f"/cases/{case}/hold", f"/cases/{case}/hold", {"text": "court"})
    assert "Delete it for good" not in amira.get(path).text
    answer = amira.post(path, {"token": amira.token(), "reference": reference})
    assert (answer.status_code, len(office.rows(Case))) == (422, 1)


# -- who read it ---------------------------------------------------------------------------------------------------------------


def test_a_lead_sees_who_read_a_case_and_nobody_else_does(office: Office) -> None:
    path, amira, colleague = f"/cases/{office.report()}", office.signed_in(), lena(office)
    colleague.get(path)
    colleague.get(path)
    assert "Who read it" not in colleague.get(path).text
    assert colleague.get(f"{path}/read-log").status_code == 403
    page = seen(amira.get(f"{path}/read-log").text)
    assert "Lena read the case (3 times since" in page
    assert "Ontem" not in page
    with office.store.reading() as db:
        assert audit.verify(db) == 3


@pytest.mark.parametrize("page", ["address", "hold", "transfer", "delete", "read-log"])
def test_another_team_finds_none_of_these_pages(office: Office, page: str) -> None:
    case = office.report()
    sam = office.signs_in(office.sam, "Sam")
    assert sam.get(f"/cases/{case}/{page}").status_code == 404
    form = {"token": sam.token(), "text": "x", "id": str(case), "team": "caseworkers", "reference": office.rows(Case)[0].reference}
    for path in {"address": ("address/ask", "address/grant", "address/refuse", "address/show")}.get(page, (page,)):
        assert sam.post(f"/cases/{case}/{path}", form).status_code in (404, 405), path
    assert len(office.rows(Case)) == 1
    assert not office.rows(Unmasking)
    assert len(office.rows(Caseworker)) == 3
