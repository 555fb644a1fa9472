"""A player measured by what its moves gain: what it scores by exact expectation."""

from __future__ import annotations

import numpy as np
import pytest
from advantages import advantages, base_scores, strengths
from made_up import MICRO, HashEvaluator

from azx.runtime.play import play_part
from azx.runtime.players import OnePlyPlayer
from azx.runtime.playout import EXACT_AT_THE_END, lay
from azx.runtime.records import Games
from azx.runtime.rules import every_placement
from azx.runtime.search.endgame import exact_values
from azx.runtime.seeds import draw_orders, game_keys
from azx.runtime.solver import expected_score, policy_of
from azx.runtime.stats import estimate

GAMES = 600


def test_what_the_moves_gain_makes_the_players_score(monkeypatch: pytest.MonkeyPatch) -> None:
    """One ply by a network that is wrong about everything, beside games played out by it."""
    monkeypatch.setattr("advantages.EACH", 8)
    evaluator = HashEvaluator(MICRO)
    player = OnePlyPlayer(evaluator)
    orders, keys = draw_orders(MICRO, game_keys(5, GAMES)), game_keys(6, GAMES)
    games = Games(MICRO, orders, play_part(player, orders, keys))
    found = estimate(strengths(evaluator, games, game_keys(7, GAMES)))
    truth = expected_score(MICRO, policy_of(player))
    assert abs(found.mean - truth) < 2 * found.half_width < 3
    base = base_scores(evaluator, game_keys(7, GAMES)).mean()
    assert abs(base - truth) > 2 * found.half_width, "what moves gain is needed"


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
    assert not advantages(evaluator, Games(MICRO, orders, cells), game_keys(7, 40)).any()
