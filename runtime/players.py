"""Players, one interface: from boards, drawn tiles and the games' keys to cells.

A player sees the board and the tile, never what will be drawn. Whatever randomness it has comes
from the keys, so that a game is played the same way in any batch.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numba import uint64
from numpy.typing import NDArray

from azx.runtime.compiled import compiled
from azx.runtime.evaluator import Evaluator, has_q
from azx.runtime.rollouts import RolloutPlayer, Rollouts
from azx.runtime.rules import EMPTY, every_placement, placement_gain
from azx.runtime.search import Budget, Found, Search
from azx.runtime.seeds import mix, uniform
from azx.runtime.variant import Variant


class Player(Protocol):
    """Decides where to lay tiles."""

    name: str
    variant: Variant

    def choose(
        self, boards: NDArray[np.int8], tiles: NDArray[np.int8], keys: NDArray[np.uint64]
    ) -> NDArray[np.int8]:
        """int8 [G]: an empty cell for each of `tiles` [G] on `boards` [G, C], game by game."""
        ...


@compiled
def _random_cells(boards, keys, out):  # type: ignore[no-untyped-def]
    for g in range(boards.shape[0]):
        empty = 0
        for c in range(boards.shape[1]):
            empty += boards[g, c] < 0
        wanted = int(uniform(mix(keys[g], uint64(empty)), 0) * empty)
        for c in range(boards.shape[1]):
            if boards[g, c] < 0:
                if wanted == 0:
                    out[g] = c
                    break
                wanted -= 1


@compiled
def _greedy_cells(tables, boards, tiles, keys, out):  # type: ignore[no-untyped-def]
    for g in range(boards.shape[0]):
        empty = 0
        for c in range(boards.shape[1]):
            empty += boards[g, c] < 0
        key = mix(keys[g], uint64(empty))
        best = -1.0
        for c in range(boards.shape[1]):
            if boards[g, c] < 0:
                # Gains are whole points: the fraction breaks ties at random.
                score = placement_gain(tables, boards[g], tiles[g], c) + uniform(key, c)
                if score > best:
                    best = score
                    out[g] = c


class RandomPlayer:
    """Any empty cell."""

    name = "random"

    def __init__(self, variant: Variant) -> None:
        self.variant = variant

    def choose(
        self, boards: NDArray[np.int8], tiles: NDArray[np.int8], keys: NDArray[np.uint64]
    ) -> NDArray[np.int8]:
        """Uniform over the empty cells."""
        out = np.empty(len(boards), dtype=np.int8)
        _random_cells(boards, keys, out)
        return out


class GreedyPlayer:
    """The most points at once, ties at random."""

    name = "greedy"

    def __init__(self, variant: Variant) -> None:
        self.variant = variant

    def choose(
        self, boards: NDArray[np.int8], tiles: NDArray[np.int8], keys: NDArray[np.uint64]
    ) -> NDArray[np.int8]:
        """The cell of the largest gain."""
        out = np.empty(len(boards), dtype=np.int8)
        _greedy_cells(self.variant.tables, boards, tiles, keys, out)
        return out


class PolicyPlayer:
    """The network's first thought: the largest policy logit, one forward a move."""

    name = "policy"

    def __init__(self, evaluator: Evaluator) -> None:
        self.variant, self.evaluator = evaluator.variant, evaluator

    def choose(
        self, boards: NDArray[np.int8], tiles: NDArray[np.int8], keys: NDArray[np.uint64]
    ) -> NDArray[np.int8]:
        """The empty cell of the largest logit for the drawn tile."""
        logits = self.evaluator.evaluate(boards).policy_logits[np.arange(len(boards)), tiles]
        return np.where(boards == EMPTY, logits, -np.inf).argmax(axis=1).astype(np.int8)


class OnePlyPlayer:
    """Gain + value of the afterstate over all empty cells, a forward for each."""

    name = "one-ply"

    def __init__(self, evaluator: Evaluator) -> None:
        self.variant, self.evaluator = evaluator.variant, evaluator

    def choose(
        self, boards: NDArray[np.int8], tiles: NDArray[np.int8], keys: NDArray[np.uint64]
    ) -> NDArray[np.int8]:
        """The cell of the largest gain + value."""
        return one_ply_worth(self.evaluator, boards, tiles).argmax(axis=1).astype(np.int8)


def one_ply_worth(
    evaluator: Evaluator, boards: NDArray[np.int8], tiles: NDArray[np.int8]
) -> NDArray[np.float32]:
    """float32 [G, C]: gain + value, in points, of each of `tiles` [G] on each cell of its board.

    -inf on filled cells.
    """
    laid = every_placement(evaluator.variant, boards, tiles)
    worth = np.full(boards.shape, -np.inf, dtype=np.float32)
    worth[laid.game, laid.cell] = laid.gain + evaluator.evaluate(laid.after).value
    return worth


def searched_worth(
    evaluator: Evaluator, found: Found, boards: NDArray[np.int8], tiles: NDArray[np.int8]
) -> NDArray[np.float32]:
    """float32 [G, C]: what a search `found` of each cell, one it did not visit by the network's q.

    Where there is no q, by gain + value.
    """
    if has_q(evaluator):
        return found.values
    return np.where(found.visits > 0, found.values, one_ply_worth(evaluator, boards, tiles))


class SearchPlayer:
    """Tree search with a budget for each move."""

    def __init__(self, evaluator: Evaluator, budget: Budget) -> None:
        self.variant, self.evaluator, self.budget = evaluator.variant, evaluator, budget
        self.name = f"mcts:{budget}"
        self._search: Search | None = None
        self._games = 0  # that there is room for

    def choose(
        self, boards: NDArray[np.int8], tiles: NDArray[np.int8], keys: NDArray[np.uint64]
    ) -> NDArray[np.int8]:
        """The search's choice."""
        return self.search(boards, tiles, keys).cells

    def search(
        self, boards: NDArray[np.int8], tiles: NDArray[np.int8], keys: NDArray[np.uint64]
    ) -> Found:
        """All that the search finds; the trees grow with the largest number of games seen."""
        if self._search is None or len(boards) > self._games:
            self._games = len(boards)
            self._search = None  # its memory goes before more is taken
            self._search = Search(self.evaluator, self._games, self.budget)
        return self._search.run(boards, tiles, keys)


def network_player(
    evaluator: Evaluator, budget: Budget | Rollouts | None, one_ply: bool = False
) -> Player:
    """The player that thinks with this budget; without one, the policy alone or one ply."""
    if isinstance(budget, Rollouts):
        return RolloutPlayer(evaluator, budget)
    if budget is not None:
        return SearchPlayer(evaluator, budget)
    return OnePlyPlayer(evaluator) if one_ply else PolicyPlayer(evaluator)
