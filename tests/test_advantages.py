"""A player measured by what its moves gain: what it scores by exact expectation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from advantages import JUDGING, advantages, base_scores, measure, strength
from conftest import MICRO

from azx.runtime.evaluator import HashEvaluator
from azx.runtime.play import play_part
from azx.runtime.players import OnePlyPlayer
from azx.runtime.playout import EXACT_AT_THE_END, lay
from azx.runtime.records import Games
from azx.runtime.rules import every_placement
from azx.runtime.search.endgame import exact_values
from azx.runtime.seeds import draw_orders, game_keys
from azx.runtime.solver import expected_score, policy_of
from azx.runtime.stats import Estimate

GAMES = 600


def test_what_the_moves_gain_makes_the_players_score(monkeypatch: pytest.MonkeyPatch) -> None:
    """One ply by a network that is wrong about everything, beside games played out by it."""
    monkeypatch.setattr("advantages.EACH", 8)
    evaluator = HashEvaluator(MICRO)
    player = OnePlyPlayer(evaluator)
    orders, keys = draw_orders(MICRO, game_keys(5, GAMES)), game_keys(6, GAMES)
    games = Games(MICRO, orders, play_part(player, orders, keys))
    gained = advantages(evaluator, games, game_keys(JUDGING, GAMES))
    found = strength(base_scores(evaluator, 5000).tolist(), gained.tolist())
    truth = expected_score(MICRO, policy_of(player))
    assert abs(found.mean - truth) < 2 * found.half_width
    assert found.half_width < 1.5
    assert abs(found.mean - gained.sum(axis=1).mean() - truth) > 2 * found.half_width, "they gain"


def test_the_moves_of_games_played_out_gain_nothing() -> None:
    evaluator = HashEvaluator(MICRO)
    orders = draw_orders(MICRO, game_keys(5, 40))
    boards, cells = MICRO.empty_boards(40), np.zeros_like(orders)
    rows = np.arange(40)
    for turn in range(MICRO.cells):
        if MICRO.cells - turn > EXACT_AT_THE_END:
            cells[:, turn] = lay(evaluator, boards, orders[:, turn].copy())
        else:
            laid = every_placement(MICRO, boards, orders[:, turn].copy())
            worth = np.full(boards.shape, -np.inf)
            worth[laid.game, laid.cell] = laid.gain + exact_values(MICRO, laid.after)
            cells[:, turn] = worth.argmax(axis=1)
        boards[rows, cells[:, turn]] = orders[:, turn]
    assert not advantages(evaluator, Games(MICRO, orders, cells), game_keys(JUDGING, 40)).any()


def test_games_that_are_played_in_pieces_are_the_games(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("advantages.PART", 5)
    monkeypatch.setattr("advantages.EACH", 4)
    orders = draw_orders(MICRO, game_keys(3, 12))

    def played(*counts: int) -> dict[str, Any]:
        kept: dict[str, Any] = {"score": [], "advantages": [], "seconds": [], "judging": []}
        for count in counts:
            measure(HashEvaluator(MICRO), "r8", orders[:count], kept, lambda: None)
        return kept

    whole, pieces = played(12), played(7, 12)
    assert len(whole["score"]) == 12
    assert pieces["score"] == whole["score"]
    assert pieces["advantages"] == whole["advantages"]
    assert np.any(whole["advantages"])


def test_uncertainties_add_up() -> None:
    found = strength([1.0, 3.0] * 50, [[1.0, 0.0], [0.0, 0.0]] * 50)
    assert found.mean == 2.5
    alone = 1.959964 * np.hypot(np.std([1.0, 3.0] * 50, ddof=1), np.std([1, 0] * 50, ddof=1)) / 10
    assert isinstance(found, Estimate)
    assert found.half_width == pytest.approx(alone)
