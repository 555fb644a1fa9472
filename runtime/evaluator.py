"""What a player asks of a network: boards in, the contract's outputs out.

An evaluator gives the same answer for a board whatever else is in the batch; players and search
rely on it. `tests/test_players.py` holds those of this module to it, and `tests/test_shipped.py`
the network.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from azx.runtime.contract import MASKED_LOGIT
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


def _masked(boards: NDArray[np.int8], logits: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.where((boards >= 0)[:, None, :], np.float32(MASKED_LOGIT), logits)


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


class HashEvaluator:
    """Made up, but fixed: numbers drawn from the board and a seed. For tests."""

    lanes = 1

    def __init__(self, variant: Variant, seed: int = 0) -> None:
        self.variant, self.seed = variant, seed

    def evaluate(self, boards: NDArray[np.int8]) -> Evaluation:
        """Logits in [-1, 1), values and q in [0, 20) points."""
        shape = (len(boards), self.variant.tiles, self.variant.cells)
        logits, q = np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.float32)
        value = np.empty(len(boards), dtype=np.float32)
        for b, board in enumerate(boards):
            rng = np.random.default_rng([self.seed, *(board.astype(np.int64) + 1)])
            logits[b] = rng.uniform(-1, 1, shape[1:])
            q[b] = rng.uniform(0, 20, shape[1:])
            value[b] = rng.uniform(0, 20)
        empty = (boards < 0).sum(axis=1)
        q[empty <= 1], value[empty == 0] = 0.0, 0.0
        return Evaluation(_masked(boards, logits), value, q)
