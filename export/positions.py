"""Boards to compare two networks on: every turn of seeded games, and the edges of what can be."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from azx.runtime.rules import all_gains, legal_cells
from azx.runtime.seeds import draw_orders, game_keys
from azx.runtime.variant import Variant

#: Enough positions to fill the largest batch that is tried, twice.
POSITIONS = 512


class Positions(NamedTuple):
    """N boards and where each is from."""

    boards: NDArray[np.int8]  # [N, C]
    origins: list[str]  # [N] for people: "game 3, turn 7"


def game_positions(variant: Variant, games: int, seed: int = 0) -> Positions:
    """All afterstates of `games` games, the empty and the full boards included: N = G x (C + 1).

    Every other game takes the placement that wins most at once, ties broken at random; the others
    play at random. The boards are ordered by turn, so that any stretch of them mixes the games.
    """
    orders = draw_orders(variant, game_keys(seed, games))
    rng = np.random.default_rng(seed)
    boards = variant.empty_boards(games)
    rows = np.arange(games)
    greed = (rows % 2)[:, None]
    turns = [boards.copy()]
    for tiles in orders.T:
        appeal = greed * all_gains(variant, boards)[rows, tiles] + rng.random(boards.shape)
        cells = np.where(legal_cells(boards), appeal, -1.0).argmax(axis=1)
        boards[rows, cells] = tiles
        turns.append(boards.copy())
    origins = [f"game {game}, turn {turn}" for turn in range(len(turns)) for game in rows]
    return Positions(np.concatenate(turns), origins)


def odd_positions(variant: Variant) -> Positions:
    """Boards that a slip of types or ranges would show on; most of them no game can reach."""
    cells, last = variant.cells, variant.tiles - 1
    found: dict[str, NDArray[np.int8]] = {"nothing laid": variant.empty_boards(1)[0]}

    def add(name: str, board: NDArray[np.signedinteger[Any]]) -> None:
        found[name] = board.astype(np.int8)

    add("the first tiles in order", np.arange(cells))
    add("the last tiles in reverse", last - np.arange(cells))
    for tile in (0, 1, last - 1, last):
        add(f"tile {tile} on every cell", np.full(cells, tile))
        for cell in (0, cells - 1):
            one = np.full(cells, -1)
            one[cell] = tile
            add(f"only tile {tile}, on cell {cell}", one)
    for cell in (0, cells - 1):
        one_empty = np.arange(cells)
        one_empty[cell] = -1
        add(f"all full but cell {cell}", one_empty)
    for parity in (0, 1):
        add(f"every other cell, from {parity}", np.where(np.arange(cells) % 2 == parity, last, -1))
    return Positions(np.stack(list(found.values())), list(found))


def parity_positions(variant: Variant, seed: int = 0) -> Positions:
    """`POSITIONS` or a few more of real games, then the odd ones."""
    real = game_positions(variant, games=-(-POSITIONS // (variant.cells + 1)), seed=seed)
    odd = odd_positions(variant)
    return Positions(np.concatenate((real.boards, odd.boards)), real.origins + odd.origins)
