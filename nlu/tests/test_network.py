"""The network that runs and the network that is tuned are one, though its layers are written down for two libraries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from components.e5 import MADE_BY_TUNING, SECOND
from components.network import network
from tune import Tuning

TEXTS = (
    "yes",
    "Two men followed me home from the bus and told me to go back to my country, then they broke my window",
    "mi hanno rubato la bici davanti al supermercato",
    "用中文骂我们，叫我们滚回去",
)


@pytest.mark.parametrize("tuned", [MADE_BY_TUNING, SECOND], ids=["first", "second"])
def test_it_says_in_eight_bits_what_was_tuned(tuned: Path) -> None:
    tuning = Tuning(TEXTS, 1, tuned, 0)
    wanted = tuning.odds(*tuning.padded(TEXTS), learning=False)[0].numpy()
    said = np.stack([network(tuned).read([text])[0].odds[0] for text in TEXTS])
    assert np.abs(said - wanted).max() < 0.5  # of log odds that run from -9 to 9; 0.26 and 0.09 when this was written


def test_a_text_is_read_in_a_batch_as_it_is_read_alone() -> None:
    alone = np.stack([network().read([text])[0].row for text in TEXTS])
    together = np.stack([seen.row for seen in network().read(TEXTS)])
    assert np.abs(alone - together).max() < 1e-5
