"""The last placements, exactly: every tile that may come, every cell, and no network.

An afterstate with e empty cells and t tiles left is worth the mean over the tiles of the best
gain + worth of what follows. With one cell left that is a sum over its lines; above, it is a
recursion. Few lines can still pay by then, and tiles that show the same numbers on those are worth
the same: one of each kind is looked at, which at three cells is four times as fast (docs/log.md).
"""

# numba infers these types.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from azx.runtime.compiled import compiled, inlined, inner
from azx.runtime.rules import placement_gain, what_is_left
from azx.runtime.variant import Variant


@inlined
def count_bits(bits):
    """How many bits are set in a number below 2**31."""
    bits = bits - ((bits >> 1) & 0x55555555)
    bits = (bits & 0x33333333) + ((bits >> 2) & 0x33333333)
    return (((bits + (bits >> 4)) & 0x0F0F0F0F) * 0x01010101 >> 24) & 0xFF


@inner
def _last_placement(tables, board, cell, unused, left):
    """Points to come with only `cell` empty: for each of its lines, number x length x chance."""
    total = 0
    for axis in range(3):
        line = tables.cell_lines[cell, axis]
        shown = -1
        pays = True
        for k in range(tables.line_length[line]):
            other = tables.line_cells[line, k]
            if other == cell:
                continue
            tile = board[other]
            if shown < 0:
                shown = tile
            elif tables.tile_values[tile, axis] != tables.tile_values[shown, axis]:
                pays = False
                break
        if pays:
            points = tables.tile_values[shown, axis] * tables.line_length[line]
            total += points * count_bits(unused & tables.alike[shown, axis])
    return total / left


@inner
def _live_tiles(tables, board, axis):
    """The tiles, as bits, whose number on `axis` some line that can still pay is made of."""
    live = 0
    for line in range(tables.line_length.shape[0]):
        if tables.line_axis[line] != axis:
            continue
        shown = -1
        open_cells = 0
        pays = True
        for k in range(tables.line_length[line]):
            tile = board[tables.line_cells[line, k]]
            if tile < 0:
                open_cells += 1
            elif shown < 0:
                shown = tile
            elif tables.tile_values[tile, axis] != tables.tile_values[shown, axis]:
                pays = False
                break
        if pays and open_cells > 0:
            if shown < 0:
                return -1  # nothing lies there yet: every number may
            live |= tables.alike[shown, axis]
    return live


@inner
def _begin_level(tables, board, masks, level, unused):
    masks[level, UNUSED] = unused
    masks[level, TO_COME] = unused
    masks[level, TILE] = -1
    for axis in range(3):
        masks[level, LIVE + axis] = _live_tiles(tables, board, axis)


@inner
def _next_kind(tables, masks, level):
    """Go on to the next kind of tile at this level; its first tile, or -1 after the last."""
    to_come = masks[level, TO_COME]
    if to_come == 0:
        return -1
    tile = 0
    while not (to_come >> tile) & 1:
        tile += 1
    kind = to_come
    for axis in range(3):
        live = masks[level, LIVE + axis]
        kind &= tables.alike[tile, axis] if (live >> tile) & 1 else ~live
    masks[level, TO_COME] = to_come & ~kind
    masks[level, KIND] = kind
    masks[level, TILE] = tile
    masks[level, CELL] = -1
    return tile


# Columns of the stack: sets of tiles as bits, and where each level is.
UNUSED, TO_COME, KIND, TILE, CELL, LIVE, COLUMNS = 0, 1, 2, 3, 4, 5, 8


@inner
def exact_value(tables, board, unused, empty, left):
    """Points to come from a board int8 [C] by perfect play, float64; the board is put back.

    `unused` holds the `left` tiles that may come as bits (int64), `empty` says how many cells are.
    The recursion is a loop with a stack: see `azx.runtime.compiled` for why.
    """
    if empty == 0:
        return 0.0
    if empty == 1:
        for cell in range(board.shape[0]):
            if board[cell] < 0:
                return _last_placement(tables, board, cell, unused, left)
    masks = np.empty((empty - 1, COLUMNS), dtype=np.int64)
    total = np.zeros(empty - 1)  # over the kinds of tiles that are done
    best = np.empty(empty - 1)  # over the cells, for the kind at hand
    gain = np.empty(empty - 1)  # of the placement that is being looked at
    level = np.int64(0)  # a constant would have what it is passed to compiled once more
    _begin_level(tables, board, masks, level, unused)
    while True:
        tile = masks[level, TILE]
        cell = masks[level, CELL] + 1 if tile >= 0 else board.shape[0]
        while cell < board.shape[0] and board[cell] >= 0:
            cell += 1
        if cell < board.shape[0]:
            masks[level, CELL] = cell
            gain[level] = placement_gain(tables, board, tile, cell)
            board[cell] = tile
            rest = masks[level, UNUSED] ^ (1 << tile)
            if level + 2 < empty:
                level += 1
                total[level] = 0.0
                _begin_level(tables, board, masks, level, rest)
                continue
            worth = 0.0
            for last in range(board.shape[0]):
                if board[last] < 0:
                    worth = _last_placement(tables, board, last, rest, left - level - 1)
            board[cell] = -1
            best[level] = max(best[level], gain[level] + worth)
            continue
        if tile >= 0:
            total[level] += best[level] * count_bits(masks[level, KIND])
        best[level] = -np.inf
        if _next_kind(tables, masks, level) >= 0:
            continue
        worth = total[level] / (left - level)
        if level == 0:
            return worth
        level -= 1
        board[masks[level, CELL]] = -1
        best[level] = max(best[level], gain[level] + worth)


@compiled
def _exact_values(tables, boards, values):
    kinds = tables.tile_values.shape[0]
    for b in range(boards.shape[0]):
        empty, unused = what_is_left(boards[b], kinds)
        left = kinds - boards.shape[1] + empty
        values[b] = exact_value(tables, boards[b], unused, empty, left)


def exact_values(variant: Variant, boards: NDArray[np.int8]) -> NDArray[np.float64]:
    """float64 [B]: points to come from `boards` int8 [B, C] by perfect play.

    Half a millisecond each with four empty cells, 37 with five.
    """
    values = np.empty(len(boards))
    _exact_values(variant.tables, boards, values)
    return values
