"""The policy-value network: residual, GroupNorm, LeakyReLU, one forward for every next tile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from azx.runtime.contract import MASKED_LOGIT
from azx.runtime.errors import UsageError
from azx.runtime.variant import Variant
from azx.trainer.conv import ConvHeads, ConvTrunk
from azx.trainer.dense import DenseHeads, DenseTrunk
from azx.trainer.encoding import BoardEncoding
from azx.trainer.half_turn import HalfTurnHeads, HalfTurnTrunk
from azx.trainer.lines import LineHeads, LineTrunk

#: Points are learnt in units of this many, so that the heads' outputs are of the order of 1.
POINTS = 50.0


@dataclass(frozen=True)
class NetworkConfig:
    """The size of a network.

    `dense` mixes the whole board in every layer; `lines` lets cells and the lines through them hear
    each other; `conv` is 3x3 convolutions on the axial grid. On a CPU `lines` learns most from a
    board, and `conv` is far behind (docs/log.md). With `half_turn` a dense network looks at a board
    as it is and turned by half a turn, which changes nothing in the game, and its blocks see both
    views: whatever it says of a board it says of the turned one, turned. A network of `lines` does
    so anyway; each of its vectors is one group, so its `groups` is 1.
    """

    trunk: str = "dense"
    width: int = 768
    blocks: int = 1
    groups: int = 16
    half_turn: bool = False

    def __post_init__(self) -> None:
        if self.trunk not in ("dense", "lines", "conv"):
            raise UsageError(f"network.trunk is 'dense', 'lines' or 'conv', found {self.trunk!r}")
        if min(self.width, self.blocks, self.groups) < 1 or self.width % self.groups:
            raise UsageError(
                f"network.width ({self.width}) must be a multiple of network.groups "
                f"({self.groups}), and both and network.blocks ({self.blocks}) at least 1"
            )
        if self.trunk == "lines" and self.groups != 1:
            raise UsageError(
                f"network.groups is {self.groups}, but a vector of the trunk 'lines' is one group: "
                "set network.groups=1"
            )
        if self.half_turn and self.trunk != "dense":
            raise UsageError(
                f"network.half_turn needs the dense trunk, found {self.trunk!r} (lines treat a "
                "board and its half turn alike without it)"
            )


class Outputs(NamedTuple):
    """The contract's outputs, in its order: see `azx.runtime.contract`."""

    policy_logits: Tensor  # [B, T, C]
    value: Tensor  # [B]
    q: Tensor  # [B, T, C]


class PolicyValueNetwork(nn.Module):
    """int8 boards [B, C] to the contract's outputs, for any variant.

    The trunk feeds two heads, policy and q. The value is no head of its own: it is what the policy
    would make of the next tile, mean over the tiles left of sum over cells of
    policy x (gain + q), all of which one forward knows. That looks a ply further than a number
    learnt directly, and was worth 5 points in one-ply play (docs/log.md).
    """

    def __init__(self, variant: Variant, config: NetworkConfig) -> None:
        super().__init__()
        self.variant, self.config = variant, config
        self.encoding = BoardEncoding(variant)
        ones = torch.ones(variant.tiles * variant.cells, 1)
        self.register_buffer("ones", ones, persistent=False)
        self.ones: Tensor
        self.trunk: nn.Module
        self.heads: nn.Module
        size = (config.width, config.blocks, config.groups)
        if config.half_turn:
            self.trunk = HalfTurnTrunk(variant, *size)
            self.heads = HalfTurnHeads(variant, config.width)
        elif config.trunk == "dense":
            self.trunk, self.heads = DenseTrunk(variant, *size), DenseHeads(variant, config.width)
        elif config.trunk == "lines":
            self.trunk = LineTrunk(variant, config.width, config.blocks)
            self.heads = LineHeads(variant, config.width)
        else:
            self.trunk, self.heads = ConvTrunk(variant, *size), ConvHeads(variant, config.width)

    def forward(self, board: Tensor) -> Outputs:
        """Points in points; filled cells at `MASKED_LOGIT`; 0 to come after the last placement."""
        features = self.encoding(board)
        views = (features, self.encoding.turned(features)) if self.config.half_turn else (features,)
        policy, q = self.heads(self.trunk(*views))
        logits = policy.float().masked_fill((board >= 0).unsqueeze(1), MASKED_LOGIT)
        more_to_come = (features.empty_cells > 1.0).to(torch.float32)
        q = q.float() * (POINTS * more_to_come)[:, None, None]
        tiles_left = features.tiles_left.float()
        chance = tiles_left / tiles_left.sum(dim=1, keepdim=True).clamp(min=1.0)
        by_placement = logits.softmax(dim=2) * (features.gains.float() + q) * chance.unsqueeze(2)
        # A product with ones adds up in the same order in every batch, where onnxruntime's
        # ReduceSum does not: the last bit would depend on what else is evaluated.
        value = (by_placement.flatten(1) @ self.ones).squeeze(1)
        return Outputs(logits, value.float(), q)
