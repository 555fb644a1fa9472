"""From int8 boards to what a network learns from, with matrix products and comparisons only.

Everything here ends up in the ONNX graph, which is why there is no indexing by data: only
operators that every runtime has and that keep the batch free.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from azx.runtime.variant import AXES, Variant


class Features(NamedTuple):
    """What is known of a batch of boards (B boards, C cells, L lines, N numbers over all axes)."""

    cells: Tensor  # [B, C, N] one-hot: the number that each cell shows on each axis
    filled: Tensor  # [B, C] 1 where a tile lies
    tiles_left: Tensor  # [B, T] 1 for tiles that may still come
    numbers_left: Tensor  # [B, N] tiles left with this number, as a share
    lines: Tensor  # [B, 3, L, N / A] each line and number: possible; tiles lying; surplus of tiles
    gains: Tensor  # [B, T, C] points that each placement on an empty cell wins at once
    empty_cells: Tensor  # [B] how many


class BoardEncoding(nn.Module):
    """Computes `Features`; holds the variant's constants and no parameters.

    The line features tell, for each line and each number of its axis, whether it can still be
    completed with that number, how many such tiles lie there, and how many more such tiles are
    left than the line has empty cells. They halve the games that learning takes.
    """

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        # Axes with fewer numbers than the widest leave columns that are always 0.
        widest = max(len(values) for values in variant.values)
        numbers = AXES * widest
        shows = torch.zeros(variant.tiles, numbers)
        for axis in range(AXES):
            digits = torch.from_numpy(variant.tile_digits[:, axis]).long()
            shows[torch.arange(variant.tiles), axis * widest + digits] = 1.0
        lines = len(variant.lines)
        on_line = torch.zeros(variant.cells, lines)
        number_on_line = torch.zeros(variant.cells, numbers, lines, widest)
        number_of_line = torch.zeros(numbers, lines, widest)
        points = torch.zeros(lines, widest, variant.tiles, variant.cells)
        for line, cells in enumerate(variant.lines):
            axis = int(variant.tables.line_axis[line])
            for digit, number in enumerate(variant.values[axis]):
                matching = torch.from_numpy(variant.tile_digits[:, axis] == digit)
                for cell in cells:
                    points[line, digit, matching, cell] = float(number * len(cells))
            on_line[list(cells), line] = 1.0
            for digit in range(widest):
                number_on_line[list(cells), axis * widest + digit, line, digit] = 1.0
                number_of_line[axis * widest + digit, line, digit] = 1.0
        self.lines, self.widest = lines, widest
        self.gains_shape = (variant.tiles, variant.cells)
        self.longest = float(2 * variant.radius + 1)
        self.most = float(shows.sum(dim=0).max())
        constants = {
            "tile_ids": torch.arange(variant.tiles, dtype=torch.int8),
            "shows": shows,
            "on_line": on_line,
            "number_on_line": number_on_line.reshape(variant.cells * numbers, lines * widest),
            "number_of_line": number_of_line.reshape(numbers, lines * widest),
            "length": on_line.sum(dim=0),
            "points": points.reshape(lines * widest, variant.tiles * variant.cells),
        }
        for name, constant in constants.items():
            self.register_buffer(name, constant, persistent=False)
        self.tile_ids: Tensor
        self.shows: Tensor
        self.on_line: Tensor
        self.number_on_line: Tensor
        self.number_of_line: Tensor
        self.length: Tensor
        self.points: Tensor

    def forward(self, board: Tensor) -> Features:
        """From int8 [B, C]."""
        lies = (board.unsqueeze(-1) == self.tile_ids).to(self.shows.dtype)  # [B, C, T]
        filled = (board >= 0).to(self.shows.dtype)
        tiles_left = 1.0 - lies.sum(dim=1)
        cells = lies @ self.shows
        numbers_left = tiles_left @ self.shows
        by_line = (-1, self.lines, self.widest)
        lying = (cells.flatten(1) @ self.number_on_line).reshape(by_line)
        filled_on_line = (filled @ self.on_line).unsqueeze(-1)
        possible = (lying == filled_on_line).to(lying.dtype)
        wanted = self.length.unsqueeze(-1) - filled_on_line
        surplus = (numbers_left @ self.number_of_line).reshape(by_line) - wanted
        lines = torch.stack(
            (possible, possible * lying / self.longest, possible * surplus / self.most), dim=1
        )
        # A line with one cell left and one number pays number x length for the tile that ends it.
        pays = (possible * (wanted == 1.0).to(possible.dtype)).flatten(1)
        gains = (pays @ self.points).reshape(-1, *self.gains_shape)
        gains = gains * (1.0 - filled).unsqueeze(1)
        return Features(
            cells,
            filled,
            tiles_left,
            numbers_left / self.most,
            lines,
            gains,
            (1.0 - filled).sum(dim=1),
        )
