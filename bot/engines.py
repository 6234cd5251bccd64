"""Whether the two processes beside us answer: Rasa, which understands, and the one that translates."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

LOOK_AGAIN = 10.0  # seconds


@dataclass(frozen=True)
class Answering:
    """``Answering(understanding=True, translation=False)``; None: it is switched off, and nobody misses it."""

    understanding: bool | None
    translation: bool | None


class Engines:
    """Asks both now and then, one thread at a time; meanwhile the others go by the last answer."""

    def __init__(self, understanding: Callable[[], bool] | None, translation: Callable[[], bool] | None) -> None:
        self._understanding = understanding
        self._translation = translation
        self._asking = threading.Lock()
        self._asked_at = float("-inf")
        self._last = Answering(None, None)

    def answering(self) -> Answering:
        """Who answers; may take a few seconds when one of them hangs."""
        if time.monotonic() - self._asked_at > LOOK_AGAIN and self._asking.acquire(blocking=False):
            try:
                self._last = Answering(
                    self._understanding() if self._understanding else None, self._translation() if self._translation else None
                )
                self._asked_at = time.monotonic()
            finally:
                self._asking.release()
        return self._last

    def missing(self) -> list[str]:
        """For the caseworkers, a calm sentence for each that does not answer, with what that means for them."""
        now = self.answering()
        sentences = []
        if now.translation is False:
            sentences.append("Translation is not running: texts arrive in the original language.")
        if now.understanding is False:
            sentences.append(
                "Understanding is not running: answers are read by numbers and keywords, and no motivation is suggested."
            )
        return sentences
