"""How a run stands: which weights are its best, and whether it still gains anything.

By paired games and intervals over several evaluations, never by a loss.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from azx.runtime.stats import paired_difference
from azx.trainer.config import EvaluationConfig


class Standing:
    """The scores of all evaluations, and what follows from them."""

    def __init__(self) -> None:
        #: By stage and evaluation the scores [N], on the same orders each time.
        self.history: list[list[NDArray[np.float32]]] = []
        self.best_round, self.best_score = 0, -1.0
        self.stands_still = False  # by the last evaluations, so that the run ends

    def begin_stage(self) -> None:
        """A stage is judged by its own evaluations alone."""
        self.history.append([])

    def add(self, scores: NDArray[np.float32], index: int, config: EvaluationConfig) -> bool:
        """Judge the weights of round `index` by their `scores`; whether they are the best now.

        They are unless others have scored better by an interval that leaves 0 out: the largest of
        many noisy means is mostly noise, and what has learnt longer is the better guess.
        """
        self.history[-1].append(scores)
        self.stands_still = standing_still(self.history[-1], config)
        everything = itertools.chain.from_iterable(self.history)
        highest = max(everything, key=lambda scores: float(scores.mean()))
        if paired_difference(scores, highest).ci95[1] < 0.0:
            return False
        self.best_round, self.best_score = index, float(scores.mean())
        return True

    def info(self) -> dict[str, Any]:
        """What people want to know of it."""
        return {
            "best_round": self.best_round,
            "best_score": self.best_score,
            "stands_still": self.stands_still,
        }

    def scores(self) -> list[list[list[float]]]:
        """`history`, for a checkpoint."""
        return [[scores.tolist() for scores in of_stage] for of_stage in self.history]

    @classmethod
    def from_info(cls, found: dict[str, Any]) -> Standing:
        """What has this `info`, and `scores` as its history; `ValueError` if not by stage."""
        standing = cls()
        standing.best_round, standing.best_score = found["best_round"], found["best_score"]
        standing.stands_still = found["stands_still"]
        standing.history = [
            [np.array(scores, dtype=np.float32) for scores in of_stage]
            for of_stage in found["history"]
        ]
        if any(scores.ndim != 1 for of_stage in standing.history for scores in of_stage):
            raise ValueError("scores are by stage and evaluation")
        return standing


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
