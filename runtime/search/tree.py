"""Search trees as flat arrays: G trees side by side, nodes numbered in the order of creation.

    chance node     an afterstate: the board after a placement, before a draw. Judged once.
    decision node   a chance node and a tile: what to do with it. Made when the tile first comes.
    edge            a decision node's empty cell, in rising order; leads to a chance node.

Shape letters: G trees   N nodes of a tree   T tiles   C cells   E = C edges at most
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from azx.runtime.variant import Variant

# A compiled function gets int64 for a node's number from whoever calls it, these two included: for
# every other type, and for constants of Python, numba compiles it once more (docs/log.md).

#: No such node (yet).
NONE = np.int64(-1)
#: The chance node and the decision node that a search starts from.
ROOT = np.int64(0)

#: What a chance node waits for: to be put on the list of leaves; for the network's judgement;
#: for its tiles to be drawn; or for nothing, as its value is exact.
FRESH, WAITING, OPEN, CLOSED = range(4)

TREE = np.dtype(
    [
        ("key", np.uint64),  # of the game
        ("tile", np.int32),  # drawn at the root
        ("chances", np.int32),  # how many chance nodes there are
        ("decisions", np.int32),  # how many decision nodes
        ("low", np.float32),  # least and largest advantage seen: edge value minus decision value
        ("high", np.float32),
        ("candidates", np.int32),  # sequential halving: the root's edges still in, as bits
        ("halvings", np.int32),  # how often they were halved
    ],
    align=True,
)
CHANCE = np.dtype(
    [
        ("value", np.float32),  # points to come
        ("unused", np.int32),  # the tiles that may come, as bits
        ("decision", np.int32),  # above it, or NONE at the root
        ("edge", np.int8),  # of that decision
        ("state", np.int8),  # FRESH, WAITING, OPEN or CLOSED
        ("empty", np.int8),  # cells left
        ("left", np.int8),  # how many tiles may come
        ("next_draw", np.int8),  # of the tiles left, the number of the one to be drawn next
        ("draw_stride", np.int8),  # from there to the one after
    ],
    align=True,
)
TILE = np.dtype([("value", np.float32), ("decision", np.int32)], align=True)
DECISION = np.dtype(
    [
        ("value", np.float32),  # points to come, the tile known
        ("visits", np.int32),  # simulations that went through, those under way included
        ("chance", np.int32),  # above it
        ("edges", np.int16),  # how many
        ("tile", np.int16),  # drawn
    ],
    align=True,
)
EDGE = np.dtype(
    [
        ("value", np.float32),  # gain of the placement + points to come after it
        ("prior", np.float32),  # the network's policy
        ("visits", np.int32),  # as the decision's
        ("child", np.int32),  # chance node or NONE
        ("gain", np.int16),
        ("cell", np.int8),
        ("known", np.int8),  # whether it has a value of its own
    ],
    align=True,
)

#: Judgements are kept in 16 bits, in this many parts of a point and of a nat. An advantage is at
#: most 0 and 0 for the best cell, so what is rounded (downwards) is the others' distance from it.
PARTS = 256


class Trees(NamedTuple):
    """G trees of up to N chance nodes and N decision nodes each."""

    tree: NDArray[Any]  # TREE [G]
    chance: NDArray[Any]  # CHANCE [G, N]
    board: NDArray[np.int8]  # [G, N, C] of a chance node
    tile: NDArray[Any]  # TILE [G, N, T] of a chance node: its worth once this tile is drawn
    advantage: NDArray[np.int16]  # [G, N, T, C] gain + q against the best cell, in parts of a point
    logit: NDArray[np.int16]  # [G, N, T, C] policy logit against the largest, in parts of a nat
    decision: NDArray[Any]  # DECISION [G, N]
    edge: NDArray[Any]  # EDGE [G, N, E]
    slot: NDArray[np.int32]  # [G, H] chance node or NONE: a hash table of the boards judged


def new_trees(variant: Variant, games: int, nodes: int) -> Trees:
    """Room for `games` trees of `nodes` chance and decision nodes each."""
    tiles, cells = variant.tiles, variant.cells
    return Trees(
        tree=np.zeros(games, TREE),
        chance=np.zeros((games, nodes), CHANCE),
        board=np.zeros((games, nodes, cells), np.int8),
        tile=np.zeros((games, nodes, tiles), TILE),
        advantage=np.zeros((games, nodes, tiles, cells), np.int16),
        logit=np.zeros((games, nodes, tiles, cells), np.int16),
        decision=np.zeros((games, nodes), DECISION),
        edge=np.zeros((games, nodes, cells), EDGE),
        # A power of two, at most half full.
        slot=np.full((games, 2 << (nodes - 1).bit_length()), NONE, np.int32),
    )


def bytes_per_node(variant: Variant) -> int:
    """Memory of one simulation: a chance node and a decision node with all its edges."""
    one = new_trees(variant, 1, 1)
    return sum(array.nbytes for array in one) - one.tree.nbytes
