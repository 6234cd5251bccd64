"""Cuts a text into words in every script, those written without spaces included."""

from __future__ import annotations

from typing import Any

import regex
from rasa.engine.recipes.default_recipe import DefaultV1Recipe
from rasa.nlu.tokenizers.tokenizer import Token
from rasa.nlu.tokenizers.whitespace_tokenizer import WhitespaceTokenizer
from rasa.shared.nlu.constants import TEXT
from rasa.shared.nlu.training_data.message import Message

_UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
_HAS_UNSPACED = regex.compile(_UNSPACED)
_PIECES = regex.compile(rf"{_UNSPACED}\p{{M}}*|(?:(?!{_UNSPACED})[^\s\p{{P}}])+|\p{{P}}+")
_ONLY_PUNCTUATION = regex.compile(r"\p{P}+")
_LETTER_OR_NUMBER = regex.compile(r"[\p{L}\p{N}]")
_SLASH, _DIVISION_SLASH = "/", "\u2215"


@DefaultV1Recipe.register(DefaultV1Recipe.ComponentType.MESSAGE_TOKENIZER, is_trainable=False)
class MultilingualTokenizer(WhitespaceTokenizer):
    """Rasa's whitespace tokenizer, with Han, Kana, Thai, Lao, Khmer and Myanmar cut into single characters."""

    @staticmethod
    def not_supported_languages() -> list[str]:
        return []

    def process(self, messages: list[Message]) -> list[Message]:
        for message in messages:
            text = message.get(TEXT)
            if text and text.startswith(_SLASH):
                # Rasa takes "/word" for a command: it would skip our heads, and write what it cannot read into its log.
                message.set(TEXT, _DIVISION_SLASH + text[1:], add_to_output=True)
        return super().process(messages)

    def remove_emoji(self, text: str) -> str:
        # Rasa's range of emoji, U+24C2 to U+1F251, covers all of Chinese and Japanese: whole words would vanish.
        return text if _LETTER_OR_NUMBER.search(text) else super().remove_emoji(text)

    def tokenize(self, message: Message, attribute: str) -> list[Token]:
        tokens: list[Token] = []
        for token in super().tokenize(message, attribute):
            tokens.extend(_characters(token) if _HAS_UNSPACED.search(token.text) else [token])
        return tokens


def _characters(token: Any) -> list[Token]:
    pieces = [piece for piece in _PIECES.finditer(token.text) if not _ONLY_PUNCTUATION.fullmatch(piece.group())]
    return [Token(piece.group(), token.start + piece.start(), token.start + piece.end()) for piece in pieces] or [token]
