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

from components.bias import Example, Weights, suggest, train
from components.encoder import encode
from components.folding import fold
from components.languages import languages_of
from components.lexicon import Lexicon
from components.told import ToldRules

_ROOT = Path(__file__).resolve().parent.parent
_OUR_FILES = ("bias.yml", "lexicon.yml", "told.yml")  # Rasa's own loader skips them: they have no "nlu" key
_LONGEST_READ = 10_000  # code points that rules look at
_LETTER = regex.compile(r"\p{L}")


@DefaultV1Recipe.register(DefaultV1Recipe.ComponentType.INTENT_CLASSIFIER, is_trainable=True)
class ReportHeads(IntentClassifier, GraphComponent):
    """Stands last in the pipeline. Learns from ``data/<language>/bias.yml`` and from what is no report at all."""

    @classmethod
    def required_components(cls) -> list[type]:
        return []

    @staticmethod
    def required_packages() -> list[str]:
        return ["sklearn"]

    @staticmethod
    def get_default_config() -> dict[str, Any]:
        return {"data": "data"}

    @classmethod
    def fingerprint_addon(cls, config: dict[str, Any]) -> str:
        """Rasa does not know our files: without this it would reuse heads trained on older ones."""
        digest = hashlib.sha256()
        for path in [*_files({**cls.get_default_config(), **config}), *sorted(Path(__file__).parent.glob("*.py"))]:
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def __init__(self, config: dict[str, Any], storage: ModelStorage, resource: Resource) -> None:
        self._config, self._storage, self._resource = config, storage, resource
        self._weights: Weights | None = None

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
        no_report = [m.get(TEXT) for m in training_data.intent_examples if m.get(INTENT) != "report"]
        examples = [*_bias_examples(self._config), *(Example(text, frozenset()) for text in no_report)]
        self._weights = train(examples, self._lexicon)
        with self._storage.write_to(self._resource) as folder:
            (folder / "phrases.json").write_text(json.dumps(phrases, ensure_ascii=False, sort_keys=True), encoding="utf-8")
            np.savez(folder / "weights.npz", indicator=self._weights.indicator, strands=self._weights.strands)
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
            with np.load(folder / "weights.npz") as numbers:
                heads._weights = Weights(numbers["indicator"], numbers["strands"])
        return heads

    def process(self, messages: list[Message]) -> list[Message]:
        for message in messages:
            text = message.get(TEXT) or ""
            message.set("report", self.read(text, _vector(message)), add_to_output=True)
            if not _LETTER.search(text):
                # The classifier answers "affirm" at 0.9 to an empty text or a question mark.
                message.set(INTENT, {"name": None, "confidence": 0.0}, add_to_output=True)
                message.set("intent_ranking", [], add_to_output=True)
        return messages

    def read(self, text: str, vector: np.ndarray | None = None) -> dict[str, Any]:
        """``{"told": {"when": False, …}, "bias": {"state": "unclear", "motivations": []}}`` for any text whatever.

        ``vector``: the encoder's row for this text, where it is known already.
        """
        text = text[:_LONGEST_READ]
        told = self._told.told(fold(text), languages_of(text))
        if self._weights is None or not _LETTER.search(text):
            return {"told": told, "bias": {"state": "unclear", "motivations": []}}
        return {"told": told, "bias": suggest(text, encode([text])[0] if vector is None else vector, self._weights, self._lexicon)}

    def _listen_for(self, phrases: Mapping[str, Any]) -> None:
        self._told = ToldRules(phrases["told"])
        self._lexicon = Lexicon(phrases["lexicon"])


def _vector(message: Message) -> np.ndarray | None:
    """What the featurizer found, brought back to length one."""
    _, sentence = message.get_dense_features(TEXT, [])
    if sentence is None:
        return None
    row: np.ndarray = sentence.features[0]
    return row / np.linalg.norm(row)


def _files(config: Mapping[str, Any]) -> list[Path]:
    return [path for path in sorted((_ROOT / config["data"]).glob("*/*.yml")) if path.name in _OUR_FILES]


def _of_each_language(config: Mapping[str, Any], name: str, key: str) -> dict[str, Any]:
    return {path.parent.name: read_yaml_file(path)[key] for path in _files(config) if path.name == name}


def _bias_examples(config: Mapping[str, Any]) -> list[Example]:
    """``bias.yml`` holds a list of {"motivation": "race" | "race+religion" | "none", "examples": "- …" lines}."""
    examples = []
    for group in [group for groups in _of_each_language(config, "bias.yml", "bias").values() for group in groups]:
        strands = frozenset(group["motivation"].split("+")) - {"none"}
        lines = [line.strip().removeprefix("- ") for line in group["examples"].splitlines()]
        examples += [Example(line, strands) for line in lines if line]
    return examples
