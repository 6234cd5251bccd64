"""When people answer: read from one line of settings, and the next opening over nights, weekends, holidays and clock changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot import app, clock
from bot.effects import Voice
from bot.hours import Hours, read_hours
from bot.settings import Settings, WrongSetting
from flows.places import load_places
from tests.exchange import VICTIM, Exchange, open_exchange
from translations import catalog

OFFICE = "mon-fri 9:00-17:00, sat 10:00-13:00"
NOON_ON_FRIDAY = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)


def hours(days: str = OFFICE, holidays: str = "", zone: str = "Europe/London") -> Hours:
    found = read_hours(days, holidays, zone)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-11-27T12:00", None),
        ("2026-11-27T08:59", "2026-11-27T09:00"),
        ("2026-11-27T17:00", "2026-11-28T10:00"),
        ("2026-11-28T13:30", "2026-11-30T09:00"),
        ("2026-12-24T18:00", "2026-12-28T09:00"),
    ],
)
def test_somebody_is_there_or_is_next_there(now: str, opens: str | None) -> None:
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    kept = hours(holidays="2026-12-25, 2026-12-26")
    assert kept.is_open(at) == (opens is None)
    if opens:
        found = kept.opens_next(at)
        assert found is not None and found.replace(tzinfo=None).isoformat(timespec="minutes") == opens


def test_nine_in_the_morning_stays_nine_when_the_clocks_change() -> None:
    found = hours("sun 9:00-12:00").opens_next(datetime(2026, 10, 24, 12, tzinfo=UTC))
    assert found is not None and found.astimezone(UTC).hour == 9
    found = hours("sun 9:00-12:00").opens_next(datetime(2026, 10, 17, 12, tzinfo=UTC))
    assert found is not None and found.astimezone(UTC).hour == 8


def test_days_may_run_over_the_end_of_the_week() -> None:
    assert sorted(hours("sat-mon 8:00-9:00").days) == [0, 5, 6]


@pytest.mark.parametrize("days", ["monday 9:00-17:00", "mon 9-17", "mon 17:00-9:00", "mon-fry 9:00-17:00", "mon 25:00-26:00"])
def test_hours_that_cannot_be_read_stop_the_start(days: str) -> None:
    with pytest.raises(WrongSetting, match="TELLONCE_HOURS"):
        app.voice(Settings(hours=days))


def test_no_hours_promise_nothing() -> None:
    assert read_hours("", "2026-12-25", "Europe/London") is None


def test_an_opening_too_far_off_is_not_said() -> None:
    holidays = ", ".join((NOON_ON_FRIDAY + timedelta(days=day)).date().isoformat() for day in range(90))
    assert hours(holidays=holidays).opens_next(NOON_ON_FRIDAY) is None


# -- what the bot says of it ---------------------------------------------------------------------------------------------------


def staffed(exchange: Exchange, place: str = "gb", days: str = OFFICE) -> None:
    found = load_places()[place]
    route = (found.emergency_text.says, found.emergency_text.number) if found.emergency_text else None
    exchange.telephone.conversation._voice = Voice(
        "Hope House", found.number, 11, "Europe/London", found.helpers, read_hours(days, "", "Europe/London"), route, found.lines
    )


def said(msgid: str, language: str = "en", **values: str) -> str:
    return catalog.render(msgid, language, **values)


@pytest.mark.parametrize(
    ("at", "language", "msgid", "values"),
    [
        ("2026-11-27T20:00", "en", "hours.tomorrow", {"time": "10:00"}),
        ("2026-11-27T07:00", "pt", "hours.today", {"time": "9:00"}),
        ("2026-11-28T20:00", "en", "hours.on", {"time": "9:00", "date": "Monday, 30 November 2026"}),
        ("2026-11-28T20:00", "pt", "hours.on", {"time": "9:00", "date": "segunda-feira, 30 de novembro de 2026"}),
        ("2026-11-28T20:00", "ar", "hours.on", {"time": "9:00", "date": "الاثنين، 30 نوفمبر 2026"}),
    ],
)
def test_out_of_hours_a_report_hears_when_a_person_reads_it(
    tmp_path: Path, at: str, language: str, msgid: str, values: dict[str, str]
) -> None:
    with clock.frozen(datetime.fromisoformat(at).replace(tzinfo=UTC)), open_exchange(tmp_path) as exchange:
        staffed(exchange)
        caller = exchange.reports("hello there", catalog.languages()[language].name, *VICTIM)
        assert said(msgid, language, **values) in caller.heard[-1]


def test_in_hours_and_without_hours_no_time_is_said(tmp_path: Path) -> None:
    for place, (days, now) in enumerate([(OFFICE, NOON_ON_FRIDAY), ("", NOON_ON_FRIDAY + timedelta(hours=10))]):
        (tmp_path / str(place)).mkdir()
        with clock.frozen(now), open_exchange(tmp_path / str(place)) as exchange:
            staffed(exchange, days=days)
            assert "right now" not in exchange.reports().heard[-1]
            assert exchange.caller().says("person") == said("person.requested", emergency="999")


def test_who_wants_a_person_out_of_hours_hears_no_contradiction(tmp_path: Path) -> None:
    with clock.frozen(NOON_ON_FRIDAY + timedelta(hours=10)), open_exchange(tmp_path) as exchange:
        staffed(exchange)
        heard = exchange.reports("hello there", "a person please").heard[-1]
        assert heard == f"{said('person.requested.hours', emergency='999')}\n{said('hours.tomorrow', time='10:00')}"


# -- what the place has --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "msgid"),
    [
        ("gb", "emergency.text.registered"),
        ("ie", "emergency.text.registered"),
        ("us-ca", "emergency.text.some_places"),
        ("ca", "emergency.text.calls_first"),
        ("de", "emergency.text.nora"),
        ("pt", None),
    ],
)
@pytest.mark.parametrize("language", ["en", "pt", "ar"])
def test_in_danger_it_is_said_how_the_emergency_services_are_texted_there(
    tmp_path: Path, place: str, msgid: str | None, language: str
) -> None:
    found = load_places()[place]
    with open_exchange(tmp_path) as exchange:
        staffed(exchange, place, "")
        caller = exchange.reports("hello there", catalog.languages()[language].name)
        heard = caller.says("help me now he has a knife")
        assert said("emergency.now", language, emergency=found.number) in heard
        if msgid:
            assert said(msgid, language, number=found.emergency_text.number if found.emergency_text else "") in heard
        else:
            assert exchange.channel.sent[-2].text.count("\n") == 1


def test_who_asks_for_other_help_hears_two_lines_at_a_time_and_the_question_stands(tmp_path: Path) -> None:
    with open_exchange(tmp_path) as exchange:
        staffed(exchange, "gb")
        caller = exchange.reports(*VICTIM[:3])
        first, second, third = caller.says("support"), caller.says("who can help?"), caller.says("support")
        assert "Crimestoppers 0800 555 111; Stop Hate UK 0800 138 1625" in first and said("motive.victim") in first
        assert "Galop" in second and "Crimestoppers" not in second
        assert third == first
        for text in VICTIM[3:]:
            caller.says(text)
        assert said("motive.victim") not in caller.says("support")
        assert exchange.file().report["remarks"] == []


def test_where_no_line_is_known_that_is_said(tmp_path: Path) -> None:
    with open_exchange(tmp_path) as exchange:
        staffed(exchange, "us-ca")
        assert said("help.none", emergency="911") in exchange.reports(*VICTIM[:3]).heard[-1] + exchange.caller().says("support")


def test_a_line_whose_page_was_not_read_is_not_told(tmp_path: Path) -> None:
    lines = [(line, place) for place in load_places().values() for line in place.helplines if not line.source.read]
    assert lines and not [line.name for line, place in lines if any(line.name in told for told in place.lines)]
