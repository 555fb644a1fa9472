"""Games played out for learning: outcomes without luck, branches by the key, the value learns."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch
from test_rollouts import PerfectPolicy
from training_testing import network_of, torch_threads

from azx.runtime.errors import UsageError
from azx.runtime.playout import EXACT_AT_THE_END
from azx.runtime.seeds import game_keys
from azx.runtime.solver import Solution
from azx.runtime.variant import MINI
from azx.trainer.config import load_config
from azx.trainer.dense import DenseHeads
from azx.trainer.learner import Learner, losses
from azx.trainer.parts import PART
from azx.trainer.playing_out import play_games_out, with_trust
from azx.trainer.samples import Samples
from azx.trainer.sources import SelfPlay
from azx.trainer.torch_evaluator import TorchEvaluator


def test_under_perfect_play_every_board_comes_to_its_value(mini_solution: Solution) -> None:
    """The games' boards and the branches': what is taken off as luck is all the luck there is."""
    games = 60
    played = play_games_out(PerfectPolicy(mini_solution), game_keys(2, games))
    samples = played.samples
    assert samples.outcome is not None
    exact = mini_solution.value(samples.boards)
    assert exact.std() > 5
    before_exact = (samples.boards < 0).sum(axis=1) > EXACT_AT_THE_END
    # A branch goes on from the lesser thought: the board it leaves is none of its own.
    np.testing.assert_allclose(samples.outcome, exact, atol=2e-3)
    np.testing.assert_allclose(played.surprise, 0.0, atol=2e-3)
    assert before_exact.sum() > games * (MINI.cells - EXACT_AT_THE_END)  # branches among them
    after = samples.boards.copy()
    after[np.arange(len(after)), samples.cells] = samples.tiles
    np.testing.assert_allclose(samples.after, mini_solution.value(after), atol=2e-3)
    other = samples.others[:, 0] >= 0
    after = samples.boards[other]
    after[np.arange(len(after)), samples.others[other, 0]] = samples.other_tiles[other, 0]
    np.testing.assert_allclose(
        samples.others_after[other, 0], mini_solution.value(after), atol=2e-3
    )


@pytest.mark.parametrize("seed", [0, 1])
def test_outcomes_mean_what_the_games_score(seed: int) -> None:
    """Under a network that is wrong about everything: its luck has mean zero all the same."""
    games = 3000
    network = network_of(MINI)
    torch.manual_seed(seed)
    for weight in network.heads.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    played = play_games_out(TorchEvaluator(network), game_keys(seed, games))
    outcome = played.samples.outcome
    assert outcome is not None
    first = (played.samples.boards < 0).all(axis=1)
    assert first.sum() == games
    luck = played.games.scores() - outcome[first]
    assert luck.std() > 5
    assert abs(luck.mean()) < 4 * luck.std() / np.sqrt(games)


def test_a_branch_goes_on_from_the_other_thought() -> None:
    """Every board is one placement away from a board before it; branches make other boards."""
    played = play_games_out(TorchEvaluator(network_of(MINI)), game_keys(5, 200))
    samples = played.samples
    placed = (samples.boards >= 0).sum(axis=1)
    assert (np.bincount(placed)[: MINI.cells - EXACT_AT_THE_END] >= 200).all()
    assert placed.max() == MINI.cells - 2  # nothing comes after the last placement
    reached = set()
    for k in range(MINI.cells - EXACT_AT_THE_END):
        before = np.flatnonzero(placed == k)
        if k:
            assert {board.tobytes() for board in samples.boards[before]} <= reached
        reached = set()
        for tiles, cells in (
            (samples.tiles, samples.cells),
            (samples.other_tiles[:, 0], samples.others[:, 0]),
        ):
            thought = before[cells[before] >= 0]
            after = samples.boards[thought]
            after[np.arange(len(after)), cells[thought]] = tiles[thought]
            reached |= {board.tobytes() for board in after}
    games = {board.tobytes() for board in played.games.boards()[:, 3]}
    assert {board.tobytes() for board in samples.boards[placed == 3]} > games


def test_games_are_the_same_in_any_number_of_threads() -> None:
    games = 2 * PART + 5
    config = load_config("mini", ["selfplay.play_out=true", f"selfplay.games_per_round={games}"])
    source = SelfPlay(config, TorchEvaluator(network_of(MINI)))
    found = []
    for threads in (1, 3):
        with torch_threads(threads):
            found.append(source.samples(2, None))
    (one, played), (three, again) = found
    np.testing.assert_array_equal(played.cells, again.cells)
    for f in fields(Samples):
        if getattr(one, f.name) is not None:
            np.testing.assert_array_equal(getattr(one, f.name), getattr(three, f.name))


def test_what_varies_more_is_trusted_less(mini_solution: Solution) -> None:
    exact = play_games_out(PerfectPolicy(mini_solution), game_keys(1, 20))
    surprise = np.where((exact.samples.boards < 0).sum(axis=1) == 6, 3.0, 0.0)
    samples, _ = with_trust([exact._replace(surprise=surprise.astype(np.float32))])
    assert samples.trust is not None
    six = (samples.boards < 0).sum(axis=1) == 6
    assert (samples.trust == np.where(six, np.float32(0.1), np.float32(1.0))).all()


def test_the_value_learns_the_outcome_and_the_policy_does_not_fit_it() -> None:
    played = play_games_out(TorchEvaluator(network_of(MINI)), game_keys(3, 40))
    samples, _ = with_trust([played])
    network = network_of(MINI)
    assert samples.outcome is not None
    assert samples.trust is not None
    outputs = network(torch.from_numpy(samples.boards))
    found = losses(network, outputs, samples, temperature=1.0).outcome
    error = outputs.value.detach().numpy() - samples.outcome
    assert float(found.detach()) == pytest.approx((samples.trust * error**2).mean(), rel=1e-4)
    found.backward()
    heads = network.heads
    assert isinstance(heads, DenseHeads)
    assert heads.policy.weight.grad is None
    assert heads.q.weight.grad is not None

    learner = Learner(network, load_config("mini", []).learning, torch.float32)
    first = float(learner.step(samples).losses.outcome)
    for _ in range(30):
        last = float(learner.step(samples).losses.outcome)
    assert last < 0.5 * first


def test_a_tree_and_playing_out_are_two_ways() -> None:
    with pytest.raises(UsageError, match=r"leave out selfplay\.simulations"):
        load_config("mini", ["selfplay.play_out=true", "selfplay.simulations=4"])
