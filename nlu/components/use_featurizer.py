"""Gives every message the encoder's vector, as Rasa's dense features."""

from __future__ import annotations

from typing import Any

import numpy as np
from rasa.engine.graph import ExecutionContext, GraphComponent
from rasa.engine.recipes.default_recipe import DefaultV1Recipe
from rasa.engine.storage.resource import Resource
from rasa.engine.storage.storage import ModelStorage
from rasa.nlu.constants import DENSE_FEATURIZABLE_ATTRIBUTES, FEATURIZER_CLASS_ALIAS, TOKENS_NAMES
from rasa.nlu.featurizers.dense_featurizer.dense_featurizer import DenseFeaturizer
from rasa.nlu.tokenizers.tokenizer import Tokenizer
from rasa.shared.nlu.constants import FEATURE_TYPE_SENTENCE, FEATURE_TYPE_SEQUENCE
from rasa.shared.nlu.training_data.features import Features
from rasa.shared.nlu.training_data.message import Message
from rasa.shared.nlu.training_data.training_data import TrainingData

from components.encoder import encode


@DefaultV1Recipe.register(DefaultV1Recipe.ComponentType.MESSAGE_FEATURIZER, is_trainable=False)
class USEFeaturizer(DenseFeaturizer, GraphComponent):
    """Sentence features from the multilingual Universal Sentence Encoder, times ``scale``."""

    @classmethod
    def required_components(cls) -> list[type]:
        return [Tokenizer]

    @staticmethod
    def required_packages() -> list[str]:
        return []  # Rasa looks these names up as distributions and imports them: ours differs in the two

    @staticmethod
    def get_default_config() -> dict[str, Any]:
        # Rasa's logistic regression fixes C at 1, which is too strict for vectors of length one.
        return {**DenseFeaturizer.get_default_config(), "scale": 4.0}

    @classmethod
    def validate_config(cls, config: dict[str, Any]) -> None:
        """Abstract in Rasa's Featurizer; nothing here can be wrong."""

    def __init__(self, config: dict[str, Any], name: str) -> None:
        super().__init__(name, config)
        encode(["ready"])  # the weights load with the model, not with the first reporter's text

    @classmethod
    def create(
        cls, config: dict[str, Any], model_storage: ModelStorage, resource: Resource, execution_context: ExecutionContext
    ) -> USEFeaturizer:
        return cls(config, execution_context.node_name)

    def process_training_data(self, training_data: TrainingData) -> TrainingData:
        self.process(training_data.training_examples)
        return training_data

    def process(self, messages: list[Message]) -> list[Message]:
        for attribute in DENSE_FEATURIZABLE_ATTRIBUTES:
            waiting = [message for message in messages if message.get(TOKENS_NAMES[attribute])]
            vectors = encode([message.get(attribute) for message in waiting]) * float(self._config["scale"])
            for message, vector in zip(waiting, vectors):
                self._add(message, attribute, vector)
        return messages

    def _add(self, message: Message, attribute: str, vector: np.ndarray) -> None:
        alias = self._config[FEATURIZER_CLASS_ALIAS]
        # The classifier looks for features of each word too and fails without; one zero a word costs nothing.
        words = np.zeros((len(message.get(TOKENS_NAMES[attribute])), 1), dtype=np.float32)
        message.add_features(Features(words, FEATURE_TYPE_SEQUENCE, attribute, alias))
        message.add_features(Features(vector[None, :], FEATURE_TYPE_SENTENCE, attribute, alias))
