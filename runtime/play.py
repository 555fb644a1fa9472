"""Whole games: a player against the orders."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from azx.runtime.players import Player
from azx.runtime.records import Games

#: Games played in step. Enough to fill the network's batches, and trees that fit in memory.
BATCH = 256


def play_games(
    player: Player,
    orders: NDArray[np.int8],
    keys: NDArray[np.uint64],
    progress: Callable[[int], None] | None = None,
    batch: int = BATCH,
) -> Games:
    """Play `orders` int8 [N, C] with the players' randomness from `keys` [N].

    `progress(games)` is told of games as they finish, a share of them after each turn. The games
    are the same for every `batch`.
    """
    variant = player.variant
    cells = np.empty_like(orders)
    for start in range(0, len(orders), batch):
        part = slice(start, min(start + batch, len(orders)))
        boards = variant.empty_boards(part.stop - part.start)
        rows = np.arange(len(boards))
        told = 0
        for turn in range(variant.cells):
            tiles = np.ascontiguousarray(orders[part, turn])
            chosen = player.choose(boards, tiles, keys[part])
            cells[part, turn] = chosen
            boards[rows, chosen] = tiles
            if progress is not None:
                done = len(boards) * (turn + 1) // variant.cells
                progress(done - told)
                told = done
    return Games(variant, orders, cells)
