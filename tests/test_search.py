"""Tree search against the exact solver, and by its properties."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import ROOT_NAMES, ExactEvaluator, random_boards
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import MICRO, HashEvaluator

from azx.runtime.evaluator import Evaluation, UniformEvaluator
from azx.runtime.play import play_games
from azx.runtime.players import SearchPlayer
from azx.runtime.rules import all_gains, tiles_left
from azx.runtime.search import ROOTS, Budget, Found, Search
from azx.runtime.search.tree import CLOSED, NONE, OPEN, PARTS, ROOT
from azx.runtime.seeds import draw_orders, game_keys
from azx.runtime.solver import Solution, expected_score, policy_of
from azx.runtime.variant import MINI, STANDARD, Variant


@ROOT_NAMES
@pytest.mark.parametrize("simulations", [1, 7, 60])
def test_with_exact_values_it_plays_optimally(
    simulations: int, root: str, micro_solution: Solution
) -> None:
    for exact_cells in (0, 3):
        budget = Budget(simulations, root=root, exact_cells=exact_cells)
        player = SearchPlayer(ExactEvaluator(micro_solution), budget)
        exact = expected_score(MICRO, policy_of(player))
        assert exact == pytest.approx(micro_solution.optimum, abs=1e-3)


@ROOT_NAMES
@pytest.mark.parametrize(("games", "batch", "lanes"), [(100, 100, 1), (100, 100, 3), (20, 1, 1)])
def test_with_exact_values_it_plays_mini_optimally(
    root: str, games: int, batch: int, lanes: int, mini_solution: Solution
) -> None:
    """Many games or a single one, by one thread or in lanes."""
    evaluator = ExactEvaluator(mini_solution)
    evaluator.lanes = lanes
    keys = game_keys(5, games)
    orders = draw_orders(MINI, keys)
    played = play_games(SearchPlayer(evaluator, Budget(50, root=root)), orders, keys, batch=batch)
    boards = played.boards()
    for turn in range(MINI.cells):
        before, tiles = boards[:, turn], orders[:, turn]
        rows = np.arange(len(before))
        worth = all_gains(MINI, before)[rows, tiles] + evaluator.evaluate(before).q[rows, tiles]  # type: ignore[index]
        worth = np.where(before < 0, worth, -1.0)
        chosen = worth[rows, played.cells[:, turn]]
        np.testing.assert_allclose(chosen, worth.max(axis=1), rtol=0, atol=1e-4)


@ROOT_NAMES
def test_knowing_nothing_more_simulations_are_better(root: str, micro_solution: Solution) -> None:
    keys = game_keys(9, 300)
    orders = draw_orders(MICRO, keys)
    means = [
        play_games(
            SearchPlayer(UniformEvaluator(MICRO), Budget(n, root=root, exact_cells=0)), orders, keys
        )
        .scores()
        .mean()
        for n in (4, 64, 1024)
    ]
    perfect = SearchPlayer(ExactEvaluator(micro_solution), Budget(1))
    best = play_games(perfect, orders, keys).scores().mean()
    assert means == sorted(means)
    assert means[-1] > 0.9 * best


def test_knowing_nothing_it_comes_to_the_exact_values(micro_solution: Solution) -> None:
    """Where a tree can be searched to its end, the root is worth what the solver says."""
    boards, tiles, exact = _four_cells_left(micro_solution)
    best = np.where(boards < 0, exact, -1.0).max(axis=1)
    rows = np.arange(len(boards))
    off = []
    for simulations in (10, 100, 1_000, 10_000):
        search = Search(UniformEvaluator(MICRO), len(boards), Budget(simulations, exact_cells=0))
        found = search.run(boards, tiles, game_keys(0, len(boards)))
        off.append(np.abs(found.values[rows, found.cells] - best).max())
    assert off[-1] < 1e-3
    assert (exact[rows, found.cells] > best - 1e-3).all()
    assert off == sorted(off, reverse=True)


@ROOT_NAMES
def test_without_q_it_comes_to_perfect_play(root: str, micro_solution: Solution) -> None:
    """A cell that was not looked at has no value then: it takes more simulations, no more."""
    boards, tiles, exact = _four_cells_left(micro_solution)
    evaluator = ExactEvaluator(micro_solution, with_q=False)
    budget = Budget(10_000, root=root, exact_cells=0)
    found = Search(evaluator, len(boards), budget).run(boards, tiles, game_keys(0, len(boards)))
    best = np.where(boards < 0, exact, -1.0).max(axis=1)
    rows = np.arange(len(boards))
    np.testing.assert_allclose(found.values[rows, found.cells], best, rtol=0, atol=1e-3)
    np.testing.assert_allclose(exact[rows, found.cells], best, rtol=0, atol=1e-3)


@ROOT_NAMES
def test_the_last_placements_are_exact_whatever_the_network(
    root: str, micro_solution: Solution
) -> None:
    boards, tiles, exact = _four_cells_left(micro_solution)
    for simulations in (1, 30):
        search = Search(HashEvaluator(MICRO), len(boards), Budget(simulations, root=root))
        found = search.run(boards, tiles, game_keys(0, len(boards)))
        empty = boards < 0
        np.testing.assert_allclose(found.values[empty], exact[empty], rtol=0, atol=1e-4)
        rows = np.arange(len(boards))
        best = np.where(empty, exact, -1.0).max(axis=1)
        np.testing.assert_allclose(exact[rows, found.cells], best, rtol=0, atol=1e-4)
        assert (found.policy[rows, found.cells] == 1).all()


def _four_cells_left(solution: Solution) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boards, drawn tiles, and what each placement is worth."""
    boards = random_boards(MICRO, 80, seed=4)
    boards = boards[(boards >= 0).sum(axis=1) == MICRO.cells - 4]
    tiles = tiles_left(MICRO, boards).argmax(axis=1).astype(np.int8)
    rows = np.arange(len(boards))
    exact = all_gains(MICRO, boards)[rows, tiles]
    exact += ExactEvaluator(solution).evaluate(boards).q[rows, tiles]  # type: ignore[index]
    return boards, tiles, exact


@st.composite
def _variants(draw: st.DrawFn) -> Variant:
    """Small boards with numbers of any size and any number of tiles; and the full one."""
    numbers = st.lists(st.integers(1, 12), min_size=2, max_size=3, unique=True).map(tuple)
    axes = tuple(draw(numbers) for _ in range(3))
    return draw(st.sampled_from([Variant("random", 1, axes), STANDARD]))


@given(
    _variants(),
    st.integers(0, 2**40),
    st.integers(1, 150),
    st.sampled_from(ROOTS),
    st.integers(0, 4),
    st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_the_tree_is_sound(
    variant: Variant, seed: int, simulations: int, root: str, exact_cells: int, with_q: bool
) -> None:
    """After any search: counts add up, values are the means they claim to be, no tile twice."""
    keys = game_keys(seed, 2)
    orders = draw_orders(variant, keys)
    budget = Budget(simulations, root=root, exact_cells=exact_cells)
    search = Search(_Hash(variant, seed % 1000, with_q), 2, budget)
    boards = variant.empty_boards(2)
    for turn in range(min(variant.cells, 8)):
        found = search.run(boards, orders[:, turn].copy(), keys)
        if variant.cells - turn - 1 > exact_cells:
            assert (found.visits.sum(axis=1) >= simulations).all()
        np.testing.assert_allclose(found.policy.sum(axis=1), 1, rtol=1e-5)
        for g in range(2):
            assert boards[g, found.cells[g]] < 0
            assert (found.policy[g][boards[g] >= 0] == 0).all()
            _check_tree(search, g)
        boards[np.arange(2), found.cells] = orders[:, turn]


class _Hash(HashEvaluator):
    """One that may lack q."""

    def __init__(self, variant: Variant, seed: int, with_q: bool) -> None:
        super().__init__(variant, seed)
        self.with_q = with_q

    def evaluate(self, boards):  # type: ignore[no-untyped-def]
        answer = super().evaluate(boards)
        return answer if self.with_q else answer._replace(q=None)


def _check_tree(search: Search, g: int) -> None:
    t = search.trees
    tiles, cells = t.logit.shape[2:]
    tree = t.tree[g]
    assert tree["chances"] <= t.chance.shape[1]
    for n in range(tree["chances"]):
        chance, board = t.chance[g, n], t.board[g, n]
        placed = board[board >= 0]
        assert len(set(placed.tolist())) == len(placed)
        left = np.setdiff1d(np.arange(tiles), placed)
        assert chance["unused"] == sum(1 << tile for tile in left.tolist())
        assert (chance["left"], chance["empty"]) == (len(left), cells - len(placed))
        exact = n != ROOT and chance["empty"] <= search.budget.exact_cells
        assert chance["state"] == (CLOSED if exact else OPEN)
        if chance["state"] == CLOSED:
            continue
        worth = t.tile["value"][g, n].copy()
        drawn = []
        for tile in left:
            d = t.tile["decision"][g, n, tile]
            if d != NONE:
                worth[tile] = t.decision["value"][g, d]
                drawn.append(t.decision["visits"][g, d])
        assert chance["value"] == pytest.approx(worth[left].mean(), abs=2e-3)
        if n != ROOT and drawn:
            counts = drawn + [0] * (len(left) - len(drawn))
            assert max(counts) - min(counts) <= 1
    for d in range(tree["decisions"]):
        decision = t.decision[g, d]
        edges = t.edge[g, d, : decision["edges"]]
        known = edges[edges["known"] > 0]
        assert edges["prior"].sum() == pytest.approx(1, abs=1e-5)
        assert edges["visits"].sum() == decision["visits"]
        if len(known):
            # The best of the network's own estimates is kept to the last bit, the others in parts.
            assert decision["value"] == pytest.approx(known["value"].max(), abs=1 / PARTS)
        for edge in edges:
            assert (edge["child"] != NONE) == (edge["visits"] > 0)
            if edge["child"] != NONE:
                expected = edge["gain"] + t.chance["value"][g, edge["child"]]
                assert edge["value"] == pytest.approx(expected, abs=2e-3)


def test_the_tree_is_kept_between_moves() -> None:
    class Counting(HashEvaluator):
        asked = 0

        def evaluate(self, boards: np.ndarray) -> Evaluation:
            self.asked += len(boards)
            return super().evaluate(boards)

    evaluator = Counting(MINI)
    keys = game_keys(2, 20)
    orders = draw_orders(MINI, keys)
    play_games(SearchPlayer(evaluator, Budget(200)), orders, keys)
    kept = evaluator.asked
    evaluator.asked = 0
    boards = MINI.empty_boards(20)
    for turn in range(MINI.cells):
        found = Search(evaluator, 20, Budget(200)).run(boards, orders[:, turn].copy(), keys)
        boards[np.arange(20), found.cells] = orders[:, turn]
    assert kept < 0.95 * evaluator.asked


def test_the_same_board_is_judged_once_a_step() -> None:
    """Games of the same key would search the same tree: all but one of them cost nothing."""

    class Counting(HashEvaluator):
        def __init__(self) -> None:
            super().__init__(MINI)
            self.batches: list[np.ndarray] = []

        def evaluate(self, boards: np.ndarray) -> Evaluation:
            self.batches.append(boards.copy())
            return super().evaluate(boards)

    evaluator = Counting()
    boards, tiles = MINI.empty_boards(6), np.full(6, 3, dtype=np.int8)
    found = Search(evaluator, 6, Budget(40)).run(boards, tiles, game_keys(0, 1).repeat(6))
    for batch in evaluator.batches:
        assert len(np.unique(batch, axis=0)) == len(batch)
    assert sum(map(len, evaluator.batches)) <= 41
    assert (found.values == found.values[0]).all()


def test_a_tree_asks_for_a_board_once() -> None:
    """However it was reached, and in whatever step: but for twins that wait at the same time."""

    class Counting(HashEvaluator):
        def __init__(self) -> None:
            super().__init__(MINI)
            self.asked: list[bytes] = []

        def evaluate(self, boards: np.ndarray) -> Evaluation:
            self.asked += [board.tobytes() for board in boards]
            return super().evaluate(boards)

    evaluator = Counting()
    search = Search(evaluator, 1, Budget(3000))
    tile = np.full(1, 3, dtype=np.int8)
    search.run(MINI.empty_boards(1), tile, game_keys(0, 1))
    assert len(set(evaluator.asked)) == len(evaluator.asked)
    boards = search.trees.board[0, : search.trees.tree["chances"][0]]
    assert len(np.unique(boards, axis=0)) < 0.95 * len(boards), "the test has transpositions"


def test_lanes_find_what_one_thread_finds() -> None:
    keys = game_keys(4, 11)
    tiles = draw_orders(STANDARD, keys)[:, 0].copy()

    def found(lanes: int) -> Found:
        evaluator = HashEvaluator(STANDARD)
        evaluator.lanes = lanes
        return Search(evaluator, 11, Budget(64)).run(STANDARD.empty_boards(11), tiles, keys)

    for one, many in zip(found(1), found(4), strict=True):
        assert (one == many).all()


def test_a_failure_in_a_lane_comes_out() -> None:
    class Failing(HashEvaluator):
        lanes = 3

        def evaluate(self, boards: np.ndarray) -> Evaluation:
            if len(boards):
                raise RuntimeError("no network")
            return super().evaluate(boards)

    with pytest.raises(RuntimeError, match="no network"):
        Search(Failing(MINI), 6, Budget(8)).run(
            MINI.empty_boards(6), np.zeros(6, dtype=np.int8), game_keys(0, 6)
        )


def test_blocks_of_one_lane_do_not_meet() -> None:
    """Each game finds what it finds alone, in whichever block it is."""
    games = 70
    keys = game_keys(4, games)
    tiles = draw_orders(MINI, keys)[:, 0].copy()
    together = Search(HashEvaluator(MINI), games, Budget(512))
    assert len(together._blocks) > 1
    found = together.run(MINI.empty_boards(games), tiles, keys)
    for g in (0, 31, 32, 69):
        here = slice(g, g + 1)
        alone = Search(HashEvaluator(MINI), 1, Budget(512)).run(
            MINI.empty_boards(1), tiles[here], keys[here]
        )
        for one, many in zip(alone, found, strict=True):
            assert (one[0] == many[g]).all()
