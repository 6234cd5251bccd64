"""All the cryptography of Tellonce and nothing else: service key, team keys, passwords, receipts (design, section 6).

``python -m bot.keys`` is the short-lived child that runs Argon2id, so that its 64 MiB never stay in a serving process.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox
from nacl.pwhash import argon2id

KEY_BYTES = 32
_NONCE = 12
_XNONCE = 24
PASSWORD_OPS, PASSWORD_MEMORY = 3, 64 * 2**20  # RFC 9106, second recommended option
RECEIPT_OPS, RECEIPT_MEMORY = 2, 19 * 2**20  # OWASP's smallest; the code is also hashed under the service key


class WrongKey(Exception):
    """A text did not open: wrong key, wrong row, or damaged. Never holds any of the text."""


def derive(secret: bytes, purpose: str, length: int = KEY_BYTES) -> bytes:
    """HKDF-SHA256 of ``secret`` for one ``purpose``."""
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=b"tellonce/" + purpose.encode()).derive(secret)


@dataclass(frozen=True)
class KeyRing:
    """The service key in all its living versions: ``KeyRing({1: b"…", 2: b"…"})``.

    ``secrets``: version (1 to 255) to 32 bytes; the newest encrypts, all of them open. ``look_ups`` (80 bytes) is what blind
    indexes and receipts hang on: it stays the same when versions come and go.
    """

    secrets: Mapping[int, bytes]
    look_ups: bytes = b""

    def __post_init__(self) -> None:
        if not self.secrets or any(len(s) != KEY_BYTES for s in self.secrets.values()):
            raise ValueError("a service key has 32 bytes")
        if not all(1 <= version <= _LAST_VERSION for version in self.secrets):
            raise ValueError(f"versions of a service key count from 1 to {_LAST_VERSION}")
        if len(self.look_ups) not in (0, _LOOK_UPS):
            raise ValueError(f"the look-ups of a service key have {_LOOK_UPS} bytes")
        if not self.look_ups:
            object.__setattr__(self, "look_ups", _look_ups(self.secrets[min(self.secrets)]))

    @property
    def newest(self) -> int:
        return max(self.secrets)

    def with_new_version(self) -> KeyRing:
        return KeyRing({**self.secrets, self.newest + 1: ServiceKey.generate()}, self.look_ups)

    def without_old_versions(self) -> KeyRing:
        return KeyRing({self.newest: self.secrets[self.newest]}, self.look_ups)

    def as_text(self) -> str:
        """As it lies in a file: a line a version, and a line of look-ups once the version they came from is gone."""
        lines = [f"{version} {secret.hex()}" for version, secret in sorted(self.secrets.items())]
        if _look_ups(self.secrets[min(self.secrets)]) != self.look_ups:
            lines.append(f"look-ups {self.look_ups.hex()}")
        return "\n".join(lines) + "\n"

    @staticmethod
    def from_text(text: str) -> KeyRing:
        """Read what as_text() wrote, or a single line of 64 hexadecimal digits (version 1). Raises ValueError without the text."""
        secrets, look_ups = {}, b""
        try:
            for line in filter(str.strip, text.splitlines()):
                name, value = ["1", *line.split()][-2:]
                if name == "look-ups":
                    look_ups = bytes.fromhex(value)
                    continue
                if int(name) in secrets or len(line.split()) > 2:
                    raise ValueError
                secrets[int(name)] = bytes.fromhex(value)
        except ValueError:
            raise ValueError("every line of a service key is a version and 64 hexadecimal digits") from None
        return KeyRing(secrets, look_ups)


_LOOK_UPS = KEY_BYTES * 2 + argon2id.SALTBYTES
_LAST_VERSION = 255


def _look_ups(secret: bytes) -> bytes:
    return derive(secret, "blind index") + derive(secret, "receipt") + derive(secret, "receipt salt", argon2id.SALTBYTES)


class ServiceKey:
    """The key of the running service: encrypts working text and addresses, makes blind indexes.

    ``given`` is a ring, or 32 bytes that are its only version. A ciphertext is version (1 byte), nonce (12), AES-256-GCM text and
    tag. ``look_again`` is asked before each encryption, and when a ciphertext of an unknown version is met: it returns the ring
    if that has changed, else None.
    """

    def __init__(self, given: KeyRing | bytes, look_again: Callable[[bool], KeyRing | None] = lambda is_missing: None) -> None:
        self._look_again = look_again
        self._take(given if isinstance(given, KeyRing) else KeyRing({1: given}))

    def _take(self, ring: KeyRing) -> None:
        self.ring = ring
        self._boxes = {v: AESGCM(derive(s, "working text")) for v, s in ring.secrets.items()}
        self._index_key, self._receipt_key = ring.look_ups[:KEY_BYTES], ring.look_ups[KEY_BYTES : 2 * KEY_BYTES]
        self._receipt_salt = ring.look_ups[2 * KEY_BYTES :]

    @property
    def version(self) -> int:
        """The version that encrypts."""
        return self.ring.newest

    @staticmethod
    def generate() -> bytes:
        """A new random secret."""
        return secrets.token_bytes(KEY_BYTES)

    def encrypt(self, text: bytes, place: str) -> bytes:
        """Encrypt ``text`` so that it opens only at ``place`` (table, column and row id)."""
        if changed := self._look_again(False):
            self._take(changed)
        nonce, boxes = os.urandom(_NONCE), self._boxes
        version = max(boxes)
        return bytes([version]) + nonce + boxes[version].encrypt(nonce, text, place.encode())

    def decrypt(self, box: bytes, place: str) -> bytes:
        """Open what encrypt() made for the same ``place``. Raises WrongKey."""
        if len(box) <= 1 + _NONCE:
            raise WrongKey(f"{place}: the text is damaged, only {len(box)} bytes are left of it")
        if box[0] not in self._boxes and (changed := self._look_again(True)):
            self._take(changed)
        opener = self._boxes.get(box[0])
        if opener is None:
            known = ", ".join(map(str, sorted(self._boxes)))
            raise WrongKey(f"{place}: written under version {box[0]} of the service key; this process has {known} alone")
        try:
            return opener.decrypt(box[1 : 1 + _NONCE], box[1 + _NONCE :], place.encode())
        except InvalidTag:
            raise WrongKey(f"{place}: does not open with this service key") from None

    def blind_index(self, value: str, purpose: str) -> bytes:
        """A keyed hash (16 bytes) by which an encrypted ``value`` can be found again."""
        return hmac.digest(self._index_key, f"{purpose}\0{value}".encode(), "sha256")[:16]

    def receipt_verifier(self, digits: str) -> bytes:
        """What is stored of a receipt: Argon2id (19 MiB) over a keyed hash of its digits, 32 bytes."""
        keyed = hmac.digest(self._receipt_key, digits.encode(), "sha256")
        return argon2id.kdf(KEY_BYTES, keyed, self._receipt_salt, opslimit=RECEIPT_OPS, memlimit=RECEIPT_MEMORY)


# -- receipts ------------------------------------------------------------------------------------------------------------------


def new_receipt() -> str:
    """A fresh receipt: 16 digits, the last a Luhn check digit: ``"4929713620583941"``."""
    body = "".join(secrets.choice("0123456789") for _ in range(15))
    return body + _check_digit(body)


def is_receipt(digits: str) -> bool:
    """Whether ``digits`` could be a receipt at all (16 ASCII digits, check digit right)."""
    return len(digits) == 16 and digits.isascii() and digits.isdigit() and _check_digit(digits[:15]) == digits[15]


def _check_digit(body: str) -> str:
    doubled = [int(d) * (2 - i % 2) for i, d in enumerate(body)]
    return str(-sum(n - 9 if n > 9 else n for n in doubled) % 10)


# -- sealed texts (readable by a team only) ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class KeyPair:
    """An X25519 pair, both halves as 32 raw bytes."""

    public: bytes
    private: bytes

    @staticmethod
    def generate() -> KeyPair:
        private = PrivateKey.generate()
        return KeyPair(bytes(private.public_key), bytes(private))

    @staticmethod
    def from_private(private: bytes) -> KeyPair:
        return KeyPair(bytes(PrivateKey(private).public_key), private)


def seal(text: bytes, public: bytes, place: str) -> bytes:
    """Seal ``text`` to a public key so that it opens only at ``place``: sealed data key (80 bytes), nonce (24), box."""
    data_key, nonce = secrets.token_bytes(KEY_BYTES), os.urandom(_XNONCE)
    box = crypto_aead_xchacha20poly1305_ietf_encrypt(text, place.encode(), nonce, data_key)
    return SealedBox(PublicKey(public)).encrypt(data_key) + nonce + box


def unseal(sealed: bytes, private: bytes, place: str) -> bytes:
    """Open what seal() made for the same ``place``. Raises WrongKey."""
    sealed_key, nonce, box = sealed[:80], sealed[80 : 80 + _XNONCE], sealed[80 + _XNONCE :]
    try:
        data_key = SealedBox(PrivateKey(private)).decrypt(sealed_key)
        return crypto_aead_xchacha20poly1305_ietf_decrypt(box, place.encode(), nonce, data_key)
    except (CryptoError, ValueError, TypeError):
        raise WrongKey(f"{place}: does not open with this team's key") from None


# -- a caseworker's private key ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WrappedKey:
    """A private key at rest under a password: salt (16 bytes) and nonce (24) + box."""

    salt: bytes
    box: bytes


def wrap_with_password(private: bytes, password: str) -> WrappedKey:
    """Put a private key under Argon2id of ``password`` (64 MiB, 3 passes, about 0.1 s)."""
    salt = os.urandom(argon2id.SALTBYTES)
    return WrappedKey(salt, _box(private, _password_key(password, salt)))


def unwrap_with_password(wrapped: WrappedKey, password: str) -> bytes:
    """Raises WrongKey when the password is not the one."""
    return _unbox(wrapped.box, _password_key(password, wrapped.salt))


def wrap_with_key(private: bytes, key: bytes) -> bytes:
    """Put a private key under a 32-byte key (the one a session cookie carries)."""
    return _box(private, key)


def unwrap_with_key(box: bytes, key: bytes) -> bytes:
    """Raises WrongKey."""
    return _unbox(box, key)


def _box(secret: bytes, key: bytes) -> bytes:
    nonce = os.urandom(_XNONCE)
    return nonce + crypto_aead_xchacha20poly1305_ietf_encrypt(secret, b"", nonce, key)


def _unbox(box: bytes, key: bytes) -> bytes:
    try:
        return crypto_aead_xchacha20poly1305_ietf_decrypt(box[_XNONCE:], b"", box[:_XNONCE], key)
    except (CryptoError, ValueError, TypeError):
        raise WrongKey("this key does not open with that secret") from None


def _password_key(password: str, salt: bytes) -> bytes:
    child = subprocess.run(
        [sys.executable, "-m", "bot.keys"], input=salt + password.encode(), capture_output=True, check=False, timeout=60
    )
    if child.returncode != 0 or len(child.stdout) != KEY_BYTES:
        raise RuntimeError("the password could not be checked: the Argon2id child failed (is there memory for it?)")
    return child.stdout


# -- a signed-in session -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SessionSecret:
    """The two halves of one random cookie: ``id`` finds the row, ``key`` opens the private key in it. Neither gives the other."""

    cookie: str
    id: bytes
    key: bytes

    @staticmethod
    def new() -> SessionSecret:
        return SessionSecret.from_cookie(base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode())

    @staticmethod
    def from_cookie(cookie: str) -> SessionSecret:
        secret = hashlib.sha256(cookie.encode()).digest()
        return SessionSecret(cookie, derive(secret, "session id"), derive(secret, "session key"))

    @property
    def form_token(self) -> str:
        """The token every form of this session carries (CSRF)."""
        return derive(self.key, "form token", 16).hex()


# -- the recovery key, as it is printed ----------------------------------------------------------------------------------------


def print_recovery_key(private: bytes) -> str:
    """A recovery key as people copy it: groups of four of base32 and a checksum: ``"MFRG-GZDF-…"``."""
    text = base64.b32encode(private + hashlib.sha256(private).digest()[:3]).decode().rstrip("=")
    return "-".join(text[i : i + 4] for i in range(0, len(text), 4))


def read_recovery_key(text: str) -> bytes:
    """Raises WrongKey when a character is wrong or missing."""
    compact = "".join(c for c in text.upper() if c.isalnum())
    try:
        raw = base64.b32decode(compact + "=" * (-len(compact) % 8))
    except ValueError:
        raw = b""
    private, checksum = raw[:KEY_BYTES], raw[KEY_BYTES:]
    if len(private) != KEY_BYTES or hashlib.sha256(private).digest()[:3] != checksum:
        raise WrongKey("that is not a recovery key: a character is wrong or missing")
    return private


if __name__ == "__main__":
    given = sys.stdin.buffer.read()
    sys.stdout.buffer.write(
        argon2id.kdf(
            KEY_BYTES, given[argon2id.SALTBYTES :], given[: argon2id.SALTBYTES], opslimit=PASSWORD_OPS, memlimit=PASSWORD_MEMORY
        )
    )
