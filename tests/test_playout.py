"""Games played out: unbiased under any network, and nearly without luck under a good one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import PerfectPolicy, random_boards
from made_up import MICRO, HashEvaluator
from numpy.typing import NDArray
from training_testing import network_of

from azx.runtime.evaluator import Evaluation
from azx.runtime.play import play_part
from azx.runtime.players import PolicyPlayer
from azx.runtime.playout import DOUBT, EXACT_AT_THE_END, lay, play_out
from azx.runtime.records import Games
from azx.runtime.rules import EMPTY, every_placement
from azx.runtime.seeds import draw_orders, game_keys
from azx.runtime.solver import Solution, expected_score, policy_of
from azx.runtime.variant import MINI, STANDARD
from azx.trainer.torch_evaluator import TorchEvaluator


@pytest.mark.parametrize("seed", [0, 1])
def test_games_played_out_mean_what_their_player_scores(
    micro_solution: Solution, seed: int
) -> None:
    """Under a network that is wrong about everything: its luck has mean zero all the same."""
    network = network_of(MICRO)
    torch.manual_seed(seed)
    for weight in network.heads.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    evaluator = TorchEvaluator(network)
    games = 2000
    boards, points = MICRO.empty_boards(games), np.zeros(games)
    play_out(evaluator, boards, draw_orders(MICRO, game_keys(seed, games)), points)
    assert ((boards == EMPTY).sum(axis=1) == EXACT_AT_THE_END).all()

    class Reference(PolicyPlayer):
        """The same player in plain numpy; perfect from where a rollout ends."""

        def choose(
            self, boards: NDArray[np.int8], tiles: NDArray[np.int8], keys: NDArray[np.uint64]
        ) -> NDArray[np.int8]:
            cells = np.empty(len(boards), dtype=np.int8)
            laid = every_placement(MICRO, boards, tiles)
            few = (laid.after == EMPTY).sum(axis=1) <= EXACT_AT_THE_END
            values = np.where(
                few, micro_solution.value(laid.after), evaluator.evaluate(laid.after).value
            )
            logits = evaluator.evaluate(boards).policy_logits
            for game, board in enumerate(boards):
                logit = np.where(board == EMPTY, logits[game, tiles[game]], -np.inf)
                thoughts = np.argsort(-logit, kind="stable")[:2]
                worth = np.full(MICRO.cells, -np.inf)
                mine = laid.game == game
                worth[laid.cell[mine]] = (laid.gain + values)[mine]
                perfect = (board == EMPTY).sum() <= EXACT_AT_THE_END
                doubts = logit[thoughts[0]] - logit[thoughts[1]] <= DOUBT
                best = thoughts[worth[thoughts].argmax()] if doubts else thoughts[0]
                cells[game] = worth.argmax() if perfect else best
            return cells

    truth = expected_score(MICRO, policy_of(Reference(evaluator)))
    assert abs(points.mean() - truth) < 4 * points.std() / np.sqrt(games)


def test_where_a_game_played_out_lays_a_tile() -> None:
    """Before the last turn that is not perfect play: what is laid can be seen after it."""
    evaluator = HashEvaluator(STANDARD)
    boards = random_boards(STANDARD, 400, 5)
    boards = boards[(boards == EMPTY).sum(axis=1) == EXACT_AT_THE_END + 1]
    tiles = np.array([np.setdiff1d(np.arange(27), board)[0] for board in boards], np.int8)
    draws = np.full(boards.shape, EMPTY, dtype=np.int8)
    draws[:, 0] = tiles
    cells = lay(evaluator, boards, tiles)
    after = boards.copy()
    play_out(evaluator, after, draws, np.zeros(len(boards)))
    assert len(boards) > 10
    assert ((after != boards).sum(axis=1) == 1).all()
    np.testing.assert_array_equal((after != boards).argmax(axis=1), cells)
    logits = evaluator.evaluate(boards).policy_logits[np.arange(len(boards)), tiles]
    likeliest = np.where(boards == EMPTY, logits, -np.inf).argmax(axis=1)
    assert 0 < (cells != likeliest).mean() < 0.7, "second thoughts among them"


def test_luck_is_most_of_the_spread(mini_solution: Solution) -> None:
    """A q that is off, of each cell and tile by itself, still tells most of the luck."""
    exact = PerfectPolicy(mini_solution)

    class Roughly(HashEvaluator):
        def evaluate(self, boards: NDArray[np.int8]) -> Evaluation:
            answer = exact.evaluate(boards)
            assert answer.q is not None
            noise = super().evaluate(boards).q
            assert noise is not None
            return answer._replace(q=answer.q + 0.2 * (noise - 10))

    boards, points = MINI.empty_boards(500), np.zeros(500)
    draws = draw_orders(MINI, game_keys(2, 500))
    play_out(Roughly(MINI), boards, draws, points)
    scores = Games(MINI, draws, play_part(PolicyPlayer(exact), draws, game_keys(2, 500))).scores()
    assert points.std() < scores.std() / 3
    assert abs(points.mean() - mini_solution.optimum) < 4 * points.std() / np.sqrt(500)
