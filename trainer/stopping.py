"""When to stop: by paired games and intervals over several rounds, never by a loss."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from azx.runtime.stats import paired_difference
from azx.trainer.config import EvaluationConfig


def standing_still(history: list[NDArray[np.float32]], config: EvaluationConfig) -> bool:
    """Whether the last `patience` evaluations gained less than `least_gain` on those before them.

    Each of `history` holds the scores on the same orders, so the luck of the draw cancels; the
    means over several evaluations even out the ups and downs of single rounds. Even the upper end
    of the gain's interval must be less, and as many evaluations be there before.
    """
    patience = config.patience
    if len(history) < 2 * patience:
        return False
    recent = np.mean(history[-patience:], axis=0)
    before = np.mean(history[-2 * patience : -patience], axis=0)
    return paired_difference(recent, before).ci95[1] < config.least_gain
