"""A trunk and heads of 3x3 convolutions on the axial grid."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from azx.runtime.variant import AXES, Variant
from azx.trainer.encoding import OF_CELL, OF_LINE, Features


class ConvBlock(nn.Module):
    """The dense block's shape with 3x3 convolutions. [B, width, S, S] to the same."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm1 = nn.GroupNorm(groups, width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(groups, width)
        self.act = nn.LeakyReLU()

    def silence(self) -> None:
        """The last norm's weight at 0: nothing is added, until something is learnt."""
        nn.init.zeros_(self.norm2.weight)

    def forward(self, x: Tensor, on_board: Tensor) -> Tensor:
        """Cells off the board are put back to 0 after each convolution, by `on_board` [S, S]."""
        y = self.act(self.norm1(self.conv1(x))) * on_board
        return self.act(x + self.norm2(self.conv2(y))) * on_board


class ConvTrunk(nn.Module):
    """Planes on the square axial grid; the corners that are no cells are masked throughout."""

    def __init__(self, variant: Variant, width: int, blocks: int, groups: int) -> None:
        super().__init__()
        self.side = 2 * variant.radius + 1
        numbers = AXES * max(len(values) for values in variant.values)
        planes = numbers + 1 + variant.tiles + numbers + OF_LINE * numbers + OF_CELL
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
        self.stem = nn.Conv2d(planes, width, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(groups, width)
        self.act = nn.LeakyReLU()
        self.blocks = nn.ModuleList(ConvBlock(width, groups) for _ in range(blocks))

    def forward(self, features: Features) -> Tensor:
        """To [B, width, S, S]."""
        everywhere = features.filled.unsqueeze(1) * 0.0 + 1.0  # [B, 1, C], the batch left free
        # [B, K, L, N/A] to [B, (K, N/A, A), C]: what each cell's own three lines say.
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
        return x


class ConvHeads(nn.Module):
    """1x1 convolutions to a plane for each tile, twice."""

    def __init__(self, variant: Variant, width: int) -> None:
        super().__init__()
        side = 2 * variant.radius + 1
        column, row = torch.from_numpy(variant.cell_xy).long().unbind(1)
        from_grid = torch.zeros(side * side, variant.cells)
        from_grid[row * side + column, torch.arange(variant.cells)] = 1.0
        self.register_buffer("from_grid", from_grid, persistent=False)
        self.from_grid: Tensor
        self.policy = nn.Conv2d(width, variant.tiles, 1)
        self.q = nn.Conv2d(width, variant.tiles, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """From [B, width, S, S] to policy and q, both [B, T, C]."""
        policy = self.policy(x).flatten(2) @ self.from_grid
        return policy, self.q(x).flatten(2) @ self.from_grid
