"""Languages of other alphabets typed in Latin letters, as people do on a phone; every statistical detector fails on these.

Words only that the Latin languages we know do not share. Urdu and Hindi are one spoken language: most of its words cannot tell
them apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from translations.frequent import known_words

_HINDUSTANI = frozenset(
    """
        mujhe mujhko mujh mera meri mere hamara hamari hamare humara humari hume humein hamein hain hai hoon hun hu hua hui
        hue ho hota hoti karna karni karne karo kar karta karti karte karke kiya kiye kari nahi nahin nai kya kyun kyu kyon
        kyunki kyonki aap aapko apne apni apna apko tum tumhe chahiye chahie chahte chahti chahta raha rahi rahe aadmi admi
        ladka ladke ladki aurat gaali gali kal aaj raat roz din subah shaam unhon unhone usne uske uski us unka unke woh wo
        ne bohat bahut bohot maara mara marne maar peeta pita dhakka liya diya dii diye dega gaya gayi gaye tha thi abhi
        kahan kaun kisi koi kuch kuchh ghar mohalla padosi parosi aur lekin magar par yahan wahan bachao dar dara darr darta
        darti lagta lagti lag saath batana bata jaldi wapas desh mulk beta beti bacha bache bola boli kaha bolta deta deti
        dete leta likh likha hamla dhamki chaku bhi sab log logon walon wale wala jane jana jata jati baat mein main se ki
        ka ke ko ye yeh
        """.split()
)
_WORDS: Mapping[str, frozenset[str]] = {
    "ur": frozenset(
        """
        assalam asalam aslam alaikum alikum walaikum assalamualaikum salam shukriya shukria khirki khuda allah inshallah
        mashallah meherbani meharbani barah karam baraye zaroor mazhab musalman masjid khatra khatre insaf zulm nafrat janab
        sahab parosi mulk gaaliyan galiyan unhon khufia ittila beizzati bezati ilaqa ilaqay muhalla kyunke kyunkay magar aik
        bohat bohot
        """.split()
    ),
    "hi": frozenset(
        """
        namaste namaskar dhanyavad dhanyavaad kripya kripaya sahayata sahayta mandir hindu dharm jati jaati dalit samasya
        bhagwan surakshit vyakti prashn pareshani padosi pulis gupt kyonki kyuki karein sachchai sarkar naukri samaj adivasi
        pagdi
        """.split()
    ),
    "pa": frozenset(
        """
        mainu menu mennu tuhanu tenu tainu sanu saanu assi asi tusi tussi tuhada tuhadi sada sadda sadi munda munde kudi
        kuri kithe kidan kiven kive haige hega kitta kitti keeta keeti hoya hoyi hoye paaji veerji sat sri akal sasriakal
        sikh pagg gurdwara gurudwara gurdware marya maarya mareya wich vich nal naal cheti chahidi chahida chahide lagda
        lagdi darda dardi kadda kaddi kehnda kehndi kehnde ditti ditta ditte di da de nu ton te ik eh oh ohne onu ohna ohnu
        jaan jaanda guandi kise kisse kujh kuj kinne kar sakde sakda sakdi han haan si san karan karni likhya aakhya akhya
        pind puttar dhee bol bolda gaalan gallan kandh kalh aapne
        """.split()
    ),
    "bn": frozenset(
        """
        ami amar amake amader tumi tomar tomake apni apnar apnake keno kothay kothai korte kore kori korbo korche korchi
        koreche korechi korlo hoyeche hoise hoyeche hobe hoy achi ache achhe achen asen sahajjo shahajjo shahajyo lagbe lage
        dorkar gali diyeche dise dilo diye dey dei merece mereche mareche marse bhoy voy kotha bolte bolche bolse bollo
        dhonnobad ekhon ekhane ekjon ekta eta ota oi keu kichu jonno karon theke sathe shathe bari barite ghor dokan dokaner
        rate raat gotokal kalke ajke chele meye bacha lok manush protibeshi nijer deshe chai chaina pari parina na nai nei r
        ar ebong obhijog humki churi roj likhse dekhechi dekhsi
        """.split()
    ),
    "gu": frozenset(
        """
        mane tame tamne hoon maru mari maro chhe che nathi shu kem joie joiye aapo hati hato maryu marya gaal dhamki ane pan
        apdo amne amara karo karvi karva kahyu bahen bhai ghare gaya raate kale padoshi
        """.split()
    ),
    "ar": frozenset(
        """
        ana enta inta inti enti huwe hiye ehna nehna biddi bidi baddi badi badde bade bdi 3ayez 3ayza awez ayez momken
        mumkin wa7ad wahad salam 3alaykom 3alaikom alaykom 3an shi ma3i 7aga haga khayfa khayfe khayef 5ayef 3ashan 3ala
        7ada hada mesh mish mosh mch kteer ktir aballegh balligh sa3douni tsa3douni shou shu leish lesh hala2 halla2 habibi
        yalla wallah walla 3andi 3ndi feen fein wayn wein hayda heyda hek heik keda kida enno inno innu darabni darabouni
        darabo sabbni shatamni shatam hijabi fi kol kel yom jari jarti bysebni byisibni 2alle 2alli 2al aal rja3 erja3 bel
        bil el 3al mbere7 embare7 imbari7 sheft shift shabab 3am ahli ahle ebni ibni bint walad rajol rajul sou2 bet beit
        madrase madrasa mosa3ade musa3ada lazem lezim bas kaman wala ma la2enni la2anni men min
        """.split()
    ),
    "fa": frozenset(
        """
        mikonam mikonan mikhastam mikham nemidunam nemidoonam nemitunam komak lotfan khahesh khubi chetori behem goft goftan
        zadan hastam nistam baraye khiaboon tarsidam mitarsam diruz dishab inja mano manam hamsaye mishe nemikham khane
        khanevade
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
    urdu, hindi = counts["ur"], counts["hi"]
    either = sum(word in _HINDUSTANI or word in _WORDS["ur"] or word in _WORDS["hi"] for word in said)
    counts["ur"], counts["hi"] = (either, hindi) if urdu >= hindi else (urdu, either)
    best = max(counts, key=lambda language: counts[language])
    rivals = {"ur", "hi"} if best in {"ur", "hi"} else {best}
    second = max(count for language, count in counts.items() if language not in rivals)
    # "nu te da" is Romanian too, and "se ne" Italian: more of the text must be ours than any Latin language would own.
    if counts[best] < max(1.5, 0.4 * len(said)) or counts[best] <= max(known_words(said).values(), default=0):
        return None
    # Urdu and Hindi are one spoken language: only words of one of them decide, and two are better than one.
    apart = best not in {"ur", "hi"} or (abs(urdu - hindi) >= 1 and min(urdu, hindi) == 0)
    certain = counts[best] >= second + 1 and apart and counts[best] >= 2
    return Romanised(best, certain)
