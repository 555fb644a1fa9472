"""Whole games: a player against the orders."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from azx.runtime.players import Player
from azx.runtime.records import Games

#: Games played in step. Enough to fill the network's batches, and trees that fit in memory.
BATCH = 256

#: Told of games as they finish, a share of them after each turn; fewer than none are games that
#: have to be played again.
Progress = Callable[[int], None]


def parts(games: int, size: int) -> list[slice]:
    """The games from 0 to `games` in parts of `size`."""
    return [slice(start, min(start + size, games)) for start in range(0, games, size)]


def play_part(
    player: Player,
    orders: NDArray[np.int8],
    keys: NDArray[np.uint64],
    progress: Progress | None = None,
) -> NDArray[np.int8]:
    """Play `orders` int8 [G, C] in step with the players' randomness from `keys` [G].

    int8 [G, C]: the cells that were chosen.
    """
    games, turns = orders.shape
    boards, cells = player.variant.empty_boards(games), np.empty_like(orders)
    rows = np.arange(games)
    told = 0
    for turn in range(turns):
        tiles = np.ascontiguousarray(orders[:, turn])
        cells[:, turn] = player.choose(boards, tiles, keys)
        boards[rows, cells[:, turn]] = tiles
        if progress is not None:
            done = games * (turn + 1) // turns
            progress(done - told)
            told = done
    return cells


def play_parts(
    player: Player,
    orders: NDArray[np.int8],
    keys: NDArray[np.uint64],
    progress: Progress | None = None,
    batch: int = BATCH,
) -> Iterator[tuple[slice, NDArray[np.int8]]]:
    """Play `orders` [N, C] part by part: the games that are finished, and their cells."""
    for part in parts(len(orders), batch):
        yield part, play_part(player, orders[part], keys[part], progress)


def play_games(
    player: Player,
    orders: NDArray[np.int8],
    keys: NDArray[np.uint64],
    progress: Progress | None = None,
    batch: int = BATCH,
) -> Games:
    """Play all of `orders` [N, C]. The games are the same for every `batch`."""
    cells = np.empty_like(orders)
    for part, chosen in play_parts(player, orders, keys, progress, batch):
        cells[part] = chosen
    return Games(player.variant, orders, cells)
