"""The moves of a simulation: down to a leaf, the network's word on it, and back up.

Chance is exact: an afterstate is worth the mean over all tiles that may come, and a tile that was
not drawn yet counts with the network's own estimate, so that no value depends on which tiles luck
drew. A decision is worth its best placement as far as is known: what was looked at by its search,
the rest by the network's q.

Several simulations of a tree may be under way at once. One that is counts as a visit, so the next
goes elsewhere; one that comes to a node whose judgement is not there yet is taken back.
"""

# numba infers these types; the arrays are described in tree.py.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from azx.runtime.compiled import compiled, inlined, inner
from azx.runtime.search.nodes import judge, new_chance, new_decision, see_advantage
from azx.runtime.search.root import choose_by_halving, choose_by_puct, pick_candidates
from azx.runtime.search.transpositions import take_over_judgement
from azx.runtime.search.tree import CLOSED, FRESH, NONE, ROOT, WAITING


class Settings(NamedTuple):
    """What compiled code needs to know of a search."""

    simulations: int  # that a root has seen in the end, those kept from earlier moves included
    under_way: int  # simulations of one tree at most that wait for the network together
    at_once: int  # simulations of one tree at most between two looks at the clock
    exact_cells: int  # afterstates with at most so many empty cells are worked out exactly
    halving: bool  # at the root: sequential halving rather than PUCT
    has_q: bool  # whether the network judges placements one by one


class Leaves(NamedTuple):
    """Up to M chance nodes that wait for the network."""

    tree: NDArray[np.int32]  # [M]
    node: NDArray[np.int32]  # [M]
    board: NDArray[np.int8]  # [M, C]


@inlined
def _draw_tile(trees, g, chance):
    """The next tile of an even sequence: no tile comes a second time before all have come once."""
    wanted = trees.chance[g, chance].next_draw
    left = trees.chance[g, chance].left
    following = wanted + trees.chance[g, chance].draw_stride
    trees.chance[g, chance].next_draw = following - left if following >= left else following
    unused = trees.chance[g, chance].unused
    tile = np.int64(0)
    while True:
        if (unused >> tile) & 1:
            if wanted == 0:
                return tile
            wanted -= 1
        tile += 1


@inlined
def _put_tile_back(trees, g, chance):
    """Undo a draw: the tile comes next again."""
    before = trees.chance[g, chance].next_draw - trees.chance[g, chance].draw_stride
    trees.chance[g, chance].next_draw = (
        before + trees.chance[g, chance].left if before < 0 else before
    )


@inner
def _descend(tables, trees, g, settings, spent):
    """Walk from the root to a new chance node, which is made, or to one that goes no deeper."""
    chance = d = ROOT
    while True:
        if settings.halving and chance == ROOT:
            e = choose_by_halving(trees, g, settings.simulations, spent)
        else:
            e = choose_by_puct(trees, g, d)
        trees.decision[g, d].visits += 1
        trees.edge[g, d, e].visits += 1
        child = np.int64(trees.edge[g, d, e].child)
        if child == NONE:
            return new_chance(tables, trees, g, d, e, settings.exact_cells)
        if trees.chance[g, child].state == WAITING or trees.chance[g, child].state == CLOSED:
            return child
        chance = child
        tile = _draw_tile(trees, g, chance)
        d = np.int64(trees.tile[g, chance, tile].decision)
        if d == NONE:
            d = new_decision(tables, trees, g, chance, tile, settings.has_q)


@inner
def _take_back(trees, g, n):
    """Undo the visits of a simulation that came to the waiting node `n`."""
    d = trees.chance[g, n].decision
    while d != NONE:
        trees.decision[g, d].visits -= 1
        trees.edge[g, d, trees.chance[g, n].edge].visits -= 1
        n = trees.decision[g, d].chance
        d = trees.chance[g, n].decision
        if d != NONE:
            _put_tile_back(trees, g, n)


@inner
def _back_up(trees, g, n):
    """Carry the value of chance node `n` to the root, as far up as it changes anything."""
    d = trees.chance[g, n].decision
    while d != NONE:
        e = trees.chance[g, n].edge
        before = trees.edge[g, d, e].value
        now = trees.edge[g, d, e].gain + trees.chance[g, n].value
        was_known = trees.edge[g, d, e].known
        trees.edge[g, d, e].value = now
        trees.edge[g, d, e].known = True
        best = trees.decision[g, d].value
        if now >= best:
            best = now
        elif not was_known or before >= best:
            best = np.float32(-np.inf)
            for k in range(trees.decision[g, d].edges):
                # Without q, an edge not looked at has no value of its own.
                if trees.edge[g, d, k].known:
                    best = max(best, trees.edge[g, d, k].value)
        change = best - trees.decision[g, d].value
        trees.decision[g, d].value = best
        see_advantage(trees, g, now - best)
        if change == 0:
            return
        n = trees.decision[g, d].chance
        trees.chance[g, n].value += change / trees.chance[g, n].left
        d = trees.chance[g, n].decision


@inlined
def _room_left(trees, g):
    """Simulations that fit in for certain: each makes a chance node and a decision at most."""
    return min(
        trees.chance.shape[1] - trees.tree[g].chances,
        trees.decision.shape[1] - trees.tree[g].decisions,
    )


@compiled
def gather(tables, trees, settings, spent, first, last, leaves):
    """Simulations down to leaves in trees `first` to `last`.

    Returns how many leaves there are now, and whether a tree has more to do even without them.
    Simulations that end where the value is exact need no network and are finished here, of each
    tree `at_once` at most. `spent` is the share of the time that is over, 0 without a limit.
    """
    found = np.int64(0)
    more = False
    for g in range(first, last):
        if trees.chance[g, ROOT].state == FRESH:
            found = _add_leaf(trees, g, ROOT, leaves, found)
            continue
        if trees.tile[g, ROOT, trees.tree[g].tile].decision == NONE:
            tile = np.int64(trees.tree[g].tile)
            new_decision(tables, trees, g, ROOT, tile, settings.has_q)
        if trees.chance[g, ROOT].empty - 1 <= settings.exact_cells:
            _finish(tables, trees, g, settings.exact_cells)
            continue
        if settings.halving and trees.tree[g].candidates == 0:
            pick_candidates(trees, g)
        under_way = 0
        room = _room_left(trees, g)
        at_once = min(settings.at_once, room)
        enough = min(trees.decision[g, ROOT].visits + at_once, settings.simulations)
        while under_way < settings.under_way and trees.decision[g, ROOT].visits < enough:
            n = _descend(tables, trees, g, settings, spent)
            if trees.chance[g, n].state == FRESH and take_over_judgement(trees, g, n):
                _back_up(trees, g, n)
            elif trees.chance[g, n].state == FRESH:
                found = _add_leaf(trees, g, n, leaves, found)
                under_way += 1
            elif trees.chance[g, n].state == CLOSED:
                _back_up(trees, g, n)
            else:
                _take_back(trees, g, n)
                break
        if room > 0 and enough <= trees.decision[g, ROOT].visits < settings.simulations:
            more = True
    return found, more


@inner
def _add_leaf(trees, g, n, leaves, found):
    trees.chance[g, n].state = WAITING
    leaves.tree[found] = g
    leaves.node[found] = n
    for c in range(leaves.board.shape[1]):
        leaves.board[found, c] = trees.board[g, n, c]
    return found + 1


@inner
def _finish(tables, trees, g, exact_cells):
    """All placements at a root whose afterstates are worked out exactly."""
    for e in range(np.int64(trees.decision[g, ROOT].edges)):
        if trees.edge[g, ROOT, e].child == NONE:
            trees.decision[g, ROOT].visits += 1
            trees.edge[g, ROOT, e].visits += 1
            _back_up(trees, g, new_chance(tables, trees, g, ROOT, e, exact_cells))


@compiled
def grow(tables, trees, settings, leaves, which, logits, value, q, scratch):
    """Judge the leaves by rows `which` [M] of the answer, and finish their simulations."""
    for i in range(which.shape[0]):
        g, n, row = np.int64(leaves.tree[i]), np.int64(leaves.node[i]), which[i]
        judge(tables, trees, g, n, logits[row], value[row], q[row], settings.has_q, scratch)
        _back_up(trees, g, n)
