"""Which alphabets a text is written in, by the ranges of Unicode."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter

_RANGES = (
    (0x41, 0x24F, "Latn"),
    (0x370, 0x3FF, "Grek"),
    (0x400, 0x52F, "Cyrl"),
    (0x530, 0x58F, "Armn"),
    (0x590, 0x5FF, "Hebr"),
    (0x600, 0x6FF, "Arab"),
    (0x750, 0x77F, "Arab"),
    (0x8A0, 0x8FF, "Arab"),
    (0x900, 0x97F, "Deva"),
    (0x980, 0x9FF, "Beng"),
    (0xA00, 0xA7F, "Guru"),
    (0xA80, 0xAFF, "Gujr"),
    (0xB80, 0xBFF, "Taml"),
    (0xE00, 0xE7F, "Thai"),
    (0x10A0, 0x10FF, "Geor"),
    (0x1100, 0x11FF, "Hang"),
    (0x1200, 0x139F, "Ethi"),
    (0x1E00, 0x1EFF, "Latn"),
    (0x3040, 0x30FF, "Kana"),
    (0x3130, 0x318F, "Hang"),
    (0x3400, 0x4DBF, "Hani"),
    (0x4E00, 0x9FFF, "Hani"),
    (0xAC00, 0xD7AF, "Hang"),
    (0xF900, 0xFAFF, "Hani"),
    (0xFB50, 0xFDFF, "Arab"),
    (0xFE70, 0xFEFC, "Arab"),
    (0xFF21, 0xFF5A, "Latn"),
    (0x20000, 0x323AF, "Hani"),
)
_STARTS = [start for start, _, _ in _RANGES]


def script_of(letter: str) -> str:
    """The ISO 15924 code of one letter: ``script_of("é") == "Latn"``; ``Zzzz`` for a script we do not tell apart."""
    place = bisect_right(_STARTS, ord(letter)) - 1
    if place >= 0:
        _, end, script = _RANGES[place]
        if ord(letter) <= end:
            return script
    return "Zzzz"


def scripts_of(text: str) -> Counter[str]:
    """How many letters of each script: ``scripts_of("oi سلام") == {"Latn": 2, "Arab": 4}``; digits and marks do not count."""
    return Counter(script_of(letter) for letter in text if letter.isalpha())
