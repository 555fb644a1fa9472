"""The last placements, worked out exactly, against the solver."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import random_boards
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from azx.runtime.play import play_part
from azx.runtime.players import GreedyPlayer
from azx.runtime.records import Games
from azx.runtime.rules import all_gains, every_placement, tiles_left
from azx.runtime.search import endgame
from azx.runtime.seeds import draw_orders, game_keys
from azx.runtime.solver import Solution
from azx.runtime.variant import MINI, STANDARD, Variant


@njit  # type: ignore[untyped-decorator]
def _exact_value(tables, board, unused, empty, left):  # type: ignore[no-untyped-def]
    return endgame.exact_value(tables, board, unused, empty, left)


def _value(variant: Variant, board: np.ndarray) -> float:
    left = tiles_left(variant, board[None])[0]
    unused = sum(1 << tile for tile in np.flatnonzero(left).tolist())
    empty = int((board < 0).sum())
    return float(_exact_value(variant.tables, board, unused, empty, int(left.sum())))


def test_it_is_what_the_solver_says(mini_solution: Solution) -> None:
    boards = random_boards(MINI, 240, seed=1)
    boards = boards[(boards < 0).sum(axis=1) <= 5]
    before = boards.copy()
    found = [_value(MINI, board) for board in boards]
    np.testing.assert_allclose(found, mini_solution.value(boards), rtol=0, atol=1e-9)
    assert (boards == before).all()


def _by_the_definition(variant: Variant, board: np.ndarray) -> float:
    """Mean over the tiles of the best gain + what follows, and nothing clever."""
    if (board >= 0).all():
        return 0.0
    gains = all_gains(variant, board[None])[0]
    total = []
    for tile in np.flatnonzero(tiles_left(variant, board[None])[0]):
        worth = []
        for cell in np.flatnonzero(board < 0):
            after = board.copy()
            after[cell] = tile
            worth.append(gains[tile, cell] + _by_the_definition(variant, after))
        total.append(max(worth))
    return float(np.mean(total))


@given(st.integers(0, 2**32), st.integers(1, 2), st.integers(0, 12))
@settings(max_examples=30, deadline=None)
def test_on_the_full_board_it_is_the_definition(seed: int, empty: int, close: int) -> None:
    """Boards on which lines are still alive too: some numbers are made to agree."""
    rng = np.random.default_rng(seed)
    board = rng.permutation(STANDARD.tiles)[: STANDARD.cells].astype(np.int8)
    if close:  # the first columns in tiles that share their first number
        board[:9] = rng.permutation(9)
        board[9:] = 9 + rng.permutation(18)[:10]
    board[rng.permutation(STANDARD.cells)[:empty]] = -1
    assert _value(STANDARD, board) == pytest.approx(_by_the_definition(STANDARD, board), abs=1e-5)


def test_one_placement_ahead_it_is_the_mean_of_the_best() -> None:
    """As many empty cells as are asked about, on a greedy player's boards: some lines are alive."""
    orders = draw_orders(STANDARD, game_keys(8, 12))
    cells = play_part(GreedyPlayer(STANDARD), orders, game_keys(8, 12))
    boards = Games(STANDARD, orders, cells).boards()
    for empty, games in ((3, 12), (4, 6), (5, 2)):
        before = np.ascontiguousarray(boards[:games, STANDARD.cells - empty])
        left = tiles_left(STANDARD, before)
        best = np.zeros(left.shape)
        for tile in range(STANDARD.tiles):
            fits = np.flatnonzero(left[:, tile])
            laid = every_placement(STANDARD, before[fits], np.full(len(fits), tile, np.int8))
            worth = np.full((len(fits), STANDARD.cells), -np.inf)
            after = endgame.exact_values(STANDARD, laid.after)
            worth[laid.game, laid.cell] = laid.gain + after
            best[fits, tile] = worth.max(axis=1, initial=-np.inf)
        mean = best.sum(axis=1) / left.sum(axis=1)
        np.testing.assert_allclose(endgame.exact_values(STANDARD, before), mean, rtol=0, atol=1e-9)
        assert mean.max() > 1
