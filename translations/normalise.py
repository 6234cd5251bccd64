"""SMS spelling into the spelling a translation model has seen; only the working copy changes, never the reporter's own words.

A tiny model that reads "nao quero q minha familia saiba" loses the "nao". One table a language, whole words, any case.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

_PORTUGUESE = """
q=que oq=o que oque=o que pq=porque pqe=porque porq=porque vc=você vcs=vocês voce=você voces=vocês td=tudo tds=todos tb=também
tbm=também tmb=também tambem=também n=não ñ=não nao=não naum=não nn=não ngm=ninguém ninguem=ninguém nenhm=nenhum alguem=alguém
mae=mãe familia=família odio=ódio onibus=ônibus c=com cm=com to=estou tô=estou tou=estou ta=está tá=está tava=estava tavam=estavam
eh=é hj=hoje cmg=comigo ctg=contigo mto=muito mt=muito mts=muitos muinto=muito policia=polícia pra=para pro=para o pras=para as
pros=para os agr=agora dps=depois msm=mesmo msma=mesma qd=quando qdo=quando qnd=quando qm=quem obg=obrigado vlw=obrigado pfv=por
favor blz=tudo bem sla=não sei hrs=horas ja=já so=só ate=até irma=irmã irmas=irmãs manha=manhã amanha=amanhã medico=médico
predio=prédio agua=água rapido=rápido ultima=última proximo=próximo estao=estão vao=vão sao=são dao=dão mao=mão maos=mãos
chao=chão pao=pão cao=cão aki=aqui axo=acho fds=fim de semana gnt=gente d=de p=para numero=número vitima=vítima indio=índio
indigena=indígena catolico=católico evangelico=evangélico muculmano=muçulmano muculmana=muçulmana judaica=judaica
africano=africano cabeca=cabeça braco=braço preconceito=preconceito racismo=racismo criancas=crianças crianca=criança
comecou=começou ameacou=ameaçou ameaca=ameaça ameacas=ameaças ameacaram=ameaçaram onti=ontem otem=ontem ontm=ontem
"""

_ENGLISH = """
u=you ur=your r=are pls=please plz=please dont=don't doesnt=doesn't didnt=didn't cant=can't couldnt=couldn't wont=won't
wouldnt=wouldn't isnt=isn't wasnt=wasn't arent=aren't werent=weren't havent=haven't hasnt=hasn't hadnt=hadn't shouldnt=shouldn't
im=I'm ive=I've thx=thanks ty=thank you tnx=thanks ppl=people bc=because cuz=because coz=because b4=before 2day=today
2moro=tomorrow 2nite=tonight tmrw=tomorrow yest=yesterday msg=message gonna=going to wanna=want to gotta=have to abt=about
smth=something sb=somebody sth=something w=with wth=with hes=he's shes=she's theyre=they're youre=you're thats=that's whats=what's
i=I nobodys=nobody's noone=no one rn=right now
"""


def _table(entries: str) -> Mapping[str, str]:
    # "por favor" holds a space, so an entry runs until the next word that holds "=".
    return dict(re.findall(r"(\S+?)=(.+?)(?=\s+\S+=|\s*\Z)", " ".join(entries.split())))


_SPELLINGS: Mapping[str, Mapping[str, str]] = {"pt": _table(_PORTUGUESE), "en": _table(_ENGLISH)}
# Portuguese keeps its nasal endings apart: no word of four letters or more ends in a plain "ao".
_ENDINGS: Mapping[str, tuple[tuple[re.Pattern[str], str], ...]] = {
    "pt": (
        (re.compile(r"(?<=[a-z]{2})(?<!ul)(?<!al)cao\b"), "ção"),
        (re.compile(r"(?<=[a-z]{2})coes\b"), "ções"),
        (re.compile(r"(?<=[a-z]{2})ao\b"), "ão"),
        (re.compile(r"(?<=[a-z]{2})oes\b"), "ões"),
    )
}
_WORD = re.compile(r"(?<![\w'’@#/.-])\w+(?![\w'’@])")
_LETTERS_REPEATED = re.compile(r"([^\W\d_])\1{3,}")
_MARKS_REPEATED = re.compile(r"([!?])\1+")
_ENDS = tuple(".!?…:;。！？؟۔।")


def normalise(sentence: str, language: str) -> str:
    """One sentence as the engine should read it: ``normalise("nao quero q saiba", "pt") == "Não quero que saiba."``

    Placeholders such as XX1 pass unchanged. Any language gets quiet capitals, no long repeats, a capital and a full stop.
    """
    text = unicodedata.normalize("NFC", sentence).strip()
    text = "".join(letter for letter in text if letter == "\u200c" or unicodedata.category(letter) not in {"Cc", "Cf", "Co", "Cs"})
    text = _LETTERS_REPEATED.sub(r"\1\1", text)
    text = _MARKS_REPEATED.sub(r"\1", text)
    text = _quiet(text)
    spellings = _SPELLINGS.get(language, {})
    text = _WORD.sub(lambda word: _spelled(word[0], spellings), text)
    for ending, proper in _ENDINGS.get(language, ()):
        text = ending.sub(proper, text)
    if text and not text.startswith("XX"):
        text = text[0].upper() + text[1:]
    if text and not text.rstrip("\"»”')]").endswith(_ENDS):
        text += "."
    return text


def _quiet(text: str) -> str:
    words = [word for word in re.findall(r"[^\W\d_]+", text) if word != "XX"]
    letters = "".join(words)
    shouted = sum(letter.isupper() for letter in letters)
    if len(letters) <= 3 or shouted < 0.7 * len(letters):
        return text
    return re.sub(r"[^\W\d_]+(?!\d)", lambda word: word[0].lower(), text)


def _spelled(word: str, spellings: Mapping[str, str]) -> str:
    proper = spellings.get(word.lower())
    if proper is None:
        return word
    return proper[0].upper() + proper[1:] if word[0].isupper() and len(word) > 1 else proper
