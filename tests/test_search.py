"""Tree search against the exact solver, and by its properties."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import MICRO, ExactEvaluator, random_boards
from hypothesis import given, settings
from hypothesis import strategies as st

from azx.runtime.errors import UsageError
from azx.runtime.evaluator import HashEvaluator, UniformEvaluator
from azx.runtime.play import play_games
from azx.runtime.players import SearchPlayer
from azx.runtime.rules import all_gains, tiles_left
from azx.runtime.search import Search
from azx.runtime.search.tree import ROOT, bytes_per_node
from azx.runtime.seeds import draw_orders, game_keys
from azx.runtime.solver import Solution, expected_score, policy_of
from azx.runtime.variant import MINI, STANDARD


@pytest.mark.parametrize("simulations", [1, 7, 60])
def test_with_exact_values_it_plays_optimally(simulations: int, micro_solution: Solution) -> None:
    player = SearchPlayer(ExactEvaluator(micro_solution), simulations)
    exact = expected_score(MICRO, policy_of(player))
    assert exact == pytest.approx(micro_solution.optimum, abs=1e-3)


def test_with_exact_values_it_plays_mini_optimally(mini_solution: Solution) -> None:
    evaluator = ExactEvaluator(mini_solution)
    keys = game_keys(5, 100)
    orders = draw_orders(MINI, keys)
    games = play_games(SearchPlayer(evaluator, 50), orders, keys)
    boards = games.boards()
    for turn in range(MINI.cells):
        before, tiles = boards[:, turn], orders[:, turn]
        rows = np.arange(len(before))
        worth = all_gains(MINI, before)[rows, tiles] + evaluator.evaluate(before).q[rows, tiles]  # type: ignore[index]
        worth = np.where(before < 0, worth, -1.0)
        chosen = worth[rows, games.cells[:, turn]]
        np.testing.assert_allclose(chosen, worth.max(axis=1), rtol=0, atol=1e-4)


def test_knowing_nothing_more_simulations_are_better(micro_solution: Solution) -> None:
    keys = game_keys(9, 200)
    orders = draw_orders(MICRO, keys)
    means = [
        play_games(SearchPlayer(UniformEvaluator(MICRO), n), orders, keys).scores().mean()
        for n in (4, 32, 256, 1024)
    ]
    perfect = SearchPlayer(ExactEvaluator(micro_solution), 1)
    best = play_games(perfect, orders, keys).scores().mean()
    assert means == sorted(means)
    assert means[-1] > 0.9 * best


def test_knowing_nothing_it_comes_to_the_exact_values(micro_solution: Solution) -> None:
    """Where a tree can be searched to its end, the root is worth what the solver says."""
    boards = random_boards(MICRO, 80, seed=4)
    boards = boards[(boards >= 0).sum(axis=1) == MICRO.cells - 4]
    tiles = tiles_left(MICRO, boards).argmax(axis=1).astype(np.int8)
    rows = np.arange(len(boards))
    exact = all_gains(MICRO, boards)[rows, tiles]
    exact += ExactEvaluator(micro_solution).evaluate(boards).q[rows, tiles]  # type: ignore[index]
    best = np.where(boards < 0, exact, -1.0).max(axis=1)
    off = []
    for simulations in (10, 100, 1_000, 10_000):
        search = Search(UniformEvaluator(MICRO), len(boards), simulations)
        found = search.run(boards, tiles, game_keys(0, len(boards)))
        off.append(np.abs(found.values[rows, found.cells] - best).max())
    assert off[-1] < 1e-3
    assert (exact[rows, found.cells] > best - 1e-3).all()
    assert off == sorted(off, reverse=True)


@given(st.integers(0, 2**40), st.integers(1, 80))
@settings(max_examples=25, deadline=None)
def test_the_tree_is_sound(seed: int, simulations: int) -> None:
    """After any search: counts add up, values are the means they claim to be, no tile twice."""
    keys = game_keys(seed, 3)
    orders = draw_orders(MINI, keys)
    search = Search(HashEvaluator(MINI, seed % 1000), 3, simulations)
    boards = MINI.empty_boards(3)
    for turn in range(MINI.cells):
        found = search.run(boards, orders[:, turn].copy(), keys)
        assert (found.visits.sum(axis=1) >= simulations).all()
        for g in range(3):
            _check_tree(search, g)
        boards[np.arange(3), found.cells] = orders[:, turn]


def _check_tree(search: Search, g: int) -> None:
    t = search.trees
    tiles, cells = t.logits.shape[2:]
    for n in range(t.chances[g]):
        board = t.board[g, n]
        placed = board[board >= 0]
        assert len(set(placed.tolist())) == len(placed)
        left = np.setdiff1d(np.arange(tiles), placed)
        if len(placed) == cells:
            assert t.chance_value[g, n] == 0
            continue
        worth = t.tile_value[g, n].copy()
        for tile in left:
            d = t.tile_decision[g, n, tile]
            if d >= 0:
                worth[tile] = t.decision_value[g, d]
        assert t.chance_value[g, n] == pytest.approx(worth[left].mean(), abs=1e-3)
        drawn = [t.visits[g, d] for d in t.tile_decision[g, n][left] if d >= 0]
        if n != ROOT and len(drawn):
            counts = drawn + [0] * (len(left) - len(drawn))
            assert max(counts) - min(counts) <= 1
    for d in range(t.decisions[g]):
        edges = slice(0, t.edges[g, d])
        assert t.prior[g, d, edges].sum() == pytest.approx(1, abs=1e-5)
        assert t.edge_visits[g, d, edges].sum() == t.visits[g, d]
        assert t.decision_value[g, d] == pytest.approx(t.edge_value[g, d, edges].max(), abs=1e-3)
        for e in range(t.edges[g, d]):
            child = t.child[g, d, e]
            assert (child >= 0) == (t.edge_visits[g, d, e] > 0)
            if child >= 0:
                expected = t.gain[g, d, e] + t.chance_value[g, child]
                assert t.edge_value[g, d, e] == pytest.approx(expected, abs=1e-3)


def test_the_tree_is_kept_between_moves() -> None:
    class Counting(HashEvaluator):
        asked = 0

        def evaluate(self, boards):  # type: ignore[no-untyped-def]
            self.asked += len(boards)
            return super().evaluate(boards)

    evaluator = Counting(MINI)
    keys = game_keys(2, 20)
    orders = draw_orders(MINI, keys)
    play_games(SearchPlayer(evaluator, 200), orders, keys)
    kept = evaluator.asked
    evaluator.asked = 0
    boards = MINI.empty_boards(20)
    for turn in range(MINI.cells):
        found = Search(evaluator, 20, 200).run(boards, orders[:, turn].copy(), keys)
        boards[np.arange(20), found.cells] = orders[:, turn]
    assert kept < 0.95 * evaluator.asked


def test_memory_is_linear_and_stated() -> None:
    one = Search(UniformEvaluator(STANDARD), 1, 99).trees
    many = Search(UniformEvaluator(STANDARD), 4, 199).trees
    node = bytes_per_node(STANDARD)
    of_one, of_many = (sum(a.nbytes for a in trees) for trees in (one, many))
    assert of_one == pytest.approx(100 * node, rel=0.01)
    assert of_many == pytest.approx(4 * 200 * node, rel=0.01)


def test_no_simulations_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 1"):
        Search(UniformEvaluator(MINI), 1, 0)
