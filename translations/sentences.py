"""One text into sentences, without any model: Argos Translate's own splitters download theirs."""

from __future__ import annotations

import re

LONGEST = 400  # characters; the tiny models lose the thread in longer ones
_SHORTEST_CUT = 80

_END = re.compile(r"(?<=[.!?…。！？؟۔।፧።])[\"»”')\]]*\s+|(?<=[。！？])")
_PARAGRAPH = re.compile(r"\n\s*\n")


def paragraphs(text: str) -> list[str]:
    """The paragraphs of a text; a single line break inside one is how a phone wraps, not an end."""
    return [_joined(part) for part in _PARAGRAPH.split(text.replace("\r\n", "\n").replace("\r", "\n")) if part.strip()]


def split(paragraph: str) -> list[str]:
    """The sentences of one paragraph, none longer than LONGEST characters, none empty."""
    sentences = []
    for sentence in map(str.strip, _END.split(paragraph)):
        rest = sentence
        while len(rest) > LONGEST:
            space = rest.rfind(" ", 0, LONGEST)
            cut = space if space > _SHORTEST_CUT else LONGEST
            sentences.append(rest[:cut])
            rest = rest[cut:].strip()
        if rest:
            sentences.append(rest)
    return sentences


def pieces(text: str, longest: int) -> list[str]:
    """The text in pieces of at most ``longest`` characters, cut between paragraphs or sentences where there are any."""
    if len(text) <= longest:
        return [text]
    made: list[str] = []
    for paragraph in paragraphs(text):
        fresh = True
        for sentence in split(paragraph):
            glue = "\n\n" if fresh else " "
            if made and len(made[-1]) + len(glue) + len(sentence) <= longest:
                made[-1] += glue + sentence
            else:
                made.append(sentence)
            fresh = False
    return made


def _joined(paragraph: str) -> str:
    return " ".join(line.strip() for line in paragraph.split("\n") if line.strip())
