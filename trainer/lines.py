"""A trunk of cells and lines that tell each other what they know, and heads for a cell.

Points are made by lines, and a placement changes three of them. So every cell, every line and the
board as a whole have a vector each; a block lets a cell hear its three lines, a line its cells and
the other lines of its axis, which want the same tiles, and all of them the board. What a line of an
axis has learnt holds for the others, which is what a layer that mixes the whole board has to find
out again for each.

Letters: B boards   C cells   L lines   A axes   W width. The boards are the second axis, [C, B, W]
and [L, B, W]: then what is heard is one matrix product of the incidence of cells and lines with all
that is said, with its gradient three times as fast as gathering it (docs/log.md).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from azx.runtime.variant import AXES, Variant
from azx.trainer.encoding import OF_CELL, OF_LINE, OF_TILE, Features


class Told(NamedTuple):
    """What is known, at one depth of the network."""

    cells: Tensor  # [C, B, W]
    lines: Tensor  # [L, B, W]
    board: Tensor  # [B, W]


class VectorGroupNorm(nn.GroupNorm):
    """GroupNorm of vectors, each as one group. [N, W] to the same.

    It gives what `nn.GroupNorm` gives, in an eighth of its time on a CPU (docs/log.md).
    """

    def __init__(self, width: int) -> None:
        super().__init__(1, width)

    def forward(self, x: Tensor) -> Tensor:
        """By torch's layer norm, which is the same with one group."""
        normed = layer_norm(x, (self.num_channels,), self.weight, self.bias, self.eps)
        # Several products follow: autocast would cast it for each of them anew.
        if torch.is_autocast_enabled(x.device.type):
            return normed.to(torch.get_autocast_dtype(x.device.type))
        return normed


class Norms(nn.Module):
    """A norm each for cells, lines and the board, which takes every vector by itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.cells = VectorGroupNorm(width)
        self.lines = VectorGroupNorm(width)
        self.board = VectorGroupNorm(width)

    def forward(self, told: Told) -> Told:
        """`Told` to the same shapes."""
        cells, lines, board = told
        # GroupNorm's channels are the second axis, for the audit too.
        return Told(
            self.cells(cells.flatten(0, 1)).unflatten(0, cells.shape[:2]),
            self.lines(lines.flatten(0, 1)).unflatten(0, lines.shape[:2]),
            self.board(board),
        )


class ByAxis(nn.Module):
    """A linear map for the lines of each axis. [L, B, inputs] to [L, B, outputs]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.of = nn.ModuleList(nn.Linear(inputs, outputs, bias=False) for _ in range(AXES))

    def forward(self, lines: Tensor) -> Tensor:
        """The lines of an axis lie side by side, and every axis has as many."""
        parts = lines.chunk(AXES)
        return torch.cat([linear(part) for linear, part in zip(self.of, parts, strict=True)])


class Step(nn.Linear):
    """The last map of a block, whose answer is added to what was known: it begins small."""

    def added(self, known: Tensor, heard: Tensor) -> Tensor:
        """`known` and what this makes of `heard`."""
        # A sum of numbers of two kinds takes torch four times as long.
        return known + self(heard).to(known.dtype)


class Incidence(nn.Module):
    """Which cells lie on which lines, and lines on which axis, as matrices; no parameters.

    Means over all cells and lines are products too: onnxruntime's mean may add up in another order
    in another batch (docs/log.md).
    """

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        lines = len(variant.lines)
        axes = torch.from_numpy(variant.tables.line_axis[:lines]).long()
        of_axis = (axes == torch.arange(AXES).unsqueeze(1)).to(torch.float32) * (AXES / lines)
        self.register_buffer("on_line", torch.tensor(variant.on_line), persistent=False)
        self.register_buffer("of_axis", of_axis, persistent=False)
        for name, count in (("all_cells", variant.cells), ("all_lines", lines)):
            self.register_buffer(name, torch.full((1, count), 1.0 / count), persistent=False)
        self.on_line: Tensor  # [L, C] 1 where the cell is on the line
        self.of_axis: Tensor  # [A, L] the mean over the lines of an axis
        self.all_cells: Tensor  # [1, C] the mean over all
        self.all_lines: Tensor  # [1, L]

    def lines_from_cells(self, cells: Tensor) -> Tensor:
        """[C, B, W] to the sum over each line's cells, [L, B, W]."""
        return _mixed(self.on_line, cells)

    def cells_from_lines(self, lines: Tensor) -> Tensor:
        """[L, B, W] to the sum over each cell's lines, [C, B, W]."""
        return _mixed(self.on_line.T, lines)

    def axes_from_lines(self, lines: Tensor) -> Tensor:
        """[L, B, W] to the mean over each axis's lines, [A, B, W]."""
        return _mixed(self.of_axis, lines)

    def mean_of_cells(self, cells: Tensor) -> Tensor:
        """[C, B, W] to [B, W]."""
        return _mixed(self.all_cells, cells).squeeze(0)

    def mean_of_lines(self, lines: Tensor) -> Tensor:
        """[L, B, W] to [B, W]."""
        return _mixed(self.all_lines, lines).squeeze(0)


def _mixed(by: Tensor, told: Tensor) -> Tensor:
    return (by @ told.flatten(1)).unflatten(1, told.shape[1:])


class LineBlock(nn.Module):
    """Cells, lines and the board hear each other at once: x + step(act(all that is heard)).

    What is heard are linear maps of norm(x). Sums over cells and axes come before the maps, and
    sums over a cell's lines after them: that is less arithmetic.
    """

    def __init__(self, width: int, incidence: Incidence) -> None:
        super().__init__()
        self.incidence = incidence
        self.norms = Norms(width)
        self.cell_of_itself = nn.Linear(width, width, bias=False)
        self.cell_of_lines = ByAxis(width, width)
        self.cell_of_board = nn.Linear(width, width)
        self.line_of_itself = nn.Linear(width, width, bias=False)
        self.line_of_cells = ByAxis(width, width)
        self.line_of_axis = nn.Linear(width, width, bias=False)
        self.line_of_board = nn.Linear(width, width)
        self.board_of_itself = nn.Linear(width, width)
        self.board_of_cells = nn.Linear(width, width, bias=False)
        self.board_of_lines = nn.Linear(width, width, bias=False)
        self.cell_step = Step(width, width, bias=False)
        self.line_step = Step(width, width, bias=False)
        self.board_step = Step(width, width, bias=False)
        self.act = nn.LeakyReLU()

    def silence(self) -> None:
        """The steps' weights at 0: nothing is added, until something is learnt."""
        for step in (self.cell_step, self.line_step, self.board_step):
            nn.init.zeros_(step.weight)

    def forward(self, told: Told) -> Told:
        """`Told` to the same shapes."""
        cells, lines, board = self.norms(told)
        to_cells = (
            self.cell_of_itself(cells)
            + self.incidence.cells_from_lines(self.cell_of_lines(lines))
            + self.cell_of_board(board)
        )
        of_axis = self.line_of_axis(self.incidence.axes_from_lines(lines))
        to_lines = (
            self.line_of_itself(lines)
            + self.line_of_cells(self.incidence.lines_from_cells(cells))
            + of_axis.repeat_interleave(len(lines) // AXES, dim=0)
            + self.line_of_board(board)
        )
        to_board = (
            self.board_of_itself(board)
            + self.board_of_cells(self.incidence.mean_of_cells(cells))
            + self.board_of_lines(self.incidence.mean_of_lines(lines))
        )
        return Told(
            self.cell_step.added(told.cells, self.act(to_cells)),
            self.line_step.added(told.lines, self.act(to_lines)),
            self.board_step.added(told.board, self.act(to_board)),
        )


class LineTrunk(nn.Module):
    """`Features` through blocks of cells and lines to what each cell knows in the end.

    Cells and lines that a half turn changes into each other begin with the same vector for their
    place, so that whatever is said of a board is said of the turned one, turned.
    """

    def __init__(self, variant: Variant, width: int, blocks: int) -> None:
        super().__init__()
        widest = max(len(values) for values in variant.values)
        last = variant.cells - 1
        first_of_pair = [min(pair) for pair in enumerate(variant.turned_lines)]
        line_places = sorted(set(first_of_pair))
        place_of_cell = torch.tensor([min(cell, last - cell) for cell in range(variant.cells)])
        place_of_line = torch.tensor([line_places.index(line) for line in first_of_pair])
        self.register_buffer("place_of_cell", place_of_cell, persistent=False)
        self.register_buffer("place_of_line", place_of_line, persistent=False)
        self.place_of_cell: Tensor  # [C] which row of `cell_place` each cell begins with
        self.place_of_line: Tensor  # [L]
        incidence = Incidence(variant)
        of_cell = AXES * widest + 1 + OF_CELL + OF_TILE * variant.tiles
        self.cell_stem = nn.Linear(of_cell, width, bias=False)
        self.line_stem = ByAxis(OF_LINE * widest + widest, width)
        self.board_stem = nn.Linear(2 * variant.tiles + AXES * widest, width)
        self.cell_place = nn.Embedding(variant.cells // 2 + 1, width)
        self.line_place = nn.Embedding(len(line_places), width)
        self.blocks = nn.ModuleList(LineBlock(width, incidence) for _ in range(blocks))
        self.incidence = incidence
        self.out_of_cell = nn.Linear(width, 2 * width, bias=False)
        self.out_of_lines = ByAxis(width, 2 * width)
        self.out_of_board = nn.Linear(width, 2 * width)
        self.norms = Norms(width)
        self.act = nn.LeakyReLU()

    def begin(self, features: Features) -> Told:
        """What is known before anything is heard, from features of B boards."""
        cells = torch.cat(
            (
                features.cells,
                features.filled.unsqueeze(2),
                features.prospects.transpose(1, 2),
                features.suits.flatten(2),
                features.promised.transpose(1, 2),
            ),
            dim=2,
        ).transpose(0, 1)
        # [B, K, L, N / A] to [L, B, K x N / A], and beside it the tiles left of the axis's numbers.
        lines = features.lines.permute(2, 0, 1, 3).flatten(2)
        left = features.numbers_left.unflatten(1, (AXES, -1)).transpose(0, 1)
        left = left.repeat_interleave(len(lines) // AXES, dim=0)
        board = torch.cat((features.tiles_left, features.numbers_left, features.wanted), dim=1)
        return Told(
            self.cell_stem(cells) + self.cell_place(self.place_of_cell).unsqueeze(1),
            self.line_stem(torch.cat((lines, left), dim=2))
            + self.line_place(self.place_of_line).unsqueeze(1),
            self.board_stem(board),
        )

    def forward(self, features: Features) -> Tensor:
        """To [C, B, 2 W]."""
        told = self.begin(features)
        for block in self.blocks:
            told = block(told)
        told = self.norms(told)
        known = (
            self.out_of_cell(told.cells)
            + self.incidence.cells_from_lines(self.out_of_lines(told.lines))
            + self.out_of_board(told.board)
        )
        return self.act(known)


class LineHeads(nn.Module):
    """Linear maps from what a cell knows to a number for every tile, twice."""

    def __init__(self, variant: Variant, width: int) -> None:
        super().__init__()
        self.policy = nn.Linear(2 * width, variant.tiles)
        self.q = nn.Linear(2 * width, variant.tiles)

    def forward(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """From [C, B, 2 W] to policy and q, both [B, T, C]."""
        return self.policy(cells).permute(1, 2, 0), self.q(cells).permute(1, 2, 0)
