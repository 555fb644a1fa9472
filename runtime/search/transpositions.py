"""The same afterstate reached another way within a tree: judged once.

What the network says of a board is the same wherever it lies in the tree, so a node for a board
that the tree has judged before takes the judgement over. Only that: its draws and what is found
below it are its own, so values stay the means that they claim to be.
"""

# numba infers these types; the arrays are described in tree.py.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from azx.runtime.compiled import inlined, inner
from azx.runtime.search.tree import NONE, OPEN


@inlined
def digest(board):
    """A number below 2**48 from a board int8 [C]: FNV-1a (Fowler, Noll, Vo), folded."""
    number = 0
    for c in range(board.shape[0]):
        number = ((number ^ (board[c] + 1)) * 0x100000001B3) & 0xFFFFFFFFFFFF
    return number ^ (number >> 23)


@inner
def _slot_of(trees, g, n):
    """Where the board of chance node `n` stands in the tree's hash table, or would."""
    mask = trees.slot.shape[1] - 1
    slot = digest(trees.board[g, n]) & mask
    while True:
        other = trees.slot[g, slot]
        if other == NONE:
            return slot
        same = True
        for c in range(trees.board.shape[2]):
            if trees.board[g, other, c] != trees.board[g, n, c]:
                same = False
                break
        if same:
            return slot
        slot = (slot + 1) & mask


@inner
def forget_boards(trees, g):
    """Empty the tree's hash table."""
    for slot in range(trees.slot.shape[1]):
        trees.slot[g, slot] = NONE


@inner
def remember_board(trees, g, n):
    """Put chance node `n` in the tree's hash table, unless its board is there."""
    slot = _slot_of(trees, g, n)
    if trees.slot[g, slot] == NONE:
        trees.slot[g, slot] = n


@inner
def take_over_judgement(trees, g, n):
    """Whether the tree has judged the board of the new node `n` before; then `n` is open."""
    slot = _slot_of(trees, g, n)
    twin = trees.slot[g, slot]
    if twin == NONE:
        trees.slot[g, slot] = n
        return False
    if trees.chance[g, twin].state != OPEN:
        return False
    total = np.float32(0.0)
    for t in range(trees.tile.shape[2]):
        if (trees.chance[g, n].unused >> t) & 1:
            trees.tile[g, n, t].value = trees.tile[g, twin, t].value
            trees.tile[g, n, t].decision = NONE
            total += trees.tile[g, n, t].value
            for c in range(trees.board.shape[2]):
                trees.advantage[g, n, t, c] = trees.advantage[g, twin, t, c]
                trees.logit[g, n, t, c] = trees.logit[g, twin, t, c]
    trees.chance[g, n].value = total / trees.chance[g, n].left
    trees.chance[g, n].state = OPEN
    return True
