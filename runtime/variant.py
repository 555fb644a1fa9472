"""The boards of this family: radius and tile values give everything else.

Shape letters, used throughout the project:

    B batch of boards   G games in step   C cells   T tiles   L lines   A = 3 axes
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from azx.runtime.errors import UsageError

#: Raised when a change of the rules or of the numbering would make old models or records wrong.
RULES_VERSION = 1

AXES = 3


class Tables(NamedTuple):
    """What compiled code needs to know of a variant (a tuple of arrays, as numba likes it)."""

    tile_values: NDArray[np.int32]  # [T, A] the number a tile shows on each axis
    cell_lines: NDArray[np.int32]  # [C, A] the line through a cell along each axis
    line_cells: NDArray[np.int32]  # [L, longest] its cells, padded with -1
    line_length: NDArray[np.int32]  # [L]
    line_axis: NDArray[np.int32]  # [L]
    alike: NDArray[np.int32]  # [T, A] set of tiles, as bits, that show the same number there


@dataclass(frozen=True)
class Variant:
    """A hexagonal board and its tiles.

    `radius` 2 is the board of 19 cells; cells are numbered by columns, each from top to bottom.
    `values` are the numbers of the columns' axis, of the lines that rise to the right and of those
    that fall to the right; there is one tile for every combination, the last axis varying fastest.
    """

    name: str
    radius: int
    values: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]

    def __post_init__(self) -> None:
        if self.radius < 1:
            raise UsageError(f"a board needs a radius of at least 1, found {self.radius}")
        if len(self.values) != AXES or any(len(set(v)) != len(v) or not v for v in self.values):
            raise UsageError(f"values must be three lists of different numbers: {self.values}")
        if any(number < 1 for numbers in self.values for number in numbers):
            raise UsageError(f"a tile's numbers are 1 or more, found {self.values}")
        if self.tiles < self.cells:
            raise UsageError(
                f"{self.tiles} tiles cannot fill {self.cells} cells: give more values to an axis"
            )
        if self.tiles > 31:
            raise UsageError(f"{self.tiles} tiles found, at most 31 fit a set of bits")

    @property
    def cells(self) -> int:
        """C, which is also the number of draws in a game."""
        return 3 * self.radius * (self.radius + 1) + 1

    @property
    def tiles(self) -> int:
        """T."""
        first, second, third = self.values
        return len(first) * len(second) * len(third)

    @cached_property
    def cell_xy(self) -> NDArray[np.int32]:
        """int32 [C, 2]: column and falling diagonal of each cell, both from 0 to 2 * radius.

        On this square grid columns, rows and anti-diagonals are the three axes of the hexagon.
        """
        radius = self.radius
        return np.array(
            [
                (x + radius, row - min(0, x))
                for x in range(-radius, radius + 1)
                for row in range(2 * radius + 1 - abs(x))
            ],
            dtype=np.int32,
        )

    @cached_property
    def lines(self) -> tuple[tuple[int, ...], ...]:
        """The cells of each line: the columns, then the rising lines, then the falling ones."""
        columns, falling = self.cell_xy.T
        rising = columns + falling - self.radius
        return tuple(
            tuple(int(c) for c in np.flatnonzero(coordinate == k))
            for coordinate in (columns, rising, falling)
            for k in range(2 * self.radius + 1)
        )

    @cached_property
    def on_line(self) -> NDArray[np.float32]:
        """float32 [L, C]: 1 where the cell is on the line, else 0."""
        on_line = np.zeros((len(self.lines), self.cells), dtype=np.float32)
        for line, cells in enumerate(self.lines):
            on_line[line, list(cells)] = 1.0
        return on_line

    @cached_property
    def turned_lines(self) -> tuple[int, ...]:
        """For each line the one that half a turn of the board lays on it."""
        last = self.cells - 1
        turned = [tuple(last - cell for cell in reversed(line)) for line in self.lines]
        return tuple(self.lines.index(line) for line in turned)

    @cached_property
    def tile_values(self) -> NDArray[np.int32]:
        """int32 [T, A]: the numbers of each tile."""
        return np.array(list(product(*self.values)), dtype=np.int32)

    @cached_property
    def tile_digits(self) -> NDArray[np.int32]:
        """int32 [T, A]: the position of each number within its axis' values."""
        return np.array(list(product(*(range(len(v)) for v in self.values))), dtype=np.int32)

    @cached_property
    def tables(self) -> Tables:
        """The arrays for compiled code."""
        longest = 2 * self.radius + 1
        line_cells = np.full((len(self.lines), longest), -1, dtype=np.int32)
        cell_lines = np.zeros((self.cells, AXES), dtype=np.int32)
        axis = np.repeat(np.arange(AXES, dtype=np.int32), longest)
        for line, cells in enumerate(self.lines):
            line_cells[line, : len(cells)] = cells
            cell_lines[list(cells), axis[line]] = line
        length = np.array([len(cells) for cells in self.lines], dtype=np.int32)
        same = self.tile_values[:, None] == self.tile_values[None]  # [T, T, A]
        alike = (same << np.arange(self.tiles)[None, :, None]).sum(axis=1).astype(np.int32)
        return Tables(self.tile_values, cell_lines, line_cells, length, axis, alike)

    @cached_property
    def tile_of(self) -> dict[tuple[int, ...], int]:
        """The id of the tile that shows these three numbers."""
        return {tuple(map(int, numbers)): t for t, numbers in enumerate(self.tile_values)}

    def empty_boards(self, games: int) -> NDArray[np.int8]:
        """int8 [games, C], all -1."""
        return np.full((games, self.cells), -1, dtype=np.int8)

    def to_json(self) -> dict[str, object]:
        """What identifies the variant in files."""
        return {
            "name": self.name,
            "radius": self.radius,
            "values": [list(v) for v in self.values],
            "rules_version": RULES_VERSION,
        }


STANDARD = Variant("standard", 2, ((1, 5, 9), (2, 6, 7), (3, 4, 8)))
MINI = Variant("mini", 1, ((1, 5, 9), (2, 6), (3, 4)))

VARIANTS = {variant.name: variant for variant in (STANDARD, MINI)}


def variant_named(name: str) -> Variant:
    """The variant of this name; `UsageError` names those there are."""
    try:
        return VARIANTS[name]
    except KeyError:
        raise UsageError(f"no variant {name!r}; there are: {', '.join(VARIANTS)}") from None


def variant_from_json(data: object) -> Variant:
    """The inverse of `Variant.to_json`; `UsageError` where it is malformed or of other rules."""
    try:
        assert isinstance(data, dict)
        version = data["rules_version"]
        first, second, third = (tuple(int(n) for n in axis) for axis in data["values"])
        variant = Variant(str(data["name"]), int(data["radius"]), (first, second, third))
    except (AssertionError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"not the description of a variant: {data!r}") from error
    if version != RULES_VERSION:
        raise UsageError(f"made for rules version {version}, this azx plays {RULES_VERSION}")
    return variant
