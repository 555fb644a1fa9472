"""From int8 boards to what a network learns from, with matrix products and comparisons only.

Everything here ends up in the ONNX graph, which is why there is no indexing by data: only
operators that every runtime has and that keep the batch free.
"""

from __future__ import annotations

from math import comb
from typing import NamedTuple

import torch
from torch import Tensor, nn

from azx.runtime.variant import AXES, Variant

#: The kinds of suiting: on which axes a tile suits a cell's lines, as `Features.suits` tells them.
SUITED_AXES = ((0, 1), (0, 2), (1, 2), (0, 1, 2))

#: Features of each line and number, `Features.lines`; of each empty cell, `.prospects`; and of each
#: empty cell and tile, `.suits` and `.promised`.
OF_LINE = 5
OF_CELL = OF_TILE = len(SUITED_AXES) + 1


class Features(NamedTuple):
    """What is known of a batch of boards, by these letters.

    B boards, C cells, L lines, A axes, N numbers over all axes, T tiles, K kinds of suiting.
    """

    cells: Tensor  # [B, C, N] one-hot: the number that each cell shows on each axis
    filled: Tensor  # [B, C] 1 where a tile lies
    tiles_left: Tensor  # [B, T] 1 for tiles that may still come
    numbers_left: Tensor  # [B, N] tiles left with this number, as a share
    #: [B, OF_LINE, L, N / A] each line and number: possible; tiles lying; surplus of tiles; the
    #: chance that as many as are wanted will be drawn; that chance times the points it wins
    lines: Tensor
    #: [B, OF_CELL, C] each empty cell: tiles left that suit two of its lines, by pair, and all
    #: three; the points that the next tile would win there, in the mean
    prospects: Tensor
    #: [B, C, T, K] each empty cell and tile left: 1 where it suits two of the cell's lines, by
    #: pair, and all three
    suits: Tensor
    #: [B, T, C] points of the cell's lines that the tile suits, each times the chance of it
    promised: Tensor
    wanted: Tensor  # [B, T] empty cells that the tile suits on all three lines, by the longest line
    gains: Tensor  # [B, T, C] points that each placement on an empty cell wins at once
    empty_cells: Tensor  # [B] how many


class BoardEncoding(nn.Module):
    """Computes `Features`; holds the variant's constants and no parameters.

    The line features tell, for each line and each number of its axis, whether it can still be
    completed with that number, how many such tiles lie there, how many more such tiles are left
    than the line has empty cells, how likely enough of them are drawn, and what that is worth. They
    halve the games that learning takes. The prospects tell of each empty cell what is left for it,
    and tile by tile what suits it: which cells want the same tile is hard to find out otherwise.
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
        on_line = torch.from_numpy(variant.on_line).T.repeat_interleave(widest, dim=1)
        number_on_line = torch.zeros(variant.cells, numbers, lines, widest)
        number_of_line = torch.zeros(numbers, lines, widest)
        points = torch.zeros(lines, widest, variant.tiles, variant.cells)
        pays = torch.zeros(lines, widest)
        for line, cells in enumerate(variant.lines):
            axis = int(variant.tables.line_axis[line])
            for digit, number in enumerate(variant.values[axis]):
                pays[line, digit] = float(number * len(cells))
                matching = torch.from_numpy(variant.tile_digits[:, axis] == digit)
                for cell in cells:
                    points[line, digit, matching, cell] = pays[line, digit]
            for digit in range(widest):
                number_on_line[list(cells), axis * widest + digit, line, digit] = 1.0
                number_of_line[axis * widest + digit, line, digit] = 1.0
        tiles, kinds = variant.tiles, len(SUITED_AXES)
        suited = torch.zeros(numbers, tiles, kinds)
        for kind, axes in enumerate(SUITED_AXES):
            for axis in axes:
                of_axis = slice(axis * widest, (axis + 1) * widest)
                suited[of_axis, :, kind] = shows[:, of_axis].T
        self.lines, self.widest = lines, widest
        self.gains_shape = (variant.tiles, variant.cells)
        self.longest = float(2 * variant.radius + 1)
        self.most = float(shows.sum(dim=0).max())
        self.turned_lines = list(variant.turned_lines)
        self.tiles, self.dearest = float(variant.tiles), float(pays.max())
        constants = {
            "enough": _chances_of_enough(variant, int(self.longest), int(self.most)).flatten(1),
            "tile_ids": torch.arange(variant.tiles, dtype=torch.int8),
            "shows": shows,
            "on_line": on_line,
            "number_on_line": number_on_line.reshape(variant.cells * numbers, lines * widest),
            "number_of_line": number_of_line.reshape(numbers, lines * widest),
            "length": on_line.sum(dim=0),
            "suited": suited.flatten(1),
            "all_suited": torch.tensor([float(len(axes)) for axes in SUITED_AXES]).repeat(tiles),
            "each_kind": torch.eye(kinds).repeat(tiles, 1),
            "each_kind_of_tile": torch.eye(tiles).repeat_interleave(kinds, dim=1),
            "pays": pays.flatten() / self.dearest,
            "points": points.reshape(lines * widest, variant.tiles * variant.cells),
        }
        for name, constant in constants.items():
            self.register_buffer(name, constant, persistent=False)
        self.enough: Tensor  # [C + 1, (W + 1) x (M + 1)] see `_chances_of_enough`
        self.tile_ids: Tensor
        self.shows: Tensor
        self.on_line: Tensor  # [C, L x N / A] 1 where the cell is on the line
        self.number_on_line: Tensor  # [C x N, L x N / A] the same for the line's numbers
        self.number_of_line: Tensor  # [N, L x N / A] 1 where the number is the line's
        self.length: Tensor  # [L x N / A] the line's cells
        self.suited: Tensor  # [N, T x K] the numbers of each tile on the axes of each kind
        self.all_suited: Tensor  # [T x K] how many they are
        self.each_kind: Tensor  # [T x K, K] the sum over the tiles
        self.each_kind_of_tile: Tensor  # [T, T x K] once for each kind
        self.pays: Tensor  # [L x N / A] the finished line's points, by the dearest line's
        self.points: Tensor  # [L x N / A, T x C] its points where such a tile lies on the line

    def forward(self, board: Tensor) -> Features:
        """From int8 [B, C]."""
        lies = (board.unsqueeze(-1) == self.tile_ids).to(self.shows.dtype)  # [B, C, T]
        filled = (board >= 0).to(self.shows.dtype)
        empty = 1.0 - filled
        tiles_left = 1.0 - lies.sum(dim=1)
        cells = lies @ self.shows
        numbers_left = tiles_left @ self.shows
        # Lines and numbers side by side, [B, L x N / A]: sums of tensors of two shapes take longer.
        lying = cells.flatten(1) @ self.number_on_line
        filled_on_line = filled @ self.on_line
        possible = (lying == filled_on_line).to(lying.dtype)
        wanted = self.length - filled_on_line
        surplus = numbers_left @ self.number_of_line - wanted
        empty_cells = empty.sum(dim=1)
        enough = possible * self._enough(empty_cells, numbers_left, wanted)
        lines = torch.stack(
            (
                possible,
                possible * lying / self.longest,
                possible * surplus / self.most,
                enough,
                enough * self.pays,
            ),
            dim=1,
        ).unflatten(2, (self.lines, self.widest))
        # A line with one cell left and one number pays number x length for the tile that ends it.
        ends = possible * (wanted == 1.0).to(possible.dtype)
        gains = self._of_placements(ends) * empty.unsqueeze(1)
        promised = self._of_placements(enough) / self.dearest
        suits = self._suits(possible, empty, tiles_left)
        # Counts are exact in bfloat16, which the product may be made in; shares of 27 are not.
        suiting = (suits @ self.each_kind).to(suits.dtype).transpose(1, 2) / self.tiles
        suits = suits.unflatten(2, (-1, len(SUITED_AXES)))
        next_gain = (tiles_left.unsqueeze(1) @ gains) / (self.dearest * self.widest)
        return Features(
            cells,
            filled,
            tiles_left,
            numbers_left / self.most,
            lines,
            torch.cat((suiting, next_gain), dim=1),
            suits,
            promised * tiles_left.unsqueeze(2) * empty.unsqueeze(1),
            suits[..., -1].sum(dim=1) / self.longest,
            gains,
            empty_cells,
        )

    def turned(self, features: Features) -> Features:
        """The features of the same boards turned by half a turn."""
        return features._replace(
            cells=features.cells.flip(1),
            filled=features.filled.flip(1),
            lines=features.lines[:, :, self.turned_lines],
            prospects=features.prospects.flip(2),
            suits=features.suits.flip(1),
            promised=features.promised.flip(2),
            gains=features.gains.flip(2),
        )

    def _enough(self, empty_cells: Tensor, numbers_left: Tensor, wanted: Tensor) -> Tensor:
        """[B, L x N / A] how likely as many tiles as are `wanted` [B, L x N / A] are drawn."""
        draws = _one_hot(empty_cells, self.enough.shape[0])
        by_tiles_left = (draws @ self.enough).unflatten(1, (-1, int(self.most) + 1))
        by_number = by_tiles_left @ _one_hot(numbers_left, int(self.most) + 1)  # [B, W + 1, N]
        of_lines = by_number @ self.number_of_line  # [B, W + 1, L x N / A]
        return (of_lines * _one_hot(wanted, int(self.longest) + 1)).sum(dim=1)

    def _of_placements(self, lines: Tensor) -> Tensor:
        """[B, T, C] what each placement wins: its lines' points for its numbers, times `lines`."""
        return (lines @ self.points).reshape(-1, *self.gains_shape)

    def _suits(self, possible: Tensor, empty: Tensor, tiles_left: Tensor) -> Tensor:
        """[B, C, T x K] 1 for tiles left whose numbers a cell's lines can still be completed with.

        By `SUITED_AXES`: one product counts for all of them on how many axes the tile's number is
        one of the cell's. Nothing suits a cell that is filled.
        """
        by_cell = (possible @ self.number_on_line.T).unflatten(1, (-1, self.shows.shape[1]))
        by_cell = by_cell * empty.unsqueeze(2)
        suits = (by_cell @ self.suited == self.all_suited).to(tiles_left.dtype)
        # A product again: to repeat each tile takes onnxruntime longer (docs/log.md).
        return suits * (tiles_left @ self.each_kind_of_tile).unsqueeze(1)


def _one_hot(counts: Tensor, kinds: int) -> Tensor:
    """Whole numbers [B, ...] from 0 to `kinds` - 1, as floats [B, kinds, ...]."""
    kind = torch.arange(kinds, device=counts.device).unflatten(0, (-1,) + (1,) * (counts.ndim - 1))
    return (counts.unsqueeze(1) == kind).to(counts.dtype)


def _chances_of_enough(variant: Variant, longest: int, most: int) -> Tensor:
    """[C + 1, W + 1, M + 1] by cells empty, tiles of a number wanted and tiles of it left.

    The upper tail of the hypergeometric distribution: as many tiles are drawn as cells are empty.
    """
    chances = torch.zeros(variant.cells + 1, longest + 1, most + 1)
    for draws in range(variant.cells + 1):
        left = variant.tiles - variant.cells + draws
        for kind in range(min(most, left) + 1):
            ways = [comb(kind, n) * comb(left - kind, draws - n) for n in range(draws + 1)]
            for wanted in range(longest + 1):
                chances[draws, wanted, kind] = sum(ways[wanted:]) / comb(left, draws)
    return chances
