"""The rules against a slow and plain reading of them, over random variants and boards."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from conftest import random_boards
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import MICRO
from numpy.typing import NDArray

from azx.runtime import rules
from azx.runtime.errors import UsageError
from azx.runtime.seeds import draw_orders, game_keys
from azx.runtime.variant import MINI, STANDARD, Variant, variant_from_json, variant_named

axis = st.lists(st.integers(1, 20), min_size=2, max_size=3, unique=True).map(tuple)
variants = st.builds(lambda a, b, c: Variant("any", 1, (a, b, c)), axis, axis, axis) | st.just(
    STANDARD
)


def plain_score(variant: Variant, board: NDArray[np.int8]) -> int:
    """The rule as it is written: for each line, all its tiles and their numbers."""
    total = 0
    for line, cells in enumerate(variant.lines):
        number = {
            int(variant.tile_values[board[c], variant.tables.line_axis[line]])
            if board[c] >= 0
            else None
            for c in cells
        }
        if len(number) == 1 and None not in number:
            total += number.pop() * len(cells)
    return total


@given(variants, st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_scores_are_what_the_rule_says(variant: Variant, seed: int) -> None:
    boards = random_boards(variant, 2 * variant.cells + 2, seed)
    assert rules.scores(variant, boards).tolist() == [plain_score(variant, b) for b in boards]


@given(variants, st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_a_gain_is_the_difference_of_two_scores(variant: Variant, seed: int) -> None:
    boards = random_boards(variant, variant.cells, seed)
    gains = rules.all_gains(variant, boards)
    rng = np.random.default_rng(seed)
    for board, gain in zip(boards, gains, strict=True):
        for _ in range(5):
            tile = rng.choice(np.setdiff1d(np.arange(variant.tiles), board))
            cell = rng.choice(np.flatnonzero(board < 0))
            after = board.copy()
            after[cell] = tile
            expected = plain_score(variant, after) - plain_score(variant, board)
            one = rules.placement_gains(
                variant, board[None], np.array([tile], np.int8), np.array([cell], np.int8)
            )
            assert gain[tile, cell] == expected == one[0]
        assert not gain[:, board >= 0].any()


@given(variants, st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_the_half_turn_keeps_scores_and_gains(variant: Variant, seed: int) -> None:
    boards = random_boards(variant, 20, seed)
    turned = np.ascontiguousarray(rules.half_turn(boards))
    assert (rules.scores(variant, turned) == rules.scores(variant, boards)).all()
    assert (rules.all_gains(variant, turned)[:, :, ::-1] == rules.all_gains(variant, boards)).all()


def test_the_standard_board_is_the_one_in_the_rules() -> None:
    assert (STANDARD.cells, STANDARD.tiles, len(STANDARD.lines)) == (19, 27, 15)
    assert STANDARD.lines[5:10] == (
        (0, 3, 7), (1, 4, 8, 12), (2, 5, 9, 13, 16), (6, 10, 14, 17), (11, 15, 18),
    )  # fmt: skip
    assert STANDARD.lines[10] == (7, 12, 16)
    assert [STANDARD.tile_of[n] for n in ((1, 2, 3), (1, 2, 4), (1, 6, 3), (9, 7, 8))] == [
        0, 1, 3, 26,
    ]  # fmt: skip
    assert MINI.lines == (
        (0, 1), (2, 3, 4), (5, 6), (0, 2), (1, 3, 5), (4, 6), (2, 5), (0, 3, 6), (1, 4),
    )  # fmt: skip


def test_the_highest_possible_score_is_307() -> None:
    """All lines complete, the long ones with the large numbers, all tiles different."""
    lengths = (3, 4, 5, 4, 3)
    ways: list[dict[int, list[tuple[int, ...]]]] = []
    for values in STANDARD.values:
        by_points: dict[int, list[tuple[int, ...]]] = {}
        for numbers in product(values, repeat=5):
            points = sum(n * length for n, length in zip(numbers, lengths, strict=True))
            by_points.setdefault(points, []).append(numbers)
        ways.append(by_points)
    board = next(
        tiles
        for first in sorted(ways[0], reverse=True)
        for second in sorted(ways[1], reverse=True)
        for lines in product(ways[0][first], ways[1][second], ways[2].get(307 - first - second, []))
        if len(set(tiles := _filled(sum(lines, ())))) == 19
    )
    assert rules.scores(STANDARD, np.array([board], dtype=np.int8))[0] == 307


def _filled(numbers: tuple[int, ...]) -> list[int]:
    """The tile that each cell needs when line l shows number l."""
    return [
        STANDARD.tile_of[tuple(numbers[line] for line in lines)]
        for lines in STANDARD.tables.cell_lines
    ]


def test_recorded_games_score_what_was_recorded(shared: Path) -> None:
    games = json.loads((shared / "data/recorded_games.json").read_text())
    for game in games:
        board = np.full((1, 19), -1, dtype=np.int8)
        for cell, numbers in game["moves"]:
            board[0, cell] = STANDARD.tile_of[tuple(numbers)]
        assert rules.scores(STANDARD, board)[0] == game["score"]


@given(st.integers(0, 2**63 - 1), st.integers(1, 50), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_orders_depend_on_seed_and_game_alone(seed: int, games: int, first: int) -> None:
    together = draw_orders(MINI, game_keys(seed, games, first))
    alone = [draw_orders(MINI, game_keys(seed, 1, first + g))[0] for g in range(games)]
    assert (together == alone).all()
    assert all(len(set(order)) == MINI.cells for order in together.tolist())


def test_every_tile_is_drawn_equally_often() -> None:
    orders = draw_orders(STANDARD, game_keys(0, 54_000))
    for turn in (0, 9, 18):
        counts = np.bincount(orders[:, turn], minlength=27)
        chi_squared = ((counts - 2000.0) ** 2 / 2000.0).sum()
        assert chi_squared < 60  # 26 degrees of freedom: 0.02% of honest draws exceed this


def test_impossible_variants_are_refused() -> None:
    with pytest.raises(UsageError, match="cannot fill"):
        Variant("few", 1, ((1,), (2, 6), (3,)))
    with pytest.raises(UsageError, match="different numbers"):
        Variant("same", 1, ((1, 1, 5), (2, 6), (3, 4)))
    with pytest.raises(UsageError, match="1 or more"):
        Variant("nothing", 1, ((0, 5), (2, 6), (3, 4)))
    with pytest.raises(UsageError, match="standard, mini"):
        variant_named("maxi")
    with pytest.raises(UsageError, match="rules version 9"):
        variant_from_json({**MICRO.to_json(), "rules_version": 9})
    assert variant_from_json(MICRO.to_json()) == MICRO
