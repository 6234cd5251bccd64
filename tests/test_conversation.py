"""Whole conversations, as a phone shows them, and what they leave with the caseworkers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from bot import cases, chat, clock, conversation, inbox, sessions
from bot.models import CheckIn, Consent, FlowSession, Message, Reporter
from bot.store import touch_reporter
from bot.testing import FakeChannel, FakeNlu
from bot.understanding import SILENT, Understanding
from flows.engine import load
from tests.exchange import STORY, VICTIM, WITNESS, WITNESS_STORY, Exchange, every_row, open_exchange
from translations import catalog

ARABIC = "صرخ رجل في الحافلة في وجهي وقال ارجعي إلى بلدك ثم دفعني بقوة"
ARABIC_WITNESS = "رأيت رجلين يبصقان على امرأة أمام المسجد ويصرخان في وجهها بسبب دينها"
PORTUGUESE = "Um homem no ônibus gritou para eu voltar para a minha terra e me empurrou com força"
PORTUGUESE_WITNESS = "Eu vi dois homens cuspirem numa mulher na frente da mesquita e gritarem por causa da religião dela"
POLISH = "Jakiś mężczyzna krzyczał na mnie w autobusie, żebym wracała do swojego kraju i mnie popchnął"


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[Exchange]:
    with open_exchange(tmp_path) as opened:
        yield opened


def state(exchange: Exchange) -> str:
    return str(exchange.rows(Reporter)[0].state)


def session(exchange: Exchange) -> FlowSession | None:
    return next((s for s in exchange.rows(FlowSession) if not s.is_over), None)


def rendered(msgid: str, language: str = "en", **values: object) -> str:
    return catalog.render(msgid, language, **{"emergency": "999", "organisation": "Hope House", **values})


# -- whole reports -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("language", "story"), [("en", STORY), ("pt", PORTUGUESE), ("ar", ARABIC)])
def test_a_victim_tells_once_and_a_sealed_case_waits_in_the_queue(exchange: Exchange, language: str, story: str) -> None:
    caller = exchange.reports(story, *VICTIM[1:])
    for msgid in ("welcome.emergency", "welcome.who", "card.sms", "welcome.limits", "welcome.skip", "more.ask"):
        assert rendered(msgid, language) in caller.heard[0]
    assert rendered("story.ask", language) not in "".join(caller.heard)
    case = exchange.case()
    assert case.reference in caller.heard[-1] and (case.kind, case.state, case.risk) == ("report", "open", 0)
    file = exchange.file()
    assert file.report["story"] == [story] and file.language == language
    assert (file.report["role"], file.report["when"], file.report["where"]) == ("victim", VICTIM[4], VICTIM[5])
    assert [p["text"] for p in file.perceptions] == [VICTIM[3]]
    assert session(exchange) is None and len(exchange.rows(CheckIn)) == 1
    assert {(c.purpose, c.is_given) for c in exchange.rows(Consent)} == {("contact", True), ("check_in", True)}


@pytest.mark.parametrize(("language", "story"), [("en", WITNESS_STORY), ("pt", PORTUGUESE_WITNESS), ("ar", ARABIC_WITNESS)])
def test_an_anonymous_witness_gives_the_story_alone(exchange: Exchange, language: str, story: str) -> None:
    caller = exchange.reports(story, *WITNESS[1:])
    assert rendered("motive.witness", language) in caller.heard[2] and rendered("safe.ask", language) not in "".join(caller.heard)
    file = exchange.file()
    assert file.report["role"] == "witness" and file.report["story"] == [story] and file.contact == "anonymous"
    assert exchange.rows(CheckIn) == [] and exchange.rows(Consent) == []


def test_who_only_says_hello_is_asked_what_happened(exchange: Exchange) -> None:
    caller = exchange.caller()
    assert rendered("story.ask") in caller.says("hello there")
    assert rendered("more.ask") in caller.says(STORY)
    for text in VICTIM[1:]:
        caller.says(text)
    assert exchange.file().report["story"] == [STORY] and exchange.file().report["remarks"] == []


def test_what_the_story_tells_is_not_asked_for_again(tmp_path: Path) -> None:
    nlu = FakeNlu({STORY: Understanding("report", 0.9, frozenset({"when", "where"}))})
    with open_exchange(tmp_path, nlu) as exchange:
        caller = exchange.reports(STORY, "1", "1", "My headscarf", "Yes, the first time")
        assert rendered("safe.ask") in caller.heard[-1]
        assert rendered("when.ask") not in "".join(caller.heard) and rendered("where.ask") not in "".join(caller.heard)


def test_every_question_can_be_skipped(exchange: Exchange) -> None:
    caller = exchange.caller()
    caller.says("hello there")
    answered = 0
    while rendered("readback.intro") not in caller.heard[-1]:
        caller.says(("0", "skip")[answered % 2])
        answered += 1
        assert answered < 12
    caller.says("1")
    report = exchange.file().report
    assert report["story"] == [] and report["role"] == report["when"] == report["where"] == "skipped"
    assert exchange.file().perceptions == [] or exchange.file().perceptions[0]["text"] == "skipped"


def test_something_can_be_changed_before_it_is_sent(exchange: Exchange) -> None:
    caller = exchange.reports(*VICTIM[:-1])
    for text in ("2", "3", "Last Sunday", "2", "1", "He only shouted"):
        caller.says(text)
    assert "When: Last Sunday" in caller.heard[-1] and "He only shouted" in caller.heard[-1] and STORY not in caller.heard[-1]
    caller.says("1")
    assert exchange.file().report["story"] == ["He only shouted"] and exchange.file().report["when"] == "Last Sunday"


def test_more_can_be_told_again_and_again(exchange: Exchange) -> None:
    exchange.reports(STORY, "And he followed me home", "He knew my name", *VICTIM[1:])
    assert exchange.file().report["story"] == [STORY, "And he followed me home", "He knew my name"]


def test_words_written_where_a_number_was_asked_are_kept(exchange: Exchange) -> None:
    exchange.reports(STORY, "1", "It happened to my sister and to me", *VICTIM[2:])
    assert exchange.file().report["remarks"] == ["It happened to my sister and to me"]


def test_not_safe_stands_high_in_the_queue(exchange: Exchange) -> None:
    caller = exchange.reports(*VICTIM[:6], "2")
    assert rendered("safe.emergency") in caller.heard[-1]
    for text in VICTIM[7:]:
        caller.says(text)
    assert exchange.case().risk == cases.NOT_SAFE


# -- languages -----------------------------------------------------------------------------------------------------------------


def test_a_first_text_that_says_no_language_is_answered_with_the_menu(exchange: Exchange) -> None:
    caller = exchange.caller()
    menu = caller.says("ok")
    assert rendered("language.choose") in menu and "Português" in menu and "العربية" in menu
    number = next(line.split()[0] for line in menu.splitlines() if "Português" in line)
    assert rendered("story.ask", "pt") in caller.says(number)


def test_the_menu_takes_a_name_or_a_story_too(exchange: Exchange) -> None:
    by_name, by_story = exchange.caller("+1"), exchange.caller("+2")
    by_name.says("ok")
    assert rendered("story.ask", "pt") in by_name.says("português")
    by_story.says("ok")
    assert rendered("more.ask", "pt") in by_story.says(PORTUGUESE)


def test_the_language_can_be_changed_at_any_question(exchange: Exchange) -> None:
    caller = exchange.reports(STORY, "1")
    options = [rendered(f"option.role.{role}", "pt") for role in ("victim", "witness", "on_behalf")]
    assert caller.says("Português") == "\n".join(
        [rendered("role.ask", "pt"), *(f"{n} {o}" for n, o in enumerate(options, start=1))]
    )


def test_a_language_we_have_no_words_in_is_answered_kindly_and_kept(exchange: Exchange) -> None:
    caller = exchange.reports(POLISH, *VICTIM[1:])
    assert rendered("language.unsupported") in caller.heard[0]
    assert exchange.file().report["story"] == [POLISH] and exchange.file().language == "pl"


@pytest.mark.parametrize("nothing", [("", 1), ("", 0), ("  ", 0)])
def test_a_first_text_without_words_does_not_settle_the_language(exchange: Exchange, nothing: tuple[str, int]) -> None:
    caller = exchange.caller()
    caller.says(*nothing)
    assert rendered("more.ask", "pt") in caller.says(PORTUGUESE)


# -- danger --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", range(len(VICTIM)))
def test_emergency_words_bring_the_emergency_number_at_any_question(exchange: Exchange, told: int) -> None:
    caller = exchange.reports(*VICTIM[:told]) if told else exchange.caller()
    assert rendered("emergency.now") in caller.says("help me now he has a knife")
    assert rendered("emergency.now") not in caller.says("he has a knife")


def test_emergency_words_are_answered_once_an_hour(exchange: Exchange) -> None:
    with clock.frozen(clock.now()) as move:
        caller = exchange.reports()
        heard = []
        for _ in range(5):
            heard.append(rendered("emergency.now") in caller.says("he has a knife"))
            move(clock.now() + timedelta(minutes=20))
    assert heard == [True, False, False, True, False]


def test_a_report_in_between_does_not_bring_the_emergency_text_twice_in_an_hour(exchange: Exchange) -> None:
    caller = exchange.reports("he has a knife, " + STORY, *VICTIM[1:])
    assert exchange.case().risk == cases.EMERGENCY
    assert rendered("emergency.now") not in caller.says("he has a knife")


def test_emergency_words_in_a_claimed_case_reach_phone_and_caseworker(exchange: Exchange) -> None:
    caller = exchange.reports()
    exchange.claims()
    assert caller.says("help, he has a knife") == rendered("emergency.now")
    assert exchange.case().risk == cases.EMERGENCY and exchange.case().is_unread
    assert [line.text for line in exchange.file().chat] == ["help, he has a knife"]
    assert caller.says("he has a knife") == ""


def test_emergency_words_are_part_of_a_case_that_a_person_was_wanted_for(exchange: Exchange) -> None:
    exchange.reports(STORY, "they are outside my door", "person")
    assert (exchange.case().kind, exchange.case().risk) == ("person_wanted", cases.EMERGENCY)


def test_danger_that_only_understanding_sees_adds_the_emergency_text(tmp_path: Path) -> None:
    nlu = FakeNlu({"he came back and is banging": Understanding("in_danger", 0.9), "not sure": Understanding("in_danger", 0.3)})
    with open_exchange(tmp_path, nlu) as exchange:
        caller = exchange.reports(STORY)
        assert rendered("emergency.now") not in caller.says("not sure")
        assert rendered("emergency.now") in caller.says("he came back and is banging")


def test_words_of_danger_in_a_report_not_sent_are_shown_at_once_and_nothing_else_is(exchange: Exchange) -> None:
    caller = exchange.reports(STORY, "1", "1")
    heard = caller.says("help me now he has a knife")
    assert rendered("emergency.now") in heard and rendered("emergency.shown") in heard
    assert (exchange.case().kind, exchange.case().risk) == ("emergency", cases.EMERGENCY)
    assert exchange.file().report == {} and [line.text for line in exchange.file().chat] == ["help me now he has a knife"]
    assert rendered("emergency.shown") not in caller.says("Bus 14, Hill Road")
    assert [line.text for line in exchange.file().chat] == ["help me now he has a knife"]


def test_a_report_becomes_the_case_that_its_words_of_danger_opened(exchange: Exchange) -> None:
    caller = exchange.reports(f"he has a knife, {STORY}", *VICTIM[1:])
    assert len(exchange.rows(cases.Case)) == 1
    assert (exchange.case().kind, exchange.case().risk) == ("report", cases.EMERGENCY)
    assert exchange.file().report["story"] == [f"he has a knife, {STORY}"] and exchange.case().reference in caller.heard[-1]
    assert "report_came" in [a["verb"] for a in exchange.file().actions]


def test_a_report_erased_unsent_leaves_only_its_words_of_danger(exchange: Exchange) -> None:
    exchange.reports(STORY, "1", "they are outside my door")
    with clock.frozen(clock.now() + timedelta(days=31)), exchange.store.transaction() as db:
        assert sessions.erase_expired(db) == 1
    assert [line.text for line in exchange.file().chat] == ["they are outside my door"] and exchange.file().report == {}


@pytest.mark.parametrize("words", ["I want to die", "I am 12 and they hit me", "my carer hits me"])
def test_words_of_self_harm_or_of_someone_at_risk_are_shown_at_once_too(exchange: Exchange, words: str) -> None:
    caller = exchange.caller()
    assert rendered("emergency.shown") in caller.says(words)
    assert (exchange.case().kind, exchange.case().risk) == ("emergency", cases.EMERGENCY)
    assert [line.text for line in exchange.file().chat] == [words]


def test_a_claim_leaves_the_emergency_text_and_silence_takes_it_back(exchange: Exchange) -> None:
    for word, heard in ((None, [rendered("emergency.now") + "\n" + rendered("emergency.shown")]), ("silence", [])):
        caller = exchange.caller(f"+44{len(heard)}")
        caller.writes("help me now he has a knife")
        exchange.telephone.answer()
        if word:
            caller.writes(word)
            exchange.telephone.answer()
        else:
            exchange.claims()
        exchange.telephone.send()
        assert caller.heard == heard


def test_danger_that_only_understanding_hears_counts_in_the_first_text_and_shows_no_word(tmp_path: Path) -> None:
    nlu = FakeNlu({STORY: Understanding("in_danger", 0.9)})
    with open_exchange(tmp_path, nlu) as exchange:
        heard = exchange.caller().says(STORY)
        assert rendered("emergency.now") in heard and rendered("emergency.shown") not in heard
        assert (exchange.case().kind, exchange.case().risk) == ("emergency", cases.NOT_SURE)
        assert exchange.file().chat == [] and "danger_guessed" in [a["verb"] for a in exchange.file().actions]


def test_emergency_words_of_one_who_opted_out_alert_the_caseworkers_without_a_text(exchange: Exchange) -> None:
    caller = exchange.reports()
    caller.says("STOP")
    assert caller.says("he has a knife") == ""
    assert exchange.case().risk == cases.EMERGENCY


# -- silence -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", range(len(VICTIM) + 1))
def test_silence_is_kept_at_any_question(exchange: Exchange, told: int) -> None:
    word = ("silence", "Silêncio.", "SILENCE!")[told % 3]
    caller = exchange.reports(*VICTIM[:told]) if told else exchange.caller()
    caller.writes("one more thing")
    exchange.telephone.answer()  # an answer is queued, and is taken back
    assert caller.says(word) == ""
    assert state(exchange) == "silent"
    assert all(m.body is None for m in exchange.rows(Message)) and {c.state for c in exchange.rows(CheckIn)} <= {"cancelled"}
    with clock.frozen(clock.now() + timedelta(days=4)):
        assert exchange.telephone.send() == 0


def test_silence_counts_only_as_the_whole_message(exchange: Exchange) -> None:
    caller = exchange.reports(STORY)
    assert caller.says("He told me to be in silence and to go away") != ""
    assert state(exchange) == "open"


def test_silence_takes_back_the_caseworkers_text_too_and_she_sees_it(exchange: Exchange) -> None:
    caller = exchange.reports()
    case = exchange.claims()
    exchange.replies(case, "Are you well?")
    assert caller.says("silence") == ""
    assert "went_silent" in [a["verb"] for a in exchange.file(case).actions]
    with pytest.raises(cases.CannotReply, match="silence"):
        exchange.replies(case, "Hello?")


def test_who_comes_back_from_silence_hears_only_neutral_words(exchange: Exchange) -> None:
    caller = exchange.reports(STORY, "1")
    caller.says("silence")
    assert caller.says("hello") == rendered("resume.neutral")
    assert caller.says("who is this?") == rendered("resume.neutral")
    assert rendered("role.ask") in caller.says("1")
    for text in VICTIM[2:]:
        caller.says(text)
    assert set(exchange.file().report["remarks"]) == {"hello", "who is this?"}


def test_a_story_told_on_coming_back_is_not_asked_for_again(exchange: Exchange) -> None:
    caller = exchange.caller()
    caller.says("silence")
    assert caller.says(STORY) == rendered("resume.neutral")
    assert rendered("more.ask") in caller.says("1")


def test_who_writes_again_in_a_claimed_case_can_be_answered_again(exchange: Exchange) -> None:
    caller = exchange.reports()
    case = exchange.claims()
    for stop, again in (("silence", "I am back"), ("STOP", "START")):
        caller.says(stop)
        assert caller.says(again) == ""
        assert state(exchange) == "open"
        exchange.replies(case, "Good to hear from you")
        exchange.telephone.send()
        assert caller.heard[-1] == "Good to hear from you"


def test_the_carriers_stop_is_not_answered_and_nothing_is_lost(exchange: Exchange) -> None:
    caller = exchange.reports()
    assert caller.says("STOP") == "" and state(exchange) == "opted_out"
    assert caller.says("He was there again") == ""
    assert [line.text for line in exchange.file().chat] == ["He was there again"]
    assert {c.state for c in exchange.rows(CheckIn)} == {"cancelled"}


def test_words_after_the_carriers_stop_without_a_case_become_one(exchange: Exchange) -> None:
    caller = exchange.caller()
    caller.says("STOP")
    assert caller.says(STORY) == ""
    assert exchange.case().kind == "cannot_be_answered" and exchange.file().report["story"] == [STORY]


def test_start_opens_the_conversation_again(exchange: Exchange) -> None:
    caller = exchange.reports(STORY, "1")
    caller.says("STOP")
    assert caller.says("START") == rendered("resume.neutral") and state(exchange) == "open"
    assert rendered("role.ask") in caller.says("1")
    for text in VICTIM[2:]:
        caller.says(text)
    assert exchange.file().report["remarks"] == []


# -- a person ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", range(len(VICTIM)))
def test_a_person_can_be_asked_for_at_any_question(exchange: Exchange, told: int) -> None:
    caller = exchange.reports(*VICTIM[:told]) if told else exchange.caller()
    assert caller.says("a person please") == rendered("person.requested")
    assert exchange.case().kind == "person_wanted" and session(exchange) is None
    if told:
        assert exchange.file().report["story"] == [STORY]


def test_a_person_can_be_asked_for_at_the_language_menu(exchange: Exchange) -> None:
    caller = exchange.caller()
    caller.says("ok")
    assert caller.says("pessoa") == rendered("person.requested", "pt")
    assert exchange.case().kind == "person_wanted"


def test_asking_for_a_person_after_a_report_marks_its_case(exchange: Exchange) -> None:
    caller = exchange.reports()
    assert caller.says("person") == rendered("person.requested")
    assert len(exchange.rows(cases.Case)) == 1 and "person_wanted" in [a["verb"] for a in exchange.file().actions]


# -- a claimed case ------------------------------------------------------------------------------------------------------------


def test_texts_in_a_claimed_case_are_sealed_and_never_answered(exchange: Exchange) -> None:
    caller = exchange.reports()
    case = exchange.claims()
    texts = ["He was there again", "1", "", "new", "person", "Português", "0", "hello"]
    assert [caller.says(text) for text in texts] == [""] * len(texts)
    assert [line.text for line in exchange.file(case).chat] == texts
    exchange.closes(case)
    assert caller.says("hello") != ""


def test_a_claim_takes_over_what_an_unfinished_report_already_told(exchange: Exchange) -> None:
    caller = exchange.reports()
    caller.says("new")
    for text in (WITNESS_STORY, "1", "2", "They shouted about it", "Today"):
        caller.says(text)
    case = exchange.claims()
    assert session(exchange) is None
    assert [line.text for line in exchange.file(case).chat] == [WITNESS_STORY, "They shouted about it", "Today"]


def test_a_claim_loses_nothing_of_what_waited_for_an_answer(exchange: Exchange) -> None:
    with clock.frozen(clock.now()) as move:
        caller = exchange.reports()
        for text in ("new", WITNESS_STORY, "1", "2", "They shouted about it", "Today", "At the mosque"):
            caller.says(text)
        move(clock.now() + timedelta(days=5))
        assert rendered("resume.ask") in caller.says("He was there again")
        case = exchange.claims()
        told = [WITNESS_STORY, "They shouted about it", "Today", "At the mosque", "He was there again"]
        assert [line.text for line in exchange.file(case).chat] == told


def test_a_claim_takes_over_what_was_told_of_earlier_times(tmp_path: Path) -> None:
    nlu = FakeNlu({STORY: Understanding("report", 0.9, frozenset({"when"}))})
    with open_exchange(tmp_path, nlu) as exchange:
        exchange.reports("he has a knife", STORY, "1", "1", "My headscarf", "It is the third time")
        case = exchange.claims()
        assert "It is the third time" in [line.text for line in exchange.file(case).chat]


def test_what_was_told_before_a_fault_is_there_when_its_case_is_claimed(exchange: Exchange) -> None:
    caller = exchange.reports(STORY, "1", "1", "My headscarf")
    caller.writes("Yesterday")
    with exchange.store.transaction() as db:
        message = inbox.claim_next(db)
    assert message is not None
    exchange.telephone.conversation.hand_over(message)
    case = exchange.claims()
    assert exchange.file(case).report["story"] == ["Yesterday"]
    assert [line.text for line in exchange.file(case).chat] == [STORY, "My headscarf"]


def test_a_text_after_the_report_is_added_to_the_case(exchange: Exchange) -> None:
    caller = exchange.reports()
    assert caller.says("I remember his jacket was red") == rendered("added")
    assert caller.says("", attachments=2) == rendered("attachment.only")
    assert [(line.text, line.attachments) for line in exchange.file().chat] == [("I remember his jacket was red", 0), ("", 2)]


def test_a_new_report_can_be_begun_beside_an_open_case(exchange: Exchange) -> None:
    caller = exchange.reports()
    assert rendered("story.ask") in caller.says("new report")
    for text in (WITNESS_STORY, *WITNESS[1:]):
        caller.says(text)
    assert len(exchange.rows(cases.Case)) == 2


# -- the word they chose -------------------------------------------------------------------------------------------------------

WITH_WORD = (*VICTIM[:-2], "1 Rosé", VICTIM[-1])


def test_a_word_written_beside_the_number_is_asked_for_before_the_report_is_spoken_of(exchange: Exchange) -> None:
    caller = exchange.reports(*WITH_WORD)
    assert exchange.file().report["remarks"] == [] and len(exchange.rows(CheckIn)) == 1
    assert caller.says("status") == rendered("word.ask")
    assert caller.says("tulip") == rendered("word.wrong")
    assert rendered("return.ask") in caller.says("rose!")
    assert rendered("status.open") in caller.says("1")


def test_three_wrong_words_end_it_for_a_day_and_the_code_still_opens(exchange: Exchange) -> None:
    with clock.frozen(clock.now()) as move:
        caller = exchange.reports(*WITH_WORD)
        code = caller.heard[-1].partition("code: ")[2][:19]
        assert [caller.says(text) for text in ("status", "a", "b", "c")][-2:] == [rendered("word.wrong"), rendered("word.person")]
        assert "word_wrong" in [a["verb"] for a in exchange.file().actions]
        assert caller.says("my report") == rendered("word.person")
        assert rendered("return.ask") in caller.says(code)
        move(clock.now() + timedelta(days=3))
        assert caller.says("status") == rendered("word.ask")
        assert rendered("return.ask") in caller.says(code)


def test_the_word_lies_nowhere_as_it_was_written(exchange: Exchange) -> None:
    exchange.reports(*VICTIM[:-2], "1 Zitronenfalter", VICTIM[-1])
    with exchange.store.transaction() as db:
        for table, row in every_row(db):
            for column, value in row.items():
                assert "itronenfalter" not in repr(value), f"{table.name}.{column}"
        reporter = exchange.rows(Reporter)[0]
        profile = db.vault.reveal(reporter.profile, "reporter", "profile", reporter.id)
    assert set(next(iter(profile["words"].values()))) == {"salt", "verifier"} and "itronenfalter" not in repr(profile)
    assert "itronenfalter" not in repr(chat.records(exchange.store, exchange.desk.opener))


def test_without_a_word_the_code_is_asked_for(exchange: Exchange) -> None:
    assert exchange.reports().says("status") == rendered("return.code_wanted")


def test_after_days_the_word_comes_before_what_was_told(exchange: Exchange) -> None:
    with clock.frozen(clock.now()) as move:
        caller = exchange.reports(*WITH_WORD[:-1])
        assert rendered("readback.intro") in caller.heard[-1]
        move(clock.now() + timedelta(days=4))
        assert rendered("resume.ask") in caller.says("hello")
        assert caller.says("1") == rendered("word.ask")
        assert STORY not in caller.says("a") + caller.says("b") + caller.says("c") + caller.says("rose")
        move(clock.now() + timedelta(days=1, hours=1))
        assert STORY in caller.says("rose")
        assert rendered("person.requested") == caller.says("person")


def test_a_word_can_be_chosen_later_with_the_code_from_any_phone(exchange: Exchange) -> None:
    caller = exchange.reports()
    code = caller.heard[-1].partition("code: ")[2][:19]
    other = exchange.caller("+447700900999")
    assert rendered("option.return.word") in other.says(code)
    assert other.says("6") == rendered("word.choose")
    assert other.says("Rose") == rendered("word.kept")
    assert caller.says("status") == rendered("word.ask")
    assert rendered("return.ask") in caller.says("rose")


def test_a_new_report_with_another_word_does_not_open_the_old_one(exchange: Exchange) -> None:
    caller = exchange.reports(*WITH_WORD)
    old = exchange.case().id
    caller.says("new")
    for text in (*VICTIM[:-2], "1 tulip", VICTIM[-1]):
        caller.says(text)
    caller.says("status")
    caller.says("tulip")
    caller.says("2")
    caller.says("One thing more")
    assert exchange.file(old).chat == [] and [line.text for line in exchange.file().chat] == ["One thing more"]


def test_a_code_sent_days_ago_opens_nothing_any_more(exchange: Exchange) -> None:
    with clock.frozen(clock.now()) as move:
        caller = exchange.reports()
        caller.says(caller.heard[-1].partition("code: ")[2][:19])
        move(clock.now() + timedelta(days=3))
        assert rendered("status.open") not in caller.says("1")


# -- a reply that reads wrong --------------------------------------------------------------------------------------------------


def test_a_reply_that_reads_wrong_is_marked_in_its_case_and_the_bot_stays_silent(exchange: Exchange) -> None:
    caller = exchange.reports()
    case = exchange.claims()
    assert caller.says("wrong") == "" and "reads_wrong" not in [a["verb"] for a in exchange.file(case).actions]
    exchange.replies(case, "A resposta")
    exchange.telephone.send()
    assert caller.says("Errado!") == "" and exchange.case().is_unread
    assert "reads_wrong" in [a["verb"] for a in exchange.file(case).actions]
    assert [line.text for line in exchange.file(case).chat] == ["wrong", "A resposta", "Errado!"]
    exchange.closes(case)
    exchange.telephone.send()
    assert caller.says("this reads wrong") == rendered("reads_wrong.thanks")


def test_wrong_is_an_answer_like_any_other_while_a_report_is_told(exchange: Exchange) -> None:
    caller = exchange.reports(*VICTIM[:3])
    assert rendered("when.ask") in caller.says("wrong")
    assert exchange.rows(cases.Case) == []


# -- anything a phone can send -------------------------------------------------------------------------------------------------

ODD = {
    "long": "word " * 2_000,
    "one long word": "x" * 10_000,
    "control": "he\0 hit\x07 me\x1b[31m on the bus today",
    "override": "\u202ehe hit me on the bus today\u202c",
    "emoji": "👊😡🚌👩‍👩‍👧‍👧 \U0001f1e7\U0001f1f7",
    "half a character": "he hit me on the bus \ud83d today",
    "only marks": "\u0301\u0301\u200f",
    "braces": "{story} {0} %s %(x)s",
}


@pytest.mark.parametrize("kind", ODD)
def test_anything_a_phone_can_send_is_answered_and_kept(exchange: Exchange, kind: str) -> None:
    caller = exchange.caller()
    assert caller.says(ODD[kind]) != ""
    by_now = exchange.caller("+2")
    for text in ("hello there", ODD[kind], *VICTIM[1:]):
        by_now.says(text)
    assert exchange.file().report["story"] == [ODD[kind]]
    assert all(len(m.text) <= exchange.channel.max_length for m in exchange.channel.sent)


@pytest.mark.parametrize(("attachments", "msgid"), [(1, "attachment.only"), (0, "empty")])
def test_a_text_without_words_is_answered_and_moves_nothing(exchange: Exchange, attachments: int, msgid: str) -> None:
    caller = exchange.reports(STORY, "1")
    assert caller.says("", attachments) == rendered(msgid)
    assert rendered("motive.victim") in caller.says("1")


def test_a_very_long_story_is_read_back_whole_in_parts_of_one_text_each(tmp_path: Path) -> None:
    story = STORY + " and then".join(f" he said thing {n}" for n in range(300))
    with open_exchange(tmp_path, channel=FakeChannel(max_length=160)) as exchange:
        caller = exchange.reports(story, *VICTIM[1:-2])
        before = len(caller.heard)
        back = caller.says(VICTIM[-2])
        assert all(len(text) <= 160 for text in caller.heard)
        assert len(caller.heard) - before > 40 and story in "".join(caller.heard[before:]) and "1 Yes, send it" in back


def test_buttons_are_offered_where_there_are_buttons(tmp_path: Path) -> None:
    with open_exchange(tmp_path, channel=FakeChannel("telegram", has_buttons=True)) as exchange:
        caller = exchange.reports(STORY, "1")
        assert rendered("card.telegram") in caller.heard[0] and "1 Me" not in caller.heard[1]
        assert [(c.number, c.label) for c in exchange.channel.sent[1].choices] == [
            ("1", "Me"),
            ("2", "Someone else, I saw it"),
            ("3", "Someone else, I report for them"),
        ]
        assert rendered("motive.victim") in caller.says("Me")


# -- understanding that fails --------------------------------------------------------------------------------------------------


def test_without_understanding_a_report_goes_through(tmp_path: Path) -> None:
    with open_exchange(tmp_path, FakeNlu()) as exchange:
        exchange.reports()
        assert exchange.file().report["told"] == []


def test_understanding_that_raises_loses_no_text(exchange: Exchange) -> None:
    class Raising:
        def understand(self, text: str, language: str | None = None) -> Understanding:
            raise RuntimeError("no")

    caller = exchange.reports("hello there")
    telephone = exchange.telephone
    telephone.conversation._nlu = Raising()
    caller.writes(STORY)
    with exchange.store.transaction() as db:
        message = inbox.claim_next(db)
    assert message is not None
    with pytest.raises(RuntimeError):
        telephone.conversation.handle(message)
    with exchange.store.transaction() as db:
        inbox.put_back(db, message)
    telephone.conversation._nlu = FakeNlu()
    with clock.frozen(clock.now() + timedelta(seconds=10)):
        assert telephone.answer() == 1
        telephone.send()
    assert rendered("more.ask") in caller.heard[-1]


# -- time, other hands and other releases --------------------------------------------------------------------------------------


def test_a_conversation_that_moved_meanwhile_is_read_again(exchange: Exchange) -> None:
    class Claiming(FakeNlu):
        """Takes so long that a caseworker claims the case meanwhile."""

        def understand(self, text: str, language: str | None = None) -> Understanding:
            if text == "About the bus driver" and exchange.case().state == "open":
                exchange.claims()
            return SILENT

    caller = exchange.reports()
    caller.says("new")
    exchange.telephone.conversation._nlu = Claiming()
    assert caller.says("About the bus driver") == ""
    assert [line.text for line in exchange.file().chat] == ["About the bus driver"]


def test_a_conversation_that_never_rests_goes_back_into_the_line(exchange: Exchange) -> None:
    class Moving(FakeNlu):
        def understand(self, text: str, language: str | None = None) -> Understanding:
            with exchange.store.transaction() as db:
                touch_reporter(db, exchange.rows(Reporter)[0].id)
            return SILENT

    caller = exchange.reports("hello there")
    exchange.telephone.conversation._nlu = Moving()
    caller.writes(STORY)
    with exchange.store.transaction() as db:
        message = inbox.claim_next(db)
    assert message is not None
    with pytest.raises(conversation.Moved):
        exchange.telephone.conversation.handle(message)
    assert [m.state for m in exchange.rows(Message) if m.direction == "in"] == ["done", "waiting"]


def test_a_node_that_a_new_release_no_longer_has_loses_nothing(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    caller = exchange.reports(STORY, "1", "1", "My headscarf")
    flows = load()
    left = {name: node for name, node in flows["report"].nodes.items() if name != "when"}
    left["motive"] = type(left["motive"])(**{**_slots(left["motive"]), "next": (((), "where"),)})
    report = type(flows["report"])("report", "welcome", left, flows["report"].lists)
    exchange.telephone.conversation._flows = {**flows, "report": report}
    assert rendered("role.ask") not in caller.says("Yesterday evening")
    for text in ("1", "My headscarf", "Bus 14", "1", "2", "1"):
        caller.says(text)
    report_kept = exchange.file().report
    assert report_kept["story"] == [STORY] and "Yesterday evening" in report_kept["remarks"]


def _slots(node: object) -> dict[str, object]:
    return {name: getattr(node, name) for name in type(node).__slots__}  # type: ignore[attr-defined]


def test_an_unfinished_conversation_is_erased_after_thirty_days(exchange: Exchange) -> None:
    caller = exchange.reports(STORY, "1")
    with clock.frozen(clock.now() + timedelta(days=29)), exchange.store.transaction() as db:
        assert sessions.erase_expired(db) == 0
    with clock.frozen(clock.now() + timedelta(days=31)):
        with exchange.store.transaction() as db:
            assert sessions.erase_expired(db) == 1
        assert [s.body for s in exchange.rows(FlowSession)] == [None]
        assert rendered("welcome.who") in caller.says("hello")


def test_a_session_that_cannot_be_read_still_lets_a_person_have_the_words(exchange: Exchange) -> None:
    caller = exchange.reports(STORY)
    with exchange.store.transaction() as db:
        db.execute(sa.update(FlowSession).values(body=b"damaged"))
    caller.writes("Yesterday evening")
    with exchange.store.transaction() as db:
        message = inbox.claim_next(db)
    assert message is not None
    with pytest.raises(Exception, match="flow_session"):
        exchange.telephone.conversation.handle(message)
    exchange.telephone.conversation.hand_over(message)
    assert exchange.case().kind == "fault" and exchange.file().report["story"] == ["Yesterday evening"]


def test_a_whole_conversation_logs_no_word(exchange: Exchange, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        exchange.reports("Zitronenfalter " + STORY, *VICTIM[1:])
    ours = [r.getMessage() for r in caplog.records if r.name.startswith(("bot", "flows", "translations"))]
    assert not any(word in line for line in ours for word in ("Zitronenfalter", "447700900123", "headscarf", "Hill Road"))
