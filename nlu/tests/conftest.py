"""One model, trained from the files as they stand, for all tests."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

NLU = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(NLU))
# Before Rasa is imported: it reads them then. A cache of its own keeps tests from being answered by older training.
os.environ.update(RASA_TELEMETRY_ENABLED="false", TF_CPP_MIN_LOG_LEVEL="2", SQLALCHEMY_SILENCE_UBER_WARNING="1")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def parse(model: Path) -> Any:
    from evaluate import parse_with

    return parse_with(model)


def train(folder: Path) -> Path:
    os.environ["RASA_CACHE_DIRECTORY"] = str(folder / "cache")
    from rasa.model_training import train_nlu

    path = train_nlu(
        str(NLU / "config.yml"), str(NLU / "data"), str(folder), fixed_model_name="nlu", domain=str(NLU / "domain.yml")
    )
    assert path is not None
    return Path(path)
