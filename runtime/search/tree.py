"""Search trees as flat arrays: G trees side by side, nodes numbered in the order of creation.

    chance node     an afterstate: the board after a placement, before a draw. Evaluated once.
    decision node   a chance node and a tile: what to do with it. Made when the tile first comes.
    edge            a decision node's empty cell, in rising order; leads to a chance node.

Shape letters: G trees   N nodes of a tree   T tiles   C cells   E = C edges at most
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from azx.runtime.variant import Variant

#: No such node (yet).
NONE = -1
#: The chance node and the decision node that a search starts from.
ROOT = 0


class Trees(NamedTuple):
    """G trees of up to N chance nodes and N decision nodes each."""

    # Per tree [G].
    chances: NDArray[np.int32]  # how many chance nodes there are
    decisions: NDArray[np.int32]  # how many decision nodes
    keys: NDArray[np.uint64]  # of the games
    tile: NDArray[np.int32]  # drawn at the root
    low: NDArray[np.float32]  # least and largest advantage seen: edge value minus decision value
    high: NDArray[np.float32]

    # Per chance node [G, N, ...].
    board: NDArray[np.int8]  # [..., C]
    next_draw: NDArray[np.int8]  # of the tiles left, the number of the one to be drawn next
    draw_stride: NDArray[np.int8]  # from there to the one after
    chance_value: NDArray[np.float32]  # points to come
    tile_value: NDArray[np.float32]  # [..., T] the same once this tile is drawn
    tile_decision: NDArray[np.int32]  # [..., T] decision node or NONE
    logits: NDArray[np.float32]  # [..., T, C] the network's, taken up when a tile first comes
    q: NDArray[np.float32]  # [..., T, C] the network's points to come after each placement

    # Per decision node [G, N, ...].
    parent: NDArray[np.int32]  # its chance node
    edges: NDArray[np.int8]  # how many edges
    visits: NDArray[np.int32]  # simulations that went through
    decision_value: NDArray[np.float32]  # points to come, the tile known
    cell: NDArray[np.int8]  # [..., E]
    prior: NDArray[np.float32]  # [..., E] the network's policy
    edge_visits: NDArray[np.int32]  # [..., E]
    edge_value: NDArray[np.float32]  # [..., E] gain of the placement + points to come after it
    gain: NDArray[np.float32]  # [..., E]
    child: NDArray[np.int32]  # [..., E] chance node or NONE


class Path(NamedTuple):
    """The way of the simulation in flight in each tree, from the root down (depth at most C)."""

    length: NDArray[np.int32]  # [G]
    decision: NDArray[np.int32]  # [G, C]
    edge: NDArray[np.int32]  # [G, C]


def new_trees(variant: Variant, games: int, nodes: int) -> tuple[Trees, Path]:
    """Room for `games` trees of `nodes` chance and decision nodes each."""
    tiles, cells = variant.tiles, variant.cells

    def per_tree(dtype: type, *shape: int) -> NDArray[Any]:
        return np.zeros((games, *shape), dtype=dtype)

    trees = Trees(
        chances=per_tree(np.int32),
        decisions=per_tree(np.int32),
        keys=per_tree(np.uint64),
        tile=per_tree(np.int32),
        low=per_tree(np.float32),
        high=per_tree(np.float32),
        board=per_tree(np.int8, nodes, cells),
        next_draw=per_tree(np.int8, nodes),
        draw_stride=per_tree(np.int8, nodes),
        chance_value=per_tree(np.float32, nodes),
        tile_value=per_tree(np.float32, nodes, tiles),
        tile_decision=per_tree(np.int32, nodes, tiles),
        logits=per_tree(np.float32, nodes, tiles, cells),
        q=per_tree(np.float32, nodes, tiles, cells),
        parent=per_tree(np.int32, nodes),
        edges=per_tree(np.int8, nodes),
        visits=per_tree(np.int32, nodes),
        decision_value=per_tree(np.float32, nodes),
        cell=per_tree(np.int8, nodes, cells),
        prior=per_tree(np.float32, nodes, cells),
        edge_visits=per_tree(np.int32, nodes, cells),
        edge_value=per_tree(np.float32, nodes, cells),
        gain=per_tree(np.float32, nodes, cells),
        child=per_tree(np.int32, nodes, cells),
    )
    path = Path(per_tree(np.int32), per_tree(np.int32, cells), per_tree(np.int32, cells))
    return trees, path


def bytes_per_node(variant: Variant) -> int:
    """Memory of one simulation: a chance node and a decision node with all its edges."""
    one, _ = new_trees(variant, 1, 1)
    per_tree = one[: Trees._fields.index("board")]
    return sum(array.nbytes for array in one) - sum(array.nbytes for array in per_tree)
