"""When to stop: by paired games and intervals over several rounds, never by a loss."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from azx.runtime.stats import Estimate, paired_difference
from azx.trainer.config import EvaluationConfig


def recent_gain(history: list[NDArray[np.float32]], patience: int) -> Estimate | None:
    """How much better the last `patience` evaluations scored than the `patience` before them.

    Each of `history` holds the scores on the same orders, so the luck of the draw cancels; the
    means over several evaluations even out the ups and downs of single rounds. None while there
    are too few.
    """
    if len(history) < 2 * patience:
        return None
    recent = np.mean(history[-patience:], axis=0)
    before = np.mean(history[-2 * patience : -patience], axis=0)
    return paired_difference(recent, before)


def standing_still(history: list[NDArray[np.float32]], config: EvaluationConfig) -> Estimate | None:
    """The gain, where even the upper end of its interval is below `least_gain`; else None."""
    gain = recent_gain(history, config.patience)
    if gain is not None and gain.ci95[1] < config.least_gain:
        return gain
    return None
