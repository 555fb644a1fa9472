"""A trunk and heads that mix the whole board in every layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from azx.runtime.variant import AXES, Variant
from azx.trainer.encoding import OF_CELL, OF_LINE, Features


class DenseBlock(nn.Module):
    """x + norm(linear(act(norm(linear(x))))), then the activation. [B, width] to the same."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(width, width, bias=False)
        self.norm1 = nn.GroupNorm(groups, width)
        self.linear2 = nn.Linear(width, width, bias=False)
        self.norm2 = nn.GroupNorm(groups, width)
        self.act = nn.LeakyReLU()

    def silence(self) -> None:
        """The last norm's weight at 0: nothing is added, until something is learnt."""
        nn.init.zeros_(self.norm2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """[B, width] to [B, width]."""
        y = self.act(self.norm1(self.linear1(x)))
        return self.act(x + self.norm2(self.linear2(y)))


class DenseTrunk(nn.Module):
    """All features side by side through fully connected residual blocks."""

    block: type[nn.Module] = DenseBlock

    def __init__(self, variant: Variant, width: int, blocks: int, groups: int) -> None:
        super().__init__()
        numbers = AXES * max(len(values) for values in variant.values)
        lines = len(variant.lines) * (numbers // AXES)
        of_cells = variant.cells * (numbers + 1 + OF_CELL)
        inputs = of_cells + variant.tiles + numbers + OF_LINE * lines
        self.stem = nn.Linear(inputs, width, bias=False)
        self.norm = nn.GroupNorm(groups, width)
        self.act = nn.LeakyReLU()
        self.blocks = nn.ModuleList(self.block(width, groups) for _ in range(blocks))

    def begin(self, features: Features) -> Tensor:
        """What the first layer makes of the boards, [B, width]."""
        return self.act(self.norm(self.stem(_side_by_side(features))))

    def forward(self, features: Features) -> Tensor:
        """To [B, width]."""
        x = self.begin(features)
        for block in self.blocks:
            x = block(x)
        return x


def _side_by_side(features: Features) -> Tensor:
    return torch.cat(
        (
            features.cells.flatten(1),
            features.filled,
            features.tiles_left,
            features.numbers_left,
            features.lines.flatten(1),
            features.prospects.flatten(1),
        ),
        dim=1,
    )


class DenseHeads(nn.Module):
    """Linear maps from the trunk to a number for every (tile, cell), twice."""

    def __init__(self, variant: Variant, width: int) -> None:
        super().__init__()
        self.shape = (-1, variant.tiles, variant.cells)
        self.policy = nn.Linear(width, variant.tiles * variant.cells)
        self.q = nn.Linear(width, variant.tiles * variant.cells)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """From [B, width] to policy and q, both [B, T, C]."""
        return self.policy(x).reshape(self.shape), self.q(x).reshape(self.shape)
