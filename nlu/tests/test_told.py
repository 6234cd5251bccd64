"""What counts as told. A wrong yes means that a question is never asked, so the second table matters more."""

from __future__ import annotations

import pytest
from components import heads
from components.folding import fold
from components.languages import Languages
from components.phrases import pattern
from components.told import FACTS, ToldRules
from evaluate import NLU_DATA, trained_by_language
from rasa.shared.utils.io import read_yaml_file

RULES = ToldRules({path.parent.name: read_yaml_file(path)["told"] for path in sorted(NLU_DATA.glob("*/told.yml"))})

LANGUAGES = Languages.learn(trained_by_language())


def told(text: str) -> set[str]:
    return {fact for fact, is_told in RULES.told(fold(text), LANGUAGES.read(text).languages).items() if is_told}


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("a man shouted at me on the bus yesterday", "when where who"),
        ("My neighbour keeps calling my kids names", "who ongoing"),
        ("on 12 March at 5pm two lads pushed me outside the library", "when where who"),
        ("my nose is broken and I got three stitches", "injury"),
        ("they send me death threats on instagram", "online threat"),
        ("he said he will kill me", "threat"),
        ("this is not the first time", "ongoing"),
        ("last nite near the park 3 guys attacked me", "when where who"),
        ("um homem gritou comigo no ônibus ontem", "when where who"),
        ("o meu vizinho insulta os meus filhos todos os dias", "who ongoing"),
        ("partiram-me o nariz às 17h perto da estação", "when where injury"),
        ("recebo ameaças de morte no whatsapp", "online threat ongoing"),
        ("foi ha dois dias na rua augusta", "when where"),
        ("رجل صرخ علي في الباص أمس", "when where who"),
        ("جاري يشتم اولادي كل يوم", "who ongoing"),
        ("كسروا أنفي الساعة ٥ قرب المحطة", "when where injury"),
        ("هددني جاري بالقتل على الواتساب", "who threat online"),
        ("hôm qua có hai thanh niên chửi tôi trên xe buýt", "when where who"),
        ("어제 버스에서 어떤 남자가 저한테 소리쳤어요", "when where who"),
        ("昨天在公交车上有个男人冲我大喊", "when where who"),
        ("昨天在公車上有個男人對我大吼", "when where who"),
        ("dün otobüste iki adam bana bağırdı", "when where who"),
        ("DUN OTOBUSTE IKI ADAM BANA BAGIRDI", "when where who"),
    ],
)
def test_what_a_text_says_plainly_is_told(text: str, facts: str) -> None:
    assert told(text) == set(facts.split())


@pytest.mark.parametrize(
    "text",
    [
        "I'm on the bus now",
        "I am scared to go to the school",
        "I live near the market",
        "I work at a hospital",
        "can you call me on Monday",
        "I am not hurt, no bruises",
        "I want to report something today",
        "I found you online",
        "nobody threatened me",
        "I don't know when",
        "hello who can see this",
        "estou no autocarro agora",
        "tenho medo de ir à escola",
        "moro na rua do mercado",
        "vou falar convosco na segunda",
        "não estou ferido, não fui ao hospital",
        "ninguém me ameaçou",
        "não sei quando",
        "انا في الباص الان",
        "أخاف من الذهاب إلى المدرسة",
        "أسكن في شارع السوق",
        "اريد ان اتكلم معكم يوم الاثنين",
        "لم يهددني احد",
        "لا أعرف متى",
        "",
        "😭",
    ],
)
def test_what_a_text_does_not_say_is_not_told(text: str) -> None:
    assert told(text) == set()


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("I saw a man being beaten", "who"),
        ("every monday he shouts at me", "when"),
        ("vi um rapaz levar porrada", "who"),
        ("he grita todas as segundas", "when"),
        ("he wanted to break my nose", "injury"),
        ("I have lived here for three years and he hit me", "ongoing"),
    ],
)
def test_a_fact_that_only_seems_to_be_told_is_asked(text: str, fact: str) -> None:
    assert fact not in told(text)


def test_a_blank_with_a_question_mark_may_be_missing_in_a_phrase() -> None:
    found = pattern(["batty ?boy"])
    assert found is not None and found.search("battyboy") and found.search("batty  boy") and not found.search("batty-boy")


def test_the_rules_find_most_of_what_a_reader_marked_in_the_training_texts_and_hardly_anything_else() -> None:
    accounts = [example for example in heads.bias_examples(heads.ReportHeads.get_default_config()) if example.told is not None]
    assert len(accounts) >= 5_800
    found = [(RULES.told(fold(one.text), {one.language}), one.told or frozenset()) for one in accounts]
    right = sum(said[fact] and fact in marked for said, marked in found for fact in FACTS)
    assert right / sum(sum(said.values()) for said, _ in found) >= 0.97
    assert right / sum(len(marked) for _, marked in found) >= 0.6
