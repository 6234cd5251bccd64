"""One real translation process for all tests: the embedded models, the genuine Argos Translate, no network."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from translations import machine, packages


@pytest.fixture(scope="session")
def packages_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("argos") / "packages"
    packages.install_embedded(folder)
    return folder


@pytest.fixture(scope="session")
def process(packages_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    socket_path = tmp_path_factory.mktemp("run") / "t.sock"
    child = machine.start(socket_path, packages_dir)
    assert machine.Translator(socket_path).wait_until_ready(60)
    yield child, socket_path
    machine.stop(child)


@pytest.fixture(scope="session")
def translator(process: tuple[subprocess.Popen[bytes], Path]) -> machine.Translator:
    return machine.Translator(process[1])
