"""Self-play and what is learnt from it: the same in any batch, returns by hand, no luck in them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields, replace
from threading import Event

import numpy as np
import pytest
import torch
from conftest import ExactEvaluator, PerfectPolicy
from numpy.typing import NDArray
from training_testing import network_of, torch_threads

from azx.runtime import rules
from azx.runtime.evaluator import Evaluation
from azx.runtime.records import Games
from azx.runtime.seeds import game_keys
from azx.runtime.solver import Solution
from azx.runtime.variant import MINI
from azx.trainer.config import load_config
from azx.trainer.evaluation import measure
from azx.trainer.foresight import EXACT_CELLS, look_ahead, worth_of
from azx.trainer.network import PolicyValueNetwork
from azx.trainer.parts import PART, each_long_part
from azx.trainer.samples import Samples, lambda_returns, samples_of
from azx.trainer.selfplay import (
    NEARLY,
    Exploration,
    Round,
    play_round,
    search_round,
    whole_corrections,
)
from azx.trainer.sources import Played, Recorded
from azx.trainer.torch_evaluator import TorchEvaluator


def test_lambda_returns_by_hand() -> None:
    orders, cells = np.array([[0, 5, 11, 3, 8, 1, 7]], np.int8), np.arange(7, dtype=np.int8)[None]
    games = Games(MINI, orders, cells)
    gains = games.gains()[0].astype(float)
    values = np.append(np.arange(7.0, 0.0, -1.0), 0.0)[None].astype(np.float32)
    played = Round.empty(games, 0, None, keep_q=False)
    played.values[:], played.luck[:] = values, 4.0
    played.correction[:] = whole_corrections(played)
    made = np.append(gains[::-1].cumsum()[::-1], 0.0)
    returns, floor = lambda_returns(played, 1.0)
    np.testing.assert_allclose(returns[0], made)
    np.testing.assert_allclose(floor[0], 4.0 * np.arange(7, -1, -1))
    returns, floor = lambda_returns(played, 0.0)
    np.testing.assert_allclose(returns, values)
    assert not floor.any()
    played.followed[0, 3] = False
    returns, _ = lambda_returns(played, 1.0)
    assert returns[0, 3] == values[0, 3] + played.correction[0, 3]
    assert returns[0, 2] == values[0, 2] + played.correction[0, 2] + played.correction[0, 3]


@pytest.mark.parametrize("candidates", [1, 3])
def test_right_values_are_not_corrected(mini_solution: Solution, candidates: int) -> None:
    """What was foreseen for the drawn tile came about: no luck of the draw is left in returns."""
    keys = game_keys(3, 50)
    played = play_round(ExactEvaluator(mini_solution), keys, Exploration(0.0, 0.0), candidates, 2)
    assert played.values[:, 1:6].std() > 5  # the draws do change what is to come
    np.testing.assert_allclose(played.correction, 0.0, atol=1e-3)
    returns, _ = lambda_returns(played, 1.0)
    np.testing.assert_allclose(returns, played.values, atol=1e-3)


def test_tiles_that_did_not_come_are_looked_at(mini_solution: Solution) -> None:
    """Distinct tiles that were left, each on its best cell, with what is to come after it."""
    evaluator = ExactEvaluator(mini_solution)
    played = play_round(evaluator, game_keys(3, 40), Exploration(0.2, 1.0), 2, 3)
    boards, orders = played.games.boards(), played.games.orders
    tiles, cells = played.other_tiles[:, :, -3:], played.others[:, :, -3:]
    for turn in range(MINI.cells - 1):
        before = np.ascontiguousarray(boards[:, turn])
        q = evaluator.evaluate(before).q
        assert q is not None
        worth = rules.all_gains(MINI, before) + q
        worth = np.where((before < 0)[:, None, :], worth, -np.inf)
        for game in range(40):
            chosen = tiles[game, turn].astype(int)
            assert len({*chosen, orders[game, turn], *before[game]}) == 4 + len({*before[game]})
            at = chosen, cells[game, turn].astype(int)
            np.testing.assert_array_equal(worth[game][at], worth[game][chosen].max(axis=1))
            np.testing.assert_allclose(played.others_after[game, turn, -3:], q[game][at], atol=1e-3)
    assert (cells[:, -1] == -1).all()  # nothing comes after the last placement
    came = [tuple(row) for row in tiles.reshape(-1, 3)]
    assert len(set(came)) > 100


def test_some_of_them_are_looked_at_anywhere(mini_solution: Solution) -> None:
    """Every empty cell equally often, with what is to come after it; the others as before."""
    evaluator = ExactEvaluator(mini_solution)
    keys, strays = game_keys(3, 600), Exploration(0.2, 1.0)
    best, played = (play_round(evaluator, keys, strays, 2, 3, by_lot) for by_lot in (0, 1))
    assert (played.games.cells == best.games.cells).all()
    assert (played.other_tiles == best.other_tiles).all()
    assert (played.others[:, :, :-1] == best.others[:, :, :-1]).all()
    boards = played.games.boards()
    for turn in range(MINI.cells - 1):
        before = np.ascontiguousarray(boards[:, turn])
        at = np.arange(600), played.other_tiles[:, turn, -1], played.others[:, turn, -1]
        q = evaluator.evaluate(before).q
        assert q is not None
        assert (before[at[0], at[2]] < 0).all()
        np.testing.assert_allclose(played.others_after[:, turn, -1], q[at], atol=1e-3)
        # Of the empty cells by their order, each as often as any other.
        rank = (before < 0).cumsum(axis=1)[at[0], at[2]] - 1
        empty = MINI.cells - turn
        share = np.bincount(rank, minlength=empty) / 600
        assert np.abs(share - 1 / empty).max() < 5 * np.sqrt(0.25 / 600)


@pytest.mark.parametrize("simulations", [0, 4])
def test_the_lesson_is_what_the_player_said_of_every_placement(simulations: int) -> None:
    evaluator = TorchEvaluator(network_of(MINI))
    looks = 0 if simulations else 2
    settings = {"games_per_round": PART + 9, "simulations": simulations, "other_tiles": looks}
    settings["candidates"] = max(1, looks)
    config = load_config("mini", [f"selfplay.{name}={n}" for name, n in settings.items()])
    samples, _ = Played(config, evaluator, lesson=True).samples(0, None)
    assert samples.lesson is not None
    said = evaluator.evaluate(samples.boards).q
    np.testing.assert_allclose(samples.lesson, said, atol=2e-3, rtol=1e-3)  # kept as float16
    assert Played(config, evaluator, lesson=False).samples(0, None)[0].lesson is None


def test_corrections_mean_what_points_made_mean() -> None:
    """Under any network: the returns without the draws' luck have the mean of those with it."""
    played = play_round(
        TorchEvaluator(network_of(MINI)), game_keys(6, 4000), Exploration(0.0, 0.0), 1, 0
    )
    without, _ = lambda_returns(played, 1.0)
    # The values of the last turns are perfect play's, whatever the network made of them.
    exact_from = MINI.cells - EXACT_CELLS
    made = played.games.gains()[:, :exact_from].sum(axis=1) + played.values[:, exact_from]
    luck = made - without[:, 0]
    assert abs(luck.mean()) < 4 * luck.std() / np.sqrt(len(luck))


@pytest.mark.parametrize("candidates", [1, 2, 3])
def test_noise_on_the_moves_says_nothing_of_the_values(
    candidates: int, micro_solution: Solution
) -> None:
    """What is exact needs no correction, however badly its games are played."""
    evaluator = ExactEvaluator(micro_solution)
    played = play_round(evaluator, game_keys(6, 500), Exploration(0.1, 5.0), candidates, 0)
    assert played.games.scores().mean() < micro_solution.optimum - 1.0
    np.testing.assert_allclose(played.correction, 0.0, atol=1e-4)
    returns, _ = lambda_returns(played, 1.0)
    np.testing.assert_allclose(returns, played.values, atol=1e-3)
    off = played.games.gains() + played.values[:, 1:] - worth_of_best(evaluator, played)
    assert not played.followed[off < -NEARLY - 0.1].any()
    if candidates > 1:
        assert played.followed[off < -0.1].any(), "nearly as good is good enough"


def test_what_values_are_off_by_is_seen_at_the_best_cells_of_several_tiles(
    mini_solution: Solution,
) -> None:
    """Values are 3 points higher where a cell is filled than q was before that, which a third of
    the tiles like best: the correction is their share of those looked at."""

    class Misled(ExactEvaluator):
        def evaluate(self, boards: NDArray[np.int8]) -> Evaluation:
            answer = super().evaluate(boards)
            assert answer.q is not None
            return answer._replace(q=answer.q + 3.0 * (boards[:, 2] >= 0)[:, None, None])

    played = play_round(Misled(mini_solution), game_keys(7, 400), Exploration(0.0, 0.0), 1, 3)
    tiles = np.column_stack((played.games.orders[:, :1], played.other_tiles[:, 0]))
    cells = np.column_stack((played.games.cells[:, :1], played.others[:, 0]))
    assert tiles.shape == (400, 4)
    share = (cells == 2).mean(axis=1)
    assert set(share) == {0.0, 0.25, 0.5, 0.75, 1.0}
    np.testing.assert_allclose(played.correction[:, 0], 3.0 * share, atol=1e-3)


def test_all_placements_hear_of_what_their_turn_is_off_by() -> None:
    evaluator = TorchEvaluator(network_of(MINI))
    played = play_round(evaluator, game_keys(3, 40), Exploration(0.1, 5.0), 3, 2, keep_q=True)
    bootstrapped, learnt = samples_of(played, 0.0), samples_of(played, 0.9)
    assert len(learnt) == 40 * (MINI.cells - 1)
    chosen, others = (
        learnt.after - bootstrapped.after,
        learnt.others_after - bootstrapped.others_after,
    )
    by_turn = chosen.reshape(40, -1).mean(axis=0)
    assert abs(by_turn).max() > 1.0
    at = np.tile(np.arange(MINI.cells - 1), 40)
    np.testing.assert_allclose(others, np.tile(by_turn[at, None], others.shape[1]), atol=1e-4)
    assert learnt.lesson is not None
    assert (learnt.lesson == bootstrapped.lesson).all()


def worth_of_best(evaluator: ExactEvaluator, played: Round) -> NDArray[np.float32]:
    """[G, C]: gain + q of the best placement of each tile that came."""
    best = []
    for turn, tiles in enumerate(played.games.orders.T):
        boards = np.ascontiguousarray(played.games.boards()[:, turn])
        ahead = look_ahead(evaluator, boards)
        best.append(worth_of(evaluator, boards, np.ascontiguousarray(tiles), ahead).max(axis=1))
    return np.stack(best, axis=1)


def test_samples_turn_by_half_a_turn() -> None:
    evaluator = TorchEvaluator(network_of(MINI))
    samples = samples_of(play_round(evaluator, game_keys(0, 8), Exploration(0.1, 5), 3, 2), 0.5)
    rows = np.arange(len(samples))
    same, turned = samples.take(rows, rows < 0), samples.take(rows, rows >= 0)
    assert (same.boards == samples.boards).all()
    assert (turned.boards[:, ::-1] == samples.boards).all()
    assert (turned.cells == MINI.cells - 1 - samples.cells).all()
    lesson = np.arange(len(samples) * MINI.tiles * MINI.cells, dtype=np.float16)
    lesson = lesson.reshape(len(samples), MINI.tiles, MINI.cells)
    taught = replace(samples, lesson=lesson).take(rows, rows % 2 == 0).lesson
    assert taught is not None
    assert (taught[::2, :, ::-1] == lesson[::2]).all()
    assert (taught[1::2] == lesson[1::2]).all()
    assert (turned.other_tiles == samples.other_tiles).all()
    several = samples.others >= 0
    assert (turned.others == np.where(several, MINI.cells - 1 - samples.others, -1)).all()
    gain = rules.placement_gains(MINI, samples.boards, samples.tiles, samples.cells)
    boards = np.ascontiguousarray(turned.boards)
    assert (rules.placement_gains(MINI, boards, turned.tiles, turned.cells) == gain).all()


@pytest.mark.parametrize("how", ["1 candidate", "3 candidates", "a tree"])
def test_self_play_is_the_same_in_any_batch(how: str) -> None:
    evaluator = TorchEvaluator(network_of(MINI))

    def play(keys: NDArray[np.uint64]) -> Round:
        if how == "a tree":
            return search_round(evaluator, keys, 0.3, 6)
        return play_round(evaluator, keys, Exploration(0.3, 5.0), int(how[0]), 2)

    keys = game_keys(4, 12)
    together = play(keys)
    apart = [play(keys[g : g + 3]) for g in range(0, 12, 3)]
    cells = np.concatenate([part.games.cells for part in apart])
    assert (together.games.cells == cells).mean() > 0.97  # torch rounds differently by batch
    same = (together.games.cells == cells).all(axis=1)
    other_tiles = np.concatenate([part.other_tiles for part in apart])
    assert (together.other_tiles[same] == other_tiles[same]).all()
    assert together.followed.any()
    assert not together.followed.all()
    if together.policy is not None:
        np.testing.assert_allclose(together.policy.sum(axis=2), 1.0, rtol=1e-5)
        assert (together.values[:, 1:-1] != 0).mean() > 0.9


@pytest.mark.parametrize("simulations", [0, 4])
def test_self_play_is_the_same_in_any_number_of_threads(simulations: int) -> None:
    games = 2 * PART + 5
    settings = {"games_per_round": games, "simulations": simulations, "candidates": 2}
    settings["other_tiles"] = 0 if simulations else 2
    config = load_config("mini", [f"selfplay.{name}={n}" for name, n in settings.items()])
    source = Played(config, TorchEvaluator(network_of(MINI)), lesson=True)
    found = []
    turns: list[tuple[int, int]] = []
    for threads in (1, 3):
        with torch_threads(threads):
            found.append(source.samples(2, lambda done, of: turns.append((done, of)))[0])
            assert torch.get_num_threads() == threads  # for learning and evaluation
    one, three = found
    assert len(one) == games * (MINI.cells - 1)
    for f in fields(Samples):
        if getattr(one, f.name) is not None:
            np.testing.assert_array_equal(getattr(one, f.name), getattr(three, f.name))
    assert turns[-1] == (3 * MINI.cells, 3 * MINI.cells)


class _Certain(PerfectPolicy):
    """Puts all its faith into the best cells, so that its values are those of its own policy."""

    def evaluate(self, boards: NDArray[np.int8]) -> Evaluation:
        answer = super().evaluate(boards)
        return answer._replace(policy_logits=1e3 * answer.policy_logits)


def test_perfect_values_foresee_every_turn(mini_solution: Solution) -> None:
    found = measure(_Certain(mini_solution), 20)
    np.testing.assert_allclose(found.one_ply, mini_solution.optimum, atol=1e-3)
    np.testing.assert_allclose(found.bias, 0.0, atol=1e-3)


class _Noting(TorchEvaluator):
    """Notes how many threads torch has at each call: sums in several come out otherwise."""

    def __init__(self, network: PolicyValueNetwork) -> None:
        super().__init__(network)
        self.threads: set[int] = set()

    def evaluate(self, boards: NDArray[np.int8]) -> Evaluation:
        self.threads.add(torch.get_num_threads())
        return super().evaluate(boards)


def test_games_are_judged_the_same_in_any_number_of_threads() -> None:
    evaluator = _Noting(network_of(MINI))
    told: list[tuple[int, int]] = []
    found = []
    for threads in (1, 3):
        with torch_threads(threads):
            measured = measure(evaluator, PART + 5, lambda done, of: told.append((done, of)))
        games = play_round(evaluator, game_keys(4, PART + 5), Exploration(0.3, 5.0), 2, 0).games
        with torch_threads(threads):
            judged, _ = Recorded(games, evaluator).samples(0, None)
        found.append([*vars(measured).values(), judged.after, judged.floor])
    for one, three in zip(*found, strict=True):
        np.testing.assert_array_equal(one, three)
    assert evaluator.threads == {1}
    assert len(judged) == (PART + 5) * (MINI.cells - 1)
    assert told[-1] == (2 * (PART + 5), 2 * (PART + 5))


def test_a_part_that_fails_ends_the_others_with_their_turn() -> None:
    others_begun = [Event() for _ in range(2)]
    turns_after: list[int] = []

    def play(part: int, told: Callable[[int], None]) -> None:
        if part == 2:
            for begun in others_begun:
                begun.wait()
            raise ValueError("out of luck")
        others_begun[part].set()
        for turn in range(1000):
            time.sleep(0.01)
            told(1)
            turns_after.append(turn)
        raise AssertionError("never stopped")

    with torch_threads(3), pytest.raises(ValueError, match="out of luck"):
        each_long_part(play, range(3), 3000, None)
    assert len(turns_after) < 1000
