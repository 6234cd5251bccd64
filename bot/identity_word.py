"""The word a reporter chose, which is asked for before their report is spoken of in a chat that others may hold."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from bot.privacy import Vault
from translations import catalog

TRIES, TRIES_EVERY = 3, timedelta(days=1)


def lock(vault: Vault, word: str) -> dict[str, str]:
    """What is kept of a word: Argon2id over a keyed hash, with a salt of its own: {"salt": "9f…", "verifier": "3c…"}."""
    salt = secrets.token_hex(16)
    return {"salt": salt, "verifier": _verifier(vault, salt, word)}


def is_right(vault: Vault, kept: Mapping[str, str], word: str) -> bool:
    """Whether this is the word, whatever its case and accents. Takes tens of milliseconds: never while the database is held."""
    return hmac.compare_digest(kept["verifier"], _verifier(vault, kept["salt"], word))


def _verifier(vault: Vault, salt: str, word: str) -> str:
    return vault.receipt_verifier(f"word\0{salt}\0{catalog.normalised(word)}").hex()


def tries(profile: Mapping[str, Any], now: datetime) -> list[str]:
    """When a wrong word was sent lately, as they are kept."""
    return [at for at in profile.get("word_tries", ()) if at > (now - TRIES_EVERY).isoformat()]
