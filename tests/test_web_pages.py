"""The console: request, page and rows."""

from __future__ import annotations

import html
import logging
import re
from datetime import timedelta
from itertools import chain
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from starlette.datastructures import Headers
from starlette.routing import Route

from bot import cases, clock, outbox, staff, work_copies
from bot.models import Case, CaseAction, CaseMessage, Caseworker, ConsoleSession, Decision, Message, Reporter
from bot.store import lock_reporter
from bot.web import accounts
from bot.web.guard import came_from_here
from tests.web_fixtures import STORY, STORY_EN, Browser, Office, caseworkers, office
from translations import replies
from translations.machine import Translation

__all__ = ["caseworkers", "office"]

ENGLISH = "Are you safe tonight?"
PORTUGUESE = "Está segura esta noite?"


def seen(page: str) -> str:
    """What a page says, without its tags."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def span(text: str, words: str, why: str = "hostile_words") -> dict[str, Any]:
    start = text.index(words)
    return {"start": start, "end": start + len(words), "why": why}


def suggested(*motivations: dict[str, Any]) -> dict[str, Any]:
    return {"state": "suggested", "motivations": list(motivations)}


def claimed(office: Office, **told: Any) -> tuple[Browser, str]:
    """A case Amira holds: her browser and the case's address."""
    case = office.report(told)
    browser = office.signed_in()
    browser.send("/queue", f"/cases/{case}/claim")
    return browser, f"/cases/{case}"


# -- who may see anything ------------------------------------------------------------------------------------------------------


def every_route(office: Office) -> list[tuple[str, str]]:
    """Method and path of every page and form but sign-in; static files are public."""
    included = [r.original_router.routes if hasattr(r, "original_router") else [r] for r in office.app.routes]
    found = [
        (method, re.sub(r"\{\w+\}", lambda _: str(uuid4()), route.path))
        for route in chain.from_iterable(included)
        if isinstance(route, Route)
        for method in sorted((route.methods or set()) - {"HEAD"})
    ]
    assert len(found) > 10
    return [(method, path) for method, path in found if path != "/sign-in"]


def test_every_route_but_sign_in_requires_signing_in(office: Office) -> None:
    browser = office.browser()
    for method, path in every_route(office):
        answer = browser.get(path) if method == "GET" else browser.post(path, {"id": str(uuid4()), "newcomer": str(uuid4())})
        if method == "GET":
            assert (answer.status_code, answer.headers["location"].split("?")[0]) == (303, "/sign-in"), path
        else:
            assert answer.status_code == 401, path
            assert "Password" in answer.text, path


def test_every_form_needs_the_token_of_its_session(office: Office) -> None:
    browser, before = office.signed_in(), len(office.rows(CaseAction))
    for method, path in every_route(office):
        if method == "POST":
            form = {"id": str(uuid4()), "newcomer": str(uuid4()), "text": "kept for her"}
            assert browser.post(path, form).status_code == 403, path
            answer = browser.post(path, {**form, "token": "0" * 32})
            assert answer.status_code == 403, path
            assert "kept for her" in answer.text, path
    assert len(office.rows(CaseAction)) == before


def test_a_caseworker_of_another_team_sees_nothing(office: Office) -> None:
    case = office.report(risk=3)
    office.machine_is_done()
    sam = office.signs_in(office.sam, "Sam")
    assert "Nobody is waiting." in sam.get("/queue").text
    token = sam.token()
    assert sam.get(f"/cases/{case}").status_code == 404
    assert sam.get(f"/cases/{case}/news").status_code == 404
    for verb in ("claim", "close", "note", "decide", "reply/preview", "reply/change", "reply/send"):
        form = {"token": token, "text": "x", "sent": "x", "id": str(uuid4()), "motivations": "race"}
        assert sam.post(f"/cases/{case}/{verb}", form).status_code == 404, verb
    assert [a.verb for a in office.rows(CaseAction, case_id=case)] == ["opened"]
    assert office.rows(Case, id=case)[0].state == "open"


@pytest.mark.parametrize("headers", [{"sec_fetch_site": "cross-site"}, {"sec_fetch_site": "same-site"}])
def test_a_form_from_another_site_is_refused(office: Office, headers: dict[str, str]) -> None:
    answer = office.browser().post("/sign-in", {"name": "Amira", "password": office.amira.password}, **headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert len(office.rows(ConsoleSession)) == 1, "the one that was open before"


def test_where_the_browser_names_the_origin_alone_it_must_be_ours(office: Office) -> None:
    assert came_from_here(Headers({"origin": "https://console.test", "host": "console.test"}), "")
    assert came_from_here(Headers({"origin": "https://public.test", "host": "inside"}), "public.test")
    assert came_from_here(Headers({"origin": "null"}), "")
    assert not came_from_here(Headers({"origin": "https://evil.test", "host": "console.test"}), "public.test")


def test_no_page_may_be_framed_kept_or_run_a_foreign_script(office: Office) -> None:
    case, browser = office.report(), office.signed_in()
    for path in ("/sign-in", "/queue", f"/cases/{case}", "/nothing", "/queue/rows"):
        headers = browser.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';"), path
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff"), path
        assert headers["referrer-policy"] == "no-referrer", path
    page = browser.get(f"/cases/{case}").text
    assert not re.search(r"<script(?! src=)|\sstyle=|\son\w+=", page)


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(office: Office) -> None:
    answer = office.browser().post("/sign-in", {"name": "Amira", "password": office.amira.password})
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-tellonce=")
    assert {"HttpOnly", "Secure", "SameSite=lax", "Path=/"} <= {part.strip() for part in cookie.split(";")}


def test_a_form_that_is_too_long_is_refused_unread(office: Office) -> None:
    assert office.signed_in().post("/sign-out", {"text": "x" * 300_000}).status_code == 413


# -- signing in and out --------------------------------------------------------------------------------------------------------


def test_a_wrong_password_is_refused_calmly(office: Office) -> None:
    answer = office.browser().post("/sign-in", {"name": "Amira", "password": "wrong"})
    assert answer.status_code == 401
    assert "That name and password do not fit." in answer.text
    assert 'value="Amira"' in answer.text


def test_signing_in_leads_back_to_the_page_that_was_wanted(office: Office) -> None:
    case, browser = office.report(), office.browser()
    to = browser.get(f"/cases/{case}").headers["location"]
    assert to == f"/sign-in?next=/cases/{case}"
    assert f'value="/cases/{case}"' in browser.get(to).text
    form = {"name": "Amira", "password": office.amira.password, "next": f"/cases/{case}"}
    assert browser.post("/sign-in", form).headers["location"] == f"/cases/{case}"


@pytest.mark.parametrize("elsewhere", ["https://evil.test", "//evil.test", "/\\evil.test", "/queue\n/x", "javascript:alert(1)"])
def test_signing_in_never_leads_elsewhere(office: Office, elsewhere: str) -> None:
    form = {"name": "Amira", "password": office.amira.password, "next": elsewhere, "again": elsewhere}
    answer = office.browser().post("/sign-in", form)
    assert answer.headers["location"] == "/queue"


def test_signing_out_ends_the_session(office: Office) -> None:
    browser = office.signed_in()
    assert browser.send("/queue", "/sign-out").headers["location"] == "/sign-in"
    assert not office.rows(ConsoleSession)
    assert browser.get("/queue").status_code == 303


def test_a_page_that_refreshes_itself_does_not_keep_the_session_alive(office: Office) -> None:
    start = clock.now()
    with clock.frozen(start) as move:
        browser = office.signs_in()
        for minutes in (10, 20, 29):
            move(start + timedelta(minutes=minutes))
            assert browser.get("/queue/rows", hx_request="true").status_code == 200
        move(start + timedelta(minutes=31))
        answer = browser.get("/queue/rows", hx_request="true")
    assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/sign-in")


def test_a_reply_in_doubt_names_her_words_that_may_be_lost(office: Office) -> None:
    browser, path = claimed(office)
    made = Translation("Rasparam o cartão.", "argos/test", ("en", "pt"), ("doubtful",), "0", ("tore",))
    office.translator.known["They tore the card.", "en", "pt"] = made
    checked = browser.send(path, f"{path}/reply/preview", {"text": "They tore the card."})
    assert "May be missing or wrong: “tore”" in seen(checked.text)


def test_a_reply_survives_the_end_of_the_session(office: Office) -> None:
    browser, path = claimed(office)
    token = browser.token(path)
    with office.store.transaction() as db:
        db.execute(sa.delete(ConsoleSession))
    lost = browser.post(f"{path}/reply/preview", {"token": token, "text": ENGLISH + "\nSecond line & <more>"})
    assert lost.status_code == 401
    assert "Nothing was sent or saved; your text is kept on this page." in lost.text
    form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', lost.text))
    form = {name: html.unescape(value) for name, value in form.items()}
    wrong = browser.post("/sign-in", {**form, "name": "Amira", "password": "wrong"})
    assert "Second line &amp; &lt;more&gt;" in wrong.text
    back = browser.post("/sign-in", {**form, "name": "Amira", "password": office.amira.password})
    assert (back.status_code, "Your text is kept" in back.text) == (200, True)
    assert f'action="{path}/reply/preview"' in back.text
    assert "Second line &amp; &lt;more&gt;" in back.text
    again = browser.post(f"{path}/reply/preview", {"token": browser.token(path), "text": form["text"]})
    assert again.status_code == 200
    assert not office.rows(CaseMessage)


def test_what_she_is_writing_keeps_the_page_when_the_session_ends(office: Office) -> None:
    browser, path = claimed(office)
    with office.store.transaction() as db:
        db.execute(sa.delete(ConsoleSession))
    idle = browser.get(f"{path}/news?seen=x", hx_request="true")
    assert idle.headers["hx-redirect"] == f"/sign-in?next={path}"
    writing = browser.get(f"{path}/news?seen=x&writing=1", hx_request="true")
    assert "You were signed out" in writing.text
    assert 'id="told" hx-swap-oob="true"' in writing.text


# -- the queue -----------------------------------------------------------------------------------------------------------------


def test_the_queue_shows_the_highest_risk_first_and_then_whoever_waited_longest(office: Office) -> None:
    start = clock.now()
    with clock.frozen(start) as move:
        ids = []
        for minutes, risk in ((0, 0), (1, 2), (2, 3), (3, 2), (4, 1)):
            move(start + timedelta(minutes=minutes))
            ids.append(str(office.report(risk=risk)))
        move(start + timedelta(minutes=25))
        page = office.signed_in().get("/queue").text
    assert re.findall(r'href="/cases/([0-9a-f-]+)"', page) == [ids[2], ids[1], ids[3], ids[4], ids[0]]
    for words in ("Emergency words", "Not safe", "Not sure", "Risk: nothing said", "Unclaimed", "24 min"):
        assert words in seen(page), words
    assert "Order: the highest risk first, then whoever has waited longest." in page


@pytest.mark.parametrize(
    ("kind", "words"),
    [("person_wanted", "Asked for a person"), ("fault", "Not handled by the bot"), ("cannot_be_answered", "Cannot be answered")],
)
def test_the_queue_says_why_a_person_must_look(office: Office, kind: str, words: str) -> None:
    office.report(kind=kind)
    assert words in office.signed_in().get("/queue").text


@pytest.mark.parametrize(("state", "words"), [("silent", "Went silent"), ("opted_out", "Stopped by carrier")])
def test_the_queue_marks_reporters_who_must_not_be_written_to(office: Office, state: str, words: str) -> None:
    office.report()
    with office.store.transaction() as db:
        db.execute(sa.update(Reporter).values(state=state))
    assert words in office.signed_in().get("/queue").text


def test_the_queue_refreshes_only_when_something_changed(office: Office) -> None:
    case, browser = office.report(), office.signed_in()
    with clock.frozen(clock.now()):
        poll = html.unescape(re.search(r'hx-get="(/queue/rows[^"]+)"', browser.get("/queue").text)[1])  # type: ignore[index]
        assert browser.get(poll).status_code == 204
        with office.store.transaction() as db:
            cases.note_event(db, case, "emergency_words", at_least_risk=3)
        fresh = browser.get(poll)
    assert (fresh.status_code, "Emergency words" in fresh.text) == (200, True)
    assert fresh.text.lstrip().startswith('<div id="queue"')


def test_the_queue_shows_hers_alone_or_those_in_danger_and_goes_on_after_a_hundred(office: Office) -> None:
    browser, path = claimed(office)
    danger = office.report(risk=3)
    assert re.findall(r'href="(/cases/[0-9a-f-]+)"', browser.get("/queue?show=mine").text) == [path]
    assert re.findall(r'href="(/cases/[0-9a-f-]+)"', browser.get("/queue?show=danger").text) == [f"/cases/{danger}"]
    assert "There is none here." in browser.get("/queue?tab=closed&show=mine").text
    poll = html.unescape(re.search(r'hx-get="(/queue/rows[^"]+)"', browser.get("/queue?show=mine").text)[1])  # type: ignore[index]
    assert browser.get(poll).status_code == 204
    reporter = office.rows(Reporter)[0].id
    with office.store.transaction() as db:
        for n in range(100):
            db.insert(Case(team_id=office.rows(Case)[0].team_id, reporter_id=reporter, reference=f"MANY-{n:03}"))
    first = browser.get("/queue").text
    onward = html.unescape(re.search(r'href="(/queue\?after=[^"]+)">The next 100', first)[1])  # type: ignore[index]
    second = browser.get(onward).text
    assert ("The first 100" in second, "The next 100" in second) == (True, False)
    shown = [re.findall(r'href="(/cases/[0-9a-f-]+)"', page) for page in (first, second)]
    assert (len(shown[0]), len(shown[1]), len({*shown[0], *shown[1]})) == (100, 2, 102)
    assert browser.get("/queue?after=1.2.x&show=x&tab=y&language=zz").status_code == 200


def test_the_queue_is_narrowed_to_a_language(office: Office) -> None:
    portuguese, arabic = office.report(), office.report({"language": "ar"})
    late, browser = office.report({"language": None}), office.signed_in()
    assert "Portuguese" in seen(browser.get("/queue").text)

    def shown(language: str) -> list[str]:
        return re.findall(r'href="/cases/([0-9a-f-]+)"', browser.get(f"/queue?language={language}").text)

    assert (shown("pt"), shown("ar"), shown("unknown"), shown("so")) == ([str(portuguese)], [str(arabic)], [str(late)], [])
    assert "There is none here." in browser.get("/queue?language=so").text


def test_a_case_is_found_by_its_reference_as_somebody_says_it(office: Office) -> None:
    case, browser = office.report(), office.signed_in()
    reference = office.rows(Case)[0].reference
    for said in (reference, reference.lower().replace("-", " "), f" {reference} "):
        answer = browser.get(f"/queue?reference={said}")
        assert (answer.status_code, answer.headers.get("location")) == (303, f"/cases/{case}")
    assert "Your team has no case" in browser.get("/queue?reference=K7MQ-24XP").text
    assert "Your team has no case" in office.signs_in(office.sam, "Sam").get(f"/queue?reference={reference}").text


def test_closed_cases_have_a_tab_of_their_own(office: Office) -> None:
    browser, path = claimed(office)
    browser.send(path, f"{path}/close")
    assert path not in browser.get("/queue").text
    assert path in browser.get("/queue?tab=closed").text


def test_a_member_lets_a_new_caseworker_in(office: Office) -> None:
    new = staff.add(office.store, "Noor")
    browser = office.signed_in()
    assert "Let Noor in" in seen(browser.get("/queue").text)
    browser.send("/queue", "/queue/let-in", {"newcomer": str(new.caseworker_id)})
    assert office.rows(Caseworker, name="Noor")[0].state == "active"
    case = office.report()
    assert "Ontem um homem" in office.signs_in(new, "Noor").get(f"/cases/{case}").text


def test_nobody_of_another_team_can_let_someone_in(office: Office) -> None:
    new = staff.add(office.store, "Noor")
    sam = office.signs_in(office.sam, "Sam")
    assert "Noor" not in sam.get("/queue").text
    sam.send("/queue", "/queue/let-in", {"newcomer": str(new.caseworker_id)})
    assert office.rows(Caseworker, name="Noor")[0].state == "waiting"


# -- what was told -------------------------------------------------------------------------------------------------------------


def test_the_story_stands_beside_its_translation_with_what_to_check(office: Office) -> None:
    case = office.report()
    office.machine_is_done(STORY_EN, flags=["negation_lost"])
    page = office.signed_in().get(f"/cases/{case}").text
    assert f'<p class="original" lang="pt" dir="ltr">{html.escape(STORY, quote=False)}</p>' in page
    assert f'<p class="translation" lang="en" dir="ltr">{html.escape(STORY_EN, quote=False)}</p>' in page
    assert "Automatic translation (argos/test)" in page
    assert "A “not” of the original may be missing" in page
    assert "Portuguese" in page
    assert "Português" in page


def test_until_the_machine_is_done_the_page_says_so_and_asks_again(office: Office) -> None:
    case, browser = office.report(), office.signed_in()
    page = browser.get(f"/cases/{case}").text
    assert "being translated…" in page
    assert 'hx-trigger="every 3s"' in page
    poll = re.search(r'hx-get="(/cases/[^"]+)"', page)[1]  # type: ignore[index]
    reads = len(office.rows(CaseAction, verb="read"))
    assert browser.get(poll).status_code == 204
    assert len(office.rows(CaseAction, verb="read")) == reads, "asking for news is not a reading"
    office.machine_is_done(STORY_EN)
    fresh = browser.get(poll)
    assert STORY_EN.split("\n")[0] in html.unescape(fresh.text)
    assert 'id="told" hx-swap-oob="true"' in fresh.text
    assert "<textarea" not in re.sub(r"(?s)<section[^>]*decision.*?</section>", "", fresh.text)


def test_a_language_without_a_machine_needs_an_interpreter(office: Office) -> None:
    case = office.report({"language": "so", "story": ["Waan baqayaa"]})
    with office.store.transaction() as db:
        work = work_copies.claim(db)
        assert work is not None
        nothing = {"text": None, "engine": "none", "route": [], "flags": ["interpreter_needed"], "model": ""}
        work_copies.finish(db, work, dict.fromkeys(work.texts, nothing), {"state": "unsupported", "motivations": []})
    page = seen(office.signed_in().get(f"/cases/{case}").text)
    assert "No machine translation: an interpreter is needed" in page
    assert "Waan baqayaa" in page
    assert "the machine does not read this language well enough" in page


def test_a_story_that_holds_markup_is_only_text(office: Office) -> None:
    evil = '<script>alert(1)</script><img src=x onerror=alert(1)> "quoted" & {{ 7*7 }} \u202eright'
    case = office.report({"story": [evil], "perception": evil, "when": evil, "where": evil, "remarks": [evil], "language": "en"})
    story_suggestion = suggested({"code": "race", "confidence": 0.9, "evidence": [span(evil, "<script>")]})
    office.machine_is_done(suggestion=story_suggestion)
    page = office.signed_in().get(f"/cases/{case}").text
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "{{ 7*7 }}" in page
    assert page.count("&lt;img src=x onerror=alert(1)&gt;") >= 5


def test_half_a_surrogate_pair_does_not_break_the_page(office: Office) -> None:
    case = office.report({"story": ["broken \ud83d here"]})
    page = office.signed_in().get(f"/cases/{case}")
    assert page.status_code == 200
    assert "broken \N{REPLACEMENT CHARACTER} here" in page.text


def test_what_was_skipped_is_not_said_and_what_the_story_told_is_not_asked_for(office: Office) -> None:
    case = office.report({"when": None, "told": ["when"], "where": "skipped", "safe_now": "skipped", "perception": None})
    page = seen(office.signed_in().get(f"/cases/{case}").text)
    assert "When Told in the account" in page
    assert "Where Not said" in page
    assert "Safe now? Not said" in page
    assert "Not said. That says nothing about the motivation." in page


def test_an_account_that_was_never_confirmed_says_so(office: Office) -> None:
    case = office.report(kind="person_wanted")
    assert "Not confirmed by the reporter" in office.signed_in().get(f"/cases/{case}").text


def test_a_case_without_any_report_can_be_read(office: Office) -> None:
    office.report()
    with office.store.transaction() as db:
        reporter = lock_reporter(db, office.rows(Reporter)[0].id)
        case = cases.open_case(db, reporter, None, kind="fault").id
        cases.add_reporter_message(db, office.rows(Case)[0], "Oi?", language="pt", message=None)
    page = seen(office.signed_in().get(f"/cases/{case}").text)
    assert "No account was given." in page


def test_no_address_and_no_word_of_a_reporter_is_in_title_url_or_log(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    browser, path = claimed(office)
    office.translator.knows("canary reply", "en", "pt", "canário")
    browser.send(path, f"{path}/reply/preview", {"text": "canary reply"})
    page = browser.get(path).text
    reference = office.rows(Case)[0].reference
    assert f"<title>Case {reference} · Tellonce</title>" in page
    assert "+447" not in page
    assert "canary" not in caplog.text
    assert "Ontem" not in caplog.text


# -- evidence ------------------------------------------------------------------------------------------------------------------


def marks(page: str) -> list[str]:
    return [html.unescape(found) for found in re.findall(r"<mark[^>]*>(.*?)</mark>", page, re.DOTALL)]


def test_evidence_is_marked_in_the_original_with_its_reason(office: Office) -> None:
    case = office.report()
    evidence = [span(STORY, "volta para a tua terra"), span(STORY, "medo", "model_weight")]
    office.machine_is_done(STORY_EN, suggested({"code": "race", "confidence": 0.93, "evidence": evidence}))
    page = office.signed_in().get(f"/cases/{case}").text
    assert marks(page) == ["volta para a tua terra", "medo"]
    text = seen(page)
    assert "Suggestion by machine, not a finding Race or ethnicity likely" in text
    assert "hostile words" in text
    assert "0.93" not in text


@pytest.mark.parametrize(
    "story",
    ["😡😡 he said “go home” 👩‍👩‍👧 twice", "قال لي الرجل go home ثم دفعني 😢", "é́ combining, then go home\nnext line"],
)
def test_evidence_offsets_count_code_points(office: Office, story: str) -> None:
    case = office.report({"story": story.split("\n"), "language": "ar" if "قال" in story else "en"})
    office.machine_is_done(suggestion=suggested({"code": "race", "confidence": 0.6, "evidence": [span(story, "go home")]}))
    page = office.signed_in().get(f"/cases/{case}").text
    assert marks(page) == ["go home"]
    original = re.search(r'<p class="original"[^>]*>(.*?)</p>', page, re.DOTALL)
    assert original is not None
    assert html.unescape(re.sub(r"<[^>]+>", "", original[1])) == story
    assert ('dir="rtl"' in original[0]) == ("قال" in story)
    assert "possible" in page


def test_overlapping_evidence_is_cut_into_passages_and_nothing_is_lost() -> None:
    text = "abcdefgh"
    spans = [{"number": 1, "start": 1, "end": 5}, {"number": 2, "start": 3, "end": 7}, {"number": 3, "start": 6, "end": 99}]
    passages = accounts.marked(text, [*spans, {"number": 4, "start": 5, "end": 5}])
    assert "".join(p.text for p in passages) == text
    assert [(p.text, p.evidence) for p in passages] == [
        ("a", ()),
        ("bc", (1,)),
        ("de", (1, 2)),
        ("f", (2,)),
        ("g", (2, 3)),
        ("h", (3,)),
    ]
    assert [p.starts for p in passages] == [(), (1,), (2,), (), (3,), ()]


def test_an_unclear_suggestion_says_plainly_that_it_is_no_finding(office: Office) -> None:
    case = office.report()
    office.machine_is_done(suggestion={"state": "unclear", "motivations": []})
    assert "That is no sign that there was none." in office.signed_in().get(f"/cases/{case}").text


# -- what a caseworker does ----------------------------------------------------------------------------------------------------


def test_claiming_silences_the_bot_and_shows_the_reply_form(office: Office) -> None:
    case, browser = office.report(), office.signed_in()
    with office.store.transaction() as db:
        outbox.put(db, office.rows(Reporter)[0].id, "bot text", author="bot")
    assert "the bot is silent from now on" in browser.get(f"/cases/{case}").text
    answer = browser.send(f"/cases/{case}", f"/cases/{case}/claim")
    assert answer.status_code == 303
    assert [m.state for m in office.rows(Message, author="bot")] == ["cancelled"]
    assert "Preview the translation" in browser.get(f"/cases/{case}").text


def test_a_second_claim_comes_too_late(office: Office) -> None:
    browser, path = claimed(office)
    late = browser.send(path, f"{path}/claim")
    assert late.status_code == 409
    assert "this case was claimed or closed by somebody else" in late.text


def test_a_reply_is_previewed_translated_back_and_then_sent(office: Office) -> None:
    browser, path = claimed(office)
    office.translator.knows(ENGLISH, "en", "pt", PORTUGUESE, "numbers_changed")
    office.translator.knows(PORTUGUESE, "pt", "en", "Are you safe this night?")
    check = browser.send(path, f"{path}/reply/preview", {"text": ENGLISH})
    text = seen(check.text)
    assert PORTUGUESE in text
    assert "Translated back, it says Are you safe this night?" in text
    assert "A number or a time differs from the original" in text
    assert not office.rows(CaseMessage), "nothing is sent by looking"
    form = hidden(check.text) | {"sent": PORTUGUESE}
    answer = browser.post(f"{path}/reply/send", form)
    assert answer.headers["location"] == f"{path}#chat-end"
    assert browser.post(f"{path}/reply/send", form).status_code == 303
    messages = office.rows(Message, author="caseworker")
    assert len(messages) == 1, "a second click sends nothing"
    body = office.store.vault.reveal(messages[0].body, "message", "body", messages[0].id)
    assert body["text"] == f"Tradução automática. Se não se entende, escreva: errado\n{PORTUGUESE}"
    page = seen(browser.get(path).text)
    assert f"Sent in Portuguese Tradução automática. Se não se entende, escreva: errado {PORTUGUESE}" in page
    assert "Waiting to be sent" in page


def hidden(page: str) -> dict[str, str]:
    """The hidden fields of the form that sends a reply."""
    form = page[page.index("/reply/send") :]
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form)
    return {name: html.unescape(value) for name, value in found}


def test_a_translation_may_be_changed_by_hand_and_checked_again(office: Office) -> None:
    browser, path = claimed(office)
    office.translator.knows(ENGLISH, "en", "pt", PORTUGUESE)
    mine = "Está em segurança hoje à noite?"
    office.translator.knows(mine, "pt", "en", "Are you in safety tonight?")
    first = browser.send(path, f"{path}/reply/preview", {"text": ENGLISH})
    second = browser.post(f"{path}/reply/preview", hidden(first.text) | {"sent": mine})
    assert "Are you in safety tonight?" in second.text
    browser.post(f"{path}/reply/send", hidden(second.text) | {"sent": mine})
    page = seen(browser.get(path).text)
    assert mine in page
    assert "Changed by hand before it was sent" in page


def test_without_a_machine_the_reply_goes_out_as_written_and_says_so(office: Office) -> None:
    browser, path = claimed(office)
    check = browser.send(path, f"{path}/reply/preview", {"text": ENGLISH})
    assert "The text goes out as you wrote it, in English: an interpreter is needed." in seen(check.text)
    assert "Send as written" in check.text
    browser.post(f"{path}/reply/send", hidden(check.text))
    message = office.rows(Message, author="caseworker")[0]
    assert office.store.vault.reveal(message.body, "message", "body", message.id)["text"] == ENGLISH


def test_in_their_own_language_a_reply_is_only_confirmed(office: Office) -> None:
    browser, path = claimed(office, language="en")
    check = browser.send(path, f"{path}/reply/preview", {"text": ENGLISH})
    assert "It goes out exactly as written." in check.text
    assert not office.translator.asked
    browser.post(f"{path}/reply/send", hidden(check.text))
    message = office.rows(Message, author="caseworker")[0]
    assert office.store.vault.reveal(message.body, "message", "body", message.id)["text"] == ENGLISH


@pytest.mark.parametrize(("text", "words"), [("", "Please write your reply first."), ("x" * 1501, "1,500 are the most")])
def test_a_reply_that_is_empty_or_too_long_is_refused_and_kept(office: Office, text: str, words: str) -> None:
    browser, path = claimed(office)
    answer = browser.send(path, f"{path}/reply/preview", {"text": text})
    assert answer.status_code == 422
    assert words in answer.text
    assert text in answer.text
    assert not office.translator.asked


def test_a_translation_that_is_too_long_cannot_be_sent(office: Office) -> None:
    browser, path = claimed(office)
    office.translator.knows(ENGLISH, "en", "pt", "x" * 1490)
    check = browser.send(path, f"{path}/reply/preview", {"text": ENGLISH})
    assert "What would be sent has 1,546 characters." in check.text
    answer = browser.post(f"{path}/reply/send", hidden(check.text) | {"sent": "x" * 1490})
    assert (answer.status_code, office.rows(CaseMessage)) == (422, [])


def test_a_ready_reply_goes_out_in_their_language_without_a_machine(office: Office) -> None:
    browser, path = claimed(office)
    page = seen(browser.get(path).text)
    assert "Ready replies written in Portuguese beforehand" in page
    assert "Are you safe right now? If you are in danger, call 999." in page
    check = browser.send(path, f"{path}/reply/ready", {"chosen": "reply.tomorrow", "time": "18:30"})
    text = seen(check.text)
    assert "It says I will write again tomorrow by 18:30." in text
    assert "no person of this language has read it yet" in text
    browser.post(f"{path}/reply/send", hidden(check.text))
    assert not office.translator.asked
    message = office.rows(Message, author="caseworker")[0]
    sent = office.store.vault.reveal(message.body, "message", "body", message.id)["text"]
    assert sent == replies.reply("reply.tomorrow", "pt").filled(time="18:30")  # type: ignore[union-attr]
    page = seen(browser.get(path).text)
    assert f"I will write again tomorrow by 18:30. Sent in Portuguese {sent}" in page


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"chosen": "reply.nonsense"}, "Please choose one of the ready replies."),
        ({"chosen": "reply.tomorrow", "time": "soon"}, "This reply names a time."),
    ],
)
def test_a_ready_reply_that_is_not_whole_is_not_sent(office: Office, form: dict[str, str], words: str) -> None:
    browser, path = claimed(office)
    answer = browser.send(path, f"{path}/reply/ready", form)
    assert (answer.status_code, words in answer.text) == (422, True)
    forged = {"token": browser.token(path), "id": str(uuid4()), "way": "ready", "to": "pt", "text": "x", "sent": "x", **form}
    assert browser.post(f"{path}/reply/send", forged).status_code == 422
    assert not office.rows(CaseMessage)


def test_what_reads_wrong_is_marked_in_the_chat(office: Office) -> None:
    browser, path = claimed(office)
    for n in (1, 2):
        check = browser.send(path, f"{path}/reply/preview", {"text": f"{ENGLISH} {n}"})
        browser.post(f"{path}/reply/send", hidden(check.text))
    with office.store.transaction() as db:
        cases.note_event(db, office.rows(Case)[0].id, "reads_wrong")
    page = browser.get(path).text
    flagged = re.findall(r'(?s)<li class="line from-caseworker reads-wrong">.*?</li>', page)
    assert len(flagged) == 1
    assert f"{ENGLISH} 2" in flagged[0]
    assert "The reporter says that this reads wrong." in flagged[0]
    assert "The reporter says that our last text reads wrong" in page


def test_whoever_asked_for_silence_is_not_written_to(office: Office) -> None:
    browser, path = claimed(office)
    check = browser.send(path, f"{path}/reply/preview", {"text": ENGLISH})
    with office.store.transaction() as db:
        db.execute(sa.update(Reporter).values(state="silent"))
    answer = browser.post(f"{path}/reply/send", hidden(check.text))
    assert answer.status_code == 422
    assert "The reporter asked for silence." in answer.text
    assert ENGLISH in answer.text
    page = browser.get(path).text
    assert "The reporter asked for silence." in page
    assert 'id="reply-text"' not in page


def test_only_whoever_holds_a_case_can_reply(office: Office) -> None:
    case, browser = office.report(), office.signed_in()
    answer = browser.send(f"/cases/{case}", f"/cases/{case}/reply/preview", {"text": ENGLISH})
    assert (answer.status_code, "Claim the case first" in answer.text) == (422, True)


def test_htmx_gets_the_reply_box_alone(office: Office) -> None:
    browser, path = claimed(office)
    part = browser.send(path, f"{path}/reply/preview", {"text": ENGLISH}, hx_request="true").text
    assert part.lstrip().startswith('<section class="card reply" id="reply"')
    assert "<html" not in part
    back = browser.send(path, f"{path}/reply/change", {"text": ENGLISH}, hx_request="true").text
    assert ENGLISH in back
    assert 'id="reply-text"' in back


def test_what_the_reporter_writes_later_stands_in_the_chat(office: Office) -> None:
    browser, path = claimed(office)
    with office.store.transaction() as db:
        cases.add_reporter_message(db, office.rows(Case)[0], "Ainda tenho medo <b>", language="pt", message=None, attachments=1)
    page = browser.get(path).text
    assert "Ainda tenho medo &lt;b&gt;" in page
    assert "1 file came with this text" in page


def test_a_note_is_read_by_the_team_alone_and_an_empty_one_is_refused(office: Office) -> None:
    case, browser = office.report(), office.signed_in()
    path = f"/cases/{case}"
    assert browser.send(path, f"{path}/note", {"text": "  "}).status_code == 422
    assert browser.send(path, f"{path}/note", {"text": "Ring <her> sister"}).headers["location"] == f"{path}#notes-heading"
    assert "Ring &lt;her&gt; sister" in browser.get(path).text
    assert b"sister" not in office.rows(CaseAction, verb="noted")[0].sealed


def test_decisions_are_added_and_never_replace_each_other(office: Office) -> None:
    case, browser = office.report(), office.signed_in()
    path = f"/cases/{case}"
    browser.send(path, f"{path}/decide", {"motivations": ["race", "religion"], "text": "The words shouted"})
    browser.send(path, f"{path}/decide", {"motivations": ["none"], "text": "A dispute about a seat"})
    page = seen(browser.get(path).text)
    assert "No bias motivation seen Amira" in page
    assert "Race or ethnicity, Religion Amira" in page
    assert "replaced since" in page
    assert len(office.rows(Decision, case_id=case)) == 2


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"text": "why"}, "Please choose at least one motivation"),
        ({"motivations": ["none", "race"], "text": "why"}, "does not go together with a motivation"),
        ({"motivations": ["race"], "text": ""}, "Please write the reason first."),
        ({"motivations": ["nonsense"], "text": "why"}, "Please choose at least one motivation"),
    ],
)
def test_a_decision_needs_a_motivation_and_a_reason(office: Office, form: dict[str, Any], words: str) -> None:
    case, browser = office.report(), office.signed_in()
    answer = browser.send(f"/cases/{case}", f"/cases/{case}/decide", form)
    assert answer.status_code == 422
    assert words in html.unescape(answer.text)
    assert not office.rows(Decision)


def test_closing_gives_the_conversation_back_to_the_bot(office: Office) -> None:
    browser, path = claimed(office)
    browser.send(path, f"{path}/close")
    assert office.rows(Case)[0].state == "closed"
    assert "This case is closed. The bot answers again." in browser.get(path).text
    assert browser.send(path, f"{path}/close").status_code == 409


def test_the_history_says_what_was_done_in_plain_words(office: Office) -> None:
    browser, path = claimed(office)
    with office.store.transaction() as db:
        cases.note_event(db, office.rows(Case)[0].id, "said_not_safe", at_least_risk=2)
    browser.get(path)
    page = seen(browser.get(path).text)
    for words in (
        "The case was opened",
        "Amira claimed the case",
        "The reporter said they are not safe",
        "Amira read the case (2 times)",
    ):
        assert words in page, words
