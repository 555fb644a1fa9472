"""One step of learning: its losses, its rate, the average that follows, the same in any threads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from training_testing import SMALL, network_of, torch_threads

from azx.runtime.seeds import game_keys
from azx.runtime.variant import MINI
from azx.trainer.initialise import initialise
from azx.trainer.learner import RISE, Learner, losses
from azx.trainer.network import NetworkConfig, Outputs, PolicyValueNetwork
from azx.trainer.parts import BATCH_PART
from azx.trainer.samples import Samples, samples_of
from azx.trainer.selfplay import Exploration, play_round
from azx.trainer.torch_evaluator import TorchEvaluator


def test_the_loss_asks_for_the_placements_that_were_looked_at() -> None:
    """q of the tile and the cell that were laid, and of other tiles and cells beside them."""
    q = torch.arange(2 * MINI.tiles * MINI.cells).reshape(2, MINI.tiles, MINI.cells).float()
    batch = Samples(
        boards=MINI.empty_boards(2),
        tiles=np.array([0, 1], np.int8),
        cells=np.array([2, 3], np.int8),
        after=np.zeros(2, np.float32),
        other_tiles=np.array([[0, 4], [5, 0]], np.int8),
        others=np.array([[1, 6], [0, -1]], np.int8),
        others_after=np.full((2, 2), 10.0, np.float32),
        floor=np.zeros(2, np.float32),
        policy=None,
        lesson=None,
    )
    outputs = Outputs(torch.zeros_like(q), torch.zeros(2), q)
    found = losses(network_of(MINI), outputs, batch, temperature=1.0)
    at, second = MINI.cells, MINI.tiles * MINI.cells
    errors = [2.0, second + at + 3, 1 - 10.0, 4 * at + 6 - 10.0, second + 5 * at - 10.0]
    assert float(found.value_loss) == pytest.approx(np.mean(np.square(errors)), rel=1e-6)


def test_the_rate_rises_and_falls() -> None:
    settings = replace(SMALL.learning, optimizer="muon")
    learner = Learner(network_of(MINI, "lines"), settings, torch.float32)
    rates = []
    for progress in np.linspace(0.0, 1.0, 1001):
        learner.set_rate(float(progress))
        of_all = {o.param_groups[0]["lr"] for o in learner.optimizers.values()}
        assert len(of_all) == 1
        rates.append(of_all.pop())
    highest = int(np.argmax(rates))
    assert highest == 1000 * RISE
    assert rates[0] == rates[-1] == 0.0
    assert (np.diff(rates[: highest + 1]) > 0).all()
    assert (np.diff(rates[highest:]) < 0).all()
    assert rates[highest] == pytest.approx(SMALL.learning.rate, rel=0.01)


def test_the_averaged_weights_follow() -> None:
    learner = Learner(network_of(MINI), SMALL.learning, torch.float32)
    samples = samples_of(
        play_round(TorchEvaluator(learner.average), game_keys(0, 16), Exploration(0.3, 5.0), 1, 0),
        0.9,
    )
    start = learner.average.heads.q.weight.clone()  # type: ignore[union-attr]
    learner.step(samples)
    now = learner.network.heads.q.weight  # type: ignore[union-attr]
    expected = start + 0.02 * (now - start)
    torch.testing.assert_close(learner.average.heads.q.weight, expected)  # type: ignore[union-attr]


def batch_of(games: int) -> Samples:
    """Six samples a game: nothing is to come after the last placement."""
    evaluator = TorchEvaluator(network_of(MINI))
    return samples_of(play_round(evaluator, game_keys(0, games), Exploration(0.3, 5.0), 2, 2), 0.9)


# Its first layer's weights are used twice in a forward; so wide that torch would share them out.
TWO_VIEWS = NetworkConfig("dense", 192, 1, 4, half_turn=True)
# So many matrices of a shape that Muon takes them in two parts.
LINES = NetworkConfig("lines", 24, 1, 1)


@pytest.mark.parametrize(
    ("config", "optimizer"), [(TWO_VIEWS, "adamw"), (TWO_VIEWS, "muon"), (LINES, "muon")]
)
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_steps_are_the_same_in_any_number_of_threads(
    precision: torch.dtype, config: NetworkConfig, optimizer: str
) -> None:
    batch = batch_of(240)  # 1,440 samples: eleven whole parts and the rest
    found = []
    for threads in (1, 4):
        network = PolicyValueNetwork(MINI, config)
        initialise(network, 0, network.heads)
        settings = replace(SMALL.learning, optimizer=optimizer)
        learner = Learner(network, settings, precision)
        with torch_threads(threads):
            reports = [learner.step(batch) for _ in range(3)]
            assert torch.get_num_threads() == threads
        found.append((reports, network.state_dict(), learner.average.state_dict()))
    (reports, *weights), (reports_too, *weights_too) = found
    assert reports == reports_too
    for one, other in zip(weights, weights_too, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_batch_in_parts_is_judged_by_their_mean() -> None:
    batch = batch_of(94)  # 564 samples: four whole parts and the rest
    unclipped = replace(SMALL.learning, clip=1e9)
    learner = Learner(network_of(MINI), unclipped, torch.float32)
    report = learner.step(batch)
    network = network_of(MINI)
    expected, squares = torch.zeros(()), 0.0
    parts = batch.parts(BATCH_PART)
    assert [len(part) for part in parts] == [128, 128, 128, 128, 52]
    for part in parts:
        outputs = network(torch.from_numpy(part.boards))
        of_part = losses(network, outputs, part, unclipped.temperature)
        expected = expected + len(part) / len(batch) * of_part.total(unclipped.policy_weight)
        squares += len(part) / len(batch) * float(of_part.value_loss.detach())
    assert float(report.losses.value_loss) == pytest.approx(squares, rel=1e-5)
    expected.backward()
    for parameter, alone in zip(learner.network.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, alone.grad)
