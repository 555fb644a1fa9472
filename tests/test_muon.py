"""Muon: steps that keep a gradient's directions and make them equally strong."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from training_testing import SMALL, network_of

from azx.runtime.variant import MINI
from azx.trainer.learner import Learner
from azx.trainer.muon import Muon, orthogonal


def matrices(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 32, 16), (2, 16, 32)])
def test_directions_are_kept_and_made_equally_strong(shape: tuple[int, ...]) -> None:
    given = matrices(*shape)
    found = orthogonal(given)
    left, before, right = torch.linalg.svd(given, full_matrices=False)
    # In the basis of the singular vectors of what was given, all of it lies on the diagonal.
    inside = left.mT @ found @ right.mT
    strength = torch.diagonal(inside, dim1=1, dim2=2)
    torch.testing.assert_close(inside, torch.diag_embed(strength), atol=1e-4, rtol=0.0)
    assert before.max() / before.min() > 1.5
    assert strength.min() > 0.6
    assert strength.max() < 1.25


def test_nothing_comes_of_nothing_and_size_does_not_matter() -> None:
    assert (orthogonal(torch.zeros(2, 8, 8)) == 0).all()
    given = matrices(1, 8, 8)
    torch.testing.assert_close(orthogonal(1e-4 * given), orthogonal(given), atol=1e-4, rtol=0.0)


def test_it_steps_as_torchs_own_does() -> None:
    start = [matrices(16, 16, seed=1), matrices(32, 16, seed=2), matrices(16, 16, seed=3)]
    ours, torchs = ([torch.nn.Parameter(m.clone()) for m in start] for _ in range(2))
    settings = {"lr": 0.01, "weight_decay": 0.1}
    optimizers = (
        Muon(ours, **settings),
        torch.optim.Muon(torchs, **settings, adjust_lr_fn="match_rms_adamw"),
    )
    for step in range(5):
        for k, pair in enumerate(zip(ours, torchs, strict=True)):
            for parameter in pair:
                parameter.grad = matrices(*parameter.shape, seed=100 * step + k)
        for optimizer in optimizers:
            optimizer.step()
    for one, other, before in zip(ours, torchs, start, strict=True):
        # Torch's iterates in bfloat16, which has three digits.
        moved = float((other - before).detach().norm())
        assert float((one - other).detach().norm()) < 0.02 * moved


def test_inner_matrices_are_its_and_all_else_is_adams() -> None:
    network = network_of(MINI, "lines")
    learner = Learner(network, replace(SMALL.learning, optimizer="muon"), torch.float32)
    names = {parameter: name for name, parameter in network.named_parameters()}
    of_each = {
        kind: {names[p] for group in optimizer.param_groups for p in group["params"]}
        for kind, optimizer in learner.optimizers.items()
    }
    assert of_each["muon"] | of_each["optimizer"] == set(names.values())
    assert not of_each["muon"] & of_each["optimizer"]
    assert "trunk.blocks.0.cell_of_lines.of.2.weight" in of_each["muon"]
    assert "trunk.out_of_board.weight" in of_each["muon"]
    for name in ("trunk.cell_stem.weight", "trunk.cell_place.weight", "heads.q.weight"):
        assert name in of_each["optimizer"]
    assert all(network.get_parameter(name).ndim == 2 for name in of_each["muon"])


def test_a_dense_trunk_has_such_matrices_too() -> None:
    network = network_of(MINI, "dense")
    learner = Learner(network, replace(SMALL.learning, optimizer="muon"), torch.float32)
    of_muon = learner.optimizers["muon"].param_groups[0]["params"]
    of_block = ("trunk.blocks.0.linear1.weight", "trunk.blocks.0.linear2.weight")
    assert [id(p) for p in of_muon] == [id(network.get_parameter(name)) for name in of_block]
