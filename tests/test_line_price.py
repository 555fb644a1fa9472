"""The price for knowing the draws: nothing on average for the honest, and a bound on `mini`."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from line_price import (
    annealed,
    enumerated,
    fit_theta,
    prices_until,
    surprises,
    theta_shape,
    worths_of,
)
from made_up import MICRO

from azx.runtime.play import play_games
from azx.runtime.players import GreedyPlayer
from azx.runtime.rules import scores
from azx.runtime.seeds import draw_orders, game_keys
from azx.runtime.variant import MINI, STANDARD, Variant

#: Perfect play on `mini`, as tests/test_solver.py finds it.
OPTIMUM = 57.38322811


def any_theta(variant: Variant, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 5, theta_shape(variant))


def turns_of(cells: np.ndarray) -> np.ndarray:
    """From the cell of each turn to the turn of each cell."""
    return np.argsort(cells).astype(np.int64)


def price_by_definition(
    variant: Variant, order: np.ndarray, turn_of: np.ndarray, theta: np.ndarray
) -> float:
    """The module's words, in loops."""
    price = 0.0
    for turn in range(1, variant.cells):
        drawn = order[turn]
        left = [tile for tile in range(variant.tiles) if tile not in order[:turn]]
        for line, axis in zip(variant.lines, variant.tables.line_axis, strict=True):
            laid = [order[turn_of[cell]] for cell in line if turn_of[cell] < turn]
            if len(laid) == len(line):
                continue
            for digit, number in enumerate(variant.values[axis]):
                if any(variant.tile_values[tile, axis] != number for tile in laid):
                    continue
                share = np.mean([variant.tile_values[tile, axis] == number for tile in left])
                surprise = (variant.tile_values[drawn, axis] == number) - share
                price += theta[len(line), len(laid), axis, digit, turn] * surprise
    return price


@pytest.mark.parametrize("variant", [MINI, STANDARD])
def test_worth_is_score_minus_price(variant: Variant) -> None:
    theta, rng = any_theta(variant, 0), np.random.default_rng(1)
    orders = draw_orders(variant, game_keys(5, 20))
    for order, surprise in zip(orders, surprises(variant, orders), strict=True):
        turn_of = rng.permutation(variant.cells)
        worth = worths_of(variant, order, prices_until(theta, surprise), turn_of[None])[0]
        score = scores(variant, order[turn_of][None])[0]
        price = price_by_definition(variant, order, turn_of, theta)
        assert worth == pytest.approx(score - price, abs=1e-9)


def test_an_honest_player_pays_nothing_on_average() -> None:
    """Exactly, over all 40,320 orders of the smallest board, whatever theta: greedy, one key."""
    orders = np.array(list(permutations(range(MICRO.tiles), MICRO.cells)), dtype=np.int8)
    games = play_games(GreedyPlayer(MICRO), orders, np.zeros(len(orders), dtype=np.uint64))
    theta = any_theta(MICRO, 2)
    worths = [
        worths_of(MICRO, order, prices_until(theta, surprise), turns_of(cells)[None])[0]
        for order, surprise, cells in zip(
            orders, surprises(MICRO, orders), games.cells, strict=True
        )
    ]
    prices = games.scores() - np.array(worths)
    assert prices.std() > 1
    assert prices.mean() == pytest.approx(0.0, abs=1e-9)


def test_who_knows_the_draws_pays_and_the_bound_lies_above_perfect_play() -> None:
    theta = fit_theta(MINI, 2, enumerated, rounds=30, batch=5)
    orders = draw_orders(MINI, game_keys(1, 80))
    free = np.zeros(theta_shape(MINI))
    known = np.array([enumerated(MINI, order, free)[1] for order in orders])
    priced = np.array(
        [
            enumerated(MINI, order, prices_until(theta, surprise))[1]
            for order, surprise in zip(orders, surprises(MINI, orders), strict=True)
        ]
    )
    error = priced.std() / np.sqrt(len(priced))
    assert priced.mean() - 2 * error > OPTIMUM
    assert priced.mean() + 5 < known.mean()


def test_annealing_finds_arrangements_and_never_more_than_there_is() -> None:
    theta = any_theta(MINI, 3)
    orders = draw_orders(MINI, game_keys(7, 10))
    for order, surprise in zip(orders, surprises(MINI, orders), strict=True):
        prices = prices_until(theta, surprise)
        turn_of, worth = annealed(MINI, order, prices, np.uint64(4), steps=5000)
        assert sorted(turn_of) == list(range(MINI.cells))
        assert worth == pytest.approx(worths_of(MINI, order, prices, turn_of[None])[0], abs=1e-6)
        assert worth <= enumerated(MINI, order, prices)[1] + 1e-6


def test_the_solver_finds_what_looking_at_all_finds() -> None:
    pytest.importorskip("ortools", reason="OR-tools is only for benchmarks/upper_bound.py")
    from arrangement import best_arrangement

    for order in draw_orders(MINI, game_keys(8, 10)):
        score, board = best_arrangement(MINI, order)
        assert scores(MINI, board[None])[0] == score
        assert score == enumerated(MINI, order, np.zeros(theta_shape(MINI)))[1]
