"""How strong is a player? By what each of its moves gains on a game that is played out.

Games that are played out (`azx.runtime.playout`) cost milliseconds each, so how well they score is
known as closely as one likes. What a better player adds to that is the sum of what its moves gain,
each played out beside the move that the game played out would make there (Kakade and Langford 2002,
"Approximately optimal approximate reinforcement learning", lemma 6.1):

    score of the player = score of games played out + sum over its turns of
        (its move and a game played out after it) - (their move and a game played out after it)

in the mean over games of the player. Most moves are the same and gain 0 for certain; the others are
played out on both sides with the same draws, which the player did not see. So the luck of its own
draws is hardly in it, and a game's variance is less than half of what luck taken out by a search of
16 simulations leaves (docs/log.md).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from azx.runtime.evaluator import Evaluator
from azx.runtime.playout import EXACT_AT_THE_END, lay
from azx.runtime.records import Games
from azx.runtime.rollouts import Rows, foreseen, played_out

#: Games played out after each of two moves that differ.
EACH = 64

#: Games played out after each first tile, from the empty board.
FROM_THE_START = 4


def strengths(evaluator: Evaluator, games: Games, keys: NDArray[np.uint64]) -> NDArray[np.float64]:
    """float64 [N]: of each game an estimate of what its player scores in the mean.

    The draws come from `keys` [N] and must be new to whoever played. Where players are compared on
    the same keys, how well games played out score cancels.
    """
    return base_scores(evaluator, keys) + advantages(evaluator, games, keys).sum(axis=1)


def base_scores(evaluator: Evaluator, keys: NDArray[np.uint64]) -> NDArray[np.float64]:
    """float64 [N]: what some games played out score, less luck; all first tiles as often."""
    count, tiles = len(keys), np.arange(evaluator.variant.tiles, dtype=np.int8)
    cells = lay(evaluator, evaluator.variant.empty_boards(len(tiles)), tiles)
    rows = Rows(
        np.repeat(np.arange(count * len(tiles)), FROM_THE_START),
        np.tile(np.repeat(cells, FROM_THE_START), count),
        np.tile(np.arange(len(tiles) * FROM_THE_START), count),
    )
    boards = evaluator.variant.empty_boards(count * len(tiles))
    decisions = np.tile(tiles, count), np.repeat(keys, len(tiles))
    return played_out(evaluator, boards, *decisions, rows).reshape(count, -1).mean(axis=1)


def advantages(evaluator: Evaluator, games: Games, keys: NDArray[np.uint64]) -> NDArray[np.float64]:
    """float64 [N, C]: what each placement gained on what a game played out would have done there.

    Games played out end in perfect play: there a placement gains 0 or less, exactly.
    """
    cells, boards = games.variant.cells, games.boards()
    gained, rows = np.zeros(games.cells.shape), np.arange(len(games))
    for turn in range(cells):
        before, drawn = np.ascontiguousarray(boards[:, turn]), games.orders[:, turn].copy()
        chosen = games.cells[:, turn]
        if cells - turn > EXACT_AT_THE_END:
            usual = lay(evaluator, before, drawn)
            gained[:, turn] = _by_games(evaluator, before, drawn, chosen, usual, keys)
        else:
            worth = foreseen(evaluator, before, drawn)
            gained[:, turn] = worth[rows, chosen] - worth.max(axis=1)
    return gained


def _by_games(
    evaluator: Evaluator,
    boards: NDArray[np.int8],
    tiles: NDArray[np.int8],
    chosen: NDArray[np.int8],
    usual: NDArray[np.int8],
    keys: NDArray[np.uint64],
) -> NDArray[np.float64]:
    """float64 [N]: what `chosen` [N] gains on `usual` [N], by games played out after both."""
    gained, other = np.zeros(len(boards)), np.flatnonzero(usual != chosen)
    if len(other):
        both = np.stack((chosen[other], usual[other]), axis=1).ravel()
        made = games_after(evaluator, boards, tiles, keys, np.repeat(other, 2), both, EACH)
        gained[other] = (made[::2] - made[1::2]).mean(axis=1)
    return gained


def games_after(
    evaluator: Evaluator,
    boards: NDArray[np.int8],
    tiles: NDArray[np.int8],
    keys: NDArray[np.uint64],
    game: NDArray[np.int64],
    cell: NDArray[np.int8],
    each: int,
) -> NDArray[np.float64]:
    """float64 [K, each]: what `each` games make after every placement, with its gain, less luck.

    The placements are on `cell` [K] in the decisions `game` [K] of `boards` [N, C], `tiles` [N] and
    `keys` [N]; those of one decision have the same draws.
    """
    deals = np.tile(np.arange(each), len(game))
    rows = Rows(np.repeat(game, each), np.repeat(cell, each), deals)
    return played_out(evaluator, boards, tiles, keys, rows).reshape(len(game), each)
