"""The arithmetic of a review: its identity for any judge, a perfect one, luck without bias."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import ExactEvaluator
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import MICRO, HashEvaluator

from azx.runtime.errors import UsageError
from azx.runtime.evaluator import Evaluation
from azx.runtime.play import play_games
from azx.runtime.players import GreedyPlayer, OnePlyPlayer, Player, RandomPlayer
from azx.runtime.records import Games
from azx.runtime.review import (
    Judge,
    Review,
    decisions,
    one_ply_judge,
    review_games,
    rollout_judge,
    search_judge,
)
from azx.runtime.search import room
from azx.runtime.search.tree import bytes_per_node
from azx.runtime.seeds import draw_orders, game_keys
from azx.runtime.solver import Solution, expected_score
from azx.runtime.variant import MINI, STANDARD, Variant


def games_of(player: Player, seed: int, count: int) -> Games:
    keys = game_keys(seed, count)
    return play_games(player, draw_orders(player.variant, keys), keys)


def rest(review: Review) -> np.ndarray:
    """What is left of the identity: 0 for every game."""
    parts = review.luck - review.mistakes + review.errors
    return review.games.scores() - review.to_come[:, 0] - parts.sum(axis=1)


def arbitrary_judge(seed: int) -> Judge:
    """Says anything, always the same of the same decision."""

    def judge(boards: np.ndarray, tiles: np.ndarray) -> np.ndarray:
        weight = np.random.default_rng(seed).normal(size=(3, boards.shape[1]))
        said = np.sin((boards @ weight[0])[:, None] + tiles[:, None] * weight[1] + weight[2])
        return np.where(boards < 0, 30 * said, -np.inf)

    return judge


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([MICRO, MINI, STANDARD]))
def test_score_is_foresight_and_luck_less_mistakes_and_errors(seed: int, variant: Variant) -> None:
    """For any judge, however wrong, and any player."""
    review = review_games(games_of(RandomPlayer(variant), seed, 3), arbitrary_judge(seed))
    np.testing.assert_allclose(rest(review), 0.0, atol=1e-9)
    assert (review.mistakes >= 0).all()
    np.testing.assert_allclose(review.foreseen[:, -1], review.games.scores())


def judges(evaluator: HashEvaluator) -> list[Judge]:
    """One of every kind."""
    return [one_ply_judge(evaluator), search_judge(evaluator, 3), rollout_judge(evaluator, 16)]


def test_without_q_a_search_judges_what_it_did_not_visit_by_one_ply() -> None:
    class Without(HashEvaluator):
        def evaluate(self, boards: np.ndarray) -> Evaluation:
            return super().evaluate(boards)._replace(q=None)

    evaluator = Without(MICRO)
    boards = MICRO.empty_boards(MICRO.tiles)
    tiles = np.arange(MICRO.tiles, dtype=np.int8)
    by_search = search_judge(evaluator, 1)(boards, tiles)
    by_one_ply = one_ply_judge(evaluator)(boards, tiles)
    same = np.isclose(by_search, by_one_ply, atol=1e-3)
    assert (same.sum(axis=1) >= MICRO.cells - 1).all()


def test_the_judges_give_finite_worths_on_empty_cells_alone() -> None:
    """The identity holds for all of them, and the last placement is no choice."""
    evaluator = HashEvaluator(MICRO, 1)
    games = games_of(RandomPlayer(MICRO), 1, 1)
    filled = games.boards()[:, :-1] >= 0
    for judge in judges(evaluator):
        review = review_games(games, judge)
        assert (np.isneginf(review.worth) == filled).all()
        np.testing.assert_allclose(rest(review), 0.0, atol=1e-9)
        assert review.mistakes[0, -1] == 0
        again = review_games(games, judge)
        assert (again.to_come == review.to_come).all()


def test_a_judge_says_the_same_of_a_game_among_others() -> None:
    evaluator = HashEvaluator(MICRO, 1)
    games = games_of(RandomPlayer(MICRO), 1, 3)
    for judge in judges(evaluator):
        together = review_games(games, judge)
        for game in range(3):
            alone = review_games(games.part(slice(game, game + 1)), judge)
            assert (alone.to_come[0] == together.to_come[game]).all()
            assert (alone.worth[0] == together.worth[game]).all()


def test_a_review_by_search_fits_in_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer trees in step say the same."""
    evaluator = HashEvaluator(MICRO, 1)
    games = games_of(RandomPlayer(MICRO), 1, 1)
    whole = review_games(games, search_judge(evaluator, 9))
    monkeypatch.setattr(room, "memory_limit", lambda: 60 * bytes_per_node(MICRO))
    in_three = review_games(games, search_judge(evaluator, 9))
    assert (in_three.worth == whole.worth).all()
    assert (in_three.to_come == whole.to_come).all()
    with pytest.raises(UsageError, match="1 games in step with 99 simulations need"):
        review_games(games, search_judge(evaluator, 99))


def test_a_perfect_judge_makes_no_errors_and_a_perfect_player_no_mistakes(
    micro_solution: Solution,
) -> None:
    evaluator = ExactEvaluator(micro_solution)
    perfect = review_games(games_of(OnePlyPlayer(evaluator), 1, 30), one_ply_judge(evaluator))
    assert perfect.to_come[:, 0] == pytest.approx(micro_solution.optimum, abs=1e-4)
    assert np.abs(perfect.errors).max() < 1e-4
    assert np.abs(perfect.mistakes).max() < 1e-4
    assert perfect.without_luck == pytest.approx(micro_solution.optimum, abs=1e-3)
    assert (perfect.best_cells == perfect.games.cells).all()
    poor = review_games(games_of(RandomPlayer(MICRO), 1, 30), one_ply_judge(evaluator))
    assert np.abs(poor.errors).max() < 1e-4
    assert poor.mistakes.sum(axis=1).min() > 1
    gone = poor.mistakes > 0
    assert (poor.best_cells[gone] != poor.games.cells[gone]).all()


def orderly_judge(boards: np.ndarray, tiles: np.ndarray) -> np.ndarray:
    return np.where(boards < 0, -np.arange(boards.shape[1]) - tiles[:, None], -np.inf)


@pytest.mark.parametrize("judge", [orderly_judge, one_ply_judge(HashEvaluator(MICRO, 3))])
def test_luck_has_mean_zero_whatever_the_judge(judge: Judge) -> None:
    """Over every possible draw in every turn: the definition, with nothing left to chance."""
    review = review_games(games_of(GreedyPlayer(MICRO), 5, 4), judge)
    boards = review.games.boards()
    for game, turn in np.ndindex(4, MICRO.cells):
        board = boards[game, turn]
        left = [tile for tile in range(MICRO.tiles) if tile not in board]
        tiles = np.array(left, dtype=np.int8)
        best = judge(np.tile(board, (len(left), 1)), tiles).max(axis=1)
        assert np.mean(best) == pytest.approx(review.to_come[game, turn], abs=1e-5)
        drawn = left.index(review.games.orders[game, turn])
        assert review.luck[game, turn] == pytest.approx(best[drawn] - best.mean(), abs=1e-5)


def test_taking_luck_out_keeps_the_mean_and_narrows_the_spread(micro_solution: Solution) -> None:
    """The random player's exact expectation, from games under a judge that is not perfect."""

    def uniform(boards: np.ndarray) -> np.ndarray:
        empty = boards < 0
        share = empty / np.maximum(empty.sum(axis=1, keepdims=True), 1)
        return np.repeat(share[:, None, :], MICRO.tiles, axis=1)

    exact = expected_score(MICRO, uniform)
    judge = one_ply_judge(ExactEvaluator(micro_solution))

    def biased(boards: np.ndarray, tiles: np.ndarray) -> np.ndarray:
        return judge(boards, tiles) * 1.2 - tiles[:, None] / 5

    review = review_games(games_of(RandomPlayer(MICRO), 9, 800), biased)
    plain, adjusted = review.games.scores(), review.without_luck
    assert adjusted.mean() == pytest.approx(exact, abs=4 * adjusted.std() / np.sqrt(800))
    assert adjusted.std() < plain.std()


def test_decisions_are_counted_and_judged_once() -> None:
    games = games_of(GreedyPlayer(MINI), 2, 3)
    told: list[int] = []
    asked: list[int] = []

    def judge(boards: np.ndarray, tiles: np.ndarray) -> np.ndarray:
        asked.append(len(boards))
        return orderly_judge(boards, tiles)

    review_games(games, judge, told.append)
    assert sum(asked) == sum(told) == decisions(games) == 3 * (12 + 11 + 10 + 9 + 8 + 7 + 6)


def test_a_review_is_the_same_for_a_game_alone_by_one_ply() -> None:
    games = games_of(RandomPlayer(MINI), 4, 40)
    judge = one_ply_judge(HashEvaluator(MINI))
    together, alone = review_games(games, judge), review_games(games.part(slice(39, 40)), judge)
    assert (together.worth[39] == alone.worth[0]).all()
    np.testing.assert_allclose(together.to_come[39], alone.to_come[0], atol=1e-12)
