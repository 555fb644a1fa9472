"""The five small tests that found the bug this project comes from, and the bug itself.

The network is the original's: 3x3 convolution, GroupNorm `gn1`, LeakyReLU, three residual blocks,
a 1x1 convolution to one logit a cell; 128, 128 and 96 channels; no mask over the cells, so that a
network that says nothing reads ln 19 = 2.944439. `pytest -s` shows the curves (docs/origin.md).
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from azx.export import audit
from azx.runtime.play import play_games
from azx.runtime.players import GreedyPlayer
from azx.runtime.seeds import draw_orders, game_keys
from azx.runtime.variant import STANDARD
from azx.trainer.initialise import initialise

LN_19 = math.log(19)
PLANES = 47
SIDE = 5
BATCH = 24


class ResidualBlock(nn.Module):
    """The original's block, its GroupNorms named as there."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.gn1 = nn.GroupNorm(8, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.gn2 = nn.GroupNorm(8, outputs)
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)
        self.act = nn.LeakyReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.gn2(self.conv2(self.act(self.gn1(self.conv1(x)))))
        return self.act(self.skip(x) + y)


class OriginalPolicy(nn.Module):
    """[B, PLANES, 5, 5] to a logit for each of the 19 cells."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(PLANES, 128, 3, padding=1)
        self.gn1 = nn.GroupNorm(8, 128)
        self.act = nn.LeakyReLU()
        self.policy_block_0 = ResidualBlock(128, 128)
        self.policy_block_1 = ResidualBlock(128, 128)
        self.policy_block_2 = ResidualBlock(128, 96)
        self.head = nn.Conv2d(96, 1, 1)
        column, row = torch.from_numpy(STANDARD.cell_xy).long().unbind(1)
        self.register_buffer("at", row * SIDE + column, persistent=False)
        self.at: Tensor

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.gn1(self.conv1(x)))
        x = self.policy_block_2(self.policy_block_1(self.policy_block_0(x)))
        return self.head(x).flatten(1)[:, self.at]


def original_initialize_weights(network: nn.Module) -> None:
    """As it was: what has one dimension must be a bias. GroupNorm's weight has one."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter.zero_()
            else:
                nn.init.kaiming_normal_(parameter)


def fixed_network(seed: int = 0) -> OriginalPolicy:
    """The original's network with this project's initialisation."""
    network = OriginalPolicy()
    initialise(network, seed, network.head)
    return network


@pytest.fixture(scope="module")
def batch() -> tuple[Tensor, Tensor]:
    """Decisions of greedy games as planes, and the cells that were chosen."""
    keys = game_keys(0, 32)
    games = play_games(GreedyPlayer(STANDARD), draw_orders(STANDARD, keys), keys)
    rng = np.random.default_rng(0)
    game, turn = rng.integers(0, 32, BATCH), rng.integers(0, 19, BATCH)
    boards = torch.from_numpy(games.boards()[game, turn]).long()
    tiles = torch.from_numpy(games.orders[game, turn]).long()
    column, row = torch.from_numpy(STANDARD.cell_xy).long().unbind(1)
    planes = torch.zeros(BATCH, PLANES, SIDE, SIDE)
    digits = torch.from_numpy(STANDARD.tile_digits).long()
    for axis in range(3):
        for digit in range(3):
            shown = (boards >= 0) & (digits[boards.clamp(min=0), axis] == digit)
            planes[:, 3 * axis + digit, row, column] = shown.float()
            planes[:, 9 + 3 * axis + digit] = (digits[tiles, axis] == digit).float()[:, None, None]
    planes[:, 18, row, column] = (boards < 0).float()
    planes[:, 19, row, column] = 1.0
    planes[torch.arange(BATCH), 20 + tiles] = 1.0
    return planes, torch.from_numpy(games.cells[game, turn]).long()


def learn(network: nn.Module, batch: tuple[Tensor, Tensor], epochs: int, steps: int) -> list[float]:
    """The loss before each of `epochs` epochs of `steps` steps on one batch, and at the end."""
    planes, cells = batch
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(epochs):
        losses.append(cross_entropy(network(planes), cells).item())
        for _ in range(steps):
            optimizer.zero_grad()
            cross_entropy(network(planes), cells).backward()
            optimizer.step()
    losses.append(cross_entropy(network(planes), cells).item())
    print(", ".join(f"{loss:.6f}" for loss in losses))
    return losses


def test_1_simple_policy(batch: tuple[Tensor, Tensor]) -> None:
    """Do optimiser, cross-entropy and backward work, on one linear layer?"""
    planes, cells = batch
    torch.manual_seed(0)
    losses = learn(nn.Sequential(nn.Flatten(), nn.Linear(PLANES * 25, 19)), (planes, cells), 10, 1)
    assert losses[-1] < 0.7 * losses[0]


def test_2_gradient_flow(batch: tuple[Tensor, Tensor]) -> None:
    """Does the whole network learn one batch? From about 2.9 to 0.04 in ten epochs."""
    losses = learn(fixed_network(), batch, epochs=10, steps=5)
    assert losses[0] == pytest.approx(LN_19, abs=0.1)
    assert losses[-1] < 0.04


def test_2_gradient_flow_with_the_bug(batch: tuple[Tensor, Tensor]) -> None:
    """The bug put back: no gradient anywhere, and ln 19 for ever."""
    network = fixed_network()
    original_initialize_weights(network)
    planes, cells = batch
    loss = cross_entropy(network(planes), cells)
    assert loss.item() == pytest.approx(2.944439, abs=1e-6)
    loss.backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() < 1e-6, name
    losses = learn(network, batch, epochs=10, steps=1)
    assert losses == pytest.approx([2.944439] * 11, abs=0.05)  # Adam scales up what rounding leaves


def test_3_bare_group_norm() -> None:
    """What does the framework initialise?"""
    norm = nn.GroupNorm(8, 128)
    assert (norm.weight == 1).all()
    assert (norm.bias == 0).all()


def test_4_group_norm_after_construction() -> None:
    """Does our layer keep that?"""
    for module in OriginalPolicy().modules():
        if isinstance(module, nn.GroupNorm):
            assert (module.weight == 1).all()


def test_5_whole_network_after_initialisation() -> None:
    """Does our initialisation keep that?"""
    norms = {n: m for n, m in fixed_network().named_modules() if isinstance(m, nn.GroupNorm)}
    assert "policy_block_0.gn1" in norms
    for module in norms.values():
        assert (module.weight == 1).all()
        assert (module.bias == 0).all()


def test_the_audit_refuses_the_bug_and_passes_the_mend(batch: tuple[Tensor, Tensor]) -> None:
    planes, _ = batch
    assert audit(fixed_network(), (planes[:16],)).passed
    broken = fixed_network()
    original_initialize_weights(broken)
    found = audit(broken, (planes[:16],))
    assert not found.passed
    said = " ".join(f"{f.path} {f.what} {f.mend}" for f in found.findings if f.severity == "fail")
    assert "gn1" in said
