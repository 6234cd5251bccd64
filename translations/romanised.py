"""Languages of other alphabets typed in Latin letters, as people do on a phone; every statistical detector fails on these.

Words only that the Latin languages we know do not share. Urdu and Hindi are one spoken language: most of its words cannot tell
them apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_HINDUSTANI = frozenset(
    """
    mujhe mujhko mera meri mere hamara hamari hain hoon hua hui hue karna karni karne karo karta karti nahi nahin kya kyun kyu aap
    aapko tum tumhe chahiye chahie raha rahi rahe aadmi admi ladka ladke gaali gali kal raat unhon unhone usne bohat bahut bohot
    maara mara marne peeta dhakka liya diya gaya gayi tha thi abhi kahan kaun kisi koi kuch kuchh ghar mohalla padosi aur lekin
    kyunki yahan wahan bachao dar dara darr lagta lagti saath batana jaldi
    """.split()
)
_WORDS: Mapping[str, frozenset[str]] = {
    "ur": frozenset(
        """
        assalam asalam aslam alaikum alikum walaikum shukriya shukria madad khirki khuda allah inshallah mashallah meherbani
        meharbani zaroor shikayat mazhab musalman masjid hijab khatra khatre zindagi waqt insaf zulm nafrat janab sahab
        """.split()
    ),
    "hi": frozenset(
        """
        namaste namaskar dhanyavad dhanyavaad kripya kripaya sahayata sahayta mandir hindu dharm jati jaati dalit samasya
        bhagwan surakshit vyakti prashn pareshani
        """.split()
    ),
    "pa": frozenset(
        """
        mainu tuhanu sanu assi tusi tuhada sadda munda munde kudi kithe kidan haige kitta keeta hoya paaji veerji sasriakal
        akal sikh pagg gurdwara gurudwara marya maarya wich vich naal cheti
        """.split()
    ),
    "bn": frozenset(
        """
        ami amar amake amader tumi tomar apni apnar apnake keno kothay korte korche koreche hoyeche hoise achi ache achhe
        sahajjo shahajjo lagbe bhai gali diyeche merece mereche kharap bhoy kotha bolte bolche dhonnobad ekhon ekhane
        """.split()
    ),
    "gu": frozenset(
        """
        mane tame tamne hoon maru maro chhe nathi shu kem kyan aapo joie joiye madad hati bhai maryu gaal dhamki
        """.split()
    ),
    "ar": frozenset(
        """
        ana enta inta inti biddi bidi baddi 3ayez 3ayza awez momken mumkin wa7ad wahad salam 3an shi ma3i 7aga khayfa khayef
        5ayef 3ashan 3ala 7ada mesh mish mosh kteer ktir aballegh balligh sa3douni tsa3douni shou shu leish hala2 halla2
        habibi yalla wallah walla 3andi 3ndi feen wayn hayda hek keda enno inno darabni darabouni sabbni shatamni hijabi
        """.split()
    ),
    "fa": frozenset(
        """
        mikonam mikonan mikhastam mikham nemidunam nemidoonam nemitunam komak lotfan khahesh khubi chetori behem goft goftan
        zadan hastam nistam baraye khiaboon tarsidam mitarsam diruz dishab inja
        """.split()
    ),
}
_ARABIC_DIGITS = re.compile(r"[a-z][23579][a-z]|^[37][a-z]{2}|[a-z]{2}[37]$")


@dataclass(frozen=True)
class Romanised:
    """``Romanised("ur", certain=False)``: Hindustani, by words that Urdu and Hindi share."""

    language: str
    certain: bool


def romanised(text: str) -> Romanised | None:
    """The language of a text in plain ASCII that is normally written otherwise, or None."""
    if not text.isascii():
        return None
    said = re.findall(r"[a-z0-9']+", text.lower())
    if not said:
        return None
    counts = {language: float(sum(word in words for word in said)) for language, words in _WORDS.items()}
    counts["ar"] += 1.5 * sum(word not in _WORDS["ar"] and bool(_ARABIC_DIGITS.search(word)) for word in said)
    shared = sum(word in _HINDUSTANI for word in said)
    urdu, hindi = counts["ur"], counts["hi"]
    counts["ur"], counts["hi"] = (shared + urdu, hindi) if urdu >= hindi else (urdu, shared + hindi)
    best = max(counts, key=lambda language: counts[language])
    second = max(count for language, count in counts.items() if language != best)
    if counts[best] < max(1.5, 0.3 * len(said)):
        return None
    certain = counts[best] >= second + 1 and (best not in {"ur", "hi"} or urdu != hindi)
    return Romanised(best, certain)
