"""Games played by the network against the draw, with what was learnt from each position."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba import uint64
from numpy.typing import NDArray

from azx.runtime.compiled import compiled
from azx.runtime.errors import UsageError
from azx.runtime.evaluator import Evaluation, Evaluator
from azx.runtime.records import Games
from azx.runtime.rules import add_board_gains, all_gains, tiles_left
from azx.runtime.search import Budget, Search
from azx.runtime.seeds import draw_orders, mix, uniform


@dataclass(frozen=True)
class Round:
    """G games of C turns. Afterstate k is the board after k placements; k = C is the full one."""

    games: Games
    values: NDArray[np.float32]  # [G, C + 1] foreseen at each afterstate; 0 at the full board
    luck: NDArray[np.float32]  # [G, C] variance over the next tile of what is foreseen, points²
    explored: NDArray[np.bool_]  # [G, C] placements made at random rather than by judgement
    policy: NDArray[np.float32] | None  # [G, C, C] the search's improved policy, where one searched


@dataclass(frozen=True)
class Exploration:
    """How far self-play strays from what it thinks best."""

    share: float  # of placements that are uniform over the empty cells
    noise: float  # points of Gumbel noise on the others


@compiled
def _expect(  # type: ignore[no-untyped-def]
    tables, boards, tiles, q, value, luck, worth_of_tile
):
    """Mean and variance over all next tiles of the best gain + q; that of the drawn tile by cell.

    `worth_of_tile` [G, C] is only filled on empty cells.
    """
    games, size = boards.shape
    kinds = q.shape[1]
    worth = np.empty((kinds, size), dtype=np.float32)
    left = np.empty(kinds, dtype=np.bool_)
    for g in range(games):
        board = boards[g]
        left[:] = True
        for c in range(size):
            if board[c] >= 0:
                left[board[c]] = False
        worth[:] = q[g]
        add_board_gains(tables, board, worth)
        total = 0.0
        squares = 0.0
        count = 0
        for t in range(kinds):
            if not left[t]:
                continue
            best = np.float32(-1e9)
            for c in range(size):
                if board[c] < 0:
                    best = max(best, worth[t, c])
            total += float(best)
            squares += float(best) ** 2
            count += 1
        mean = total / count
        value[g] = mean
        luck[g] = max(squares / count - mean * mean, 0.0)
        worth_of_tile[g] = worth[tiles[g]]


@compiled
def _choose(boards, keys, worth, share, noise, cell, explored):  # type: ignore[no-untyped-def]
    """The best of `worth` [G, C] with Gumbel noise; for a `share` of the games any empty cell."""
    games, size = boards.shape
    for g in range(games):
        placed = 0
        for c in range(size):
            placed += boards[g, c] >= 0
        key = mix(keys[g], uint64(placed))
        explored[g] = uniform(key, 0) < share
        best = -np.inf
        for c in range(size):
            if boards[g, c] >= 0:
                continue
            u = uniform(key, c + 1)
            if explored[g]:
                score = u
            else:
                score = worth[g, c] - noise * np.log(-np.log(u + 1e-12) + 1e-12)
            if score > best:
                best = score
                cell[g] = c


def play_round(
    evaluator: Evaluator,
    keys: NDArray[np.uint64],
    exploration: Exploration,
    simulations: int,
    progress: Callable[[int, int], None] | None = None,
) -> Round:
    """Play a game for each of `keys` [G]; `progress(turn, turns)`.

    With `simulations` 0 a single forward a turn judges: cells by gain + q, and the afterstate by
    the exact mean over the next tiles of the best gain + q. Otherwise a tree is searched for every
    placement, which says what the afterstate before the draw is worth, and a better policy.
    """
    variant = evaluator.variant
    games, size = len(keys), variant.cells
    orders = draw_orders(variant, keys)
    boards = variant.empty_boards(games)
    rows = np.arange(games)
    cells = np.empty((games, size), dtype=np.int8)
    values = np.zeros((games, size + 1), dtype=np.float32)
    luck = np.empty((games, size), dtype=np.float32)
    explored = np.zeros((games, size), dtype=np.bool_)
    policy = np.zeros((games, size, size), dtype=np.float32) if simulations else None
    search = Search(evaluator, games, Budget(simulations)) if simulations else None
    worth = np.empty((games, size), dtype=np.float32)
    value, spread = np.empty(games, dtype=np.float32), np.empty(games, dtype=np.float32)
    cell, random = np.empty(games, dtype=np.int8), np.empty(games, dtype=np.bool_)
    noise = exploration.noise
    for k in range(size):
        tiles = np.ascontiguousarray(orders[:, k])
        if search is not None and policy is not None:
            found = search.run(boards, tiles, keys)
            value, spread, policy[:, k] = found.outlook, found.luck, found.policy
            worth[:], noise = 0.0, 0.0
            worth[rows, found.cells] = 1.0
        else:
            q = _q_of(evaluator.evaluate(boards))
            _expect(variant.tables, boards, tiles, q, value, spread, worth)
        _choose(boards, keys, worth, exploration.share, noise, cell, random)
        values[:, k], luck[:, k] = value, spread
        cells[:, k], explored[:, k] = cell, random
        boards[rows, cell] = tiles
        if progress is not None:
            progress(k + 1, size)
    return Round(Games(variant, orders, cells), values, luck, explored, policy)


def judge(evaluator: Evaluator, games: Games) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What the network foresees in games that were played: values [G, C + 1] and luck [G, C].

    As in `Round`, but by the policy's mean of gain + q instead of the best: recorded games show
    what their own moves are worth, and q of the other cells was never taught. While q is rough its
    own errors pass for luck, so the variance comes down to the truth from above.
    """
    variant = games.variant
    count, size = games.orders.shape
    boards = games.boards()
    values = np.zeros((count, size + 1), dtype=np.float32)
    luck = np.empty((count, size), dtype=np.float32)
    for k in range(size):
        before = np.ascontiguousarray(boards[:, k])
        answer = evaluator.evaluate(before)
        policy = np.exp(answer.policy_logits - answer.policy_logits.max(axis=2, keepdims=True))
        policy /= policy.sum(axis=2, keepdims=True)
        worth = all_gains(variant, before) + _q_of(answer)
        by_tile = (policy * worth).sum(axis=2)
        chance = tiles_left(variant, before) / (variant.tiles - k)
        values[:, k] = (chance * by_tile).sum(axis=1)
        luck[:, k] = (chance * (by_tile - values[:, k, None]) ** 2).sum(axis=1)
    return values, luck


def _q_of(answer: Evaluation) -> NDArray[np.float32]:
    if answer.q is None:
        raise UsageError("learning needs a network with the output q")
    return answer.q
