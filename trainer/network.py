"""The policy-value network: residual, GroupNorm, LeakyReLU, one forward for every next tile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from azx.runtime.contract import MASKED_LOGIT
from azx.runtime.errors import UsageError
from azx.runtime.variant import AXES, Variant
from azx.trainer.encoding import BoardEncoding, Features

#: Points are learnt in units of this many, so that the heads' outputs are of the order of 1.
POINTS = 50.0


@dataclass(frozen=True)
class NetworkConfig:
    """The size of a network.

    `dense` mixes the whole board in every layer; `conv` is 3x3 convolutions on the axial grid. On a
    CPU `dense` is far stronger for the same time (docs/log.md). With `half_turn` a dense network
    looks at a board as it is and turned by half a turn, which changes nothing in the game, and its
    blocks see both views: whatever it says of a board it says of the turned one, turned.
    """

    trunk: str = "dense"
    width: int = 768
    blocks: int = 1
    groups: int = 16
    half_turn: bool = False

    def __post_init__(self) -> None:
        if self.trunk not in ("dense", "conv"):
            raise UsageError(f"network.trunk is 'dense' or 'conv', found {self.trunk!r}")
        if min(self.width, self.blocks, self.groups) < 1 or self.width % self.groups:
            raise UsageError(
                f"network.width ({self.width}) must be a multiple of network.groups "
                f"({self.groups}), and both and network.blocks ({self.blocks}) at least 1"
            )
        if self.half_turn and self.trunk != "dense":
            raise UsageError(f"network.half_turn needs the dense trunk, found {self.trunk!r}")


class Outputs(NamedTuple):
    """The contract's outputs, in its order: see `azx.runtime.contract`."""

    policy_logits: Tensor  # [B, T, C]
    value: Tensor  # [B]
    q: Tensor  # [B, T, C]


class DenseBlock(nn.Module):
    """x + norm(linear(act(norm(linear(x))))), then the activation. [B, width] to the same."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(width, width, bias=False)
        self.norm1 = nn.GroupNorm(groups, width)
        self.linear2 = nn.Linear(width, width, bias=False)
        self.norm2 = nn.GroupNorm(groups, width)
        self.act = nn.LeakyReLU()

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """[B, width] to [B, width]."""
        y = self.act(self.norm1(self.linear1(x)))
        return (self.act(x + self.norm2(self.linear2(y))),)


class HalfTurnLinear(nn.Module):
    """The linear maps that treat a board and its half turn alike, from two views to two.

    Turning swaps the views, so such a map has two free matrices: one for the views' sum, which
    turning leaves as it is, and one for their difference, whose sign it changes. That is as much
    arithmetic as one matrix applied to each view, and twice the parameters.
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

    def forward(self, x: Tensor, turned: Tensor) -> tuple[Tensor, Tensor]:
        """Both views through the same layers; the two linear maps mix them."""
        y, turned_y = self.linear1(x, turned)
        y, turned_y = self.linear2(self.act(self.norm1(y)), self.act(self.norm1(turned_y)))
        return self.act(x + self.norm2(y)), self.act(turned + self.norm2(turned_y))


class DenseTrunk(nn.Module):
    """All features side by side through fully connected residual blocks."""

    def __init__(self, variant: Variant, config: NetworkConfig) -> None:
        super().__init__()
        numbers = AXES * max(len(values) for values in variant.values)
        lines = len(variant.lines) * (numbers // AXES)
        inputs = variant.cells * (numbers + 1 + 5) + variant.tiles + numbers + 4 * lines
        self.stem = nn.Linear(inputs, config.width, bias=False)
        self.norm = nn.GroupNorm(config.groups, config.width)
        self.act = nn.LeakyReLU()
        block = HalfTurnBlock if config.half_turn else DenseBlock
        self.blocks = nn.ModuleList(
            block(config.width, config.groups) for _ in range(config.blocks)
        )

    def forward(self, *views: Features) -> tuple[Tensor, ...]:
        """One view of the boards, or two with `half_turn`; to [B, width] each."""
        found = tuple(self.act(self.norm(self.stem(_side_by_side(view)))) for view in views)
        for block in self.blocks:
            found = block(*found)
        return found


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

    def __init__(self, variant: Variant, config: NetworkConfig) -> None:
        super().__init__()
        self.shape = (-1, variant.tiles, variant.cells)
        self.policy = nn.Linear(config.width, variant.tiles * variant.cells)
        self.q = nn.Linear(config.width, variant.tiles * variant.cells)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """From [B, width] to policy and q, both [B, T, C]."""
        return self.policy(x).reshape(self.shape), self.q(x).reshape(self.shape)


class ConvBlock(nn.Module):
    """The dense block's shape with 3x3 convolutions. [B, width, S, S] to the same."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm1 = nn.GroupNorm(groups, width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(groups, width)
        self.act = nn.LeakyReLU()

    def forward(self, x: Tensor, on_board: Tensor) -> Tensor:
        """Cells off the board are put back to 0 after each convolution, by `on_board` [S, S]."""
        y = self.act(self.norm1(self.conv1(x))) * on_board
        return self.act(x + self.norm2(self.conv2(y))) * on_board


class ConvTrunk(nn.Module):
    """Planes on the square axial grid; the corners that are no cells are masked throughout."""

    def __init__(self, variant: Variant, config: NetworkConfig) -> None:
        super().__init__()
        self.side = 2 * variant.radius + 1
        numbers = AXES * max(len(values) for values in variant.values)
        planes = numbers + 1 + variant.tiles + numbers + 4 * numbers + 5
        column, row = torch.from_numpy(variant.cell_xy).long().unbind(1)
        to_grid = torch.zeros(variant.cells, self.side * self.side)
        to_grid[torch.arange(variant.cells), row * self.side + column] = 1.0
        lines_at = torch.zeros(len(variant.lines), AXES, variant.cells)
        for cell, lines in enumerate(variant.tables.cell_lines):
            for axis, line in enumerate(lines):
                lines_at[line, axis, cell] = 1.0
        self.register_buffer("to_grid", to_grid, persistent=False)
        self.register_buffer("lines_at", lines_at.flatten(1), persistent=False)
        self.register_buffer(
            "on_board", to_grid.sum(dim=0).reshape(self.side, self.side), persistent=False
        )
        self.to_grid: Tensor
        self.lines_at: Tensor
        self.on_board: Tensor
        self.stem = nn.Conv2d(planes, config.width, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(config.groups, config.width)
        self.act = nn.LeakyReLU()
        self.blocks = nn.ModuleList(
            ConvBlock(config.width, config.groups) for _ in range(config.blocks)
        )

    def forward(self, features: Features) -> tuple[Tensor]:
        """To [B, width, S, S]."""
        everywhere = features.filled.unsqueeze(1) * 0.0 + 1.0  # [B, 1, C], the batch left free
        # [B, 4, L, N/A] to [B, (4, N/A, A), C]: what each cell's own three lines say.
        by_number = features.lines.transpose(2, 3).flatten(1, 2)
        lines = (by_number @ self.lines_at).unflatten(2, (AXES, -1)).flatten(1, 2)
        planes = torch.cat(
            (
                features.cells.transpose(1, 2),
                features.filled.unsqueeze(1),
                features.tiles_left.unsqueeze(2) * everywhere,
                features.numbers_left.unsqueeze(2) * everywhere,
                lines,
                features.prospects,
            ),
            dim=1,
        )
        grid = (planes @ self.to_grid).unflatten(2, (self.side, self.side))
        x = self.act(self.norm(self.stem(grid))) * self.on_board
        for block in self.blocks:
            x = block(x, self.on_board)
        return (x,)


class ConvHeads(nn.Module):
    """1x1 convolutions to a plane for each tile, twice."""

    def __init__(self, variant: Variant, config: NetworkConfig) -> None:
        super().__init__()
        side = 2 * variant.radius + 1
        column, row = torch.from_numpy(variant.cell_xy).long().unbind(1)
        from_grid = torch.zeros(side * side, variant.cells)
        from_grid[row * side + column, torch.arange(variant.cells)] = 1.0
        self.register_buffer("from_grid", from_grid, persistent=False)
        self.from_grid: Tensor
        self.policy = nn.Conv2d(config.width, variant.tiles, 1)
        self.q = nn.Conv2d(config.width, variant.tiles, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """From [B, width, S, S] to policy and q, both [B, T, C]."""
        policy = self.policy(x).flatten(2) @ self.from_grid
        return policy, self.q(x).flatten(2) @ self.from_grid


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
        if config.trunk == "dense":
            self.trunk, self.heads = DenseTrunk(variant, config), DenseHeads(variant, config)
        else:
            self.trunk, self.heads = ConvTrunk(variant, config), ConvHeads(variant, config)

    def forward(self, board: Tensor) -> Outputs:
        """Points in points; filled cells at `MASKED_LOGIT`; 0 to come after the last placement."""
        features = self.encoding(board)
        if self.config.half_turn:
            view, turned_view = self.trunk(features, self.encoding(board.flip(1)))
            policy, q = self.heads(view)
            turned_policy, turned_q = self.heads(turned_view)
            policy = 0.5 * (policy + turned_policy.flip(2))
            q = 0.5 * (q + turned_q.flip(2))
        else:
            (view,) = self.trunk(features)
            policy, q = self.heads(view)
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
