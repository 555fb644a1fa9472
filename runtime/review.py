"""A game looked at again: what the draws gave, and what the placements gave away.

A judge says what each placement of a tile is worth: its gain and the points to come. Write, for the
board after t placements, the tile drawn in turn t and the cell it was laid on,

    worth[t, c]   what the judge says of laying that tile on cell c, -inf where c is filled
    best[t]       the largest of these
    to_come[t]    the mean of the best over all tiles that may be drawn after t placements;
                  0 when the board is full

and take each turn apart:

    luck[t]    = best[t] - to_come[t - 1]                        the draw against the mean draw
    mistake[t] = best[t] - worth[t, cell laid on]                points given away, 0 or more
    error[t]   = gain[t] + to_come[t] - worth[t, cell laid on]   the judge's change of mind

Summed over a game almost everything cancels, for any judge:

    score = to_come[0] + luck - mistakes + errors

A perfect judge makes no errors and foresees the value of the empty board. With any other judge the
mistakes are its opinion, but **luck is not**: the tile is drawn with equal chance from those that
the mean is taken over, so the luck of every turn has mean zero whoever plays. Score minus luck has
therefore the same expectation as the score, and for a good judge much less spread (a control
variate; so Zinkevich and others 2006, "DIVAT", and Burch and others 2018, "AIVAT", for poker).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from azx.runtime.errors import UsageError
from azx.runtime.evaluator import Evaluator
from azx.runtime.play import parts
from azx.runtime.players import one_ply_worth, searched_worth
from azx.runtime.records import Games
from azx.runtime.rollouts import RolloutPlayer, Rollouts
from azx.runtime.rules import EMPTY, all_gains, tiles_left
from azx.runtime.search import Budget, Search
from azx.runtime.search.room import games_that_fit
from azx.runtime.seeds import position_keys

#: From boards int8 [B, C] and tiles int8 [B]: points float [B, C], -inf on filled cells.
Judge = Callable[[NDArray[np.int8], NDArray[np.int8]], NDArray[np.floating]]

#: A turning point gave away at least this many points; a game shows at most so many of them.
TURNING_POINT, MOST_TURNING_POINTS = 1.0, 3

#: Decisions handed to a judge at a time: large batches for the network.
BATCH = 256


class Totals(NamedTuple):
    """What is said of whole games, float64 [N] each, in points."""

    score: NDArray[np.float64]
    luck: NDArray[np.float64]
    given_away: NDArray[np.float64]
    errors: NDArray[np.float64]
    without_luck: NDArray[np.float64]


@dataclass(frozen=True)
class Review:
    """N games beside the judge's opinion, in points; for the identity see the module."""

    games: Games
    worth: NDArray[np.float64]  # [N, C, C] of each cell for the tile drawn, -inf where filled
    to_come: NDArray[np.float64]  # [N, C + 1] points to come before each draw; 0 at the end

    @property
    def best(self) -> NDArray[np.float64]:
        """float64 [N, C]: the worth of the best placement."""
        return self.worth.max(axis=2)

    @property
    def best_cells(self) -> NDArray[np.int64]:
        """int64 [N, C]: the cell laid on where it is as good as any, else the first of the best."""
        return np.where(self.mistakes == 0, self.games.cells, self.worth.argmax(axis=2))

    @property
    def luck(self) -> NDArray[np.float64]:
        """float64 [N, C]: what each draw was worth more than a draw is on average."""
        return self.best - self.to_come[:, :-1]

    @property
    def mistakes(self) -> NDArray[np.float64]:
        """float64 [N, C]: points given away by each placement, 0 or more."""
        return self.best - self._chosen

    @property
    def errors(self) -> NDArray[np.float64]:
        """float64 [N, C]: how much better the judge finds each placement a turn later."""
        return self.games.gains() + self.to_come[:, 1:] - self._chosen

    @property
    def foreseen(self) -> NDArray[np.float64]:
        """float64 [N, C + 1]: the score in the end as foreseen before each draw, and the score."""
        won = np.cumsum(self.games.gains(), axis=1)
        return self.to_come + np.concatenate([np.zeros((len(won), 1)), won], axis=1)

    @property
    def without_luck(self) -> NDArray[np.float64]:
        """float64 [N]: score minus luck. Its mean estimates the player's expected score."""
        return self.games.scores() - self.luck.sum(axis=1)

    @property
    def totals(self) -> Totals:
        """The games' sums, float64 [N] each."""
        return Totals(
            self.games.scores().astype(np.float64),
            self.luck.sum(axis=1),
            self.mistakes.sum(axis=1),
            self.errors.sum(axis=1),
            self.without_luck,
        )

    def turning_points(self, game: int) -> list[int]:
        """The turns, from 0, in which a game gave away the most points, in the order of play."""
        mistakes = self.mistakes[game]
        most = np.argsort(-mistakes, kind="stable")[:MOST_TURNING_POINTS]
        return sorted(int(turn) for turn in most if mistakes[turn] >= TURNING_POINT)

    @property
    def _chosen(self) -> NDArray[np.float64]:
        laid = self.games.cells.astype(np.int64)[:, :, None]
        return np.take_along_axis(self.worth, laid, axis=2)[:, :, 0]


def one_ply_judge(evaluator: Evaluator) -> Judge:
    """Gain + the network's value of the board after it."""
    return lambda boards, tiles: one_ply_worth(evaluator, boards, tiles)


def search_judge(evaluator: Evaluator, simulations: int) -> Judge:
    """What a search of `simulations` says of each cell, one it did not visit by the network's q.

    Where there is no q, by gain + value.

    A decision's randomness comes from its board and tile, so it is judged the same in any review.
    As many are searched in step as there is room for; `UsageError` where there is none for one.
    """
    in_step = max(1, games_that_fit(evaluator.variant, simulations))

    def judge(boards: NDArray[np.int8], tiles: NDArray[np.int8]) -> NDArray[np.floating]:
        values = np.empty(boards.shape, dtype=np.float32)
        for part in parts(len(boards), in_step):
            search = Search(evaluator, part.stop - part.start, Budget(simulations))
            keys = position_keys(boards[part], tiles[part])
            found = search.run(boards[part], tiles[part], keys)
            values[part] = searched_worth(evaluator, found, boards[part], tiles[part])
        return np.where(boards == EMPTY, values, -np.inf)

    return judge


def rollout_judge(evaluator: Evaluator, rollouts: int) -> Judge:
    """What games played to their end say of each cell, at most `rollouts` of them a decision.

    The strongest judge. As with a search, a decision is judged the same in any review.
    `UsageError` where the network has no q.
    """
    player = RolloutPlayer(evaluator, Rollouts(rollouts))

    def judge(boards: NDArray[np.int8], tiles: NDArray[np.int8]) -> NDArray[np.floating]:
        return player.worth(boards, tiles, position_keys(boards, tiles)).points

    return judge


def decisions(games: Games) -> int:
    """How many decisions a review judges: every tile that could have come, in every turn."""
    cells, tiles = games.variant.cells, games.variant.tiles
    return len(games) * sum(tiles - turn for turn in range(cells))


def review_games(
    games: Games, judge: Judge, progress: Callable[[int], None] = lambda count: None
) -> Review:
    """Judge every turn of `games`; `progress(count)` is told of decisions as they are judged."""
    variant = games.variant
    count, size = games.orders.shape
    boards = games.boards()[:, :-1]
    best = np.zeros((count, size, variant.tiles))
    worth = np.empty((count, size, size))
    left = tiles_left(variant, boards.reshape(-1, size)).reshape(count, size, variant.tiles)
    game, turn, tile = np.nonzero(left)
    for start in range(0, len(game), BATCH):
        part = slice(start, start + BATCH)
        g, t, drawn = game[part], turn[part], tile[part].astype(np.int8)
        judged = judge(boards[g, t], drawn).astype(np.float64)
        best[g, t, drawn] = judged.max(axis=1)
        came = drawn == games.orders[g, t]
        worth[g[came], t[came]] = judged[came]
        progress(len(g))
    to_come = np.zeros((count, size + 1))
    to_come[:, :-1] = best.sum(axis=2) / left.sum(axis=2)
    return Review(games, worth, to_come)


def luck_of(evaluator: Evaluator, games: Games) -> NDArray[np.float64]:
    """float64 [N]: points that the draws gave, by gain + q alone; 0 in the mean.

    The luck of `Review` for one forward a board instead of one for each cell and tile: rougher,
    and enough to compare players over many games. Raises `UsageError` where there is no q.
    """
    boards, rows = games.boards(), np.arange(len(games))
    total = np.zeros(len(games))
    for turn in range(games.variant.cells):
        before = np.ascontiguousarray(boards[:, turn])
        q = evaluator.evaluate(before).q
        if q is None:
            raise UsageError("taking luck out quickly needs a network with the output q")
        worth = all_gains(games.variant, before) + q
        best = np.where((before < 0)[:, None, :], worth, -np.inf).max(axis=2).astype(np.float64)
        left = tiles_left(games.variant, before)
        mean = np.where(left, best, 0.0).sum(axis=1) / left.sum(axis=1)
        total += best[rows, games.orders[:, turn]] - mean
    return total
