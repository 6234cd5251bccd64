"""What is suspicious about a translation, in words: hints to look at the original; none says that a translation is good."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from functools import cache

from translations.lexicon import gloss
from translations.scripts import scripts_of

# Words that deny, where a language has such words; Turkish and Korean deny inside the verb, so nothing is checked there.
_DENIALS: Mapping[str, str] = {
    "pt": "não nao nunca ninguém ninguem nada nem jamais nenhum nenhuma nenhuns sem",
    "en": "not no never nobody nothing none nor neither without cannot unable nowhere",
    "es": "no nunca nadie nada ni jamás jamas ningún ningun ninguno ninguna sin tampoco",
    "ca": "no mai ningú res cap ni sense tampoc",
    "gl": "non nunca ninguén nada nin xamais ningún ningunha sen tampouco",
    "fr": "ne pas jamais rien aucun aucune ni sans",
    "it": "non mai nessuno nessuna niente nulla né senza neanche nemmeno",
    "de": "nicht nie niemals niemand nichts kein keine keinen keinem keiner ohne nirgends",
    "pl": "nie nigdy nikt nic żaden żadna bez ani",
    "ro": "nu niciodată nimeni nimic fără nici niciun nicio n",
    "ru": "не нет никогда никто ничего ни без нельзя",
    "uk": "не ні немає ніколи ніхто нічого без не можна",
    "so": "ma maya aan cidna waxba",
    "tl": "hindi wala walang huwag di ayaw ayoko",
    "vi": "không chưa chẳng đừng ko",
    "ar": "لا لم لن ليس ليست ما مش بدون دون غير",
    "fa": "نه هیچ هیچکس بدون نمی",
    "hi": "नहीं न मत नही कभी बिना",
    "ur": "نہیں نہ مت بغیر",
}
# Also a denial, though it only looks like one in the other direction: "refused" for "did not want".
_SOFT_DENIALS: Mapping[str, str] = {
    "en": r"\brefus\w+|\bfail\w*|\bstop(?:ped|s)?\b|\bwarn\w+|\bdeni\w+|\bless\b|\bun\w{3,}|\bdis\w{3,}|\bin(?:capable|ability)",
    "pt": r"\brecus\w+|\bdeix\w+ de\b|\bfalt\w+|\bimped\w+|\bneg[ao]\w*|\bin(?:capaz|segur)\w*|\bsó\b",
    "es": r"\bneg[óoa]\w*|\brehus\w+|\bdej\w+ de\b|\bimped\w+",
}
_CONTRACTED = {"en": r"n['’]t\b", "fr": r"\bn['’]"}
_REPEATS = re.compile(r"\b(\w{2,})\b(?:\W+\1\b){2,}|\b(\w+ \w+(?: \w+)?)\b(?:\W+\2\b)+|([^\s.])(?:\W?\3){5,}", re.IGNORECASE)
# Words of Portuguese, Spanish, French or Italian that are English as they stand.
_WRITTEN_ALIKE = frozenset(
    """
    internet online email mail site post link blog hospital hotel bar taxi metro central normal social animal legal local
    total general final original real ideal moral natural cultural racial sexual personal professional federal municipal
    criminal terminal capital material manual vital rural regional nacional festival carnaval video radio audio tablet chat
    spray status campus virus bonus lesbian trans judo karate piano drama idea area era zero hiv agenda formula opera camera
    villa pizza pasta banana tennis futebol shopping show rock jazz film bus stop stress marketing design gate gays gay lgbt
    skinhead neonazi nazi hacker smartphone whatsapp facebook instagram tiktok twitter telegram youtube google euro euros
    dollar kilo litre menu instructor inspector doctor professor tutor director actor error terror horror color favor humor
    tumor motor sector vector interior exterior superior inferior radical hostel motel model panel tunnel club bar fan golf
    judge flores come same some time more comes door pare sober sometimes place case base file phase face race police
    service office crime prime respond defend comment incident accident agent client parent present absent document moment
    instrument monument apartment sentiment urgent violent silent student excellent different patient important restaurant
    ambulance chance balance distance assistance violence silence influence presence absence difference conference science
    patience nation action question religion region mission passion version television station situation condition position
    direction attention intention protection discrimination population information education association communication
    conversation explosion confusion decision occasion pension tension union million table possible terrible horrible
    impossible responsible visible simple double couple people muslim islam kippah hijab niqab burka rabbi imam
    """.split()
)
_HALF_DAY = re.compile(r"\d\s?[ap]\.?m\b", re.IGNORECASE)
_NUMBER_WORDS: Mapping[str, Mapping[str, str]] = {
    "pt": dict(
        zip(
            "um uma dois duas três tres quatro cinco seis sete oito nove dez onze doze meio-dia meia-noite dobro".split(),
            "1 1 2 2 3 3 4 5 6 7 8 9 10 11 12 12 12 2".split(),
            strict=True,
        )
    ),
    "es": dict(
        zip(
            "un uno una dos tres cuatro cinco seis siete ocho nueve diez once doce mediodía medianoche doble".split(),
            "1 1 1 2 3 4 5 6 7 8 9 10 11 12 12 12 2".split(),
            strict=True,
        )
    ),
    "en": dict(
        zip(
            "one two three four five six seven eight nine ten eleven twelve noon midnight first second third double twice".split(),
            "1 2 3 4 5 6 7 8 9 10 11 12 12 12 1 2 3 2 2".split(),
            strict=True,
        )
    ),
}


# What each flag tells a caseworker. A percentage would promise more than any of these checks can know.
IN_WORDS: Mapping[str, str] = {
    "negation_lost": "A “not” of the original may be missing",
    "negation_gained": "A “not” may have been added that the original does not have",
    "numbers_changed": "A number or a time differs from the original",
    "who_changed": "Who did what to whom may be confused",
    "doubtful": "The machine itself is unsure, or a word of the original has no counterpart: compare with the original",
    "copied_words": "Some words were left in the original language",
    "slur": "The original holds an insult that the translation may hide: see what it means beside the original",
    "length": "The translation is much shorter or longer than the original",
    "repeats": "The translation repeats itself",
    "empty": "The translation is empty",
    "wrong_script": "The writing is not that of the language",
    "details_listed": "Details that found no place in the sentence stand in brackets behind it",
    "rough_gist": "A rough gist by rules: good for what it is about, not for what exactly was said",
    "by_pivot": "Translated by way of a third language: rougher, and polite forms and gender get lost",
    "interpreter_needed": "No machine translation: an interpreter is needed",
    "gist_not_installed": "A rough gist could be had: tellonce languages check says how",
    "engine_down": "The translating process does not answer",
    "engine_failed": "The translating process failed on this text",
    "edited": "Changed by hand before it was sent",
    "reads_wrong": "The reporter says that this reads wrong",
}


def flag_in_words(flag: str) -> str:
    """A flag as a caseworker reads it, in English; an unknown one as it stands."""
    return IN_WORDS.get(flag, flag.replace("_", " "))


def flags(
    source: str, target: str, source_language: str, target_language: str, target_scripts: frozenset[str], unknown: int = 0
) -> tuple[str, ...]:
    """What to look at twice; flag_in_words() says what each means.

    ``source`` is the sentence as the engine read it, ``target`` its translation; ``target_scripts`` are ISO 15924 codes, none where
    the language is not ours; ``unknown`` counts the words that the engine said it lacks.
    """
    if source.strip() and not target.strip():
        return ("empty",)
    found = _denials_changed(source, target, source_language, target_language)
    if _numbers_changed(source, target, source_language, target_language):
        found.append("numbers_changed")
    if _who_changed(source, target, source_language, target_language):
        found.append("who_changed")
    if unknown or _copied_words(source, target):
        found.append("copied_words")
    if target_language == "en" and _hides_an_insult(source, target, source_language):
        found.append("slur")
    if _length_differs(source, target):
        found.append("length")
    if _REPEATS.search(target) and not _REPEATS.search(source):
        found.append("repeats")
    if target_scripts and _wrong_script(target, target_scripts):
        found.append("wrong_script")
    return tuple(found)


def _denials_changed(source: str, target: str, source_language: str, target_language: str) -> list[str]:
    if source_language not in _DENIALS or target_language not in _DENIALS:
        return []
    here, there = _denies(source, source_language), _denies(target, target_language)
    softly = any(
        re.search(_SOFT_DENIALS.get(language, r"(?!)"), text, re.IGNORECASE)
        for text, language in ((source, source_language), (target, target_language))
    )
    if here and not there and not softly:
        return ["negation_lost"]
    return ["negation_gained"] if there and not here and not softly else []


@cache
def _denial(language: str) -> re.Pattern[str]:
    words = "|".join(map(re.escape, _DENIALS[language].split()))
    return re.compile(rf"(?<!\w)(?:{words})(?!\w)|{_CONTRACTED.get(language, '(?!)')}", re.IGNORECASE)


def _denies(text: str, language: str) -> bool:
    return bool(_denial(language).search(text))


# Words that name a person beyond doubt. Portuguese and Spanish drop the subject, so only what is said is compared.
_HE = {
    "pt": r"\b(?:eles?|delas?|elas?|deles?|nel[ea]s?)\b",
    "es": r"\b(?:él|ell[oa]s?)\b",
    "en": r"\b(?:he|him|his|she|her|hers|they|them|their|himself|herself|themselves|it)\b",
}
_ME = {
    "pt": r"\b(?:eu|me|mim|meus?|minhas?|comigo|nos|nós|noss[oa]s?|conosco|connosco|a gente)\b",
    "es": r"\b(?:yo|me|mí|mis?|conmigo|nos|nosotr[oa]s|nuestr[oa]s?)\b",
    "en": r"\b(?:i|me|my|mine|myself|we|us|our|ours|ourselves)\b",
}
_YOU = {
    "pt": r"\b(?:vocês?|tu|te|ti|teus?|tuas?|seus?|suas?|lhes?|vos|voss[oa]s?|senhor(?:a|es)?|contigo|consigo)\b|-(?:te|lhe|vos)\b",
    "es": r"\b(?:usted(?:es)?|tú|te|ti|tus?|sus?|les?|vos|contigo)\b|\w{3,}(?:le|les|te)\b",
    "en": r"\b(?:you|your|yours|u|ur|yourself)\b",
}


def _who_changed(source: str, target: str, source_language: str, target_language: str) -> bool:
    if any(language not in _ME for language in (source_language, target_language)):
        return False

    def says(person: Mapping[str, str], text: str, language: str) -> bool:
        return bool(re.search(person[language], text, re.IGNORECASE))

    him, me = (says(person, source, source_language) for person in (_HE, _ME))
    to_him, to_me, to_you = (says(person, target, target_language) for person in (_HE, _ME, _YOU))
    if target_language != "en":
        # "We are afraid" is "temos medo": only what English says as an object or an owner must come back.
        return bool(re.search(r"\b(?:me|us|my|our)\b", source, re.IGNORECASE)) and not to_me
    if (him and not to_him and not to_you) or (
        me and not to_me and not re.search(r"\bme \w+ o\b|-me\b|^não me ", source, re.IGNORECASE)
    ):
        return True
    # "Ele tem dois metros" as "It has two meters"; "ele disse que ia me matar" as "he said I was going to kill myself".
    thing = re.search(
        r"(?:^|[.!?;,] |\b(?:that|and|but|because) )it (?!is|was|has been|happen|seem|will|would|'s)", target, re.IGNORECASE
    )
    onto_oneself = re.search(r"\b(?:myself|yourself)\b", target, re.IGNORECASE)
    return him and bool(thing or onto_oneself)


def _hides_an_insult(source: str, target: str, language: str) -> bool:
    said = _content(target)
    return any(not _content(entry.literal) & said for entry in gloss(source, language) if entry.severity >= 2)


def _content(text: str) -> frozenset[str]:
    """The words of an English text that carry meaning, without their plural."""
    return frozenset(word.removesuffix("s") for word in re.findall(r"[a-z]{4,}", text.lower()))


def _length_differs(source: str, target: str) -> bool:
    here, there = len(source.split()), len(target.split())
    return here >= 4 and not 0.45 <= there / here <= 2.2


def _numbers_changed(source: str, target: str, source_language: str, target_language: str) -> bool:
    here, there = Counter(re.findall(r"\d+", source)), Counter(re.findall(r"\d+", target))
    lost, invented = here - there, there - here
    # "às 8" may become "at eight" and "dois homens" "2 men": both are kept numbers.
    lost -= _spelled_numbers(target, target_language)
    invented -= _spelled_numbers(source, source_language)
    if _HALF_DAY.search(source) or _HALF_DAY.search(target):
        lost, invented = _by_half_days(lost), _by_half_days(invented)
    return lost != invented


def _by_half_days(numbers: Counter[str]) -> Counter[str]:
    # "5pm" becomes "17h", and "18:00" becomes "6:00 p.m.".
    counted: Counter[str] = Counter()
    for number, count in numbers.items():
        counted[str(int(number) % 12) if len(number) <= 2 and int(number) <= 24 else number] += count
    return counted


def _spelled_numbers(text: str, language: str) -> Counter[str]:
    words = _NUMBER_WORDS.get(language, {})
    return Counter(words[word] for word in re.findall(r"[\w-]+", text.lower()) if word in words)


def _copied_words(source: str, target: str) -> bool:
    # Names begin with one capital and are rightly copied, and so are words that both languages write alike; slang and shouting are
    # what an engine gives up on.
    words = [_plain(word) for word in re.findall(r"[^\W\d_]{4,}", source) if word.islower() or word.isupper()]
    there = {_plain(word) for word in re.findall(r"[^\W\d_]{4,}", target)}
    return any(word in there and word not in _WRITTEN_ALIKE for word in words if word != "xx")


def _plain(word: str) -> str:
    return unicodedata.normalize("NFC", word).casefold()


def _wrong_script(target: str, expected: frozenset[str]) -> bool:
    seen = scripts_of(target)
    letters = seen.total()
    return letters > 0 and sum(count for script, count in seen.items() if script in expected) < 0.5 * letters
