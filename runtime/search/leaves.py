"""Leaves that are alike: the network is asked once for each different board."""

# numba infers these types.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from azx.runtime.compiled import compiled
from azx.runtime.search.transpositions import digest
from azx.runtime.search.tree import NONE


@compiled
def distinct(boards, count, slots, which):
    """Move the different ones of the first `count` of `boards` int8 [M, C] to the front.

    Writes to `which` [M] the row that each has then; returns how many rows there are. `slots` int32
    is scratch for a hash table, a power of two and more than twice M in length.
    """
    mask = slots.shape[0] - 1
    slots[:] = NONE
    rows = 0
    for i in range(count):
        slot = digest(boards[i]) & mask
        while True:
            row = slots[slot]
            if row == NONE:
                for c in range(boards.shape[1]):
                    boards[rows, c] = boards[i, c]
                slots[slot] = rows
                which[i] = rows
                rows += 1
                break
            same = True
            for c in range(boards.shape[1]):
                if boards[row, c] != boards[i, c]:
                    same = False
                    break
            if same:
                which[i] = row
                break
            slot = (slot + 1) & mask
    return rows
