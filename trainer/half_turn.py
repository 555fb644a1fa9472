"""The dense network for two views of a board: as it is, and turned by half a turn.

Turning changes nothing in the game but the places: what is said of a board must be said of the
turned one, turned. Layers that mix two views and keep that are those of a group of two elements in
its regular representation (Cohen and Welling 2016): everything is split into the sum of the views,
which turning leaves as it is, and their difference, whose sign it changes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from azx.runtime.variant import Variant
from azx.trainer.dense import DenseTrunk
from azx.trainer.encoding import Features


class HalfTurnLinear(nn.Module):
    """The linear maps that treat a board and its half turn alike, from two views to two.

    One matrix for the sum of the views and one for their difference: as much arithmetic as a matrix
    that is applied to each view, and twice the parameters.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.even = nn.Linear(width, width, bias=False)
        self.odd = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, turned: Tensor) -> tuple[Tensor, Tensor]:
        """Two [B, width] to two [B, width]; equal matrices map each view by itself."""
        even, odd = 0.5 * self.even(x + turned), 0.5 * self.odd(x - turned)
        return even + odd, even - odd


class HalfTurnBlock(nn.Module):
    """The dense block's shape on two views of a board. Two [B, width] to the same."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.linear1 = HalfTurnLinear(width)
        self.norm1 = nn.GroupNorm(groups, width)
        self.linear2 = HalfTurnLinear(width)
        self.norm2 = nn.GroupNorm(groups, width)
        self.act = nn.LeakyReLU()

    def silence(self) -> None:
        """The last norm's weight at 0: nothing is added, until something is learnt."""
        nn.init.zeros_(self.norm2.weight)

    def forward(self, x: Tensor, turned: Tensor) -> tuple[Tensor, Tensor]:
        """Both views through the same layers; the two linear maps mix them."""
        y, turned_y = self.linear1(x, turned)
        y, turned_y = self.linear2(self.act(self.norm1(y)), self.act(self.norm1(turned_y)))
        return self.act(x + self.norm2(y)), self.act(turned + self.norm2(turned_y))


class HalfTurnTrunk(DenseTrunk):
    """The first layer looks at each view by itself, the blocks at both."""

    block = HalfTurnBlock

    def forward(self, features: Features, turned: Features) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """To two [B, width]."""
        views = self.begin(features), self.begin(turned)
        for block in self.blocks:
            views = block(*views)
        return views


class HalfTurnHead(nn.Module):
    """A linear map from two views to a number for every (tile, cell), turned when they swap.

    The sum of the views gives what cell c and cell C - 1 - c have in common, the difference in what
    they differ; so half of the cells are enough, and the cell in the middle is its own partner.
    """

    def __init__(self, variant: Variant, width: int) -> None:
        super().__init__()
        self.tiles, self.pairs = variant.tiles, variant.cells // 2
        self.even = nn.Linear(width, variant.tiles * (self.pairs + 1))
        self.odd = nn.Linear(width, variant.tiles * self.pairs, bias=False)

    def forward(self, total: Tensor, difference: Tensor) -> Tensor:
        """From the sum of the views and their difference, [B, width] each, to [B, T, C]."""
        even = self.even(total).reshape(-1, self.tiles, self.pairs + 1)
        odd = self.odd(difference).reshape(-1, self.tiles, self.pairs)
        first, middle = even[:, :, : self.pairs], even[:, :, self.pairs :]
        return torch.cat((first + odd, middle, (first - odd).flip(2)), dim=2)


class HalfTurnHeads(nn.Module):
    """Policy and q from the two views."""

    def __init__(self, variant: Variant, width: int) -> None:
        super().__init__()
        self.policy, self.q = HalfTurnHead(variant, width), HalfTurnHead(variant, width)

    def forward(self, views: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """From two [B, width] to policy and q, both [B, T, C]."""
        x, turned = views
        total, difference = x + turned, x - turned
        return self.policy(total, difference), self.q(total, difference)
