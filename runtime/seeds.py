"""Randomness by counting: every number is a function of a seed and of where it is used.

Nothing here has a state, so a game draws the same numbers in whatever batch or process it is
played. The mixing function is splitmix64 (Steele, Lea and Flood 2014).
"""

from __future__ import annotations

import numpy as np
from numba import uint64
from numpy.typing import NDArray

from azx.runtime.compiled import compiled, inlined
from azx.runtime.variant import Variant


@inlined
def mix(key: np.uint64 | int, counter: np.uint64 | int) -> np.uint64:
    """uint64: a well-mixed function of two uint64."""
    z = uint64(key) + (uint64(counter) + uint64(1)) * uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> uint64(27))) * uint64(0x94D049BB133111EB)
    return z ^ (z >> uint64(31))


@inlined
def uniform(key: np.uint64 | int, counter: np.uint64 | int) -> float:
    """A float64 in [0, 1)."""
    return (mix(key, counter) >> uint64(11)) * (1.0 / 9007199254740992.0)


@compiled
def _keys(seed, first, out):  # type: ignore[no-untyped-def]
    for i in range(out.shape[0]):
        out[i] = mix(mix(uint64(seed), uint64(0)), uint64(first + i))


@compiled
def _shuffle(keys, tiles, out):  # type: ignore[no-untyped-def]
    deck = np.empty(tiles, dtype=np.int8)
    for g in range(out.shape[0]):
        for t in range(tiles):
            deck[t] = t
        for i in range(out.shape[1]):
            j = i + int(uniform(keys[g], i) * (tiles - i))
            deck[i], deck[j] = deck[j], deck[i]
            out[g, i] = deck[i]


def game_keys(seed: int, games: int, first: int = 0) -> NDArray[np.uint64]:
    """uint64 [games]: the keys of games `first`, `first` + 1, ... under `seed`."""
    out = np.empty(games, dtype=np.uint64)
    _keys(seed, first, out)
    return out


@compiled
def _position_keys(boards, tiles, out):  # type: ignore[no-untyped-def]
    for b in range(boards.shape[0]):
        key = uint64(tiles[b])
        for c in range(boards.shape[1]):
            key = mix(key, uint64(boards[b, c] + 1))
        out[b] = key


def position_keys(boards: NDArray[np.int8], tiles: NDArray[np.int8]) -> NDArray[np.uint64]:
    """uint64 [B]: keys of `tiles` [B] to be laid on `boards` int8 [B, C], wherever they come."""
    out = np.empty(len(boards), dtype=np.uint64)
    _position_keys(boards, tiles, out)
    return out


def draw_orders(variant: Variant, keys: NDArray[np.uint64]) -> NDArray[np.int8]:
    """int8 [G, C]: for each game the tiles that it draws, all orders equally likely."""
    out = np.empty((len(keys), variant.cells), dtype=np.int8)
    # Another stream than the player's, so that no player can tell the draws from its own numbers.
    _shuffle(keys ^ np.uint64(0xD1B54A32D192ED03), variant.tiles, out)
    return out
