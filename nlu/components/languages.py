"""Guesses which languages' rules a text may be read with, and whether the encoder knows its language at all."""

from __future__ import annotations

import regex

from components.folding import fold

# Function words, folded. The guess only chooses rules; the reporter's language is decided elsewhere.
_KNOWN: dict[str, frozenset[str]] = {
    code: frozenset(words.split())
    for code, words in {
        "en": "the and i my me he she they was were is in on at to of a it this that with you we his her for not am from who when dont im",
        "pt": "o os um uma eu meu minha me ele ela eles foi no na nos nas em de da do que e com para por nao estava voce isso mas mim pra pro ta to vc",
        "es": "el la los las un una yo mi me ella ellos fue en de del que y con para por no estaba usted eso pero muy es se lo al",
        "fr": "le la les un une je mon ma moi il elle ils etait dans sur au de du des que et avec pour par ne pas vous ce mais est j'ai suis m'a c'est",
        "de": "der die das ein eine ich mein meine mir mich er sie war waren in im an am zu von und mit fur nicht du es aber ist bin hat auf",
        "it": "il lo gli una io mio mia mi lui lei loro era nel nella di del che e con per non sono questo ma ho ha della sul",
        "nl": "de het een ik mijn mij hij zij was waren in op aan van en met voor niet je dit maar ben heeft naar ze",
        "pl": "i w na z do nie sie ja moj moja mnie on ona oni byl byla bylo jest to ze jak przez mi po",
        "tr": "ve bir ben benim bana o onlar bu su da de ile icin degil ama cok beni var oldu dedi",
    }.items()
}
_OUTSIDE: dict[str, frozenset[str]] = {
    code: frozenset(words.split())
    for code, words in {
        "ro": "si eu meu mea mie el ea ei era este in pe cu din la un o nu ca am au sunt mi-a m-a iar strada care imi pentru fost",
        "vi": "toi va la cua trong o voi khong ho da mot nguoi nhung nay khi bi cho toi noi",
        "tl": "ang ng mga ako siya sila sa na ko po si ay at hindi ito ni namin kami yung lang nila niya may naman",
        "so": "waxaan iyo ka ku aan oo waa ayaa ii igu waxay aniga uu ay in lagu soo nin waxa baska",
        "sw": "na ya wa kwa ni mimi yangu yeye wao katika alikuwa nina sana huyu hii",
    }.items()
}
_ENCODED_SCRIPTS = regex.compile(r"[\p{Latin}\p{Arabic}\p{Cyrillic}\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}]")
_LETTER = regex.compile(r"\p{L}")
_LATIN = regex.compile(r"\p{Latin}")
_ARABIC = regex.compile(r"\p{Arabic}")
_PERSIAN_OR_URDU = regex.compile(r"[پچژگکیٹڈڑےںھہۓ]")
_UKRAINIAN = regex.compile(r"[іїєґІЇЄҐ]")
_VIETNAMESE = regex.compile(r"[ăơưđĂƠƯĐ\u1ea0-\u1ef9]")
_ROMANIAN = regex.compile(r"[șțăŞşȘȚĂţŢ]")
_WORD = regex.compile(r"[\p{L}\p{M}'’-]+")


def languages_of(text: str) -> frozenset[str]:
    """The languages whose rules may read this text: one, several when it could be any of them, none when it is not ours."""
    if _mostly(_ARABIC, text):
        return frozenset() if _PERSIAN_OR_URDU.search(text) else frozenset({"ar"})
    if not _mostly(_LATIN, text):
        return frozenset()
    counts = _counts(text, _KNOWN)
    most = max(counts.values())
    if most == 0:
        return frozenset(_KNOWN)
    return frozenset(code for code, count in counts.items() if count == most)


def is_encoded(text: str) -> bool:
    """Whether the encoder was taught this text's script and, as far as a few words tell, its language."""
    letters = len(_LETTER.findall(text))
    if len(_ENCODED_SCRIPTS.findall(text)) * 2 < letters:
        return False
    if _mostly(_ARABIC, text):
        return len(_PERSIAN_OR_URDU.findall(text)) == 0
    if len(_UKRAINIAN.findall(text)) >= 2 or len(_VIETNAMESE.findall(text)) >= 2:
        return False
    outside, known = max(_counts(text, _OUTSIDE).values()), max(_counts(text, _KNOWN).values())
    if _ROMANIAN.search(text) and _counts(text, _OUTSIDE)["ro"] > _counts(text, _KNOWN)["tr"]:
        return False
    return not (outside >= 2 and outside > known)


def _mostly(script: regex.Pattern[str], text: str) -> bool:
    return 2 * len(script.findall(text)) > len(_LETTER.findall(text))


def _counts(text: str, languages: dict[str, frozenset[str]]) -> dict[str, int]:
    words = [fold(word).text for word in _WORD.findall(text[:1_000])]
    return {code: sum(word in known for word in words) for code, known in languages.items()}
