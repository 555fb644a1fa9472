"""Games played to their end by the network, less the luck of their draws.

A network's value makes the same mistake on a board and on those that follow from it, so a tree some
turns deep adds up one mistake many times. A game played to its end counts points that were made; it
has the luck of its draws instead, which is far larger. But the forward that the policy is asked in
says what luck a draw was: what the best placement of the drawn tile promises, less the mean over
all tiles. That has mean zero whatever the network is worth, and without it games still tell what
they would score in the mean, with a fifth of the spread (docs/log.md).

Luck is taken out as in `azx.runtime.review`.

Letters: R games played out   C cells
"""

from __future__ import annotations

from threading import Event
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from azx.runtime.compiled import compiled
from azx.runtime.evaluator import Evaluation, Evaluator
from azx.runtime.rules import (
    EMPTY,
    add_board_gains,
    best_of,
    mean_of_best,
    placement_gains,
    what_is_left,
)
from azx.runtime.search.endgame import exact_values
from azx.runtime.search.leaves import distinct

#: A game ends with so few empty cells: what perfect play makes of them takes about as long as the
#: forwards of a turn, and a third of the games' variance came from there (docs/log.md).
EXACT_AT_THE_END = 4

#: Nats by which the policy must prefer a cell to the next, or both are looked at: a third more
#: forwards, and nine tenths of what looking at every cell adds to the policy (docs/log.md).
DOUBT = 1.5


def play_out(
    evaluator: Evaluator,
    boards: NDArray[np.int8],
    draws: NDArray[np.int8],
    points: NDArray[np.float64],
    stop: Event | None = None,
) -> None:
    """Go on from `boards` int8 [R, C] and add what is made, less luck, to `points` [R].

    All have the same number of empty cells; the tiles that come are `draws` int8 [R, C]. The policy
    lays them; where it doubts, gain + value decides between its first two thoughts. The boards are
    left as they were before perfect play takes over. Once `stop` is set it ends with the turn.
    """
    empty = _empty_cells(boards)
    if empty <= EXACT_AT_THE_END:
        points += exact_values(evaluator.variant, boards)
        return
    known: _Known | None = _judged(evaluator, boards)
    for tiles in draws.T:
        if known is None or (stop is not None and stop.is_set()):
            return
        _, known = _turn(evaluator, boards, np.ascontiguousarray(tiles), known, points)


def lay(
    evaluator: Evaluator, boards: NDArray[np.int8], tiles: NDArray[np.int8]
) -> NDArray[np.int8]:
    """The cells int8 [R] where `play_out` lays `tiles` int8 [R] on `boards` int8 [R, C].

    All boards have the same number of empty cells, more than `EXACT_AT_THE_END`.
    """
    assert _empty_cells(boards) > EXACT_AT_THE_END
    known = _judged(evaluator, boards)
    cells, _ = _turn(evaluator, boards.copy(), tiles, known, np.zeros(len(boards)))
    return cells


def _empty_cells(boards: NDArray[np.int8]) -> int:
    """Of each of `boards` [R, C], which have as many."""
    empty = (boards == EMPTY).sum(axis=1)
    assert (empty == empty[0]).all()
    return int(empty[0])


class _Known(NamedTuple):
    """What the network said of boards, those of the games among them."""

    answer: Evaluation
    at: NDArray[np.int32]  # [R] the row of each game


def _judged(evaluator: Evaluator, boards: NDArray[np.int8]) -> _Known:
    """What the network says of `boards` int8 [R, C], asked once for those that are alike.

    All games of a candidate begin on one board and many share the next: a fifth of all forwards
    after six placements, two thirds after twelve (docs/log.md).
    """
    different, at = boards.copy(), np.empty(len(boards), dtype=np.int32)
    slots = np.empty(1 << (2 * len(boards)).bit_length(), dtype=np.int32)
    rows = distinct(different, len(boards), slots, at)
    return _Known(evaluator.evaluate(different[:rows]), at)


def _turn(
    evaluator: Evaluator,
    boards: NDArray[np.int8],
    tiles: NDArray[np.int8],
    known: _Known,
    points: NDArray[np.float64],
) -> tuple[NDArray[np.int8], _Known | None]:
    """Lay `tiles` [R] on `boards` [R, C] and add to `points` [R] what is made, less luck.

    The cells laid on, and what is known afterwards; None where the rest is perfect play, which is
    added too.
    """
    variant, count = evaluator.variant, len(boards)
    first, second = np.empty(count, dtype=np.int8), np.empty(count, dtype=np.int8)
    answer, at = known
    _think(variant.tables, boards, at, tiles, answer.policy_logits, answer.q, first, second, points)
    doubtful = np.flatnonzero(second != first)
    before = np.concatenate((boards, boards[doubtful]))
    laid = np.concatenate((tiles, tiles[doubtful]))
    cells = np.concatenate((first, second[doubtful]))
    made = placement_gains(variant, before, laid, cells).astype(np.float64)
    before[np.arange(len(before)), cells] = laid
    if (before[0] == EMPTY).sum() > EXACT_AT_THE_END:
        after = _judged(evaluator, before)
        worth = made + after.answer.value[after.at]
    else:
        after = None
        worth = made = made + exact_values(variant, before)  # all that is still to be made
    chosen = np.arange(count)
    better = worth[count:] > worth[doubtful]
    chosen[doubtful[better]] = count + np.flatnonzero(better)
    boards[:] = before[chosen]
    points += made[chosen]
    if after is None:
        return cells[chosen], None
    return cells[chosen], _Known(after.answer, after.at[chosen])


@compiled
def _think(tables, boards, at, drawn, logits, q, first, second, points):  # type: ignore[no-untyped-def]
    """The policy's first two cells for each drawn tile, and the draw's luck taken off `points`.

    They are the same cell where the first is clear. Row `at` of `logits` and `q` is the board's.
    """
    kinds, size = q.shape[1], q.shape[2]
    worth = np.empty((kinds, size), dtype=np.float32)
    for i in range(boards.shape[0]):
        board, tile = boards[i], drawn[i]
        worth[:] = q[at[i]]
        add_board_gains(tables, board, worth)
        _, unused = what_is_left(board, kinds)
        one = two = -1
        for c in range(size):
            if board[c] >= 0:
                continue
            logit = logits[at[i], tile, c]
            if one < 0 or logit > logits[at[i], tile, one]:
                one, two = c, one
            elif two < 0 or logit > logits[at[i], tile, two]:
                two = c
        clear = two < 0 or logits[at[i], tile, one] - logits[at[i], tile, two] > DOUBT
        first[i], second[i] = one, one if clear else two
        points[i] -= best_of(board, worth[tile]) - mean_of_best(board, worth, unused)
