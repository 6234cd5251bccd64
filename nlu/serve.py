"""Start Rasa's server on loopback: ``python nlu/serve.py MODEL PORT``, its token in TELLONCE_NLU_TOKEN.

Rasa takes its token only as an argument, and every account of a machine can read the arguments of every process.
"""

import os
import sys

from components import ON_ONE_CORE

os.environ.update(ON_ONE_CORE)
os.environ["LOG_LEVEL"] = "INFO"  # whatever an operator wishes: at DEBUG Rasa writes every text it is asked about into its log
model, port = sys.argv[1:3]
sys.argv = ["rasa", "run", "--enable-api", "-m", model, "-i", "127.0.0.1", "-p", port, "-t", os.environ["TELLONCE_NLU_TOKEN"]]

from rasa.__main__ import main  # noqa: E402 - Rasa reads its arguments on import of its commands

main()
