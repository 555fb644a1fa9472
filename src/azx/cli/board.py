r"""The board as text: columns of hexagons, each with its tile's three numbers.

            _______
    _______/       \_______
   /       \_______/       \
   \_______/       \_______/
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from azx.runtime.variant import Variant

#: One colour for each axis: columns, rising, falling.
AXIS_STYLES = ("bold yellow", "bold cyan", "bold magenta")
AXIS_NAMES = ("column", "rising", "falling")
GRID_STYLE = "bright_black"
NUMBER_STYLE = "default"


def tile_name(variant: Variant, tile: int) -> str:
    """The tile's numbers on the three axes: `5 6 8`."""
    return " ".join(str(number) for number in variant.tile_values[tile])


def complete_lines(variant: Variant, board: NDArray[np.int8]) -> list[int]:
    """The lines of one board int8 [C] that pay, by their number in `Variant.lines`."""
    found = []
    for line, cells in enumerate(variant.lines):
        tiles = board[list(cells)]
        numbers = variant.tile_values[tiles, variant.tables.line_axis[line]]
        if (tiles >= 0).all() and (numbers == numbers[0]).all():
            found.append(line)
    return found


def line_name(variant: Variant, board: NDArray[np.int8], line: int) -> str:
    """A complete line of `board` int8 [C] and what it pays: `rising 7 x 4`."""
    axis, cells = int(variant.tables.line_axis[line]), variant.lines[line]
    return f"{AXIS_NAMES[axis]} {variant.tile_values[board[cells[0]], axis]} x {len(cells)}"


def draw_board(
    variant: Variant,
    board: NDArray[np.int8],
    laid: int | None = None,
    numbered: bool = False,
) -> list[Text]:
    """The lines of a drawing of one board int8 [C], all of the same width.

    The numbers of complete lines are coloured by their axis, the cell `laid` is set in brackets,
    and with `numbered` the empty cells show their numbers. Without colours it is plain ASCII.
    """
    digits = max(len(str(number)) for values in variant.values for number in values)
    inside = 3 * digits + 4
    step, columns = inside + 1, 2 * variant.radius + 1
    rows = [[" "] * (columns * step + 1) for _ in range(2 * columns + 1)]
    styles: list[tuple[int, int, int, str]] = []  # row, from, to, style
    complete = set(complete_lines(variant, board))

    for cell, (left, top) in enumerate(_corners(variant, step)):
        rows[top][left + 1 : left + step] = "_" * inside
        rows[top + 1][left], rows[top + 1][left + step] = "/", "\\"
        rows[top + 2][left : left + step + 1] = "\\" + "_" * inside + "/"
        text = rows[top + 1]
        tile = int(board[cell])
        if tile < 0:
            if numbered:
                text[left + 1 : left + step] = f"{cell:^{inside}}"
                styles.append((top + 1, left + 1, left + step, "bold"))
            continue
        if cell == laid:
            text[left + 1], text[left + step - 1] = "[", "]"
            styles.append((top + 1, left + 1, left + step, "bold"))
        for axis, number in enumerate(variant.tile_values[tile]):
            start = left + 2 + axis * (digits + 1)
            text[start : start + digits] = str(number).rjust(digits)
            pays = variant.tables.cell_lines[cell, axis] in complete
            styles.append(
                (top + 1, start, start + digits, AXIS_STYLES[axis] if pays else NUMBER_STYLE)
            )

    drawing = [Text("".join(row), GRID_STYLE) for row in rows]
    for row, start, end, style in styles:
        drawing[row].stylize(style, start, end)
    return drawing


def _corners(variant: Variant, step: int) -> list[tuple[int, int]]:
    """Left column and top row of each cell's hexagon; neighbouring columns share their sides."""
    corners = []
    row_in_column = 0
    last_column = -1
    for column in variant.cell_xy[:, 0].tolist():
        row_in_column = row_in_column + 1 if column == last_column else 0
        last_column = column
        corners.append((column * step, abs(column - variant.radius) + 2 * row_in_column))
    return corners


def beside(drawing: list[Text], words: list[str]) -> list[Text]:
    """`words`, a line each, to the right of a drawing from its second line on."""
    said = ["", *words]
    blank = Text(" " * len(drawing[0]))
    joined = []
    for row in range(max(len(drawing), len(said))):
        line = (drawing[row] if row < len(drawing) else blank).copy()
        line.append("   " + said[row] if row < len(said) else "", NUMBER_STYLE)
        line.rstrip()
        joined.append(line)
    return joined
