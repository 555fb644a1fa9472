"""Muon: steps that keep a gradient's directions and make them equally strong."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from training_testing import SMALL, network_of

from azx.runtime.errors import UsageError
from azx.runtime.variant import MINI
from azx.trainer.learner import Learner
from azx.trainer.muon import Muon, orthogonal

MUON = replace(SMALL.learning, optimizer="muon")


def matrices(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("precision", "digits"), [(torch.float32, 1e-4), (torch.bfloat16, 5e-2)], ids=str
)
@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 32, 16), (2, 16, 32)])
def test_directions_are_kept_and_made_equally_strong(
    shape: tuple[int, ...], precision: torch.dtype, digits: float
) -> None:
    given = matrices(*shape)
    found = orthogonal(given, precision)
    assert found.dtype == torch.float32
    left, before, right = torch.linalg.svd(given, full_matrices=False)
    # In the basis of the singular vectors of what was given, all of it lies on the diagonal.
    inside = left.mT @ found @ right.mT
    strength = torch.diagonal(inside, dim1=1, dim2=2)
    torch.testing.assert_close(inside, torch.diag_embed(strength), atol=digits, rtol=0.0)
    assert before.max() / before.min() > 1.5
    assert strength.min() > 0.6
    assert strength.max() < 1.25


def test_nothing_comes_of_nothing_and_size_does_not_matter() -> None:
    assert (orthogonal(torch.zeros(2, 8, 8), torch.float32) == 0).all()
    given = matrices(1, 8, 8)
    small, large = orthogonal(1e-4 * given, torch.float32), orthogonal(given, torch.float32)
    torch.testing.assert_close(small, large, atol=1e-4, rtol=0.0)


def test_it_steps_as_torchs_own_does() -> None:
    start = [matrices(16, 16, seed=1), matrices(32, 16, seed=2), matrices(16, 16, seed=3)]
    ours, torchs = ([torch.nn.Parameter(m.clone()) for m in start] for _ in range(2))
    settings = {"lr": 0.01, "weight_decay": 0.1}
    optimizers = (
        Muon(ours, **settings, precision=torch.float32),
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


def test_weak_directions_stay_weak() -> None:
    left, right = (torch.linalg.qr(matrices(8, 8, seed=seed))[0] for seed in (1, 2))
    strength = torch.tensor([1.0, 0.5, 0.1, 0.01, 3e-4, 1e-5, 0.0, 0.0])
    given = left @ torch.diag(strength) @ right
    found = left.T @ orthogonal(given[None], torch.float32)[0] @ right.T
    assert (torch.diagonal(found)[:4] > 0.6).all()
    assert (torch.diagonal(found)[4:6] < 490 * strength[4:6]).all()
    found = left.T @ orthogonal(given[None], torch.bfloat16)[0] @ right.T
    assert (torch.diagonal(found)[:3] > 0.6).all()
    assert found[4:, 4:].abs().max() < 0.35  # rounding, made several hundred times as large


@pytest.mark.parametrize("trunk", ["lines", "dense"])
def test_the_blocks_matrices_are_its_and_all_else_is_adams(trunk: str) -> None:
    network = network_of(MINI, trunk, width=12)
    learner = Learner(network, MUON, torch.float32)
    names = {parameter: name for name, parameter in network.named_parameters()}
    of_muon, of_adam = (
        {names[p] for group in learner.optimizers[kind].param_groups for p in group["params"]}
        for kind in ("muon", "adamw")
    )
    in_blocks = {name for name in names.values() if name.startswith("trunk.blocks.")}
    assert of_muon == {name for name in in_blocks if "norm" not in name and "bias" not in name}
    assert of_adam == set(names.values()) - of_muon
    assert len(of_muon) == {"lines": 17, "dense": 2}[trunk]


def test_convolutions_have_no_matrices_for_it() -> None:
    with pytest.raises(UsageError, match=r"in the blocks of the trunk.*conv has none"):
        Learner(network_of(MINI, "conv"), MUON, torch.float32)
