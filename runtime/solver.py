"""Perfect play on small boards, by dynamic programming over every afterstate.

    V(board) = mean over tiles t left of max over empty cells c of gain(t, c) + V(board, t at c)

This is the ground truth that search and training are checked against. Boards with k tiles are
numbered without gaps by (which cells are filled, which tiles in turn), so that the values of a
level fill one array.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import comb, perm

import numpy as np
from numpy.typing import NDArray

from azx.runtime.compiled import compiled
from azx.runtime.errors import UsageError
from azx.runtime.players import Player
from azx.runtime.rules import all_gains, placement_gain, tiles_left
from azx.runtime.variant import Variant

#: More afterstates than this are refused: 8 bytes each, and a minute for every 50 million.
MOST_AFTERSTATES = 50_000_000

#: Boards handed to a policy at a time.
POLICY_BATCH = 4096


def afterstate_count(variant: Variant) -> int:
    """How many different boards there are, from empty to full."""
    cells, tiles = variant.cells, variant.tiles
    return sum(comb(cells, k) * perm(tiles, k) for k in range(cells + 1))


@compiled
def _rank(board, shape_of, tiles):  # type: ignore[no-untyped-def]
    """The number of `board` within its level: its shape's number, then its tiles' (Lehmer code)."""
    mask = 0
    used = 0
    code = 0
    placed = 0
    for c in range(board.shape[0]):
        tile = board[c]
        if tile >= 0:
            mask |= 1 << c
            smaller = 0
            for other in range(tile):
                smaller += (used >> other) & 1
            code = code * (tiles - placed) + (tile - smaller)
            used |= 1 << tile
            placed += 1
    arrangements = 1
    for k in range(placed):
        arrangements *= tiles - k
    return shape_of[mask] * arrangements + code


@compiled
def _unrank(rank, placed, shapes, tiles, board):  # type: ignore[no-untyped-def]
    """Write to `board` the board of this number; `shapes` lists the level's masks."""
    arrangements = 1
    for k in range(placed):
        arrangements *= tiles - k
    mask = shapes[rank // arrangements]
    code = rank % arrangements
    digits = np.empty(placed, dtype=np.int64)
    for k in range(placed - 1, -1, -1):
        digits[k] = code % (tiles - k)
        code //= tiles - k
    used = 0
    k = 0
    for c in range(board.shape[0]):
        board[c] = -1
        if (mask >> c) & 1:
            tile = -1
            free = digits[k]
            while free >= 0:
                tile += 1
                if not (used >> tile) & 1:
                    free -= 1
            board[c] = tile
            used |= 1 << tile
            k += 1


@compiled
def _solve_level(tables, shapes, shape_of, placed, after, values, start):  # type: ignore[no-untyped-def]
    """Fill `values` for boards `start`, `start` + 1, ... of a level from `after`, the next."""
    tiles = tables.tile_values.shape[0]
    size = tables.cell_lines.shape[0]
    board = np.empty(size, dtype=np.int8)
    for i in range(values.shape[0]):
        _unrank(start + i, placed, shapes, tiles, board)
        used = 0
        for c in range(size):
            if board[c] >= 0:
                used |= 1 << board[c]
        total = 0.0
        for tile in range(tiles):
            if (used >> tile) & 1:
                continue
            best = -1.0
            for c in range(size):
                if board[c] >= 0:
                    continue
                worth = float(placement_gain(tables, board, tile, c))
                if placed + 1 < size:
                    board[c] = tile
                    worth += after[_rank(board, shape_of, tiles)]
                    board[c] = -1
                best = max(best, worth)
            total += best
        values[i] = total / (tiles - placed)


@compiled
def _ranks(boards, shape_of, tiles, out):  # type: ignore[no-untyped-def]
    for b in range(boards.shape[0]):
        out[b] = _rank(boards[b], shape_of, tiles)


@compiled
def _unranks(ranks, placed, shapes, tiles, out):  # type: ignore[no-untyped-def]
    for b in range(ranks.shape[0]):
        _unrank(ranks[b], placed, shapes, tiles, out[b])


class _Levels:
    """The numbering: for each count of placed tiles, the shapes and each shape's number."""

    def __init__(self, variant: Variant) -> None:
        masks = np.arange(1 << variant.cells, dtype=np.int64)
        placed = np.array([int(mask).bit_count() for mask in masks])
        self.shapes = [masks[placed == k] for k in range(variant.cells + 1)]
        self.shape_of = np.zeros(len(masks), dtype=np.int64)
        for shapes in self.shapes:
            self.shape_of[shapes] = np.arange(len(shapes))
        self.tiles = variant.tiles

    def ranks(self, boards: NDArray[np.int8]) -> NDArray[np.int64]:
        """int64 [B]: the numbers of boards [B, C], each within its own level."""
        out = np.empty(len(boards), dtype=np.int64)
        _ranks(boards, self.shape_of, self.tiles, out)
        return out

    def boards(self, placed: int, ranks: NDArray[np.int64]) -> NDArray[np.int8]:
        """int8 [B, C]: the boards with `placed` tiles that have these numbers."""
        out = np.empty((len(ranks), len(self.shapes) - 1), dtype=np.int8)
        _unranks(ranks, placed, self.shapes[placed], self.tiles, out)
        return out


@dataclass(frozen=True)
class Solution:
    """Perfect play on a variant: `values[k]` float64 over the boards with k tiles."""

    variant: Variant
    values: tuple[NDArray[np.float64], ...]
    levels: _Levels

    @property
    def optimum(self) -> float:
        """The expected score of perfect play from the empty board, in points."""
        return float(self.values[0][0])

    @property
    def afterstates(self) -> int:
        """How many boards there are, full ones included."""
        return afterstate_count(self.variant)

    def value(self, boards: NDArray[np.int8]) -> NDArray[np.float64]:
        """float64 [B]: points still to come under perfect play from `boards` [B, C]."""
        placed = (boards >= 0).sum(axis=1)
        out = np.zeros(len(boards), dtype=np.float64)
        for k in np.unique(placed[placed < self.variant.cells]):
            rows = np.flatnonzero(placed == k)
            out[rows] = self.values[k][self.levels.ranks(boards[rows])]
        return out


def solve(variant: Variant, progress: Callable[[int, int], None] | None = None) -> Solution:
    """Solve `variant` exactly; `progress(done, all)` counts afterstates.

    Raises `UsageError` for a variant of more than `MOST_AFTERSTATES`.
    """
    total = afterstate_count(variant)
    if total > MOST_AFTERSTATES:
        raise UsageError(
            f"{variant.name} has {total:,} afterstates, the solver takes at most "
            f"{MOST_AFTERSTATES:,}: try --variant mini"
        )
    levels = _Levels(variant)
    after = np.zeros(0, dtype=np.float64)
    values: list[NDArray[np.float64]] = []
    done = comb(variant.cells, variant.cells) * perm(variant.tiles, variant.cells)
    chunk = 50_000
    for placed in range(variant.cells - 1, -1, -1):
        here = np.empty(len(levels.shapes[placed]) * perm(variant.tiles, placed))
        for start in range(0, len(here), chunk):
            _solve_level(
                variant.tables, levels.shapes[placed], levels.shape_of, placed, after,
                here[start : start + chunk], start,
            )  # fmt: skip
            if progress is not None:
                progress(done + min(start + chunk, len(here)), total)
        done += len(here)
        values.append(here)
        after = here
    return Solution(variant, tuple(reversed(values)), levels)


#: int8 boards [B, C] to the probability float [B, T, C] of laying each tile on each cell.
Policy = Callable[[NDArray[np.int8]], NDArray[np.floating]]


def expected_score(variant: Variant, policy: Policy) -> float:
    """The exact expected score, in points, of a policy that looks at the board and the tile alone.

    Walks forward through the boards that the policy can reach, each with its probability; a policy
    that is certain of its moves reaches few. Rows of tiles already placed are not looked at.
    """
    levels = _Levels(variant)
    boards = variant.empty_boards(1)
    reach = np.ones(1)
    score = 0.0
    for placed in range(variant.cells):
        last = placed + 1 == variant.cells
        size = 0 if last else len(levels.shapes[placed + 1]) * perm(variant.tiles, placed + 1)
        reach_after = np.zeros(size)
        for start in range(0, len(boards), POLICY_BATCH):
            part = boards[start : start + POLICY_BATCH]
            # The last cell is no choice, and there are most boards there.
            probability = (part < 0)[:, None, :] if last else policy(part)
            score += _advance(
                variant, levels, part, reach[start : start + POLICY_BATCH], probability, reach_after
            )
        ranks = np.flatnonzero(reach_after)
        boards = levels.boards(placed + 1, ranks)
        reach = reach_after[ranks]
    return score


def _advance(
    variant: Variant,
    levels: _Levels,
    boards: NDArray[np.int8],
    reach: NDArray[np.float64],
    probability: NDArray[np.floating] | NDArray[np.bool_],
    reach_after: NDArray[np.float64],
) -> float:
    """Points won in this turn, weighted; spreads `reach` over the boards that come next."""
    left = tiles_left(variant, boards)
    chance = left / left.sum(axis=1, keepdims=True)
    weight = reach[:, None, None] * chance[:, :, None] * probability
    row, tile, cell = np.nonzero(weight)
    won = (all_gains(variant, boards)[row, tile, cell] * weight[row, tile, cell]).sum()
    if reach_after.size:
        after = boards[row]
        after[np.arange(len(after)), cell] = tile
        np.add.at(reach_after, levels.ranks(after), weight[row, tile, cell])
    return float(won)


def policy_of(player: Player) -> Policy:
    """The policy of a player that is certain of its moves, as `expected_score` wants it."""

    def policy(boards: NDArray[np.int8]) -> NDArray[np.float32]:
        rows, tiles = np.nonzero(tiles_left(player.variant, boards))
        keys = np.zeros(len(rows), dtype=np.uint64)
        cells = player.choose(boards[rows], tiles.astype(np.int8), keys)
        shape = (len(boards), player.variant.tiles, player.variant.cells)
        probability = np.zeros(shape, dtype=np.float32)
        probability[rows, tiles, cells] = 1.0
        return probability

    return policy
