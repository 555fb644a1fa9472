"""The drawing of a board: golden plain text, colours for complete lines and for nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import random_boards
from numpy.typing import NDArray
from rich.console import Console
from rich.text import Text

from azx.cli.board import (
    AXIS_STYLES,
    beside,
    complete_lines,
    draw_board,
    line_name,
    tile_name,
)
from azx.runtime.rules import scores
from azx.runtime.variant import MINI, STANDARD, Variant

EMPTY_STANDARD = r"""
                 _______
         _______/   7   \_______
 _______/   3   \_______/  12   \_______
/   0   \_______/   8   \_______/  16   \
\_______/   4   \_______/  13   \_______/
/   1   \_______/   9   \_______/  17   \
\_______/   5   \_______/  14   \_______/
/   2   \_______/  10   \_______/  18   \
\_______/   6   \_______/  15   \_______/
        \_______/  11   \_______/
                \_______/
"""

SOME_STANDARD = r"""
                 _______
         _______/ 9 2 3 \_______
 _______/       \_______/       \_______
/ 1 2 3 \_______/ 9 2 4 \_______/       \
\_______/       \_______/       \_______/
/ 1 2 4 \_______/ 9 2 8 \_______/       \
\_______/       \_______/       \_______/
/[1 2 8]\_______/ 9 6 3 \_______/ 5 7 8 \
\_______/       \_______/       \_______/
        \_______/ 9 7 8 \_______/
                \_______/
"""

FULL_MINI = r"""
         _______
 _______/ 1 6 3 \_______
/ 1 2 3 \_______/ 5 2 4 \
\_______/ 1 6 4 \_______/
/ 1 2 4 \_______/ 5 6 3 \
\_______/ 5 2 3 \_______/
        \_______/
"""


def board_of(variant: Variant, tiles: dict[int, tuple[int, int, int]]) -> NDArray[np.int8]:
    """int8 [C]: the board with these numbers on these cells."""
    board = variant.empty_boards(1)[0]
    for cell, numbers in tiles.items():
        board[cell] = variant.tile_of[numbers]
    return board


def plain(drawing: list[Text]) -> str:
    return "\n" + "\n".join(line.plain.rstrip() for line in drawing) + "\n"


def some_standard() -> NDArray[np.int8]:
    """Two complete columns; every other line is incomplete or mixed."""
    column = [(9, 2, 3), (9, 2, 4), (9, 2, 8), (9, 6, 3), (9, 7, 8)]
    tiles = {0: (1, 2, 3), 1: (1, 2, 4), 2: (1, 2, 8), 18: (5, 7, 8)}
    return board_of(STANDARD, tiles | dict(zip(range(7, 12), column, strict=True)))


def test_the_empty_board_shows_the_numbers_of_its_cells() -> None:
    drawing = draw_board(STANDARD, STANDARD.empty_boards(1)[0], numbered=True)
    assert plain(drawing) == EMPTY_STANDARD
    assert len({len(line) for line in drawing}) == 1


def test_tiles_show_their_three_numbers_and_the_last_one_stands_in_brackets() -> None:
    assert plain(draw_board(STANDARD, some_standard(), laid=2)) == SOME_STANDARD


def test_the_small_board() -> None:
    board = np.arange(7, dtype=np.int8)
    assert plain(draw_board(MINI, board)) == FULL_MINI


def test_numbers_of_two_digits_keep_the_hexagons_in_line() -> None:
    wide = Variant("wide", 1, ((1, 15, 9), (2, 6), (3, 4)))
    drawing = draw_board(wide, np.array([4, -1, -1, 0, -1, -1, -1], dtype=np.int8))
    assert len({len(line) for line in drawing}) == 1
    assert "/ 15  2  3 \\" in drawing[2].plain
    assert "/  1  2  3 \\" in drawing[3].plain


def style_of(drawing: list[Text], number_at: tuple[int, int]) -> str:
    """The style in force at (row, column) of a drawing."""
    row, column = number_at
    return str(drawing[row].get_style_at_offset(Console(), column))


def test_complete_lines_are_coloured_by_their_axis_and_others_are_not() -> None:
    """Cell 7, at the top: its column is complete, its rising and falling lines are not."""
    drawing = draw_board(STANDARD, some_standard())
    row = 1
    first = drawing[row].plain.index("9 2 3")
    found = [style_of(drawing, (row, first + 2 * axis)) for axis in range(3)]
    assert AXIS_STYLES[0] in found[0]
    for style, name in zip(found[1:], AXIS_STYLES[1:], strict=True):
        assert name not in style
    assert len(set(AXIS_STYLES)) == 3


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_each_axis_has_its_colour(axis: int) -> None:
    """A line of the axis through cell 3, the middle of the small board, and nothing else."""
    number = MINI.values[axis][0]
    line = next(
        line
        for line, cells in enumerate(MINI.lines)
        if 3 in cells and MINI.tables.line_axis[line] == axis
    )
    fitting = [t for t in range(MINI.tiles) if MINI.tile_values[t, axis] == number]
    board = MINI.empty_boards(1)[0]
    board[list(MINI.lines[line])] = fitting[:3]
    assert complete_lines(MINI, board) == [line]
    drawing = draw_board(MINI, board)
    styled = {span.style for text in drawing for span in text.spans if span.style in AXIS_STYLES}
    assert styled == {AXIS_STYLES[axis]}
    axis_name = ("column", "rising", "falling")[axis]
    assert line_name(MINI, board, line) == f"{axis_name} {number} x 3"


@pytest.mark.parametrize("variant", [STANDARD, MINI])
def test_complete_lines_add_up_to_the_score(variant: Variant) -> None:
    boards = random_boards(variant, 200, seed=3)
    boards[0] = np.arange(variant.cells)  # few numbers change here, so that lines do pay
    paid = [
        sum(
            int(variant.tile_values[board[variant.lines[line][0]], variant.tables.line_axis[line]])
            * len(variant.lines[line])
            for line in complete_lines(variant, board)
        )
        for board in boards
    ]
    assert paid == scores(variant, boards).tolist()
    assert any(paid)


def test_words_beside_a_board_fit_eighty_columns_and_are_never_cut() -> None:
    drawing = draw_board(MINI, MINI.empty_boards(1)[0])
    words = [f"line {n}" for n in range(12)]
    lines = [line.plain for line in beside(drawing, words)]
    assert [line[-len(word) :] for line, word in zip(lines[1:], words, strict=True)] == words
    wide = draw_board(STANDARD, STANDARD.empty_boards(1)[0])
    assert max(map(len, wide)) + 3 + len("foreseen  123.4 in the end") <= 80
    assert all(line.plain.isascii() for line in wide)


def test_a_tile_is_named_by_its_numbers() -> None:
    assert tile_name(STANDARD, 0) == "1 2 3"
    assert tile_name(STANDARD, 26) == "9 7 8"
