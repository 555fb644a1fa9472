"""Making nodes: an afterstate, what the network says of it, and the decisions that follow."""

# numba infers these types; the arrays are described in tree.py.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import uint64

from azx.runtime.compiled import inlined, inner, unordered
from azx.runtime.rules import add_board_gains, placement_gain
from azx.runtime.search.endgame import exact_value
from azx.runtime.search.tree import CLOSED, FRESH, NONE, OPEN, PARTS, ROOT
from azx.runtime.seeds import mix

#: The largest distance from the best that 16 bits hold.
FARTHEST = -32768.0


@inlined
def _common_divisor(a, b):
    while b:
        a, b = b, a % b
    return a


@inner
def new_chance(tables, trees, g, above, edge, exact_cells):
    """The node for the afterstate that `edge` of decision `above` leads to; its number.

    With at most `exact_cells` empty cells its value is worked out here, and it is closed.
    """
    n = np.int64(trees.tree[g].chances)
    trees.tree[g].chances = n + 1
    parent = trees.decision[g, above].chance
    cell = trees.edge[g, above, edge].cell
    tile = trees.decision[g, above].tile
    board = trees.board[g, n]
    for c in range(board.shape[0]):
        board[c] = trees.board[g, parent, c]
    board[cell] = tile
    trees.edge[g, above, edge].child = n
    trees.chance[g, n].decision = above
    trees.chance[g, n].edge = edge
    unused = trees.chance[g, parent].unused ^ (1 << tile)
    empty = np.int64(trees.chance[g, parent].empty) - 1
    _prepare_draws(trees, g, n, unused, empty)
    if empty <= exact_cells:
        left = np.int64(trees.chance[g, n].left)
        trees.chance[g, n].value = exact_value(tables, board, np.int64(unused), empty, left)
        trees.chance[g, n].state = CLOSED
    return n


@inner
def new_root(trees, g, board, key):
    """Throw tree `g` away and put `board` [C] at its root."""
    trees.tree[g].key = key
    trees.tree[g].chances = 1
    trees.tree[g].decisions = 0
    trees.tree[g].low = 0.0
    trees.tree[g].high = 0.0
    unused = (1 << trees.tile.shape[2]) - 1
    empty = board.shape[0]
    for c in range(board.shape[0]):
        trees.board[g, ROOT, c] = board[c]
        if board[c] >= 0:
            unused ^= 1 << board[c]
            empty -= 1
    _prepare_draws(trees, g, ROOT, unused, empty)
    trees.chance[g, ROOT].decision = NONE


@inner
def _prepare_draws(trees, g, n, unused, empty):
    left = trees.tile.shape[2] - (trees.board.shape[2] - empty)
    trees.chance[g, n].unused = unused
    trees.chance[g, n].empty = empty
    trees.chance[g, n].left = left
    trees.chance[g, n].state = FRESH
    # The even sequence of draws is the same for all afterstates of a turn: what is compared is
    # compared on the same tiles. docs/log.md has what that is worth.
    key = mix(trees.tree[g].key, uint64(left))
    stride = int((key >> uint64(16)) & uint64(0xFFFF)) % left + 1
    while _common_divisor(stride, left) != 1:
        stride = stride % left + 1
    trees.chance[g, n].next_draw = int(key & uint64(0xFFFF)) % left
    trees.chance[g, n].draw_stride = stride


@unordered
def judge(tables, trees, g, n, logits, value, q, has_q, worth):
    """Keep what the network says of chance node `n`, and what that makes each next tile worth.

    `logits` and `q` float32 [T, C]; `worth` is scratch of that shape. This is half the work of a
    simulation, and written so that it compiles to vectors.
    """
    board = trees.board[g, n]
    unused = trees.chance[g, n].unused
    parts, farthest = np.float32(PARTS), np.float32(FARTHEST)
    tiles, cells = logits.shape
    for t in range(tiles):
        for c in range(cells):
            worth[t, c] = q[t, c]
    add_board_gains(tables, board, worth)
    total = np.float32(0.0)
    for t in range(tiles):
        if not (unused >> t) & 1:
            continue
        best = largest = np.float32(-1e30)
        for c in range(cells):
            if board[c] < 0:
                best = worth[t, c] if worth[t, c] > best else best
                largest = logits[t, c] if logits[t, c] > largest else largest
        for c in range(cells):
            # Just under a part less, and then towards 0: the best stays 0, the others round down.
            distance = (worth[t, c] - best) * parts - np.float32(0.99)
            trees.advantage[g, n, t, c] = np.int16(min(max(distance, farthest), np.float32(0.0)))
            distance = (logits[t, c] - largest) * parts
            trees.logit[g, n, t, c] = np.int16(min(max(distance, farthest), np.float32(0.0)))
        if not has_q:
            best = value
        trees.tile[g, n, t].value = best
        trees.tile[g, n, t].decision = NONE
        total += best
    trees.chance[g, n].value = total / trees.chance[g, n].left
    trees.chance[g, n].state = OPEN


@inlined
def see_advantage(trees, g, advantage):
    """Widen the span of advantages that this tree has seen."""
    trees.tree[g].low = min(trees.tree[g].low, advantage)
    trees.tree[g].high = max(trees.tree[g].high, advantage)


@inner
def new_decision(tables, trees, g, chance, tile, has_q):
    """The decision node for `tile` drawn at `chance`: priors by softmax over the empty cells."""
    d = np.int64(trees.tree[g].decisions)
    trees.tree[g].decisions = d + 1
    worth = trees.tile[g, chance, tile].value
    trees.tile[g, chance, tile].decision = d
    board = trees.board[g, chance]
    total = np.float32(0.0)
    edges = 0
    for c in range(board.shape[0]):
        if board[c] >= 0:
            continue
        weight = np.exp(np.float32(trees.logit[g, chance, tile, c]) * np.float32(1.0 / PARTS))
        total += weight
        value = worth
        if has_q:
            value += np.float32(trees.advantage[g, chance, tile, c]) * np.float32(1.0 / PARTS)
            see_advantage(trees, g, value - worth)
        trees.edge[g, d, edges].value = value
        trees.edge[g, d, edges].prior = weight
        trees.edge[g, d, edges].visits = 0
        trees.edge[g, d, edges].child = NONE
        trees.edge[g, d, edges].gain = placement_gain(tables, board, tile, c)
        trees.edge[g, d, edges].cell = c
        trees.edge[g, d, edges].known = has_q
        edges += 1
    for e in range(edges):
        trees.edge[g, d, e].prior /= total
    trees.decision[g, d].value = worth
    trees.decision[g, d].visits = 0
    trees.decision[g, d].chance = chance
    trees.decision[g, d].edges = edges
    trees.decision[g, d].tile = tile
    return d
