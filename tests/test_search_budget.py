"""What a search may take: simulations, time, memory."""

from __future__ import annotations

import itertools
import time
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT_NAMES
from made_up import HashEvaluator
from numpy.typing import NDArray

from azx.runtime.errors import UsageError
from azx.runtime.evaluator import Evaluation, UniformEvaluator
from azx.runtime.play import play_games
from azx.runtime.players import SearchPlayer
from azx.runtime.search import Budget, Search, mcts, room
from azx.runtime.search.tree import bytes_per_node
from azx.runtime.seeds import draw_orders, game_keys
from azx.runtime.variant import MINI, STANDARD


class Slow(HashEvaluator):
    """One that takes its time, so that the simulations are not used up before it."""

    def evaluate(self, boards: NDArray[np.int8]) -> Evaluation:
        time.sleep(0.001)
        return super().evaluate(boards)


def test_time_ends_a_search() -> None:
    """However short, there is a choice; and more time is more simulations."""
    keys = game_keys(1, 1)
    tile = np.zeros(1, dtype=np.int8)
    visits = []
    for seconds in (1e-6, 0.3):
        budget = Budget(20_000, seconds=seconds)
        found = Search(Slow(STANDARD), 1, budget).run(STANDARD.empty_boards(1), tile, keys)
        visits.append(found.visits.sum())
    assert 1 <= visits[0] < visits[1] < 20_000


@pytest.mark.parametrize("games", [1, 5])
def test_with_time_gumbel_halves_too(games: int) -> None:
    """Of 16 candidates two are left for the last quarter, and one of them is chosen."""
    keys = game_keys(1, games)
    tiles = np.zeros(games, dtype=np.int8)
    search = Search(UniformEvaluator(STANDARD), games, Budget(seconds=1.5, root="gumbel"))
    found = search.run(STANDARD.empty_boards(games), tiles, keys)
    assert (search.trees.tree["halvings"] == 3).all()
    for g in range(games):
        visits = np.sort(found.visits[g])[::-1]
        assert visits[1] > visits[2]  # by how much depends on what else the machine does
        assert visits[15] > 0
        assert visits[16] == 0
        assert found.visits[g, found.cells[g]] >= visits[1]


@ROOT_NAMES
def test_a_timed_player_plays_whole_games(root: str) -> None:
    """Trees are kept from move to move here too; the last moves are exact and take no time."""
    keys = game_keys(6, 2)
    orders = draw_orders(STANDARD, keys)
    player = SearchPlayer(HashEvaluator(STANDARD), Budget(seconds=0.02, root=root))
    games = play_games(player, orders, keys)
    assert (np.sort(games.cells, axis=1) == np.arange(STANDARD.cells)).all()


def test_time_is_shared_by_all_blocks() -> None:
    """The first block does not use up the time of those behind it."""
    games = 100  # in blocks of 32
    keys = game_keys(1, games)
    tiles = np.zeros(games, dtype=np.int8)
    search = Search(UniformEvaluator(STANDARD), games, Budget(2_000, seconds=0.5))
    assert len(search._blocks) == 4
    visits = search.run(STANDARD.empty_boards(games), tiles, keys).visits.sum(axis=1)
    assert visits.max() < 2_000, "the time is what ends it"
    assert visits.min() > 0.5 * visits.max()


def test_the_clock_is_looked_at_where_no_network_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """With five cells left nearly all simulations end where the value is exact."""
    looks = itertools.count()
    # Every look finds that another hundredth of the time is over.
    monkeypatch.setattr(mcts, "time", SimpleNamespace(monotonic=lambda: next(looks) / 100))
    board = STANDARD.empty_boards(1)
    board[0, :14] = np.arange(14)
    search = Search(UniformEvaluator(STANDARD), 1, Budget(seconds=1.0))
    found = search.run(board, np.full(1, 20, dtype=np.int8), game_keys(1, 1))
    assert 90 < next(looks) < 110
    assert 1_000 < found.visits.sum() < 20_000  # at most 128 between two looks


def test_there_is_room_for_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """For as many new boards as are judged in the time, or as the memory holds; then it ends."""
    many = Search(UniformEvaluator(STANDARD), 1, Budget(seconds=2.0))
    assert many.trees.chance.shape[1] == 2 + 2 * room.FASTEST
    monkeypatch.setattr(room, "memory_limit", lambda: 2_000 * bytes_per_node(STANDARD))
    few = Search(UniformEvaluator(STANDARD), 2, Budget(seconds=60.0))
    assert few.trees.chance.shape[1] == 500
    tiles = np.zeros(2, dtype=np.int8)
    few.run(STANDARD.empty_boards(2), tiles, game_keys(0, 2))
    assert (few.trees.tree["chances"] == 500).all()


def test_simulations_that_make_no_board_take_no_room() -> None:
    """Few boards are left to find: the search goes on for its time and no longer."""
    board = MINI.empty_boards(1)
    board[0, :2] = np.arange(2)
    search = Search(UniformEvaluator(MINI), 1, Budget(seconds=0.3))
    start = time.monotonic()
    found = search.run(board, np.full(1, 5, dtype=np.int8), game_keys(0, 1))
    assert time.monotonic() - start > 0.3
    assert found.visits.sum() > search.trees.tree["chances"][0]


def test_memory_is_linear_and_stated() -> None:
    one = Search(UniformEvaluator(STANDARD), 1, Budget(99)).trees
    many = Search(UniformEvaluator(STANDARD), 4, Budget(199)).trees
    node = bytes_per_node(STANDARD)
    of_one, of_many = (sum(a.nbytes for a in trees) for trees in (one, many))
    assert of_one == pytest.approx(100 * node, rel=0.01)
    assert of_many == pytest.approx(4 * 200 * node, rel=0.01)
    assert node < 3000


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"simulations": 0}, "at least 1 simulation, found 0"),
        ({"seconds": 0.0}, "more than 0 seconds, found 0.0"),
        ({"simulations": 1, "root": "minimax"}, "one of puct, gumbel, found 'minimax'"),
        ({}, "a number of simulations or seconds, found neither"),
        ({"simulations": 1, "exact_cells": -1}, "exact cells are 0 or more, found -1"),
    ],
)
def test_no_budget_is_refused(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Budget(**wrong)  # type: ignore[arg-type]


def test_too_many_games_for_the_memory_are_refused() -> None:
    with pytest.raises(UsageError, match="GiB for their trees"):
        Search(UniformEvaluator(STANDARD), 10_000, Budget(100_000))
