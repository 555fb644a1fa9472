"""Tables on screens of any width: words fold, figures stay whole."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console
from rich.text import Text

from azx.cli.terminal import LETTERS, show_table, table

PLAYERS = ("policy", "one-ply", "heads.policy.even.weight of a long name")
FIGURES = ("1,234.56 ± 0.07", "+12.3", "0.0001")


def shown(width: int, players: tuple[str, ...] = PLAYERS) -> list[str]:
    """The lines of a table with a column of words, three of figures, and one of words again."""
    console = Console(file=io.StringIO(), width=width)
    made = table(
        "player", "score", "to the first", "ms", "note", right=("score", "to the first", "ms")
    )
    for player in players:
        made.add_row(player, *FIGURES, Text("as it is"))
    show_table(console, made)
    assert console.width == width
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120])
def test_figures_and_headings_are_whole(width: int) -> None:
    lines = shown(width)
    assert lines[0].split() == ["player", "score", "to", "the", "first", "ms", "note"]
    for figure in FIGURES:
        assert sum(figure in line for line in lines) == len(PLAYERS)
    words = "".join(re.split(r" {2,}", line)[0] for line in lines[2:])
    assert words.replace(" ", "") == "".join(PLAYERS).replace(" ", "")


def test_a_dumb_terminal_gets_whole_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is taken to be 80 wide, whatever it says."""
    monkeypatch.setenv("TERM", "dumb")
    console = Console(file=io.StringIO(), force_terminal=True, width=30)
    assert console.is_dumb_terminal
    made = table("player", *"abcdefg", right="abcdefg")
    made.add_row("policy", *[FIGURES[0]] * 7)
    show_table(console, made)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().count(FIGURES[0]) == 7


def test_a_wide_screen_is_not_exceeded_and_a_narrow_one_as_little_as_can_be() -> None:
    assert max(map(len, shown(120))) <= 120
    assert max(map(len, shown(80, PLAYERS[:2]))) <= 80
    needed = LETTERS + sum(map(len, ("1,234.56 ± 0.07", "to the first", "0.0001", "note"))) + 4 * 3
    assert max(map(len, shown(20))) == needed
