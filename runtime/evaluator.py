"""What a player asks of a network: boards in, the contract's outputs out.

An evaluator gives the same answer for a board whatever else is in the batch; players and search
rely on it. `tests/test_players.py` holds those of this module to it, and `tests/test_shipped.py`
the network.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from azx.runtime.variant import Variant


class Evaluation(NamedTuple):
    """The contract's outputs for B boards; `q` is None where a network has none."""

    policy_logits: NDArray[np.float32]  # [B, T, C]
    value: NDArray[np.float32]  # [B] points still to come
    q: NDArray[np.float32] | None  # [B, T, C] points to come after each placement


class Evaluator(Protocol):
    """Anything that judges afterstates."""

    @property
    def variant(self) -> Variant:
        """The board that it knows."""
        ...

    @property
    def lanes(self) -> int:
        """How many threads had best ask at once, each with boards of its own."""
        ...

    def evaluate(self, boards: NDArray[np.int8]) -> Evaluation:
        """Judge `boards` int8 [B, C]; B may be 0."""
        ...


def has_q(evaluator: Evaluator) -> bool:
    """Whether it judges placements one by one, which its answer to no boards at all says too."""
    return evaluator.evaluate(evaluator.variant.empty_boards(0)).q is not None


class UniformEvaluator:
    """Knows nothing: every cell alike, no points to come. Search alone decides."""

    lanes = 1

    def __init__(self, variant: Variant) -> None:
        self.variant = variant
        self._zeros = np.zeros((0, variant.tiles, variant.cells), dtype=np.float32)

    def evaluate(self, boards: NDArray[np.int8]) -> Evaluation:
        """Zeros throughout: search looks at the priors of empty cells only."""
        if len(boards) > len(self._zeros):
            self._zeros = np.zeros((len(boards), *self._zeros.shape[1:]), dtype=np.float32)
        zeros = self._zeros[: len(boards)]
        return Evaluation(zeros, np.zeros(len(boards), dtype=np.float32), zeros)
