"""The ready replies: whole in every language, short enough for a phone, and safe to be seen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flows.segments import segments
from translations import catalog, replies
from translations.replies import RepliesError
from translations.scripts import scripts_of

EVERY = [reply for code in catalog.languages() for reply in replies.ready(code)]
VALUES = {"time": "18:30", "emergency": "0800 112 112"}
# What would expose or frighten when somebody else sees the phone.
_EXPOSING = {
    "en": ("hate", "crime", "victim", "report", "case"),
    "es": ("odio", "delito", "víctima", "denuncia"),
    "fr": ("haine", "crime", "victime", "plainte"),
    "pt": ("ódio", "crime", "vítima", "relato", "denúncia"),
    "de": ("hass", "opfer", "anzeige", "meldung"),
    "it": ("odio", "reato", "vittima", "denuncia"),
    "ar": ("كراهية", "جريمة", "ضحية", "بلاغ"),
}


def test_there_are_twelve_or_more_in_every_one_of_our_languages() -> None:
    listed = [reply.msgid for reply in replies.ready("en")]
    assert len(listed) >= 12
    for code in catalog.languages():
        assert [reply.msgid for reply in replies.ready(code)] == listed, code


@pytest.mark.parametrize("reply", EVERY, ids=lambda reply: f"{reply.msgid}-{reply.language}")
def test_a_ready_reply_fits_into_two_texts_and_into_its_own_writing(reply: replies.Reply) -> None:
    said = reply.filled(**VALUES)
    assert segments(said)[1] <= 2
    assert all(value in said for name, value in VALUES.items() if name in reply.values)
    allowed = catalog.scripts(reply.language)
    assert all(script in allowed for script in scripts_of(said)), scripts_of(said)
    assert not [word for word in _EXPOSING.get(reply.language, ()) if re.search(rf"\b{word}", said.casefold())]


def test_no_ready_reply_is_the_same_in_two_languages() -> None:
    assert len({(reply.msgid, reply.text) for reply in EVERY}) == len(EVERY)


def test_nobody_has_reviewed_them_and_they_say_so() -> None:
    assert {reply.review for reply in replies.ready("en")} == {"source"}
    assert {reply.review for reply in EVERY if reply.language != "en"} == {"unreviewed"}


def test_a_ready_reply_is_filled_and_says_what_it_means() -> None:
    promised = replies.reply("reply.tomorrow", "pt")
    assert promised is not None
    assert promised.values == ("time",)
    assert promised.filled(time="18:00") == "Volto a escrever-lhe amanhã até às 18:00."
    assert promised.filled_in_english(time="18:00") == "I will write again tomorrow by 18:00."
    with pytest.raises(KeyError, match=r"'reply\.tomorrow' needs a value for \{time\}"):
        promised.filled()


def test_there_is_none_for_a_name_or_a_language_that_is_not_ours() -> None:
    assert replies.reply("reply.tomorrow", "am") is None
    assert replies.reply("reply.nothing", "en") is None
    assert replies.ready("am") == ()


@pytest.mark.parametrize(
    ("english", "portuguese", "sentence"),
    [
        ("By {time}.", "Até {hora}.", r"'reply\.x' \(pt\) has a placeholder that is none of ours: \{hora\}"),
        ("By {time}.", "Até logo.", r"'reply\.x' \(pt\) must leave open what its English leaves open"),
        ("By {time!r}.", "Até {time}.", r"'reply\.x' \(en\) has a placeholder"),
        ("By {time", "Até {time}.", r"'reply\.x' \(en\) has a placeholder"),
    ],
)
def test_a_wrong_placeholder_is_refused_by_name(tmp_path: Path, english: str, portuguese: str, sentence: str) -> None:
    file = tmp_path / "replies.yaml"
    texts = f"{{use: Now, en: '{english}', pt: '{portuguese}'}}"
    file.write_text(f"review: {{en: source, pt: unreviewed}}\nreplies:\n  reply.x: {texts}\n")
    with pytest.raises(RepliesError, match=sentence):
        replies.read(file)
