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

#: A game ends with so few empty cells: what perfect play makes of them takes less time than a
#: forward.
EXACT_AT_THE_END = 3

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
    variant, count = evaluator.variant, len(boards)
    empty = (boards == EMPTY).sum(axis=1)
    assert (empty == empty[0]).all()
    turns = int(empty[0]) - EXACT_AT_THE_END
    if turns <= 0:
        points += exact_values(variant, boards)
        return
    answer, at = evaluator.evaluate(boards), np.arange(count)
    for turn in range(turns):
        if stop is not None and stop.is_set():
            return
        tiles = np.ascontiguousarray(draws[:, turn])
        played = play_turn(evaluator, boards, tiles, answer, at, EXACT_AT_THE_END)
        answer, at = played.answer, played.chosen
        boards[:] = played.laid[at]
        points += played.made[at] - played.luck
    points += played.to_come[at]


class Turn(NamedTuple):
    """One tile laid on each of R boards, and on the D of them where the policy doubted again.

    Row i of `laid`, below R, is board i after the policy's first thought; those from R on are the
    second thoughts, in the order of the boards.
    """

    laid: NDArray[np.int8]  # [R + D, C]
    cells: NDArray[np.int8]  # [R + D] where the tile lies
    made: NDArray[np.float64]  # [R + D] points gained by it
    to_come: NDArray[np.float64]  # [R + D] the network's value; exact once few cells are empty
    answer: Evaluation  # what the network says of `laid`; of the boards before, once exact
    doubtful: NDArray[np.int64]  # [D] the boards with a second thought
    chosen: NDArray[np.int64]  # [R] the row of `laid` that each board goes on from
    luck: NDArray[np.float64]  # [R] points that the draw was better than the mean one


def play_turn(
    evaluator: Evaluator,
    boards: NDArray[np.int8],
    tiles: NDArray[np.int8],
    answer: Evaluation,
    at: NDArray[np.int64],
    exact_cells: int,
) -> Turn:
    """Lay `tiles` int8 [R] on `boards` int8 [R, C], which have the same number of empty cells.

    Row `at` [R] of `answer` is what the network says of each. What is to come is exact with
    `exact_cells` empty cells or fewer.
    """
    variant, count = evaluator.variant, len(boards)
    first, second = np.empty(count, dtype=np.int8), np.empty(count, dtype=np.int8)
    luck = np.empty(count)
    _think(variant.tables, boards, at, tiles, answer.policy_logits, answer.q, first, second, luck)
    doubtful = np.flatnonzero(second != first)
    laid = np.concatenate((boards, boards[doubtful]))
    laid_tiles = np.concatenate((tiles, tiles[doubtful]))
    cells = np.concatenate((first, second[doubtful]))
    made = placement_gains(variant, laid, laid_tiles, cells).astype(np.float64)
    laid[np.arange(len(laid)), cells] = laid_tiles
    if (laid[0] == EMPTY).sum() > exact_cells:
        answer = evaluator.evaluate(laid)
        to_come = answer.value.astype(np.float64)
    else:
        to_come = exact_values(variant, laid)
    worth = made + to_come
    chosen = np.arange(count)
    better = worth[count:] > worth[doubtful]
    chosen[doubtful[better]] = count + np.flatnonzero(better)
    return Turn(laid, cells, made, to_come, answer, doubtful, chosen, luck)


@compiled
def _think(tables, boards, at, drawn, logits, q, first, second, luck):  # type: ignore[no-untyped-def]
    """The policy's first two cells for each drawn tile, and how lucky the draw is.

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
        luck[i] = best_of(board, worth[tile]) - mean_of_best(board, worth, unused)
