"""Which of our languages is this? The alphabet, then word lists, then detectors that must agree; else the reporter is asked."""

from __future__ import annotations

import importlib
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TextIO

from translations import catalog
from translations.frequent import claimed
from translations.lines import answer_lines, text_of
from translations.romanised import romanised
from translations.scripts import scripts_of

ENOUGH_WORDS = 3
ENOUGH_LETTERS = 12
ENOUGH_WORDS_TO_SWITCH = 5
_READ = 1000  # characters; the rest of a story is in the same language

_ONE_LANGUAGE = {"Guru": "pa", "Gujr": "gu", "Beng": "bn", "Hang": "ko", "Deva": "hi"}
_SEVERAL_LANGUAGES = frozenset({"Latn", "Arab", "Cyrl", "Hani"})

_URDU = frozenset("ٹڈڑںےھہ")
_PERSIAN = frozenset("پچژگ")
_ARABIC = frozenset("ةأإ")
_UKRAINIAN = frozenset("іїєґ")
_RUSSIAN = frozenset("ыэъё")
_OWN_LETTERS = {
    "pl": frozenset("łęążź"),
    "tr": frozenset("ğı"),
    "ro": frozenset("țţș"),
    "de": frozenset("ß"),
    "vi": frozenset("ơưạảấầẩậắằẵặẹẻẽếềểễệỉịọỏốồổộớờởợụủứừửữựỳỵỷỹ"),
}
# Letters of neighbours that we do not speak: Assamese; Pashto, Kurdish, Sindhi; Serbian, Macedonian, Kazakh, Mongolian, Tatar.
_NOT_OURS = frozenset("ৰৱښږځڅډړټڼېۍێۆڵڕڤەڃڄڇڊڍڏٻڀٿٺђћљњџјѓќѕәғқңөұүһ")
_PASHTO = frozenset("ښږځڅډړټڼېۍ")
_SORANI = frozenset("ێۆڵڕە")
_TIGRINYA = frozenset("ኣቐቑቒቓቔቕቖኸኹኺኻኼኽኾኡ")
# Recognised and answered with the menu: we have neither words nor packages for them, so an interpreter is needed.
OTHERS: Mapping[str, str] = {
    "ht": "Kreyòl ayisyen",
    "am": "አማርኛ",
    "ti": "ትግርኛ",
    "ps": "پښتو",
    "ku": "Kurdî (Kurmancî)",
    "ckb": "کوردی (سۆرانی)",
}
# The same characters in the same order, in the two ways of writing Chinese.
_SIMPLIFIED = (
    "们这说时会过对发为没还样见给让听问钱错关车东长门开进边远请谢认识话语觉电脑视报杀伤骂种欢乐妈爱国学习写书买卖从动员务应该难业产"
    "无线网络头脸谁张两个号岁热饭鱼鸡马帮讲经现觉间间龙举义亲儿军农划别刘刚办劳区华单厂历压厅县叶吗启员响团园围图场坏块声处备复够奖"
    "妇孙宁宝实宠审宽对寻导层岁岗币师帅带帮广庆库废异弃张弯当录忆忧怀态总恶惊惧惯愤愿戏战户护担拥择换据摆断旧显晓术机权条来极构标树桥"
    "检楼气汉济浅测济湿满灭灯灵炉点烂烦热爷牵犹狱独猫环电疗痛监盖盗盘眼礼离种积称稳穷窃竞笔签简类红约级纪纯纸线练组细织终绍经结绕绝统继"
    "续维罗罚职联肃肤脏脑脱艺节药获虫补装触计订认讨训议记许论设访证评诉词试误课谈谋谎谓谱贝负财责败货质贩购贵费资赢赶跃踪车轨转轮软轻较辆"
    "辑输达迁运这进违连选递邻郑酱释里针钟钢铁铃铅锁镇长闪闭闲闷闹闻阅队阳阴阶际陆险随隐难雾静顶顺须顾顿预领频题颜风飞饿馆驱驶骑骗验鸟"
)
_TRADITIONAL = (
    "們這說時會過對發為沒還樣見給讓聽問錢錯關車東長門開進邊遠請謝認識話語覺電腦視報殺傷罵種歡樂媽愛國學習寫書買賣從動員務應該難業產"
    "無線網絡頭臉誰張兩個號歲熱飯魚雞馬幫講經現覺間間龍舉義親兒軍農劃別劉剛辦勞區華單廠歷壓廳縣葉嗎啟員響團園圍圖場壞塊聲處備復夠獎"
    "婦孫寧寶實寵審寬對尋導層歲崗幣師帥帶幫廣慶庫廢異棄張彎當錄憶憂懷態總惡驚懼慣憤願戲戰戶護擔擁擇換據擺斷舊顯曉術機權條來極構標樹橋"
    "檢樓氣漢濟淺測濟濕滿滅燈靈爐點爛煩熱爺牽猶獄獨貓環電療痛監蓋盜盤眼禮離種積稱穩窮竊競筆簽簡類紅約級紀純紙線練組細織終紹經結繞絕統繼"
    "續維羅罰職聯肅膚髒腦脫藝節藥獲蟲補裝觸計訂認討訓議記許論設訪證評訴詞試誤課談謀謊謂譜貝負財責敗貨質販購貴費資贏趕躍蹤車軌轉輪軟輕較輛"
    "輯輸達遷運這進違連選遞鄰鄭醬釋裡針鐘鋼鐵鈴鉛鎖鎮長閃閉閒悶鬧聞閱隊陽陰階際陸險隨隱難霧靜頂順須顧頓預領頻題顏風飛餓館驅駛騎騙驗鳥"
)
_ONLY_SIMPLIFIED = frozenset(_SIMPLIFIED) - frozenset(_TRADITIONAL)
_ONLY_TRADITIONAL = (frozenset(_TRADITIONAL) - frozenset(_SIMPLIFIED)) | frozenset("佢冇唔嘅咗喺")

_LINGUA = {
    "ENGLISH": "en",
    "SPANISH": "es",
    "FRENCH": "fr",
    "PORTUGUESE": "pt",
    "GERMAN": "de",
    "ITALIAN": "it",
    "POLISH": "pl",
    "ROMANIAN": "ro",
    "RUSSIAN": "ru",
    "UKRAINIAN": "uk",
    "TURKISH": "tr",
    "ARABIC": "ar",
    "PERSIAN": "fa",
    "URDU": "ur",
    "VIETNAMESE": "vi",
    "TAGALOG": "tl",
    "SOMALI": "so",
}


@dataclass(frozen=True)
class Guess:
    """``Guess("pt", 0.95, ask=False)``. With ``ask`` the language, if any, is only the first line of the menu to show.

    It may then be one of OTHERS, which we recognise and do not speak.
    """

    language: str | None
    confidence: float
    ask: bool


def language_of(text: str, known: str | None = None) -> Guess:
    """The language of a message. ``known`` is the reporter's language so far; it outranks anything short or unsure."""
    read = _readable(text)
    guess = _from_text(read)
    if known is None or guess.language == known:
        return guess
    if guess.ask or _too_short_to_switch(read, known):
        return Guess(known, 0.5, ask=False)
    return guess


def detect_lines(stdin: TextIO, stdout: TextIO) -> int:
    """``tellonce detect --jsonl``: ``{"id", "text"}`` a line in, ``{"id", "lang", "confidence", "ask"}`` out; the exit status."""

    def answer(request: Mapping[str, Any]) -> Mapping[str, Any]:
        guess = language_of(text_of(request, "text"))
        return {"lang": guess.language, "confidence": round(guess.confidence, 2), "ask": guess.ask}

    return answer_lines(stdin, stdout, answer)


def _from_text(text: str) -> Guess:
    letters = scripts_of(text)
    if not letters:
        return Guess(None, 0.0, ask=True)
    script, count = letters.most_common(1)[0]
    if letters["Kana"]:
        return Guess(None, 0.9, ask=True)
    if _NOT_OURS & frozenset(text.lower()):
        return Guess(_neighbour(text), 0.7, ask=True)
    if count < 0.6 * letters.total():
        # Two alphabets in one message: whoever wrote it can choose.
        return Guess(None, 0.0, ask=True)
    if script in _ONE_LANGUAGE:
        return _of_one_language(text, _ONE_LANGUAGE[script])
    if script == "Hani":
        return _chinese(text)
    if script == "Ethi":
        return _ethiopic(text)
    if script not in _SEVERAL_LANGUAGES:
        return Guess(None, 0.9, ask=True)
    if script == "Latn" and (written := romanised(text)):
        return Guess(written.language, 0.85 if written.certain else 0.5, ask=not written.certain)
    return _by_listed_words(text) or _by_letters(text, script) or _by_detectors(text)


def _of_one_language(text: str, language: str) -> Guess:
    # Marathi and Nepali share the letters of Hindi.
    if language == "hi" and len(text.split()) >= ENOUGH_WORDS and _cld(text) in {"mr", "ne"}:
        return Guess(None, 0.7, ask=True)
    return Guess(language, 0.99, ask=False)


def _ethiopic(text: str) -> Guess:
    """Amharic or Tigrinya: the second keeps letters, and a first letter of its own, that the first has lost."""
    tigrinya = bool(_TIGRINYA & frozenset(text)) or _cld(text) == "ti"
    return Guess("ti" if tigrinya else "am", 0.8, ask=True)


def _neighbour(text: str) -> str | None:
    """Pashto or Sorani Kurdish by their own letters; the other neighbours are only known not to be ours."""
    seen = frozenset(text)
    pashto, kurdish = len(seen & _PASHTO), len(seen & _SORANI)
    if pashto == kurdish:
        return None
    return "ps" if pashto > kurdish else "ckb"


def _chinese(text: str) -> Guess:
    simplified = sum(character in _ONLY_SIMPLIFIED for character in text)
    traditional = sum(character in _ONLY_TRADITIONAL for character in text)
    if simplified == traditional:
        return Guess("zh-Hans", 0.5, ask=True)
    return Guess("zh-Hans" if simplified > traditional else "zh-Hant", 0.95, ask=False)


def _by_listed_words(text: str) -> Guess | None:
    """A short message that is, or begins with, a word of exactly one language."""
    said = catalog.normalised(text)
    if len(said.split()) > ENOUGH_WORDS + 1:
        return None
    whole = _listeners().get(said, frozenset())
    if len(whole) == 1:
        return Guess(next(iter(whole)), 0.9, ask=False)
    if whole:
        return Guess(None, 0.3, ask=True)
    words = said.split()
    for length in (3, 2, 1):
        greeters = _greeters().get(" ".join(words[:length]), frozenset())
        if len(greeters) == 1 and length < len(words):
            return Guess(next(iter(greeters)), 0.8, ask=False) if not _enough(text) else None
    return None


def _by_letters(text: str, script: str) -> Guess | None:
    letters = Counter(text.lower())
    if script == "Cyrl":
        ukrainian, russian = sum(letters[letter] for letter in _UKRAINIAN), sum(letters[letter] for letter in _RUSSIAN)
        if ukrainian != russian and not (ukrainian and russian):
            return Guess("uk" if ukrainian else "ru", 0.95, ask=False)
    if script == "Arab":
        seen = frozenset(letters)
        if seen & _URDU:
            return Guess("ur", 0.97, ask=False)
        if seen & _PERSIAN and not seen & _ARABIC:
            return Guess("fa", 0.9, ask=False)
        if seen & _ARABIC and not seen & _PERSIAN:
            return Guess("ar", 0.95, ask=False)
    return None


def _by_detectors(text: str) -> Guess:
    shares = _lingua(text)
    best = max(shares, key=lambda language: shares[language])
    if not _enough(text):
        return Guess(best, min(shares[best], 0.4), ask=True)
    other = _cld(text)
    little, share = claimed(catalog.normalised(text).split())
    if little in OTHERS or (other in OTHERS and little is None):
        return Guess(little or other, 0.7, ask=True)
    if other and other not in catalog.languages() and other not in OTHERS and not (little == best and share > 0.5):
        # Another language altogether, says the detector that is not held to ours: no line of the menu would be a good guess.
        return Guess(None, 0.5, ask=True)
    votes = Counter(vote for vote in (best, other, little, _own_letters(text)) if vote)
    (elected, agreeing), *rest = votes.most_common()
    if agreeing >= 2 and not (rest and rest[0][1] == agreeing):
        return Guess(elected, 0.95, ask=False)
    words = len(text.split())
    if other is None and shares[best] >= 0.9 and words > ENOUGH_WORDS:
        return Guess(best, 0.8, ask=False)
    # lingua in low accuracy often gives a short text to a wrong neighbour;
    # pycld2, sure of itself, needs only its tolerance.
    if other in shares and shares[other] >= 0.1 and shares[best] < 0.9 and words > ENOUGH_WORDS:
        return Guess(other, 0.75, ask=False)
    return Guess(best, 0.5, ask=True)


def _own_letters(text: str) -> str | None:
    """The only one of our Latin languages with such letters; a vote, since a name may carry them into any text."""
    seen = frozenset(text.lower())
    owners = [language for language, letters in _OWN_LETTERS.items() if seen & letters]
    return owners[0] if len(owners) == 1 else None


def _too_short_to_switch(text: str, known: str) -> bool:
    letters = scripts_of(text)
    own = sum(count for script, count in letters.items() if script in catalog.scripts(known) or script == "Latn")
    foreign_alphabet = own < 0.4 * letters.total()
    return not foreign_alphabet and len(text.split()) < ENOUGH_WORDS_TO_SWITCH


def _enough(text: str) -> bool:
    return len(text.split()) >= ENOUGH_WORDS and scripts_of(text).total() >= ENOUGH_LETTERS


def _readable(text: str) -> str:
    """Words alone: addresses, numbers and pictures say nothing about the language, and the detectors refuse control characters."""
    text = re.sub(r"\S+@\S+|https?://\S+|www\.\S+", " ", text[:_READ])
    kept = (" " if unicodedata.category(character)[0] in "CS" and character != "\u200c" else character for character in text)
    return " ".join("".join(kept).split())


@cache
def _listeners() -> dict[str, frozenset[str]]:
    """Each word or phrase we listen for, with the languages in which we do."""
    return _by_word("yes", "no", "skip", "dont_know", "silent_stop", "person", "new", "greeting", "emergency")


@cache
def _greeters() -> dict[str, frozenset[str]]:
    return _by_word("greeting")


def _by_word(*kinds: catalog.Kind) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for language in catalog.languages():
        for kind in kinds:
            for word in catalog.words(language, kind):
                found.setdefault(word, set()).add(language)
    return {word: frozenset(speakers) for word, speakers in found.items()}


@cache
def _lingua_detector() -> Any:
    # Low accuracy mode: 28 MB instead of 380, and pycld2 must agree anyway. Loaded once, at the first message that needs it.
    lingua = importlib.import_module("lingua")
    ours = [getattr(lingua.Language, name) for name in _LINGUA]
    return lingua.LanguageDetectorBuilder.from_languages(*ours).with_low_accuracy_mode().build()


def _lingua(text: str) -> dict[str, float]:
    """A share between 0 and 1 for each of our languages that lingua knows."""
    return {
        _LINGUA[share.language.name]: float(share.value) for share in _lingua_detector().compute_language_confidence_values(text)
    }


def _cld(text: str) -> str | None:
    """What pycld2 is sure of, one of ours or not."""
    pycld2 = importlib.import_module("pycld2")
    try:
        _, _, found = pycld2.detect(text)
    except pycld2.error:
        return None
    code = str(found[0][1])
    return None if code in {"un", "tlh"} or code.startswith("xx") else code
