"""What a network's q says of whole boards: the points to come, and what is worth looking at."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import uint64
from numpy.typing import NDArray

from azx.runtime.compiled import compiled
from azx.runtime.errors import UsageError
from azx.runtime.evaluator import Evaluation, Evaluator
from azx.runtime.rules import add_board_gains, all_gains, mean_of_best, placement_gain, what_is_left
from azx.runtime.search.endgame import exact_value, exact_values
from azx.runtime.seeds import mix, uniform

#: Boards with so few empty cells are worth what perfect play makes of them: 0.3 milliseconds with
#: four, about a forward's time, which is off by 1.5 points there. All earlier values are learnt
#: from these.
EXACT_CELLS = 4


class Foresight(NamedTuple):
    """B boards looked at by one forward. Full boards promise nothing."""

    q: NDArray[np.float32]  # [B, T, C] as the network says it
    #: [B] mean over the next tiles of the best gain + q; exact with `EXACT_CELLS` cells or fewer
    value: NDArray[np.float32]


@compiled
def _expect(tables, boards, q, exact_cells, value):  # type: ignore[no-untyped-def]
    games, size = boards.shape
    kinds = q.shape[1]
    worth = np.empty((kinds, size), dtype=np.float32)
    for g in range(games):
        board = boards[g]
        empty, unused = what_is_left(board, kinds)
        if empty <= exact_cells:
            value[g] = exact_value(tables, board, unused, empty, kinds - size + empty)
            continue
        worth[:] = q[g]
        add_board_gains(tables, board, worth)
        value[g] = mean_of_best(board, worth, unused)


@compiled
def _on_other_tiles(tables, boards, drawn, q, keys, by_lot, tiles, cells):  # type: ignore[no-untyped-def]
    games, size = boards.shape
    kinds = q.shape[1]
    worth = np.empty((kinds, size), dtype=np.float32)
    deck = np.empty(kinds, dtype=np.int8)
    best_of = tiles.shape[1] - by_lot
    for g in range(games):
        board = boards[g]
        empty, unused = what_is_left(board, kinds)
        left = 0
        for t in range(kinds):
            if (unused >> t) & 1 and t != drawn[g]:
                deck[left] = t
                left += 1
        key = mix(keys[g], uint64(size - empty))
        worth[:] = q[g]
        add_board_gains(tables, board, worth)
        for i in range(tiles.shape[1]):
            j = i + int(uniform(key, i) * (left - i))
            deck[i], deck[j] = deck[j], deck[i]
            tiles[g, i] = deck[i]
            chosen = -1
            if i < best_of:
                for c in range(size):
                    if board[c] < 0 and (chosen < 0 or worth[deck[i], c] > worth[deck[i], chosen]):
                        chosen = c
            else:
                empty_to_pass = int(uniform(key, kinds + i) * empty)
                while empty_to_pass >= 0:
                    chosen += 1
                    empty_to_pass -= board[chosen] < 0
            cells[g, i] = chosen


@compiled
def _worth(tables, boards, tiles, q, worth):  # type: ignore[no-untyped-def]
    for g in range(boards.shape[0]):
        for c in range(boards.shape[1]):
            if boards[g, c] < 0:
                gain = placement_gain(tables, boards[g], tiles[g], c)
                worth[g, c] = gain + q[g, tiles[g], c]


def q_of(answer: Evaluation) -> NDArray[np.float32]:
    """The output that learning cannot do without."""
    if answer.q is None:
        raise UsageError("learning needs a network with the output q")
    return answer.q


def by_the_policy(
    evaluator: Evaluator, boards: NDArray[np.int8]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What the policy makes of each next tile on `boards` int8 [B, C], and of all in the mean.

    float32 [B, T], the mean of gain + q over its cells, and the value [B]. Rows of tiles that lie
    there already mean nothing.
    """
    answer = evaluator.evaluate(boards)
    policy = np.exp(answer.policy_logits - answer.policy_logits.max(axis=2, keepdims=True))
    policy /= policy.sum(axis=2, keepdims=True)
    worth = all_gains(evaluator.variant, boards) + q_of(answer)
    return (policy * worth).sum(axis=2), answer.value


def look_ahead(evaluator: Evaluator, boards: NDArray[np.int8]) -> Foresight:
    """Judge `boards` int8 [B, C]."""
    q = q_of(evaluator.evaluate(boards))
    value = np.empty(len(boards), dtype=np.float32)
    _expect(evaluator.variant.tables, boards, q, EXACT_CELLS, value)
    return Foresight(q, value)


def worth_of(
    evaluator: Evaluator, boards: NDArray[np.int8], tiles: NDArray[np.int8], ahead: Foresight
) -> NDArray[np.float32]:
    """float32 [B, C]: gain + q of laying each of `tiles` [B] on each cell; -inf on filled ones."""
    worth = np.full(boards.shape, -np.inf, dtype=np.float32)
    _worth(evaluator.variant.tables, boards, tiles, ahead.q, worth)
    return worth


def value_of(evaluator: Evaluator, boards: NDArray[np.int8]) -> NDArray[np.float32]:
    """float32 [B]: `Foresight.value`, without a forward where all values are exact."""
    if (boards < 0).sum(axis=1).max(initial=0) > EXACT_CELLS:
        return look_ahead(evaluator, boards).value
    return exact_values(evaluator.variant, boards).astype(np.float32)


def look_on_other_tiles(
    evaluator: Evaluator,
    boards: NDArray[np.int8],
    drawn: NDArray[np.int8],
    ahead: Foresight,
    keys: NDArray[np.uint64],
    count: int,
    by_lot: int,
) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """`count` tiles that could have been drawn instead, and a cell for each of them.

    The best cell by gain + q, for the last `by_lot` tiles any empty one. int8 [B, count] both; what
    is drawn by lot is drawn from the games' `keys` [B]. As many tiles must be left.
    """
    tiles = np.empty((len(boards), count), dtype=np.int8)
    cells = np.empty_like(tiles)
    # Another stream than the player's noise.
    keys = keys ^ np.uint64(0x2545F4914F6CDD1D)
    _on_other_tiles(evaluator.variant.tables, boards, drawn, ahead.q, keys, by_lot, tiles, cells)
    return tiles, cells
