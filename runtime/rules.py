"""The rules, compiled: gains, scores, legal cells, for arrays of boards.

A board is int8 [C], a tile id for each cell or `EMPTY`. Every drawn tile lies on the board, so the
board alone says which tiles may still come. All functions take int8 [B, C] and loop in compiled
code; nothing here knows about search or networks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from azx.runtime.compiled import compiled, inlined
from azx.runtime.variant import Tables, Variant

EMPTY = -1


@inlined
def placement_gain(tables: Tables, board: NDArray[np.int8], tile: int, cell: int) -> int:
    """Points won at once by laying `tile` on the empty `cell` of one board [C].

    A line pays number x length when the placement fills it and all its tiles show the number.
    """
    gain = 0
    for axis in range(3):
        line = tables.cell_lines[cell, axis]
        number = tables.tile_values[tile, axis]
        length = tables.line_length[line]
        complete = True
        for k in range(length):
            other = tables.line_cells[line, k]
            if other != cell and (
                board[other] < 0 or tables.tile_values[board[other], axis] != number
            ):
                complete = False
                break
        if complete:
            gain += number * length
    return gain


@compiled
def _placement_gains(tables, boards, tiles, cells, out):  # type: ignore[no-untyped-def]
    for b in range(boards.shape[0]):
        out[b] = placement_gain(tables, boards[b], tiles[b], cells[b])


@compiled
def add_board_gains(tables: Tables, board: NDArray[np.int8], out: NDArray[np.float32]) -> None:
    """Add to `out` [T, C] the gain of every tile on every empty cell of one board.

    Only a line with one cell left and a single number can pay, and most boards have few of those,
    so lines are walked rather than placements. Used tiles get numbers too; callers skip them.
    """
    tiles = tables.tile_values.shape[0]
    for line in range(tables.line_length.shape[0]):
        axis = tables.line_axis[line]
        length = tables.line_length[line]
        open_cell = -1
        number = -1
        pays = True
        for k in range(length):
            cell = tables.line_cells[line, k]
            if board[cell] < 0:
                if open_cell >= 0:
                    pays = False
                    break
                open_cell = cell
            else:
                shown = tables.tile_values[board[cell], axis]
                if number < 0:
                    number = shown
                elif shown != number:
                    pays = False
                    break
        if pays and open_cell >= 0:
            for tile in range(tiles):
                if tables.tile_values[tile, axis] == number:
                    out[tile, open_cell] += number * length


@compiled
def _all_gains(tables, boards, out):  # type: ignore[no-untyped-def]
    for b in range(boards.shape[0]):
        add_board_gains(tables, boards[b], out[b])


@compiled
def _scores(tables, boards, out):  # type: ignore[no-untyped-def]
    for b in range(boards.shape[0]):
        total = 0
        for line in range(tables.line_length.shape[0]):
            axis = tables.line_axis[line]
            first = boards[b, tables.line_cells[line, 0]]
            if first < 0:
                continue
            number = tables.tile_values[first, axis]
            complete = True
            for k in range(1, tables.line_length[line]):
                tile = boards[b, tables.line_cells[line, k]]
                if tile < 0 or tables.tile_values[tile, axis] != number:
                    complete = False
                    break
            if complete:
                total += number * tables.line_length[line]
        out[b] = total


@compiled
def _tiles_left(boards, out):  # type: ignore[no-untyped-def]
    for b in range(boards.shape[0]):
        for c in range(boards.shape[1]):
            if boards[b, c] >= 0:
                out[b, boards[b, c]] = False


def placement_gains(
    variant: Variant, boards: NDArray[np.int8], tiles: NDArray[np.int8], cells: NDArray[np.int8]
) -> NDArray[np.int32]:
    """int32 [B]: points won by laying `tiles` [B] on the empty `cells` [B] of `boards` [B, C]."""
    out = np.empty(len(boards), dtype=np.int32)
    _placement_gains(variant.tables, boards, tiles, cells, out)
    return out


@inlined
def what_is_left(board, kinds):  # type: ignore[no-untyped-def]
    """How many cells of a board int8 [C] are empty, and which of `kinds` tiles may come (bits)."""
    empty, unused = 0, (1 << kinds) - 1
    for c in range(board.shape[0]):
        if board[c] >= 0:
            unused ^= 1 << board[c]
        else:
            empty += 1
    return empty, unused


@inlined
def best_of(board, worth):  # type: ignore[no-untyped-def]
    """The largest of a tile's `worth` float32 [C] over the empty cells, as float64."""
    best = np.float32(-np.inf)
    for c in range(board.shape[0]):
        if board[c] < 0:
            best = max(best, worth[c])
    return float(best)


@inlined
def mean_of_best(board, worth, unused):  # type: ignore[no-untyped-def]
    """The mean of `best_of` over the `unused` tiles (bits), from `worth` float32 [T, C]."""
    total, left = 0.0, 0
    for t in range(worth.shape[0]):
        if (unused >> t) & 1:
            total += best_of(board, worth[t])
            left += 1
    return total / left


class Placements(NamedTuple):
    """M placements on some of G boards."""

    game: NDArray[np.int64]  # [M] which board
    cell: NDArray[np.int64]  # [M]
    gain: NDArray[np.int32]  # [M] points made at once
    after: NDArray[np.int8]  # [M, C] the board with the tile laid


def every_placement(
    variant: Variant, boards: NDArray[np.int8], tiles: NDArray[np.int8]
) -> Placements:
    """Each of `tiles` int8 [G] on each empty cell of its board int8 [G, C]."""
    game, cell = np.nonzero(boards == EMPTY)
    after, laid = boards[game], tiles[game]
    gain = placement_gains(variant, after, laid, cell.astype(np.int8))
    after[np.arange(len(after)), cell] = laid
    return Placements(game, cell, gain, after)


def all_gains(variant: Variant, boards: NDArray[np.int8]) -> NDArray[np.float32]:
    """float32 [B, T, C]: the gain of every tile on every empty cell; 0 on filled cells."""
    out = np.zeros((len(boards), variant.tiles, variant.cells), dtype=np.float32)
    _all_gains(variant.tables, boards, out)
    return out


def scores(variant: Variant, boards: NDArray[np.int8]) -> NDArray[np.int32]:
    """int32 [B]: number x length over all complete lines, full boards or not."""
    out = np.empty(len(boards), dtype=np.int32)
    _scores(variant.tables, boards, out)
    return out


def legal_cells(boards: NDArray[np.int8]) -> NDArray[np.bool_]:
    """bool [B, C]: the cells that a tile may be laid on."""
    return boards == EMPTY


def tiles_left(variant: Variant, boards: NDArray[np.int8]) -> NDArray[np.bool_]:
    """bool [B, T]: the tiles that may be drawn next, all with equal chance."""
    out = np.ones((len(boards), variant.tiles), dtype=np.bool_)
    _tiles_left(boards, out)
    return out


def half_turn(boards: NDArray[np.int8]) -> NDArray[np.int8]:
    """int8 [B, C]: the boards turned by 180 degrees, the only exact symmetry of the game."""
    return boards[:, ::-1]
