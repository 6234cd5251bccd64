"""Which language is this? Never wrong without asking."""

from __future__ import annotations

import io
import json

import pytest

from translations.detect import _SIMPLIFIED, _TRADITIONAL, OTHERS, detect_lines, language_of

SURE = [
    ("en", "I was attacked on the bus last night"),
    ("en", "hello"),
    ("es", "me llamaron mora de mierda en el metro"),
    ("es", "mi vecino nos amenaza todos los dias"),
    ("fr", "On m'a insultée dans le bus hier soir"),
    ("fr", "bonjour"),
    ("pt", "Um homem gritou comigo no ônibus"),
    ("pt", "nao quero q minha familia saiba"),
    ("pt", "Oi"),
    ("pt", "oi boa noite"),
    ("de", "jemand hat ein hakenkreuz an unsere tür gemalt"),
    ("it", "mi hanno insultata per il velo"),
    ("pl", "Mężczyzna krzyczał na mnie w autobusie"),
    ("ro", "vecinul ne ameninta in fiecare zi"),
    ("ru", "я боюсь идти домой"),
    ("uk", "сусід погрожує нам щодня"),
    ("tr", "polise gitmek istemiyorum"),
    ("ar", "صرخ رجل في وجهي في الحافلة"),
    ("ar", "مرحبا"),
    ("ar", "ana khayfa momken tsa3douni"),
    ("fa", "همسایه ما را تهدید می‌کند"),
    ("ur", "مجھے گھر جانے سے ڈر لگتا ہے"),
    ("ur", "assalam alaikum mujhe shikayat karni hai"),
    ("hi", "मुझे डर लगता है"),
    ("hi", "namaste mujhe sahayata chahiye"),
    ("pa", "ਮੈਨੂੰ ਡਰ ਲੱਗਦਾ ਹੈ"),
    ("bn", "একজন লোক বাসে আমাকে গালি দিয়েছে"),
    ("gu", "મને મદદ જોઈએ છે"),
    ("zh-Hans", "有人在公交车上骂我"),
    ("zh-Hant", "有人在公車上罵我"),
    ("vi", "Một người đàn ông hét vào mặt tôi trên xe buýt"),
    ("ko", "도와주세요"),
    ("tl", "natatakot akong umuwi sa bahay"),
    ("so", "waan ka baqayaa inaan guriga ku noqdo"),
]


@pytest.mark.parametrize(("language", "text"), SURE)
def test_a_first_message_is_recognised(language: str, text: str) -> None:
    guess = language_of(text)
    assert (guess.language, guess.ask) == (language, False)


@pytest.mark.parametrize(
    "text",
    [
        "ok", "123", "", "😢😢", "Maria", "me", "Ik heb hulp nodig alstublieft vandaag", "Nou bezwen èd tanpri", "እርዳታ እፈልጋለሁ",
        "زه مرسته غواړم", "من یارمەتیم دەوێت", "助けてください", "Potřebuji pomoc prosím", "xyz qwrt blah", "سلام", "你好",
        "mujhe bahut dar lag raha hai",
    ],
)  # fmt: skip
def test_what_is_too_short_or_not_ours_is_asked(text: str) -> None:
    assert language_of(text).ask


@pytest.mark.parametrize("text", ["ok", "me", "Maria", "123", "fui eu", "hello", "no sé", "mujhe bahut dar lag raha hai"])
def test_a_short_word_does_not_change_the_language_of_a_conversation(text: str) -> None:
    guess = language_of(text, known="pt")
    assert (guess.language, guess.ask) == ("pt", False)


def test_a_whole_sentence_in_another_language_does() -> None:
    assert language_of("Two men shouted at me and pushed me on the bus", known="pt").language == "en"
    assert language_of("صرخ رجل في وجهي في الحافلة", known="pt").language == "ar"


def test_a_language_chosen_once_outranks_its_look_alike() -> None:
    assert language_of("mujhe bahut dar lag raha hai", known="hi").language == "hi"
    assert language_of("你好", known="zh-Hant").language == "zh-Hant"


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("ht", "Nou bezwen èd tanpri"),
        ("ht", "vwazen mwen menase nou chak swa"),
        ("am", "ፖሊስ ቤታችን መጣ"),
        ("ti", "ኣብ መንገዲ ተወቒዐ"),
        ("ps", "زما ورور یې ووهلو"),
        ("ku", "ez ditirsim ku derkevim derve"),
        ("ckb", "هاوسێکەمان هەڕەشەمان لێ دەکات"),
    ],
)
def test_a_language_we_do_not_speak_is_recognised_and_asked(language: str, text: str) -> None:
    guess = language_of(text)
    assert (guess.language, guess.ask) == (language, True)
    assert language in OTHERS


@pytest.mark.parametrize(
    "text",
    [
        "ik werd gisteren in de bus uitgescholden door een man",
        "jag blev attackerad på bussen igår kväll",
        "juče su me napali u autobusu",
        "tegnap megtámadtak a buszon",
        "kemarin saya diserang di bus oleh dua orang",
        "onte insultáronme no autobús dous homes",
        "вчера ме нападнаха в автобуса",
        "כבר שבוע מציקים לי",
    ],
)
def test_a_language_that_is_not_ours_is_asked(text: str) -> None:
    assert language_of(text).ask


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("ro", "nu te da la mine de ce"),
        ("it", "se ne sta sempre qui a insultare"),
        ("en", "I go to the mandir and they mock us"),
        ("pa", "mainu bahut darr lagda hai ji"),
        ("bn", "amar bhai ke mereche kal rate"),
        ("ar", "ma 7ada sa3adni mbere7"),
    ],
)
def test_latin_letters_are_no_proof_of_a_latin_language_nor_the_reverse(language: str, text: str) -> None:
    guess = language_of(text)
    assert guess.ask or guess.language == language


def test_odd_input_is_asked_and_never_raises() -> None:
    for odd in ("\x00\x01\x7f", "\ud83d\ude00", "a" * 20_000, "مرحبا hello привет 你好", "http://x.y/z", "\u202e\u202d"):
        language_of(odd)


def test_the_two_rows_of_chinese_characters_stand_side_by_side() -> None:
    assert len(_SIMPLIFIED) == len(_TRADITIONAL)


def test_lines_are_answered_in_order_and_a_bad_one_spoils_no_other() -> None:
    stdin = io.StringIO('{"id": "a", "text": "Um homem gritou comigo no ônibus"}\n{"id": 2}\nno\n{"id": "d", "text": "ok"}\n')
    stdout = io.StringIO()
    assert detect_lines(stdin, stdout) == 1
    answers = [json.loads(line) for line in stdout.getvalue().splitlines()]
    assert answers[0] == {"id": "a", "lang": "pt", "confidence": 0.95, "ask": False}
    assert answers[1] == {"id": 2, "error": "'text' must be a text"}
    assert answers[2]["id"] is None
    assert answers[3]["ask"] is True
