"""``python -m bench.evaluate_understanding`` measures the trained model on the held-out files and writes nlu/REPORT.md."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

NLU = Path(__file__).resolve().parent.parent / "nlu"


def main() -> int:
    """Run nlu/evaluate.py with the Python of nlu, which this environment cannot import."""
    quiet = {"RASA_TELEMETRY_ENABLED": "false", "SQLALCHEMY_SILENCE_UBER_WARNING": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}
    python, model = NLU / ".venv" / "bin" / "python", NLU / "models" / "nlu.tar.gz"
    if not python.exists() or not model.exists():
        print("there is no trained model: run ./setup first")
        return 1
    command = [str(python), "-W", "ignore", str(NLU / "evaluate.py"), str(model), "--write"]
    return subprocess.run(command, env={**os.environ, **quiet}, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
