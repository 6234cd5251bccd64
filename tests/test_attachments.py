"""Pictures, recordings and places: fetched, sealed, shown to the team alone, and erased with the case."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from bot import attachments, cases, clock, keys, retention, transfer
from bot.channels.telegram import TelegramChannel, TelegramSettings, parse_update
from bot.channels.twilio_sms import TwilioSettings, TwilioSms, parse_sms
from bot.messages import Media, TransportError
from bot.models import Attachment, CaseAction, FlowSession
from bot.testing import FakeChannel
from bot.web.files import told_apart
from tests.exchange import STORY, VICTIM, Exchange, employ, open_exchange
from tests.standins.telegram_api import TOKEN, TelegramApi
from tests.standins.twilio_api import ACCOUNT_SID, AUTH_TOKEN, NUMBER, TwilioApi
from tests.web_fixtures import Browser, Office, caseworkers, caseworkers_on_postgres
from tests.web_fixtures import office_on_both as office

__all__ = ["caseworkers", "caseworkers_on_postgres", "office"]

ROSA = "+447700900123"
PICTURE = b"\xff\xd8\xff" + b"Zitronenfalter" * 40
PHOTO = Media("photo-1", "image/jpeg", len(PICTURE))


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[Exchange]:
    with open_exchange(tmp_path) as opened:
        opened.channel.files["photo-1"] = PICTURE
        yield opened


def fetches(exchange: Exchange) -> int:
    return attachments.fetch_due(exchange.store, {"sms": exchange.channel})


def content(exchange: Exchange, number: int = 0) -> bytes | None:
    file = exchange.file().files[number]
    with exchange.store.transaction() as db:
        return attachments.content_of(db, exchange.desk.opener, exchange.case().id, file.id)


# From the chat to the case


def test_a_picture_sent_while_they_report_is_in_the_case_and_they_hear_one_calm_line(exchange: Exchange) -> None:
    caller = exchange.caller()
    for n, text in enumerate(VICTIM):
        if n == 3:
            assert caller.says("", media=[PHOTO]) == "Thank you, we keep that for the caseworkers. Please tell us in words, too."
            assert fetches(exchange) == 1
        caller.says(text)
    [file] = exchange.file().files
    assert (file.state, file.type, file.size) == ("kept", "image/jpeg", len(PICTURE))
    assert content(exchange) == PICTURE


def test_a_picture_with_words_is_kept_and_the_words_are_answered(exchange: Exchange) -> None:
    answer = exchange.caller().says(STORY, media=[PHOTO])
    assert answer.startswith("We keep the file for the caseworkers.") and "In danger now?" in answer


def test_a_picture_to_a_claimed_case_is_in_it_and_the_bot_is_silent(exchange: Exchange) -> None:
    caller = exchange.reports()
    exchange.claims()
    assert caller.says("Look at this", media=[PHOTO]) == ""
    assert [f.state for f in exchange.file().files] == ["wanted"]
    assert fetches(exchange) == 1 and content(exchange) == PICTURE


def test_a_giant_file_is_refused_with_a_clear_line_and_never_fetched(exchange: Exchange) -> None:
    caller = exchange.reports(STORY)
    assert "too large" in caller.says("", media=[Media("giant", "video/mp4", attachments.BIGGEST + 1)])
    assert fetches(exchange) == 0
    for text in VICTIM[1:]:
        caller.says(text)
    assert [f.state for f in exchange.file().files] == ["too_large"]


def test_a_file_that_turns_out_too_large_is_not_kept(exchange: Exchange) -> None:
    exchange.channel.files["liar"] = b"x" * (attachments.BIGGEST + 1)
    exchange.reports().says("", media=[Media("liar", "image/jpeg")])
    assert fetches(exchange) == 0
    assert [(f.state, f.size) for f in exchange.file().files] == [("too_large", 0)]


def test_a_vendor_out_of_reach_is_asked_again_for_two_days(exchange: Exchange) -> None:
    exchange.reports().says("", media=[PHOTO])
    exchange.channel.failures = [TransportError("later", "404"), TransportError("later", "503")]
    with clock.frozen(clock.now()) as move:
        assert fetches(exchange) == 0 and fetches(exchange) == 0
        move(clock.now() + timedelta(seconds=10))
        assert fetches(exchange) == 0
        move(clock.now() + timedelta(seconds=20))
        assert fetches(exchange) == 1
    exchange.caller().says("", media=[PHOTO])
    exchange.channel.failures = [TransportError("later", "503")]
    with clock.frozen(clock.now() + attachments.GIVE_UP_AFTER):
        assert fetches(exchange) == 0
    assert [f.state for f in exchange.file().files] == ["kept", "lost"]


# Who can read it


def test_nothing_of_a_file_is_in_the_clear_and_the_service_key_opens_none(exchange: Exchange) -> None:
    exchange.reports().says("", media=[PHOTO])
    waiting = exchange.rows(Attachment)[0]
    assert b"photo-1" not in waiting.box and waiting.content is None
    fetches(exchange)
    kept = exchange.rows(Attachment)[0]
    assert kept.box is None
    for box in (kept.sealed, kept.content):
        with pytest.raises(keys.WrongKey):
            exchange.store.vault.reveal(box, "attachment", "content", kept.id)
    stranger = employ(exchange.store, "another team")
    with exchange.store.transaction() as db, pytest.raises(keys.WrongKey):
        attachments.content_of(db, stranger.opener, exchange.case().id, kept.id)
    on_disk = b"".join(f.read_bytes() for f in exchange.path.parent.iterdir() if f.name.startswith("tellonce.db"))
    assert b"Zitronenfalter" not in on_disk and b"photo-1" not in on_disk


def test_a_file_goes_with_its_case_to_another_team(exchange: Exchange) -> None:
    exchange.reports().says("", media=[PHOTO])
    fetches(exchange)
    case = exchange.claims()
    other = employ(exchange.store, "another team")
    with exchange.store.transaction() as db:
        transfer.hand_over(db, exchange.desk, case, "another team")
        [file] = attachments.of_case(db, other.opener, case)
        assert attachments.content_of(db, other.opener, case, file.id) == PICTURE
        with pytest.raises(keys.WrongKey):
            attachments.content_of(db, exchange.desk.opener, case, file.id)


def test_a_file_is_erased_with_its_case_with_its_reporter_and_when_no_case_came(exchange: Exchange) -> None:
    exchange.reports().says("", media=[PHOTO])
    fetches(exchange)
    with exchange.store.transaction() as db:
        assert retention.erase_case(db, exchange.case().id)
    assert exchange.rows(Attachment) == []
    exchange.caller("+1").says("", media=[PHOTO])
    with clock.frozen(clock.now() + attachments.WITHOUT_CASE), exchange.store.transaction() as db:
        assert attachments.erase_without_case(db) == 1
    exchange.reports(address="+2").says("", media=[PHOTO])
    with exchange.store.transaction() as db:
        assert retention.erase_reporter(db, exchange.case().reporter_id) == 0
    assert exchange.rows(Attachment) == []


# Places


def test_a_shared_place_is_the_answer_to_where(exchange: Exchange) -> None:
    caller = exchange.caller()
    for n, text in enumerate(VICTIM):
        caller.says("51.50074, -0.12463", is_place=True) if n == 5 else caller.says(text)
    assert exchange.file().report["where"] == "51.50074, -0.12463"


@pytest.mark.parametrize("at", [0, 1, 3])
def test_a_place_shared_earlier_is_kept_and_where_is_not_asked_again(exchange: Exchange, at: int) -> None:
    caller, where = exchange.caller(), "Central Station, 51.50074, -0.12463"
    texts = [*VICTIM[:5], *VICTIM[6:]]
    for n, text in enumerate(texts):
        if n == at:
            answer = caller.says(where, is_place=True)
            assert n == 0 or answer.startswith("Thank you, we noted that place.")
            if n == 0 and "1 " in answer.splitlines()[-1]:
                caller.says("1")  # English, from the menu
        caller.says(text)
    assert exchange.file().report["where"] == where
    assert not [s for s in exchange.rows(FlowSession) if not s.is_over]


# At the vendors


def twilio_channel(twilio: TwilioApi) -> TwilioSms:
    account = TwilioSettings(account_sid=ACCOUNT_SID, auth_token=SecretStr(AUTH_TOKEN), number=NUMBER, api_url=twilio.url)
    return TwilioSms(account, "http://127.0.0.1:9", timeout=5)


def test_twilio_hands_a_file_out_without_our_token_going_further() -> None:
    with TwilioApi() as twilio:
        channel = twilio_channel(twilio)
        sid = twilio.deliver_media(ROSA, "", ("image/jpeg", PICTURE), ("audio/amr", b"#!AMR"), url="http://127.0.0.1:9/sms").sid
        incoming = parse_sms(twilio.received[sid])
        assert (incoming.attachments, [m.type for m in incoming.media]) == (2, ["image/jpeg", "audio/amr"])
        assert [channel.fetch(m.reference, 10_000) for m in incoming.media] == [PICTURE, b"#!AMR"]
        with pytest.raises(TransportError, match="refused too large"):
            channel.fetch(incoming.media[0].reference, len(PICTURE) - 1)
        channel.delete(sid)
        with pytest.raises(TransportError, match="later 404"):
            channel.fetch(incoming.media[0].reference, 10_000)
        channel.close()


@pytest.mark.parametrize(
    "address",
    [
        "https://example.org/2010-04-01/Accounts/AC/Messages/MM/Media/ME",
        f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json",
        f"https://api.twilio.com/2010-04-01/Accounts/AC{'0' * 32}/Messages/MM{'0' * 32}/Media/ME{'0' * 32}",
        f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT_SID}/Messages/MM{'0' * 32}/Media/../../../x",
        "file:///etc/passwd",
        "",
    ],
)
def test_our_token_goes_to_no_other_address(address: str) -> None:
    with TwilioApi() as twilio:
        channel = twilio_channel(twilio)
        with pytest.raises(TransportError, match="refused not a media address"):
            channel.fetch(address, 100)
        channel.close()


def test_a_place_shared_on_whatsapp_is_its_name_and_coordinates() -> None:
    form = {
        "MessageSid": "SM1",
        "From": "whatsapp:+351900000000",
        "To": "whatsapp:+4",
        "Latitude": "51.500741",
        "Longitude": "-0.1246",
    }
    incoming = parse_sms(form | {"Body": "", "Label": "Central Station"})
    assert (incoming.text, incoming.is_place, incoming.attachments) == ("Central Station, 51.50074, -0.12460", True, 0)
    assert not parse_sms(form | {"Latitude": "north", "Body": "Oi"}).is_place


def polled(telegram: TelegramApi) -> TelegramChannel:
    return TelegramChannel(TelegramSettings(token=SecretStr(TOKEN), updates="polling", api_url=telegram.url), timeout=5)


def test_telegram_hands_out_the_largest_picture_a_voice_and_a_paper() -> None:
    with TelegramApi() as telegram:
        channel = polled(telegram)
        telegram.photo(42, content=PICTURE)
        telegram.voice(42)
        telegram.document(42)
        updates = [parse_update(raw) for raw in channel.updates(0, 0)]
        media = [incoming.media[0] for incoming in updates if incoming]
        assert [m.type for m in media] == ["image/jpeg", "audio/ogg", "application/pdf"]
        assert [channel.fetch(m.reference, 10_000) for m in media] == [PICTURE, b"OggS voice", b"%PDF-1.7"]
        assert media[0].size == len(PICTURE)
        with pytest.raises(TransportError, match="refused too large"):
            channel.fetch(media[0].reference, 10)
        telegram.files[media[0].reference] = b"x" * (20 * 1024 * 1024 + 1)
        with pytest.raises(TransportError, match="refused too large"):
            channel.fetch(media[0].reference, attachments.BIGGEST)
        channel.close()


def test_a_place_shared_on_telegram_is_its_name_and_coordinates() -> None:
    with TelegramApi() as telegram:
        channel = polled(telegram)
        telegram.location(42, 51.500741, -0.1246)
        telegram.location(42, 51.500741, -0.1246, "Central Station")
        found = [parse_update(raw) for raw in channel.updates(0, 0)]
        assert [i.text for i in found if i] == ["51.50074, -0.12460", "Central Station, Main Street 1, 51.50074, -0.12460"]
        assert all(i and i.is_place and i.attachments == 0 and not i.media for i in found)
        channel.close()


# The page


@pytest.mark.parametrize(
    ("content", "said", "shown"),
    [
        (PICTURE, "image/jpeg", ("image/jpeg", "jpg", True)),
        (b"\x89PNG\r\n\x1a\n", "text/html", ("image/png", "png", True)),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp", ("image/webp", "webp", True)),
        (b"<script>alert(1)</script>", "image/jpeg", ("application/octet-stream", "bin", False)),
        (b"<svg onload=alert(1)>", "image/svg+xml", ("application/octet-stream", "bin", False)),
        (b"<html>", "text/html", ("application/octet-stream", "bin", False)),
        (b"OggS", "audio/ogg; codecs=opus", ("audio/ogg", "ogg", False)),
        (b"%PDF", "application/pdf", ("application/pdf", "pdf", False)),
    ],
)
def test_only_what_begins_like_a_picture_is_shown_as_one(content: bytes, said: str, shown: tuple[str, str, bool]) -> None:
    assert told_apart(content, said) == shown


def with_file(office: Office, kind: str, what: bytes) -> tuple[Browser, str, str]:
    """A case with one file: a browser signed in, the case's address and the file's."""
    case = office.report({})
    channel = FakeChannel()
    channel.files["x"] = what
    with office.store.transaction() as db:
        reporter = cases.find(db, case).reporter_id
        attachments.want(db, reporter, "sms", [Media("x", kind)])
        attachments.give(db, reporter, case)
    assert attachments.fetch_due(office.store, {"sms": channel}) == 1
    return office.signed_in(), f"/cases/{case}", f"/cases/{case}/files/{office.rows(Attachment)[0].id}"


def test_a_picture_is_on_the_case_page_and_comes_with_headers_that_let_nothing_run(office: Office) -> None:
    browser, page, file = with_file(office, "image/jpeg", PICTURE)
    shown = browser.get(page).text
    assert f'src="{file}"' in shown and "may be distressing" in shown
    got = browser.get(file)
    assert (got.status_code, got.content, got.headers["content-type"]) == (200, PICTURE, "image/jpeg")
    assert got.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'; sandbox"
    assert got.headers["x-content-type-options"] == "nosniff" and got.headers["cache-control"] == "no-store"
    assert got.headers["content-disposition"].startswith("inline; filename=")
    assert "opened_file" in [a.verb for a in office.rows(CaseAction)]


def test_a_page_with_a_script_that_calls_itself_a_picture_is_only_saved(office: Office) -> None:
    browser, _page, file = with_file(office, "image/svg+xml", b"<svg onload=alert(1)>")
    got = browser.get(file)
    assert got.headers["content-type"] == "application/octet-stream"
    assert got.headers["content-disposition"].startswith("attachment; filename=")


def test_a_stranger_another_case_and_a_wrong_id_get_nothing(office: Office) -> None:
    browser, _page, file = with_file(office, "image/jpeg", PICTURE)
    assert browser.get(file[:-4] + "0000").status_code == 404
    other = office.report({})
    assert browser.get(f"/cases/{other}/files/{file.rsplit('/', 1)[1]}").status_code == 404
    assert PICTURE not in office.browser().get(file).content
