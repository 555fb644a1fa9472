"""A game solved in no time and a network that makes its numbers up.

Without torch and onnx, for processes that tests start find them by this name.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from azx.runtime.contract import MASKED_LOGIT
from azx.runtime.evaluator import Evaluation
from azx.runtime.rules import EMPTY
from azx.runtime.seeds import position_keys
from azx.runtime.variant import Variant

#: Seven cells and eight tiles: solved in a fifth of a second.
MICRO = Variant("micro", 1, ((1, 5), (2, 6), (3, 4)))


class HashEvaluator:
    """Made up, but fixed: numbers drawn from the board and a seed."""

    lanes = 1

    def __init__(self, variant: Variant, seed: int = 0) -> None:
        self.variant, self.seed = variant, seed

    def evaluate(self, boards: NDArray[np.int8]) -> Evaluation:
        """Logits in [-1, 1), values and q in [0, 20) points."""
        count, shape = len(boards), (self.variant.tiles, self.variant.cells)
        placements = shape[0] * shape[1]
        keys = position_keys(boards, np.full(count, self.seed))
        drawn = _uniform(keys, 2 * placements + 1)
        logits = (2 * drawn[:, :placements] - 1).reshape(count, *shape)
        q = (20 * drawn[:, placements:-1]).reshape(count, *shape)
        value = 20 * drawn[:, -1]
        empty = (boards < 0).sum(axis=1)
        q[empty <= 1], value[empty == 0] = 0.0, 0.0
        masked = np.where((boards >= 0)[:, None, :], np.float32(MASKED_LOGIT), logits)
        return Evaluation(masked, value, q)


def check_boards(variant: Variant, boards: NDArray[np.int8]) -> None:
    """Fail unless `boards` is int8 [B, C], ids in range and none twice."""
    assert (boards.dtype, boards.shape[1:]) == (np.int8, (variant.cells,))
    for board in boards:
        laid = board[board != EMPTY]
        assert ((laid >= 0) & (laid < variant.tiles)).all(), board
        assert len(set(laid.tolist())) == len(laid), f"a tile lies twice: {board}"


def _uniform(keys: NDArray[np.uint64], count: int) -> NDArray[np.float32]:
    """float32 [B, count] in [0, 1): a stream of its own for each of `keys` [B] (splitmix64)."""
    counters = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = keys[:, None] + counters
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(40)).astype(np.float32) / np.float32(2**24)
