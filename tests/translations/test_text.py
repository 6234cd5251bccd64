"""What is done to a text before and after the engine."""

from __future__ import annotations

import pytest

from translations import quality, sentences
from translations.draft import Rendered, draft
from translations.normalise import normalise
from translations.protect import names_in, protect, restore
from translations.scripts import scripts_of
from translations.spellings import SPELLINGS

LATIN = frozenset({"Latn"})


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("nao quero q minha familia saiba", "Não quero que minha família saiba."),
        ("ngm me ajudou", "Ninguém me ajudou."),
        ("N QUERO IR NA POLICIA", "Não quero ir na polícia."),
        ("socorrooooooo!!!!!", "Socorroo!"),
        ("houve agressao e ameacas, eles estao la", "Houve agressão e ameaças, eles estão lá."),
        ("vamos ao hospital", "Vamos ao hospital."),
        ("falei com XX1 hj", "Falei com XX1 hoje."),
        ("sim", "Sim."),
        ("", ""),
    ],
)
def test_sms_portuguese_is_read_as_written_portuguese(said: str, read: str) -> None:
    assert normalise(said, "pt") == read


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("i dont want u to call", "I don't want you to call."),
        ("HELP ME PLEASE", "Help me please."),
        ("ppl r scared", "People are scared."),
    ],
)
def test_sms_english_is_read_as_written_english(said: str, read: str) -> None:
    assert normalise(said, "en") == read


@pytest.mark.parametrize(
    ("language", "said", "read"),
    [
        ("en", "i want 2 report my boss", "I want to report my boss."),
        ("en", "they waited 4 me w/o a word n left", "They waited for me without a word and left."),
        ("en", "it was not 2 men but 3, i need 2 witnesses", "It was not 2 men but 3, I need 2 witnesses."),
        ("en", "nobody wants 2 sit next 2 my son", "Nobody wants to sit next to my son."),
        ("en", "she refuses 2 share the room", "She refuses to share the room."),
        ("en", "he pushed me in2 the road", "He pushed me into the road."),
        ("en", "he has 2 watch dogs n 4 show dogs", "He has 2 watch dogs and 4 show dogs."),
        ("en", "we saw 2 police cars n 2 black vans", "We saw 2 police cars and 2 black vans."),
        ("en", "2 men hit 4 women at 2 am", "2 men hit 4 women at 2 am."),
        ("pt", "volta pro teu pais", "Volta para o teu país."),
        ("pt", "os meus pais viram", "Os meus pais viram."),
        ("es", "xq no kiero q sepa", "Porque no quiero que sepa."),
        ("fr", "jsp pk il ma frappé", "Je ne sais pas pourquoi il ma frappé."),
        ("it", "nn so xke ke e successo", "Non so perché che e successo."),
        ("de", "hab angst weiss nich", "Habe angst weiß nicht."),
        ("pl", "nwm kto to byl", "Nie wiem kto to był."),
        ("ro", "nush cine politia", "Nu știu cine poliția."),
        ("tr", "cok korkuyom degil mi", "Çok korkuyorum değil mi."),
        ("ru", "незнаю чё делать", "Не знаю что делать."),
        ("uk", "незнаю шо робити", "Не знаю що робити."),
        ("vi", "ko dc về nhà", "Không được về nhà."),
        ("tl", "d q alam kc", "Hindi ko alam kasi."),
        ("ar", "مابدي اهلي", "لا أريد اهلي."),
    ],
)
def test_phones_are_read_in_many_languages(language: str, said: str, read: str) -> None:
    assert normalise(said, language) == read


def test_every_spelling_leads_to_another_and_none_in_a_circle() -> None:
    assert len(SPELLINGS) >= 10
    for language, table in SPELLINGS.items():
        for short, proper in table.items():
            assert short == short.lower() != proper
            assert normalise(normalise(short, language), language) == normalise(short, language), (language, short)


def test_another_language_keeps_its_own_words() -> None:
    assert normalise("q tal", "ko") == "Q tal."


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("call +44 7700 900123 now", ("+44 7700 900123",)),
        ("a.b@example.org and https://example.org/x_y.", ("a.b@example.org", "https://example.org/x_y")),
        ("€30, then 12,50 €", ("€30", "12,50 €")),
        ("plate AB-12-CD at 10:30 with 3 men", ("AB-12-CD",)),
        ("nothing to hide", ()),
    ],
)
def test_facts_travel_as_placeholders_and_come_back(text: str, facts: tuple[str, ...]) -> None:
    masked, found = protect(text)
    assert found == facts
    assert restore(masked, found) == text


def test_known_names_travel_as_placeholders_too() -> None:
    masked, found = protect("o Rui Preto e a Ana viram", ("Rui Preto", "Ana", ""))
    assert found == ("Rui Preto", "Ana")
    assert restore(masked, found) == "o Rui Preto e a Ana viram"
    assert protect("as Anas e Ruim", ("Ana", "Rui"))[1] == ()
    assert protect("a+b (x", ("(x", "a+b"))[0] is not None


def test_a_lost_or_doubled_placeholder_is_noticed() -> None:
    assert restore("Call XX1.", ("1", "2")) is None
    assert restore("Call XX1 XX1.", ("1",)) is None
    assert restore("Call 1.", ()) == "Call 1."


class _Loses:
    """An engine that loses every placeholder and telephone number."""

    def translate(self, sentence: str) -> Rendered:
        return Rendered("Call me.")


class _Shouts:
    def translate(self, sentence: str) -> Rendered:
        return Rendered(sentence.upper())


def test_a_fact_the_engine_loses_is_listed_behind_the_sentence() -> None:
    made = draft("Me liga no +351 912 345 678.", [_Loses()], "pt", "en")
    assert made.text == "Call me. [+351 912 345 678]"
    assert "details_listed" in made.flags


def test_a_text_without_words_is_left_alone() -> None:
    assert draft("…?! 😢", [_Shouts()], "pt", "en").text == "…?! 😢"


@pytest.mark.parametrize(
    ("source", "target", "flag"),
    [
        ("Não quero que saiba.", "I want them to know.", "negation_lost"),
        ("Foram 24 homens.", "There were 42 men.", "numbers_changed"),
        ("Eles me chamaram de sapatão.", "Eles me chamaram shoe.", "copied_words"),
        ("Estou com medo.", "I am I am I am afraid.", "repeats"),
        ("Estou com medo.", '""""""""""', "repeats"),
        ("Estou com medo.", " ", "empty"),
        ("Estou com medo.", "Мне страшно.", "wrong_script"),
        ("Ele me bateu.", "He did not hit.", "negation_gained"),
        ("Ele tem dois metros.", "It has two meters.", "who_changed"),
        ("Ele disse que me ia matar.", "He said I was going to kill myself.", "who_changed"),
        ("Chamaram meu irmão de viado.", "They called my brother away.", "slur"),
        ("Eles me seguiram até a porta da igreja.", "They followed me.", "length"),
    ],
)
def test_a_suspicious_translation_is_flagged_in_words(source: str, target: str, flag: str) -> None:
    assert flag in quality.flags(source, target, "pt", "en", LATIN)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("Não quero que saiba.", "I don't want them to know."),
        ("Ninguém fez nada.", "Nobody did anything."),
        ("Foram duas vezes às 22h30.", "It was twice at 22:30."),
        ("Encontro às 17h.", "Meeting at 5 p.m."),
        ("Ana e Paulo moram no Porto.", "Ana and Paulo live in Porto."),
    ],
)
def test_a_sound_translation_is_not_flagged(source: str, target: str) -> None:
    assert quality.flags(source, target, "pt", "en", LATIN) == ()


@pytest.mark.parametrize(
    ("source", "target", "languages"),
    [
        ("Nadie me ayudó.", "Anybody helped me.", ("es", "en")),
        ("Ningú em va ajudar.", "Anybody helped me.", ("ca", "en")),
        ("Je ne veux pas que tu viennes.", "I want you to come.", ("fr", "en")),
        ("Do not go home.", "Vá para casa.", ("en", "pt")),
        ("Nobody believed me.", "Todos acreditaram em mim.", ("en", "pt")),
    ],
)
def test_a_lost_not_is_flagged_in_every_route_we_have(source: str, target: str, languages: tuple[str, str]) -> None:
    assert "negation_lost" in quality.flags(source, target, *languages, LATIN)


@pytest.mark.parametrize(
    ("source", "target", "languages"),
    [
        ("O motorista não quis baixar a rampa.", "The driver refused to lower the ramp.", ("pt", "en")),
        ("We are afraid to open the window.", "Temos medo de abrir a janela.", ("en", "pt")),
        ("Une personne m'a insultée.", "A person insulted me.", ("fr", "en")),
        ("Chamaram-me bicha.", "They called me a faggot.", ("pt", "en")),
        ("Vi na internet.", "I saw it on the internet.", ("pt", "en")),
    ],
)
def test_what_is_said_otherwise_is_not_flagged(source: str, target: str, languages: tuple[str, str]) -> None:
    assert quality.flags(source, target, *languages, LATIN) == ()


def test_every_flag_is_a_sentence_without_a_percentage() -> None:
    for flag in ("negation_lost", "who_changed", "slur", "rough_gist", "engine_down", "details_listed", "length"):
        said = quality.flag_in_words(flag)
        assert " " in said
        assert "%" not in said
        assert "_" not in said
    assert quality.flag_in_words("something_new") == "something new"


def test_sentences_end_where_they_end_in_any_alphabet() -> None:
    assert sentences.split("Um. Dois! Três? Quatro") == ["Um.", "Dois!", "Três?", "Quatro"]
    assert sentences.split("我怕。他来了。") == ["我怕。", "他来了。"]
    assert sentences.split("مرحبا؟ نعم.") == ["مرحبا؟", "نعم."]
    assert all(len(part) <= sentences.LONGEST for part in sentences.split("palavra " * 500))


def test_a_long_text_is_cut_without_losing_a_word() -> None:
    text = "\n\n".join(f"Frase número {number}. Outra frase." for number in range(500))
    pieces = sentences.pieces(text, 1000)
    assert all(len(piece) <= 1000 for piece in pieces)
    assert " ".join(pieces).split() == text.split()


def test_letters_are_counted_by_alphabet() -> None:
    assert scripts_of("oi سلام 123 😢") == {"Latn": 2, "Arab": 4}


@pytest.mark.parametrize(
    ("sentence", "names"),
    [
        ("Aconteceu na Rua do Ouro, perto da loja.", ("Rua do Ouro",)),
        ("It happened at St Mary's School near King's Cross.", ("St Mary's School", "King's Cross")),
        ("Rosa Pereira da Silva saw it.", ("Pereira da Silva",)),
        ("Um homem gritou com a Maria na Sexta.", ()),
        ("Quando Maria chegou, eu fugi.", ()),
        ("A MAN HIT ME ON THE BUS.", ()),
        ("They Came At Night And Hit Me.", ()),
        ("I told him I was afraid.", ()),
        ("ele mora no Bairro Alto e no Campo Grande", ("Bairro Alto", "Campo Grande")),
        ("", ()),
    ],
)
def test_names_of_several_words_are_found(sentence: str, names: tuple[str, ...]) -> None:
    assert names_in(sentence) == names
