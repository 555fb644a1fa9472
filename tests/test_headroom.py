"""What a player gives away, by games played out: what it is short of perfect play."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import PerfectPolicy
from headroom import given_away
from made_up import MICRO, HashEvaluator
from numpy.typing import NDArray

from azx.runtime.evaluator import Evaluation
from azx.runtime.play import play_part
from azx.runtime.players import OnePlyPlayer, Player, PolicyPlayer
from azx.runtime.records import Games
from azx.runtime.seeds import draw_orders, game_keys
from azx.runtime.solver import Solution, expected_score, policy_of
from azx.runtime.stats import estimate

GAMES = 150
HALVES = game_keys(7, GAMES), game_keys(8, GAMES)


class Unforeseeing(PerfectPolicy):
    """Plays perfectly and foresees nothing, so that games played out keep their luck."""

    def evaluate(self, boards: NDArray[np.int8]) -> Evaluation:
        """The policy is never in doubt."""
        answer = super().evaluate(boards)
        assert answer.q is not None
        return Evaluation(1e4 * answer.policy_logits, 0 * answer.value, 0 * answer.q)


@pytest.fixture(autouse=True)
def _few_games_choose_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is foreseen is exact on so small a board: all would be clear."""
    monkeypatch.setattr("headroom.CHOOSING", (4, 32))
    monkeypatch.setattr("headroom.value_error", lambda boards: np.full(len(boards), 50.0))


def _games(player: Player) -> Games:
    orders, keys = draw_orders(MICRO, game_keys(5, GAMES)), game_keys(6, GAMES)
    return Games(MICRO, orders, play_part(player, orders, keys))


def test_what_is_given_away_is_what_perfect_play_scores_more(micro_solution: Solution) -> None:
    """One ply by a network that is wrong about everything."""
    player = OnePlyPlayer(HashEvaluator(MICRO))
    short = micro_solution.optimum - expected_score(MICRO, policy_of(player))
    found = given_away(Unforeseeing(micro_solution), _games(player), HALVES)
    all_games = estimate(found[:, :, -1].sum(axis=1))
    assert abs(all_games.mean - short) < 2 * all_games.half_width < 0.5 * short


def test_perfect_play_gives_nothing_away(micro_solution: Solution) -> None:
    """Who is told from the same games which cell is best finds one that had luck."""
    judge = Unforeseeing(micro_solution)
    found = given_away(judge, _games(PolicyPlayer(PerfectPolicy(micro_solution))), HALVES)
    assert np.abs(found[:, 1:]).max() < 1e-5, "near the end it is exact"
    few, more = (estimate(column) for column in found[:, 0].T)
    assert few.mean < more.mean < more.half_width
