"""Decisions beside suggestions, counted without a text, and examples the machine may learn from."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

from bot import agreement, checkins, clock, examples, retention, sessions, tallies
from bot.models import AuditEntry, Case, Caseworker, Example, FlowSession, Tally
from tests.exchange import open_exchange
from tests.test_web_pages import seen, suggested
from tests.web_fixtures import Browser, Office, caseworkers, caseworkers_on_postgres
from tests.web_fixtures import office_on_both as office
from translations import catalog

__all__ = ["caseworkers", "caseworkers_on_postgres", "office"]

RACE = {"code": "race", "confidence": 0.9, "band": "likely", "detail": ["race.black"], "evidence": []}


def decides(office: Office, browser: Browser, motivations: list[str], suggestion: dict[str, Any] | None = None) -> str:
    """A new case that the machine read and Amira decides. Returns its page."""
    path = f"/cases/{office.report()}"
    office.machine_is_done(suggestion=suggestion or suggested(RACE))
    answer = browser.send(path, f"{path}/decide", {"motivations": motivations, "text": "the words"})
    assert answer.status_code == 303
    return path


def counts(office: Office) -> dict[str, int]:
    with office.store.reading() as db:
        found = tallies.read(db, office.rows(Caseworker, name="Amira")[0].team_id)
    return dict(next(iter(found.values()), {}))


# -- agreement -----------------------------------------------------------------------------------------------------------------


def test_what_is_counted_says_who_named_a_motivation_and_how_sure_the_machine_was() -> None:
    both = agreement.compared("pt", suggested(RACE), ["race", "religion"])
    assert both == {"decided pt race likely yes": 1, "decided pt religion no yes": 1}
    assert agreement.compared("pt", suggested(RACE), ["none"]) == {"decided pt none no yes": 1, "decided pt race likely no": 1}
    assert agreement.compared("ar", {"state": "unclear", "motivations": []}, ["none"]) == {"decided ar none likely yes": 1}
    assert not agreement.compared("so", {"state": "unsupported", "motivations": []}, ["race"])
    assert not agreement.compared("so", None, ["race"])


def test_a_case_that_is_decided_anew_counts_once(office: Office) -> None:
    browser = office.signed_in()
    path = decides(office, browser, ["race"])
    assert counts(office) == {"decided pt race likely yes": 1}
    browser.send(path, f"{path}/decide", {"motivations": ["religion"], "text": "on reflection"})
    assert counts(office) == {"decided pt race likely no": 1, "decided pt religion no yes": 1}


def test_the_count_outlives_the_case_and_holds_nothing_of_it(office: Office) -> None:
    browser = office.signed_in()
    for _ in range(6):
        decides(office, browser, ["race"])
    for case in office.rows(Case):
        with office.store.transaction() as db:
            assert retention.erase_case(db, case.id)
    row = office.rows(Tally)[0]
    assert b"race" not in row.box
    assert counts(office) == {"decided pt race likely yes": 6}
    page = seen(browser.get("/figures").text)
    assert f"{clock.now().year} Portuguese Race or ethnicity 6 0 0" in page


def test_fewer_than_five_are_not_shown(office: Office) -> None:
    browser = office.signed_in()
    for motivations in (["race"], ["race"], ["race"], ["race"]):
        decides(office, browser, motivations)
    assert "Not enough decisions yet." in browser.get("/figures").text
    decides(office, browser, ["none"])
    page = seen(browser.get("/figures").text)
    assert "Portuguese Race or ethnicity under 5 under 5 0" in page
    assert "No bias motivation seen" not in page


def test_another_team_has_its_own_figures(office: Office) -> None:
    browser = office.signed_in()
    for _ in range(5):
        decides(office, browser, ["race"])
    assert "Not enough decisions yet." in office.signs_in(office.sam, "Sam").get("/figures").text


def test_a_story_nobody_finished_is_counted_when_it_is_erased(tmp_path: Any) -> None:
    with open_exchange(tmp_path) as exchange:
        for n in range(6):
            phone = exchange.telephone.caller(f"+44770090{n:04}")
            phone.says("Hello, a man shouted at me on the bus because of my skin and then he pushed me")
        assert exchange.rows(FlowSession)
        with clock.frozen(clock.now() + sessions.UNFINISHED_LIVES + timedelta(days=1)), exchange.store.transaction() as db:
            assert sessions.erase_expired(db) == 6
            assert agreement.half_told(db, exchange.desk.team_id) == [(clock.now().year, "en", "6")]
        assert not exchange.rows(Case)


# -- examples ------------------------------------------------------------------------------------------------------------------


def test_an_example_needs_consent_a_decision_redaction_and_a_second_look(office: Office) -> None:
    browser = office.signed_in()
    path = f"/cases/{office.report({'story': ['Chamou-me macaco. O número dele: +351 912 345 678, Rui Matos.']})}"
    office.machine_is_done(suggestion=suggested(RACE))
    assert "The reporter has not agreed." in browser.get(f"{path}/example").text
    form = {"text": "Chamou-me macaco. […]", "read": "1"}
    assert browser.send(f"{path}/example", f"{path}/example", form).status_code == 422
    browser.send(f"{path}/example", f"{path}/example/consent", {"text": "sim, pode"})
    assert "Write down a decision first" in seen(browser.get(f"{path}/example").text)
    assert browser.send(f"{path}/example", f"{path}/example", form).status_code == 422
    browser.send(path, f"{path}/decide", {"motivations": ["race", "religion"], "text": "the word"})
    page = browser.get(f"{path}/example").text
    assert "O número dele: […], Rui Matos." in page
    assert "Please read it once more" in browser.send(f"{path}/example", f"{path}/example", {"text": "x"}).text
    left_in = browser.send(f"{path}/example", f"{path}/example", {**form, "text": "liga +351 912 345 678"})
    assert (left_in.status_code, "There is still a number" in left_in.text) == (422, True)
    assert not office.rows(Example)
    assert browser.send(f"{path}/example", f"{path}/example", form).status_code == 303
    out = browser.send("/figures", "/figures/examples.jsonl")
    assert "attachment" in out.headers["content-disposition"]
    assert [json.loads(line) for line in out.text.splitlines()] == [
        {"language": "pt", "motivations": ["race", "religion"], "suggested": ["race"], "text": "Chamou-me macaco. […]"}
    ]
    assert "exported" in {e.verb for e in office.rows(AuditEntry)}


def test_a_withdrawn_consent_erases_the_example_and_only_a_lead_takes_any_out(office: Office) -> None:
    browser = office.signed_in()
    path = decides(office, browser, ["race"])
    browser.send(f"{path}/example", f"{path}/example/consent", {"text": "sim"})
    browser.send(f"{path}/example", f"{path}/example", {"text": "Chamou-me macaco.", "read": "1"})
    lena = office.signs_in(office.lena, "Lena")
    assert lena.post("/figures/examples.jsonl", {"token": lena.token()}).status_code == 403
    assert lena.send(f"{path}/example", f"{path}/example/consent", {"text": "afinal não", "ends": "1"}).status_code == 303
    assert not office.rows(Example)
    assert browser.send("/figures", "/figures/examples.jsonl").text == ""
    history = seen(browser.get(path).text)
    assert "Lena wrote down that the machine may not learn from it: afinal não" in history


def test_an_example_goes_with_its_case(office: Office) -> None:
    browser = office.signed_in()
    path = decides(office, browser, ["race"])
    browser.send(f"{path}/example", f"{path}/example/consent", {"text": "sim"})
    browser.send(f"{path}/example", f"{path}/example", {"text": "Chamou-me macaco.", "read": "1"})
    with office.store.transaction() as db:
        retention.erase_case(db, office.rows(Case)[0].id)
    assert not office.rows(Example)


# -- what the machine says besides ---------------------------------------------------------------------------------------------


def test_finer_codes_the_kind_of_incident_and_what_else_was_told_are_said_in_words(office: Office) -> None:
    path, browser = f"/cases/{office.report()}", office.signed_in()
    also = {"incident": ["physical_assault", "verbal_abuse"], "told": ["damage", "injury", "when"]}
    office.machine_is_done(suggestion={**suggested({**RACE, "confidence": 0.99, "band": "possible"}), **also})
    page = seen(browser.get(path).text)
    assert "Kind of incident: an attack on a person, insults. It reads that somebody was hurt, things were damaged." in page
    assert "Race or ethnicity (Anti-Black) possible" in page


def test_the_reporters_own_no_in_the_chat_ends_it_too(tmp_path: Path) -> None:
    with open_exchange(tmp_path) as exchange:
        caller = exchange.reports()
        (code,) = re.findall(r"(?:\d{4} ){3}\d{4}", "\n".join(caller.heard))
        kept = examples.Approved("He shouted […] at me", "en", ("religion",), ())
        with exchange.store.transaction() as db:
            examples.note_consent(db, exchange.desk, exchange.case().id, "yes, without my name")
            examples.approve(db, exchange.desk, exchange.case().id, kept)
        for text in (code, "3"):
            caller.says(text)
        assert catalog.render("consents.training.yes", "en") in caller.heard[-1]
        caller.says("3")
        assert caller.heard[-1] == catalog.render("consents.training.no", "en")
        assert not exchange.rows(Example)
        with exchange.store.reading() as db:
            assert not checkins.has_consent(db, exchange.case().reporter_id, examples.PURPOSE)
