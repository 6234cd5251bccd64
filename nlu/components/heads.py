"""Adds to each parsed text what a report needs: the facts it already tells, and a first bias suggestion with its evidence."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import regex
from rasa.engine.graph import ExecutionContext, GraphComponent
from rasa.engine.recipes.default_recipe import DefaultV1Recipe
from rasa.engine.storage.resource import Resource
from rasa.engine.storage.storage import ModelStorage
from rasa.nlu.classifiers.classifier import IntentClassifier
from rasa.shared.nlu.constants import INTENT, TEXT
from rasa.shared.nlu.training_data.message import Message
from rasa.shared.nlu.training_data.training_data import TrainingData
from rasa.shared.utils.io import read_yaml_file

from components import bias, intents
from components.bias import Example
from components.e5 import MADE_BY_TUNING, SECOND
from components.folding import fold
from components.incidents import Incidents
from components.intents import Intents, Reader
from components.judging import Judge
from components.languages import Languages
from components.lexicon import Lexicon
from components.network import network
from components.told import MARKS, ToldRules

_ROOT = Path(__file__).resolve().parent.parent
# Rasa's own loader skips these: they have no "nlu" key.
_OUR_FILES = ("bias.yml", "incidents.yml", "lexicon.yml", "statements.yml", "told.yml")
_KEPT = _ROOT / ".rasa"  # rows of training sentences, so that training again takes seconds
_LONGEST_READ = 4_000  # code points looked at: the service sends no more
_OF_REPORTS = 8  # one in so many accounts shows the intents what a report is
_SURELY_NO_REPORT = 0.8  # so sure of another intent, and no word of the lists: the slower heads have nothing to look for
_LETTER = regex.compile(r"\p{L}")
_FACTS_TOLD = regex.compile(r" #([-wpointdg]+)$")
_MARKS = regex.compile(r"\[\[(.+?)\]\]| #[-wpointdg]+$")


@DefaultV1Recipe.register(DefaultV1Recipe.ComponentType.INTENT_CLASSIFIER, is_trainable=True)
class ReportHeads(IntentClassifier, GraphComponent):
    """Stands last in the pipeline. Learns from ``nlu.yml``, ``bias.yml`` and the rules of each language in ``data``."""

    @classmethod
    def required_components(cls) -> list[type]:
        return []

    @staticmethod
    def required_packages() -> list[str]:
        return ["sklearn"]

    @staticmethod
    def get_default_config() -> dict[str, Any]:
        return {"data": "data", "development": "development"}

    @classmethod
    def fingerprint_addon(cls, config: dict[str, Any]) -> str:
        """Rasa does not know our files: without this it would reuse heads trained on older ones."""
        digest, config = hashlib.sha256(), {**cls.get_default_config(), **config}
        code = sorted(Path(__file__).parent.glob("*.py"))
        for path in [*_files(config), *_development_files(config), *code, MADE_BY_TUNING, SECOND]:
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def __init__(self, config: dict[str, Any], storage: ModelStorage, resource: Resource) -> None:
        self._config, self._storage, self._resource = config, storage, resource
        self._judge: Judge | None = None
        self._intents: Intents | None = None
        self._languages: Languages | None = None
        self._incidents: Incidents | None = None

    @classmethod
    def create(
        cls, config: dict[str, Any], model_storage: ModelStorage, resource: Resource, execution_context: ExecutionContext
    ) -> ReportHeads:
        return cls(config, model_storage, resource)

    def train(self, training_data: TrainingData) -> Resource:
        """Learn the heads and keep them, rules included, in the model: serving needs none of the data files."""
        phrases = {"told": _of_each_language(self._config, "told.yml", "told")}
        phrases["lexicon"] = _of_each_language(self._config, "lexicon.yml", "lexicon")
        self._listen_for(phrases)
        accounts = bias_examples(self._config)
        asked = intent_examples(self._config)
        reports = [(example.text, "report", example.language) for example in accounts]
        self._languages = Languages.learn(_by_language([*asked, *reports]))
        self._intents = intents.train([*asked, *reports[::_OF_REPORTS]], _KEPT)
        self._judge = bias.learn(development(self._config), self._lexicon)
        self._incidents = Incidents.learn(_of_each_language(self._config, "incidents.yml", "incidents"), _KEPT)
        with self._storage.write_to(self._resource) as folder:
            (folder / "phrases.json").write_text(json.dumps(phrases, ensure_ascii=False, sort_keys=True), encoding="utf-8")
            (folder / "names.json").write_text(json.dumps(self._names()), encoding="utf-8")
            np.savez(folder / "weights.npz", **self._numbers())
        return self._resource

    @classmethod
    def load(
        cls,
        config: dict[str, Any],
        model_storage: ModelStorage,
        resource: Resource,
        execution_context: ExecutionContext,
        **kwargs: Any,
    ) -> ReportHeads:
        heads = cls(config, model_storage, resource)
        with model_storage.read_from(resource) as folder:
            heads._listen_for(json.loads((folder / "phrases.json").read_text(encoding="utf-8")))
            names = json.loads((folder / "names.json").read_text(encoding="utf-8"))
            with np.load(folder / "weights.npz") as numbers:
                heads._take({name: numbers[name] for name in numbers.files}, names)
        for tuned in (MADE_BY_TUNING, SECOND):
            network(tuned)  # the weights load with the model, not with the first reporter's text
        return heads

    def process(self, messages: list[Message]) -> list[Message]:
        for message in messages:
            text = message.get(TEXT) or ""
            ranking, report = self.read(text)
            # The classifier would answer "affirm" to an empty text or a question mark: what has no letter means nothing.
            best = {"name": ranking[0][0], "confidence": ranking[0][1]} if ranking else {"name": None, "confidence": 0.0}
            message.set(INTENT, best, add_to_output=True)
            message.set("intent_ranking", [{"name": n, "confidence": c} for n, c in ranking], add_to_output=True)
            message.set("report", report, add_to_output=True)
        return messages

    def read(self, text: str) -> tuple[list[tuple[str, float]], dict[str, Any]]:
        """The intents, the likeliest first, and the report, for any text whatever.

        The report: ``{"told": {"when": False, …}, "incident": [{"code", "confidence"}], "bias": {"state", "motivations": […]}}``.
        """
        text = text[:_LONGEST_READ]
        if self._languages is None or self._intents is None or self._judge is None or not _LETTER.search(text):
            return [], _report(self._told.told(fold(text), ()))
        folded, reading = fold(text), self._languages.read(text)
        told = self._told.told(folded, reading.languages)
        hits = self._lexicon.hits(folded, reading.languages)
        looked = bias.look(text, folded, hits)
        row = looked[0].seen.row if looked else network().read([text[: intents.LONGEST]])[0].row
        ranking = self._intents.ranking(row) if reading.is_known else []
        if ranking and ranking[0][0] != "report" and ranking[0][1] >= _SURELY_NO_REPORT and not hits:
            return ranking, _report(told)
        earlier = [folded.span(*span) for span in self._told.spans("ongoing", folded, reading.languages)]
        found = bias.suggest(text, looked, reading, hits, self._judge, {"earlier_incidents": earlier}, folded)
        incident = self._incidents.of(row) if self._incidents is not None and reading.is_known else []
        return ranking, _report(told, [{"code": code, "confidence": confidence} for code, confidence in incident], found)

    def _names(self) -> dict[str, Any]:
        assert self._intents and self._languages and self._incidents
        return {"intents": self._intents.names, "languages": self._languages.labels, "incidents": self._incidents.names}

    def _numbers(self) -> dict[str, np.ndarray]:
        assert self._intents and self._languages and self._incidents and self._judge
        numbers = {"languages": self._languages.table.astype(np.float16)}
        for kind, part in (("judge", self._judge), ("intent", self._intents.reader), ("incident", self._incidents.reader)):
            numbers.update({f"{kind}_{name}": np.asarray(value) for name, value in vars(part).items()})
        return numbers

    def _take(self, numbers: Mapping[str, np.ndarray], names: Mapping[str, Any]) -> None:
        def of(kind: str) -> dict[str, np.ndarray]:
            return {name.removeprefix(f"{kind}_"): value for name, value in numbers.items() if name.startswith(f"{kind}_")}

        self._judge = Judge(**of("judge"))  # type: ignore[arg-type]
        self._intents = Intents(tuple(names["intents"]), Reader(**of("intent")))
        self._incidents = Incidents(tuple(names["incidents"]), Reader(**of("incident")))
        self._languages = Languages(names["languages"], numbers["languages"].astype(np.float32))

    def _listen_for(self, phrases: Mapping[str, Any]) -> None:
        self._told = ToldRules(phrases["told"])
        self._lexicon = Lexicon(phrases["lexicon"])


def _report(
    told: dict[str, bool], incident: list[dict[str, Any]] | None = None, found: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {"told": told, "incident": incident or [], "bias": found or {"state": "unclear", "motivations": []}}


def _files(config: Mapping[str, Any]) -> list[Path]:
    files = sorted((_ROOT / config["data"]).glob("*/*.yml"))
    return [path for path in files if path.name in (*_OUR_FILES, "nlu.yml")]


def _development_files(config: Mapping[str, Any]) -> list[Path]:
    return sorted((_ROOT / config["development"]).glob("*.yml"))


def _of_each_language(config: Mapping[str, Any], name: str, key: str) -> dict[str, Any]:
    return {path.parent.name: read_yaml_file(path)[key] for path in _files(config) if path.name == name}


def _lines(group: Mapping[str, Any]) -> list[str]:
    lines = [line.strip().removeprefix("- ") for line in group["examples"].splitlines()]
    return [line for line in lines if line]


def intent_examples(config: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Text, intent and language. Rasa's own training data do not say which language a sentence is in."""
    groups = _of_each_language(config, "nlu.yml", "nlu")
    return [(line, group["intent"], language) for language in groups for group in groups[language] for line in _lines(group)]


def bias_examples(config: Mapping[str, Any], kind: str = "bias") -> list[Example]:
    """``bias.yml`` holds a list of {"motivation": "race" | "race+religion" | "none", "examples": "- …" lines}.

    ``kind`` "statements": what was said or written, standing alone, from ``statements.yml``. Behind " #" stand the facts told.
    """
    groups = _of_each_language(config, f"{kind}.yml", kind)
    return [_example(group, line, language) for language in groups for group in groups[language] for line in _lines(group)]


def development(config: Mapping[str, Any]) -> list[Example]:
    """Accounts that weigh what the heads say, written apart from what these learn from; marks of cues and facts are taken off."""
    return [
        _example(group, line, path.stem)
        for path in _development_files(config)
        for group in read_yaml_file(path)["reports"]
        for line in _lines(group)
    ]


def _example(group: Mapping[str, Any], line: str, language: str) -> Example:
    facts = _FACTS_TOLD.search(line)
    told = None if facts is None else frozenset(fact for mark, fact in MARKS.items() if mark in facts.group(1))
    return Example(_MARKS.sub(r"\1", line), frozenset(group["motivation"].split("+")) - {"none"}, language, told)


def _by_language(sentences: list[tuple[str, str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for text, _, language in sentences:
        found.setdefault(language, []).append(text)
    return found
