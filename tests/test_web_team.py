"""The team's page: who belongs to it, new passwords, ending an access, leads."""

from __future__ import annotations

import re

from bot import staff
from bot.models import AuditEntry, Case, Caseworker, ConsoleSession, TeamKey
from tests.test_web_pages import seen
from tests.web_fixtures import Office, caseworkers, caseworkers_on_postgres
from tests.web_fixtures import office_on_both as office

__all__ = ["caseworkers", "caseworkers_on_postgres", "office"]


def test_a_lead_ends_an_access_and_the_cases_come_back(office: Office) -> None:
    path, amira = f"/cases/{office.report()}", office.signed_in()
    lena = office.signs_in(office.lena, "Lena")
    lena.send(path, f"{path}/claim")
    before = len(office.rows(TeamKey))
    assert amira.send("/team", "/team/disable", {"name": "Lena"}).status_code == 303
    assert lena.get("/queue").status_code == 303, "signed out"
    assert office.browser().post("/sign-in", {"name": "Lena", "password": office.lena.password}).status_code == 401
    assert [(c.state, c.claimed_by) for c in office.rows(Case)] == [("open", None)]
    assert len(office.rows(TeamKey)) == before + 1
    assert "Lena has left" in seen(amira.get("/team").text)
    entry = next(e for e in office.rows(AuditEntry) if e.verb == "disabled")
    assert entry.member_id == office.lena.caseworker_id
    assert "Amira ended the access of Lena" in seen(amira.get("/team/read-log").text)


def test_a_new_password_is_shown_once_and_opens_nothing_until_somebody_lets_her_in(office: Office) -> None:
    path, amira = f"/cases/{office.report()}", office.signed_in()
    page = amira.send("/team", "/team/reset", {"name": "Lena"})
    password = re.search(r'class="address"[^>]*>([^<]+)<', page.text)[1]  # type: ignore[index]
    assert office.browser().post("/sign-in", {"name": "Lena", "password": office.lena.password}).status_code == 401
    waiting = office.browser().post("/sign-in", {"name": "Lena", "password": password})
    assert "has to let you in first" in waiting.text
    assert "Lena waits to be let in" in seen(amira.get("/team").text)
    amira.send("/team", "/queue/let-in", {"newcomer": str(office.lena.caseworker_id)})
    lena = office.browser()
    assert lena.post("/sign-in", {"name": "Lena", "password": password}).status_code == 303
    assert "Ontem um homem" in lena.get(path).text
    assert [e.verb for e in office.rows(AuditEntry)][:2] == ["reset", "let_in"]


def test_who_is_no_lead_changes_nobody(office: Office) -> None:
    lena = office.signs_in(office.lena, "Lena")
    page = lena.get("/team").text
    assert "Only a lead changes an access." in page
    assert "/team/disable" not in page
    token = lena.token()
    for form in ("disable", "reset", "lead"):
        assert lena.post(f"/team/{form}", {"token": token, "name": "Amira"}).status_code == 403, form
    assert lena.get("/team/read-log").status_code == 403
    assert {c.name: c.state for c in office.rows(Caseworker)} == {"Amira": "active", "Lena": "active", "Sam": "active"}


def test_a_lead_of_another_team_changes_nobody_here_and_nobody_locks_herself_out(office: Office) -> None:
    sam, amira = office.signs_in(office.sam, "Sam"), office.signed_in()
    for form in ("disable", "reset", "lead"):
        assert sam.send("/team", f"/team/{form}", {"name": "Lena"}).status_code == 422, form
    assert "Lena" not in sam.get("/team").text
    for form in ("disable", "reset"):
        answer = amira.send("/team", f"/team/{form}", {"name": "Amira"})
        assert (answer.status_code, "Another lead can" in answer.text) == (422, True), form
    assert {c.state for c in office.rows(Caseworker)} == {"active"}
    assert len(office.rows(ConsoleSession)) == 2


def test_a_lead_makes_another_lead(office: Office) -> None:
    amira = office.signed_in()
    amira.send("/team", "/team/lead", {"name": "Lena"})
    assert office.rows(Caseworker, name="Lena")[0].is_lead
    lena = office.signs_in(office.lena, "Lena")
    assert "/team/disable" in lena.get("/team").text
    with office.store.transaction() as db:
        staff.disable(db, "Amira")
        assert staff.has_lead_beside(db, office.amira.caseworker_id)
        assert not staff.has_lead_beside(db, office.lena.caseworker_id)
    assert not office.rows(Caseworker, name="Amira")[0].is_lead
