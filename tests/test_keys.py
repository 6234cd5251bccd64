"""The cryptography: what opens, where, and with whose key; every other try is refused without a word of the text."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import keys
from bot.keys import KeyPair, KeyRing, ServiceKey, SessionSecret, WrongKey

KEY = ServiceKey(bytes(range(32)))
OTHER_KEY = ServiceKey(bytes(32))
PLACE = "message.body.1"
CANARY = "Zitronenfalter"


# -- the service key -----------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=200))
def test_what_is_encrypted_for_a_place_opens_there(text: bytes) -> None:
    assert KEY.decrypt(KEY.encrypt(text, PLACE), PLACE) == text


def test_a_text_that_was_moved_to_another_row_does_not_open() -> None:
    box = KEY.encrypt(b"words", PLACE)
    for elsewhere in ("message.body.2", "message.text.1", "address.body.1"):
        with pytest.raises(WrongKey, match=elsewhere):
            KEY.decrypt(box, elsewhere)


def test_a_text_under_another_service_key_does_not_open() -> None:
    with pytest.raises(WrongKey):
        OTHER_KEY.decrypt(KEY.encrypt(b"words", PLACE), PLACE)


def test_a_truncated_or_changed_text_does_not_open() -> None:
    box = KEY.encrypt(b"words", PLACE)
    changed = [box[:n] for n in range(len(box))] + [box[:n] + bytes([box[n] ^ 1]) + box[n + 1 :] for n in range(len(box))]
    for damaged in changed:
        with pytest.raises(WrongKey):
            KEY.decrypt(damaged, PLACE)


def test_the_same_text_is_never_encrypted_twice_alike() -> None:
    assert len({KEY.encrypt(b"words", PLACE) for _ in range(50)}) == 50


def test_a_refusal_holds_nothing_of_the_text() -> None:
    box = OTHER_KEY.encrypt(CANARY.encode(), PLACE)
    with pytest.raises(WrongKey) as refused:
        KEY.decrypt(box, PLACE)
    assert CANARY not in repr(refused.value) and refused.value.__cause__ is None


def test_an_older_service_key_still_opens_and_the_index_stays() -> None:
    old, new = bytes(range(32)), bytes(range(1, 33))
    before, after = ServiceKey(old), ServiceKey(KeyRing({1: old, 2: new}))
    assert after.decrypt(before.encrypt(b"words", PLACE), PLACE) == b"words"
    assert after.blind_index("+447700900123", "address") == before.blind_index("+447700900123", "address")
    assert after.receipt_verifier("4929713620583941") == before.receipt_verifier("4929713620583941")
    assert after.encrypt(b"words", PLACE)[0] == 2
    with pytest.raises(WrongKey):
        before.decrypt(after.encrypt(b"words", PLACE), PLACE)


def test_an_index_differs_by_purpose_and_by_key() -> None:
    found = KEY.blind_index("+447700900123", "address")
    assert found != KEY.blind_index("+447700900123", "vendor id")
    assert found != OTHER_KEY.blind_index("+447700900123", "address")
    assert b"447700" not in found


def test_a_service_key_of_the_wrong_length_is_refused() -> None:
    for secret in (b"", bytes(31), bytes(33)):
        with pytest.raises(ValueError, match="32 bytes"):
            ServiceKey(secret)


# -- receipts ------------------------------------------------------------------------------------------------------------------


def test_a_fresh_receipt_is_one() -> None:
    receipts = {keys.new_receipt() for _ in range(200)}
    assert len(receipts) == 200 and all(map(keys.is_receipt, receipts))


@given(st.integers(0, 10**15 - 1))
def test_every_single_wrong_digit_is_noticed(number: int) -> None:
    body = f"{number:015}"
    receipt = next(body + d for d in "0123456789" if keys.is_receipt(body + d))
    for place, digit in enumerate(receipt):
        for wrong in set("0123456789") - {digit}:
            assert not keys.is_receipt(receipt[:place] + wrong + receipt[place + 1 :])


def test_only_sixteen_plain_digits_are_a_receipt() -> None:
    for text in ("", "4929", "49297136205839411", "492971362058394x", "٤٩٢٩٧١٣٦٢٠٥٨٣٩٤١", "4929 7136 2058 39"):
        assert not keys.is_receipt(text)


def test_a_stored_receipt_gives_nothing_without_the_service_key() -> None:
    verifier = KEY.receipt_verifier("4929713620583941")
    assert verifier == KEY.receipt_verifier("4929713620583941")
    assert verifier != KEY.receipt_verifier("4929713620583940")
    assert verifier != OTHER_KEY.receipt_verifier("4929713620583941")


# -- sealed texts --------------------------------------------------------------------------------------------------------------


def test_a_sealed_text_opens_with_its_private_key_and_at_its_place_only() -> None:
    team, stranger = KeyPair.generate(), KeyPair.generate()
    sealed = keys.seal(b"words", team.public, PLACE)
    assert keys.unseal(sealed, team.private, PLACE) == b"words"
    for private, place in ((stranger.private, PLACE), (team.private, "report.sealed.2")):
        with pytest.raises(WrongKey):
            keys.unseal(sealed, private, place)


def test_a_truncated_sealed_text_does_not_open() -> None:
    team = KeyPair.generate()
    sealed = keys.seal(b"words", team.public, PLACE)
    for length in range(len(sealed)):
        with pytest.raises(WrongKey):
            keys.unseal(sealed[:length], team.private, PLACE)


def test_a_pair_can_be_made_again_from_its_private_half() -> None:
    pair = KeyPair.generate()
    assert KeyPair.from_private(pair.private) == pair


# -- passwords and sessions ----------------------------------------------------------------------------------------------------


def test_a_key_under_a_password_opens_with_that_password_alone() -> None:
    private = KeyPair.generate().private
    wrapped = keys.wrap_with_password(private, "hm4tq-7xwpk-r9bnd")
    assert private not in wrapped.box
    assert keys.unwrap_with_password(wrapped, "hm4tq-7xwpk-r9bnd") == private
    with pytest.raises(WrongKey):
        keys.unwrap_with_password(wrapped, "hm4tq-7xwpk-r9bne")


def test_a_password_that_cannot_be_checked_is_not_taken_for_a_wrong_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="Argon2id"):
        keys.wrap_with_password(bytes(32), "hm4tq-7xwpk-r9bnd")


def test_the_password_is_not_on_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    run = subprocess.run

    def watched(command: list[str], **how: object) -> object:
        seen.append(command)
        return run(command, **how)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "run", watched)
    keys.wrap_with_password(bytes(32), CANARY)
    assert seen and CANARY not in str(seen)


def test_neither_half_of_a_session_gives_the_other() -> None:
    session = SessionSecret.new()
    assert SessionSecret.from_cookie(session.cookie) == session
    assert len({session.id, session.key, session.cookie.encode(), bytes.fromhex(session.form_token)}) == 4
    private = KeyPair.generate().private
    wrapped = keys.wrap_with_key(private, session.key)
    assert keys.unwrap_with_key(wrapped, session.key) == private
    for wrong in (session.id, SessionSecret.new().key, b"short"):
        with pytest.raises(WrongKey):
            keys.unwrap_with_key(wrapped, wrong)


# -- the recovery key ----------------------------------------------------------------------------------------------------------


def test_a_printed_recovery_key_is_read_again_however_it_is_typed() -> None:
    private = KeyPair.generate().private
    printed = keys.print_recovery_key(private)
    for typed in (printed, printed.lower(), printed.replace("-", " "), printed.replace("-", "\n")):
        assert keys.read_recovery_key(typed) == private


def test_a_wrong_or_missing_character_of_a_recovery_key_is_noticed() -> None:
    printed = keys.print_recovery_key(bytes(range(32)))
    letters = printed.replace("-", "")
    typos = [letters[:n] + ("A" if letters[n] != "A" else "B") + letters[n + 1 :] for n in range(len(letters))]
    for typed in (*typos, *(letters[:n] for n in range(len(letters))), letters + "A", "", "1" * 56, "é" * 56):
        with pytest.raises(WrongKey):
            keys.read_recovery_key(typed)
