"""From move to move: what a tree already knows of the position that the game came to."""

# numba infers these types; the arrays are described in tree.py.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from azx.runtime.compiled import compiled, inner
from azx.runtime.search.nodes import new_root
from azx.runtime.search.transpositions import forget_boards, remember_board
from azx.runtime.search.tree import NONE, OPEN, ROOT


@compiled
def set_roots(trees, boards, tiles, keys):
    """Put each game's position at the root: boards [G, C], drawn tiles [G], keys [G] of the games.

    What the game's tree knows of the position is kept.
    """
    for g in range(boards.shape[0]):
        kept = NONE
        if trees.tree[g].key == keys[g] and trees.tree[g].decisions > 0:
            for e in range(trees.decision[g, ROOT].edges):
                child = np.int64(trees.edge[g, ROOT, e].child)
                if child != NONE and trees.chance[g, child].state == OPEN:
                    same = True
                    for c in range(boards.shape[1]):
                        same = same and trees.board[g, child, c] == boards[g, c]
                    if same:
                        kept = child
        trees.tree[g].tile = tiles[g]
        trees.tree[g].candidates = 0
        if kept == NONE:
            new_root(trees, g, boards[g], keys[g])
            forget_boards(trees, g)
        else:
            _keep(trees, g, kept, tiles[g])


@inner
def _keep(trees, g, chance, tile):
    """Make `chance` with `tile` drawn the root, and drop all that does not hang from it.

    Nodes keep their order, so each moves to a place at or before its own; a node is always made
    after its parents, so one pass in rising order finds all that is to be kept.
    """
    root = trees.tile[g, chance, tile].decision
    for t in range(trees.tile.shape[2]):
        if (trees.chance[g, chance].unused >> t) & 1:
            d = trees.tile[g, chance, t].decision
            if d != NONE:
                trees.tile[g, chance, t].value = trees.decision[g, d].value
    new_chance = np.full(trees.tree[g].chances, NONE, dtype=np.int32)
    new_decision = np.full(trees.tree[g].decisions, NONE, dtype=np.int32)
    new_chance[chance] = ROOT
    decisions = 0
    if root != NONE:
        for d in range(root, trees.tree[g].decisions):
            above = trees.decision[g, d].chance
            if new_chance[above] == NONE or (above == chance and d != root):
                continue
            new_decision[d] = decisions
            decisions += 1
            for e in range(trees.decision[g, d].edges):
                if trees.edge[g, d, e].child != NONE:
                    new_chance[trees.edge[g, d, e].child] = ROOT
    chances = np.int64(0)
    for n in range(trees.tree[g].chances):
        if new_chance[n] != NONE:
            new_chance[n] = chances
            _move_chance(trees, g, n, chances, new_decision)
            chances += 1
    for d in range(trees.tree[g].decisions):
        if new_decision[d] != NONE:
            _move_decision(trees, g, d, new_decision[d], new_chance)
    trees.tree[g].chances = chances
    trees.tree[g].decisions = decisions
    forget_boards(trees, g)
    for n in range(chances):
        if trees.chance[g, n].state == OPEN:
            remember_board(trees, g, n)


@inner
def _move_chance(trees, g, n, to, new_decision):
    above = trees.chance[g, n].decision
    trees.chance[g, to] = trees.chance[g, n]
    trees.chance[g, to].decision = new_decision[above] if to != ROOT else NONE
    for c in range(trees.board.shape[2]):
        trees.board[g, to, c] = trees.board[g, n, c]
    if trees.chance[g, to].state != OPEN:
        return
    for t in range(trees.tile.shape[2]):
        if (trees.chance[g, to].unused >> t) & 1:
            d = trees.tile[g, n, t].decision
            trees.tile[g, to, t].value = trees.tile[g, n, t].value
            trees.tile[g, to, t].decision = new_decision[d] if d != NONE else NONE
            for c in range(trees.board.shape[2]):
                trees.advantage[g, to, t, c] = trees.advantage[g, n, t, c]
                trees.logit[g, to, t, c] = trees.logit[g, n, t, c]


@inner
def _move_decision(trees, g, d, to, new_chance):
    trees.decision[g, to] = trees.decision[g, d]
    trees.decision[g, to].chance = new_chance[trees.decision[g, d].chance]
    for e in range(trees.decision[g, d].edges):
        child = trees.edge[g, d, e].child
        trees.edge[g, to, e] = trees.edge[g, d, e]
        trees.edge[g, to, e].child = new_chance[child] if child != NONE else NONE
