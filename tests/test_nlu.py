"""The tests of nlu/, which need its own Python: run there, reported here."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from bot.processes import HOME, RASA_ENVIRONMENT

PYTHON = HOME / "nlu/.venv/bin/python"


@pytest.mark.skipif(not PYTHON.exists(), reason="Rasa is not installed: run ./setup --dev")
def test_understanding_passes_its_own_tests(tmp_path: Path) -> None:
    finished = subprocess.run(
        [str(PYTHON), "-m", "pytest", "tests", f"--basetemp={tmp_path / 'nlu'}"],
        cwd=HOME / "nlu",
        env={**os.environ, **RASA_ENVIRONMENT, "PYTHONPATH": str(HOME / "nlu")},
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout[-4000:] + finished.stderr[-2000:]
    assert " passed" in finished.stdout
    assert "skipped" not in finished.stdout
