"""Packages from an index that an operator names: read it, choose, and fetch a file so that a broken line costs no second download.

Nothing here runs while texts are translated: only ``tellonce languages install`` reaches for the network.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urljoin, urlsplit

import httpx

from translations.packages import PackageError, sha256_of

PUBLIC_INDEX = "https://raw.githubusercontent.com/argosopentech/argospm-index/main/index.json"
TRIES = 3  # of one file, each going on where the last one broke off
_PATIENCE = httpx.Timeout(30.0)
_LARGEST_INDEX = 10_000_000  # bytes
_LARGEST_PACKAGE = 2_000_000_000  # bytes
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

Progress = Callable[[int, int | None], None]  # bytes so far, bytes in all where the server says


@dataclass(frozen=True)
class Offer:
    """One package of an index: ``Offer("ar", "en", "1.0", ("https://…/translate-ar_en-1_0.argosmodel",), None)``.

    ``source`` and ``target`` are Argos' codes; ``sha256`` is None where the index does not say it, as the public one does not.
    """

    source: str
    target: str
    version: str
    links: tuple[str, ...]
    sha256: str | None


def read_index(place: str) -> list[Offer]:
    """The offers of an index: an address, a file, or a folder that holds ``index.json``. Raises PackageError with the mend."""
    address = str(Path(place) / "index.json") if Path(place).is_dir() else place
    try:
        raw = json.loads(_index_bytes(address))
        offers = [_offer(entry, address) for entry in raw if entry.get("type", "translate") == "translate"]
    except (OSError, httpx.HTTPError) as error:
        raise PackageError(f"the index {place} cannot be reached ({type(error).__name__}): name another with --index") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise PackageError(f"the index {place} is not a list of Argos packages: name another with --index") from None
    return offers


def choose(offers: Sequence[Offer], sources: Sequence[str], targets: Sequence[str]) -> Offer | None:
    """The newest package from one of ``sources`` into one of ``targets``."""
    fitting = [offer for offer in offers if offer.source in sources and offer.target in targets]
    return max(fitting, key=lambda offer: _version(offer.version), default=None)


def fetch(offer: Offer, folder: Path, pinned: str | None, progress: Progress) -> Path:
    """The file of an offer, in ``folder``, with the hash that was ``pinned`` or that the index says.

    What is already there of it is kept. Raises PackageError; a file with a wrong hash is deleted.
    """
    wanted = (pinned or offer.sha256 or "").lower() or None
    folder.mkdir(parents=True, exist_ok=True)
    problem = "it names no place we can fetch from"
    for link in offer.links:
        try:
            file = _fetch_link(link, folder, wanted is not None, progress)
        except PackageError as error:
            problem = str(error)
            continue
        found = sha256_of(file)
        if wanted and found != wanted:
            file.unlink()
            problem = f"its SHA-256 is {found}, not the {wanted} that was pinned, so it was deleted"
            continue
        return file
    raise PackageError(f"package {offer.source} to {offer.target} {offer.version}: {problem}")


def _index_bytes(address: str) -> bytes:
    if not address.startswith(("http://", "https://")):
        return Path(address).read_bytes()
    with httpx.stream("GET", address, timeout=_PATIENCE, follow_redirects=True) as answer:
        answer.raise_for_status()
        read = bytearray()
        for part in answer.iter_bytes():
            read += part
            if len(read) > _LARGEST_INDEX:
                raise ValueError("too long for an index")
        return bytes(read)


def _offer(entry: Mapping[str, Any], address: str) -> Offer:
    pinned = entry.get("sha256")
    if pinned is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", str(pinned)):
        raise ValueError("a hash that is none")
    links = tuple(_absolute(str(link), address) for link in entry["links"] if not str(link).startswith("ipfs:"))
    return Offer(str(entry["from_code"]), str(entry["to_code"]), str(entry["package_version"]), links, pinned)


def _absolute(link: str, index: str) -> str:
    """A mirror's links may be relative to its index, whether that is an address or a file."""
    if urlsplit(link).scheme or link.startswith("/"):
        return link
    return urljoin(index, link) if urlsplit(index).scheme in {"http", "https"} else str(Path(index).parent / link)


def _fetch_link(link: str, folder: Path, is_pinned: bool, progress: Progress) -> Path:
    parts = urlsplit(link)
    if parts.scheme not in {"http", "https"}:
        return _copied(Path(link), folder)
    if parts.scheme == "http" and not is_pinned and parts.hostname not in _LOOPBACK:
        raise PackageError("over plain http anybody on the way can change it: give its hash with --sha256")
    file = folder / f"{sha256(link.encode()).hexdigest()[:16]}.argosmodel"
    for tried in range(TRIES):
        try:
            _resume(link, file, progress)
            return file
        except (httpx.TransportError, OSError) as error:
            if tried == TRIES - 1:
                raise PackageError(
                    f"the download broke off ({type(error).__name__}): the same command goes on where it stopped"
                ) from None
    raise AssertionError("unreachable")


def _copied(source: Path, folder: Path) -> Path:
    file = folder / source.name
    try:
        file.write_bytes(source.read_bytes())
    except OSError:
        raise PackageError(f"its file {source.name} is not there") from None
    return file


def _resume(link: str, file: Path, progress: Progress) -> None:
    """Fetch what is missing of a file. The server's mark beside the part says whether it is still the same file."""
    part, mark = file.with_suffix(".part"), file.with_suffix(".mark")
    have, seen = (part.stat().st_size, mark.read_text()) if part.exists() and mark.exists() else (0, "")
    ask = {"Range": f"bytes={have}-", "If-Range": seen} if have and seen else {}
    # Compressed on the way, a range would count other bytes than ours.
    headers = {"Accept-Encoding": "identity", **ask}
    with httpx.stream("GET", link, headers=headers, timeout=_PATIENCE, follow_redirects=True) as answer:
        if answer.status_code == 416:  # the part is longer than the file
            part.unlink()
            raise httpx.ReadError("a part that does not fit")
        if answer.status_code >= 400:
            raise PackageError(f"the server answers {answer.status_code}")
        goes_on = answer.status_code == 206
        length = answer.headers.get("Content-Length")
        total = int(length) + (have if goes_on else 0) if length and length.isdigit() else None
        mark.write_text(answer.headers.get("ETag") or answer.headers.get("Last-Modified") or "")
        with part.open("ab" if goes_on else "wb") as opened:
            _write(answer, opened, have if goes_on else 0, total, progress)
    if total is not None and part.stat().st_size != total:
        raise httpx.ReadError("less than was announced")
    part.rename(file)
    mark.unlink()


def _write(answer: httpx.Response, opened: BinaryIO, have: int, total: int | None, progress: Progress) -> None:
    for part in answer.iter_raw():
        opened.write(part)
        have += len(part)
        if have > _LARGEST_PACKAGE:
            raise PackageError("it is larger than any package: this is not one")
        progress(have, total)


def _version(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))
