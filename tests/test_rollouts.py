"""Moves by playing out: unbiased under any network, without spread under a perfect one."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import torch
from conftest import ExactEvaluator, PerfectPolicy, random_boards
from made_up import MICRO, HashEvaluator
from numpy.typing import NDArray
from training_testing import network_of

from azx.runtime.errors import UsageError
from azx.runtime.evaluator import Evaluation
from azx.runtime.players import OnePlyPlayer, Player
from azx.runtime.rollouts import (
    CLEARLY,
    EXACT_AFTER_THE_MOVE,
    FIRST_EACH,
    LEAST_EACH,
    MOST_CANDIDATES,
    TOGETHER_WRONG,
    VALUE_ERROR,
    VALUE_ERROR_AT_FIRST,
    RolloutPlayer,
    Rollouts,
    _deal,
    _Tally,
    value_error,
)
from azx.runtime.rules import EMPTY, every_placement
from azx.runtime.seeds import draw_orders, game_keys
from azx.runtime.solver import Solution
from azx.runtime.variant import MINI, STANDARD
from azx.trainer.torch_evaluator import TorchEvaluator


@pytest.fixture
def early_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values are as wrong on the empty board as anywhere, and as much is played out."""
    monkeypatch.setattr("azx.runtime.rollouts.VALUE_ERROR_AT_FIRST", VALUE_ERROR)


@pytest.mark.usefixtures("early_too")
def test_a_perfect_network_leaves_no_luck_and_its_worth_is_exact(mini_solution: Solution) -> None:
    player = RolloutPlayer(PerfectPolicy(mini_solution), Rollouts(40))
    boards = random_boards(MINI, 60, 4)
    boards = boards[(boards == EMPTY).any(axis=1)]
    tiles = np.array([np.setdiff1d(np.arange(MINI.tiles), board)[0] for board in boards], np.int8)
    found = player.worth(boards, tiles, game_keys(1, len(boards)))
    laid = every_placement(MINI, boards, tiles)
    exact = laid.gain + mini_solution.value(laid.after)
    np.testing.assert_allclose(found.points[laid.game, laid.cell], exact, atol=2e-3)
    assert (found.points[boards != EMPTY] == -np.inf).all()
    assert found.rollouts.sum() > 100
    few = (boards == EMPTY).sum(axis=1) - 1 <= EXACT_AFTER_THE_MOVE
    assert few.any()
    assert not found.rollouts[few].any()


def test_the_same_moves_in_any_batch() -> None:
    """Boards with 6 to 10 tiles together and each alone."""
    player = RolloutPlayer(HashEvaluator(STANDARD), Rollouts(200))  # several parts, some fewer
    keys = game_keys(4, 5)
    boards = STANDARD.empty_boards(5)
    orders = draw_orders(STANDARD, keys)
    for game in range(5):
        boards[game, : 6 + game] = orders[game, : 6 + game]
    tiles = np.ascontiguousarray(orders[:, 18])
    together = player.worth(boards, tiles, keys)
    for game in range(5):
        alone = player.worth(*(part[game : game + 1] for part in (boards, tiles, keys)))
        np.testing.assert_array_equal(alone.points[0], together.points[game])
        np.testing.assert_array_equal(alone.rollouts[0], together.rollouts[game])
    assert together.rollouts.any()


@pytest.mark.usefixtures("early_too")
def test_lanes_play_the_same_games(monkeypatch: pytest.MonkeyPatch) -> None:
    """In small parts, by several threads, decision by decision: the same to the last bit."""
    monkeypatch.setattr("azx.runtime.rollouts.AT_ONCE", 7)
    monkeypatch.setattr("azx.runtime.rollouts.TOGETHER", 60)
    by: set[int] = set()

    class Lanes(HashEvaluator):
        lanes = 3

        def evaluate(self, boards: NDArray[np.int8]) -> Evaluation:
            by.add(threading.get_ident())
            return super().evaluate(boards)

    keys = game_keys(5, 3)
    boards, tiles = MICRO.empty_boards(3), np.array([0, 3, 5], dtype=np.int8)
    one, three = (
        RolloutPlayer(evaluator, Rollouts(60)).worth(boards, tiles, keys)
        for evaluator in (HashEvaluator(MICRO), Lanes(MICRO))
    )
    assert one.rollouts.sum() > 100
    assert len(by) > 2, "this thread and several lanes"
    np.testing.assert_array_equal(one.points, three.points)


@pytest.mark.usefixtures("early_too")
def test_nobody_goes_on_where_one_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dozens of parts wait for their turn when the first fails: they are not begun any more."""
    monkeypatch.setattr("azx.runtime.rollouts.AT_ONCE", 1)
    asked: list[int] = []
    here = threading.get_ident()

    class Failing(HashEvaluator):
        def evaluate(self, boards: NDArray[np.int8]) -> Evaluation:
            if threading.get_ident() != here:
                asked.append(len(boards))
                if len(asked) == 1:
                    raise ValueError("no such board")
                time.sleep(0.05)  # so that the failure is noticed
            return super().evaluate(boards)

    player = RolloutPlayer(Failing(MICRO), Rollouts(60))
    tiles = np.array([0, 3, 5], dtype=np.int8)
    with pytest.raises(ValueError, match="no such board"):
        player.choose(MICRO.empty_boards(3), tiles, game_keys(5, 3))
    assert len(asked) < 6


def test_the_deals_are_fair_and_even() -> None:
    """Every turn has each tile once in as many deals, in any order, and never one that lies."""
    boards, tiles = STANDARD.empty_boards(2), np.array([3, 26], dtype=np.int8)
    boards[1, :12] = np.arange(12)
    draws = np.full((2, 1400, STANDARD.cells), EMPTY, dtype=np.int8)
    for game, empty in enumerate((19, 7)):
        rows, deals = np.full(1400, game), np.arange(1400)
        board, tile = boards[rows], tiles[rows]
        _deal(game_keys(7, 2), board, tile, rows, deals, STANDARD.tiles, draws[game])
        left = np.setdiff1d(np.arange(27), [*boards[game], tiles[game]])
        made = draws[game, :, : empty - 1]
        assert (draws[game, :, empty - 1 :] == EMPTY).all()
        assert all(len(set(deal)) == empty - 1 for deal in made.tolist())
        for block in made[: 1400 // len(left) * len(left)].reshape(-1, len(left), empty - 1):
            assert (np.sort(block, axis=0) == left[:, None]).all()
        # Two deals of a block are no more alike than others: not the same tiles, a turn later.
        later = (made[:-1, 1] == made[1:, 0]).mean(), (made[:-1, 0] == made[1:, 1]).mean()
        assert max(later) < 2.5 / len(left)
        # Whatever comes first, each of the others follows as often as by chance.
        pairs = np.zeros((27, 27))
        np.add.at(pairs, (made[:, 0], made[:, 1]), 1)
        expected = 1400 / len(left) / (len(left) - 1)
        spread = (pairs[np.ix_(left, left)][~np.eye(len(left), dtype=bool)] - expected).std()
        assert spread < 1.3 * np.sqrt(expected)
    assert (draws[0, :, :6] != draws[1, :, :6]).any()


def test_the_budget_is_never_exceeded() -> None:
    """A network that finds all cells alike uses it up, on the empty board a share of it."""
    boards, tiles = STANDARD.empty_boards(2), np.array([3, 26], dtype=np.int8)
    boards[1, 12:] = np.arange(4, 11)
    for count in (1, 7, 8, 20, 64, 200):
        player = RolloutPlayer(TorchEvaluator(network_of(STANDARD)), Rollouts(count))
        played = player.worth(boards, tiles, game_keys(6, 2)).rollouts
        assert (played.sum(axis=1) <= count).all()
        assert (played[played > 0] >= LEAST_EACH).all()
        assert ((played > 0).sum(axis=1) <= MOST_CANDIDATES).all()
        if count < 2 * LEAST_EACH:
            assert not played.any()
        else:
            assert played[1].sum() > 0.7 * count
    assert 8 <= played[0].sum() <= 200 * VALUE_ERROR_AT_FIRST / VALUE_ERROR


@pytest.fixture
def long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """On mini there is something to play out after the second placement too."""
    monkeypatch.setattr("azx.runtime.rollouts.EXACT_AFTER_THE_MOVE", 4)
    monkeypatch.setattr("azx.runtime.playout.EXACT_AT_THE_END", 3)


@pytest.mark.usefixtures("early_too", "long_enough")
@pytest.mark.parametrize("count", [8, 60])
def test_rollouts_mend_values_that_are_wrong(mini_solution: Solution, count: int) -> None:
    """Values that are off by points, the same for all boards of a turn and each by itself."""
    exact = PerfectPolicy(mini_solution)

    class Wrong(HashEvaluator):
        def evaluate(self, boards: NDArray[np.int8]) -> Evaluation:
            answer = exact.evaluate(boards)
            off = 0.4 * (super().evaluate(boards).value - 10) - 3
            return answer._replace(value=(answer.value + off).astype(np.float32))

    evaluator = Wrong(MINI, 1)
    boards = MINI.empty_boards(40)
    orders = draw_orders(MINI, game_keys(9, 40))
    boards[:, 0] = orders[:, 0]
    tiles = np.ascontiguousarray(orders[:, 1])
    laid = every_placement(MINI, boards, tiles)
    truth = np.full(boards.shape, -np.inf)
    truth[laid.game, laid.cell] = laid.gain + mini_solution.value(laid.after)

    def regret(player: Player) -> float:
        cells = player.choose(boards, tiles, game_keys(9, 40))
        return float((truth.max(axis=1) - truth[np.arange(40), cells]).mean())

    assert regret(OnePlyPlayer(evaluator)) > 0.3
    better = regret(RolloutPlayer(evaluator, Rollouts(count)))
    assert better < 0.7 * regret(OnePlyPlayer(evaluator))


@pytest.mark.usefixtures("early_too", "long_enough")
def test_a_clear_move_is_not_played_out_further(mini_solution: Solution) -> None:
    """Perfect rollouts do not spread: after the first part all but the best are out."""
    orders = draw_orders(MINI, game_keys(9, 20))
    boards, tiles = MINI.empty_boards(20), np.ascontiguousarray(orders[:, 1])
    boards[:, 0] = orders[:, 0]
    player = RolloutPlayer(PerfectPolicy(mini_solution), Rollouts(1000))
    found = player.worth(boards, tiles, game_keys(2, 20))
    best = found.points.max(axis=1, keepdims=True)
    ties = (found.points > best - 1e-3).sum(axis=1)
    assert found.rollouts[ties == 1].any()
    for game in np.flatnonzero(ties == 1):
        played = found.rollouts[game]
        assert set(played[played > 0]) <= {FIRST_EACH}


def test_candidates_that_are_clearly_behind_are_out() -> None:
    """By hand: worths of deviation 0.32 after 16 games that spread by 1.3 points."""
    boards = STANDARD.empty_boards(1)
    boards[0, 7:] = np.arange(12)
    assert value_error(boards) == [VALUE_ERROR]
    foreseen = np.full(boards.shape, -np.inf)
    foreseen[0, :7] = 10.0, 9.5, 9.0, 8.5, 3.0, 2.0, 1.0
    tally = _Tally(foreseen, boards, 400)
    assert np.flatnonzero(tally.candidate).tolist() == [0, 1, 2, 3]
    rows = tally.next_rows()
    assert np.bincount(rows.cell).tolist() == [16] * 4
    spread = VALUE_ERROR * np.sqrt(15 / 16) * np.where(np.arange(16) % 2, 1.0, -1.0)
    tally.add(rows, foreseen[0][rows.cell] + np.tile(spread, 4))
    np.testing.assert_allclose(tally.worth()[0, :4], foreseen[0, :4])
    apart = CLEARLY * np.sqrt(2 * VALUE_ERROR**2 / 17)
    tally.drop_the_beaten()
    assert 0.5 < apart < 1.0
    assert np.flatnonzero(tally.candidate).tolist() == [0, 1]
    rows = tally.next_rows()
    assert np.bincount(rows.cell).tolist() == [16, 16]  # as many again
    assert set(rows.deal) == set(range(16, 32))


def test_values_are_trusted_while_little_is_laid() -> None:
    """On the empty board a cell that is two points behind is no candidate."""
    foreseen = np.full((1, STANDARD.cells), -np.inf)
    foreseen[0, :3] = 10.0, 9.5, 8.0
    assert np.flatnonzero(_Tally(foreseen, STANDARD.empty_boards(1), 400).candidate).tolist() == [
        0,
        1,
    ]
    boards = STANDARD.empty_boards(1)
    boards[0, 12:] = np.arange(7)
    assert np.flatnonzero(_Tally(foreseen, boards, 400).candidate).tolist() == [0, 1, 2]


def test_a_cell_and_its_image_are_played_out_once() -> None:
    """On the empty board, and with the centre alone filled, half a turn changes nothing."""
    boards, tiles = STANDARD.empty_boards(3), np.array([3, 26, 5], dtype=np.int8)
    boards[1, 9] = 7
    boards[2, 8] = 7
    network = network_of(STANDARD)
    with torch.no_grad():  # cells 6 and 12, each the other's image, are the candidates
        network.heads.q.weight.zero_()
        network.heads.q.bias.zero_()
        network.heads.q.bias.view(STANDARD.tiles, STANDARD.cells)[:, [6, 12]] = 1.0
    player = RolloutPlayer(TorchEvaluator(network), Rollouts(200))
    found = player.worth(boards, tiles, game_keys(6, 3))
    images = np.arange(STANDARD.cells) > 9
    assert (found.rollouts[:, ~images].sum(axis=1) > 0).all()
    assert not found.rollouts[:2, images].any()
    assert found.rollouts[2, images].any()
    assert (found.points[:2] == found.points[:2, ::-1]).all()
    assert (np.isfinite(found.points) == (boards == EMPTY)).all()


def test_cells_that_were_not_played_out_share_what_the_board_is_off_by() -> None:
    """By hand: two cells turn out 5 points worse, so a third is not 3 points better than they."""
    boards = STANDARD.empty_boards(1)
    boards[0, 12:] = np.arange(7)
    foreseen = np.full(boards.shape, -np.inf)
    foreseen[0, :3] = 100.0, 99.5, 96.0
    tally = _Tally(foreseen, boards, 400)
    assert np.flatnonzero(tally.candidate).tolist() == [0, 1]
    rows = tally.next_rows()
    tally.add(rows, foreseen[0][rows.cell] - 5.0 + np.where(rows.deal % 2, 1.3, -1.3))
    variance = 1.3**2 * 16 / 15
    each = 1 / (VALUE_ERROR**2 + variance / 16)
    together = -5.0 * 2 * each / (1 / (TOGETHER_WRONG * VALUE_ERROR) ** 2 + 2 * each)
    assert -4.0 < together < -3.0
    worth = tally.worth()[0]
    assert worth[2] == pytest.approx(96.0 + together)
    assert 95.0 < worth[0] < 95.2
    assert worth.argmax() == 0


def test_without_q_there_is_no_telling_luck(micro_solution: Solution) -> None:
    with pytest.raises(UsageError, match="output q"):
        RolloutPlayer(ExactEvaluator(micro_solution, with_q=False), Rollouts(8))
    with pytest.raises(UsageError, match="from 1 to 10,000,000 rollouts, found 0"):
        Rollouts(0)
