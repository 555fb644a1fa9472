"""The exact solver: against a plain recursion, and the known size of `mini`."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from conftest import ExactEvaluator, random_boards
from made_up import MICRO

from azx.runtime import rules
from azx.runtime.errors import UsageError
from azx.runtime.play import play_games
from azx.runtime.players import OnePlyPlayer, RandomPlayer
from azx.runtime.seeds import draw_orders, game_keys
from azx.runtime.solver import Solution, afterstate_count, expected_score, policy_of, solve
from azx.runtime.variant import MINI, STANDARD


@cache
def plain_value(board: tuple[int, ...]) -> float:
    """V(board) as it is defined."""
    left = [t for t in range(MICRO.tiles) if t not in board]
    empty = [c for c, tile in enumerate(board) if tile < 0]
    if not empty:
        return 0.0
    gains = rules.all_gains(MICRO, np.array([board], dtype=np.int8))[0]
    best = [
        max(float(gains[t, c]) + plain_value((*board[:c], t, *board[c + 1 :])) for c in empty)
        for t in left
    ]
    return float(np.mean(best))


def test_values_are_those_of_the_definition(micro_solution: Solution) -> None:
    boards = random_boards(MICRO, 40, seed=1)
    boards = boards[(boards >= 0).sum(axis=1) >= 4]
    expected = [plain_value(tuple(map(int, board))) for board in boards]
    np.testing.assert_allclose(micro_solution.value(boards), expected, rtol=0, atol=1e-9)


def test_numbering_has_no_gaps_and_no_doubles(micro_solution: Solution) -> None:
    levels = micro_solution.levels
    for placed in range(MICRO.cells):
        count = len(micro_solution.values[placed])
        boards = levels.boards(placed, np.arange(count))
        assert (levels.ranks(boards) == np.arange(count)).all()
        assert len(np.unique(boards, axis=0)) == count


def test_mini_has_the_known_optimum(mini_solution: Solution) -> None:
    assert mini_solution.afterstates == afterstate_count(MINI) == 11_109_337
    assert mini_solution.optimum == pytest.approx(57.38322811, abs=1e-8)


def test_perfect_play_is_worth_the_optimum(micro_solution: Solution) -> None:
    perfect = policy_of(OnePlyPlayer(ExactEvaluator(micro_solution)))
    assert expected_score(MICRO, perfect) == pytest.approx(micro_solution.optimum, abs=1e-4)


def test_the_expectation_of_a_policy_is_the_mean_of_its_games() -> None:
    def uniform(boards: np.ndarray) -> np.ndarray:
        empty = boards < 0
        share = empty / empty.sum(axis=1, keepdims=True)
        return np.repeat(share[:, None, :], MICRO.tiles, axis=1)

    exact = expected_score(MICRO, uniform)
    keys = game_keys(3, 20_000)
    scores = play_games(RandomPlayer(MICRO), draw_orders(MICRO, keys), keys, batch=20_000).scores()
    assert exact == pytest.approx(scores.mean(), abs=4 * scores.std() / np.sqrt(len(scores)))


def test_large_variants_are_refused() -> None:
    with pytest.raises(UsageError, match="at most"):
        solve(STANDARD)
