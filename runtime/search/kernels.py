"""The moves of a simulation, compiled: select, expand, back up; and keeping a subtree.

Each function works on one tree `g` of `Trees`; those without a leading underscore loop over trees.
Chance is exact: an afterstate is worth the mean over all tiles that may come, and a tile that was
not drawn yet counts with the network's own estimate, so that no value depends on which tiles luck
drew. A decision is worth its best placement as far as is known: what was looked at by its search,
the rest by the network's q.
"""

# numba infers these types; the arrays are described in tree.py.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import uint64

from azx.runtime.compiled import compiled, inlined
from azx.runtime.rules import add_board_gains, placement_gain
from azx.runtime.search.tree import NONE, ROOT
from azx.runtime.seeds import mix

#: Advantages are never blown up beyond this many points to one.
LEAST_SPAN = 1.0

#: Edges with at least this share of the most visited edge's visits may be chosen in the end.
LOOKED_AT = 0.25


@compiled
def _common_divisor(a, b):
    while b:
        a, b = b, a % b
    return a


@compiled
def _new_chance(trees, g, board, tile, cell):
    """A chance node for `board` with `tile` on `cell` (or NONE), not yet evaluated; its number."""
    n = trees.chances[g]
    trees.chances[g] = n + 1
    trees.board[g, n] = board
    if cell != NONE:
        trees.board[g, n, cell] = tile
    left = trees.tile_decision.shape[2]
    for c in range(board.shape[0]):
        left -= trees.board[g, n, c] >= 0
    # Number and tiles left tell the node from every other that this game's searches make.
    key = mix(trees.keys[g], uint64(n) * uint64(64) + uint64(left))
    stride = int((key >> uint64(16)) & uint64(0xFFFF)) % left + 1
    while _common_divisor(stride, left) != 1:
        stride = stride % left + 1
    trees.next_draw[g, n] = int(key & uint64(0xFFFF)) % left
    trees.draw_stride[g, n] = stride
    trees.chance_value[g, n] = 0.0
    trees.tile_decision[g, n] = NONE
    return n


@compiled
def _new_decision(tables, trees, g, chance, tile, has_q):
    """The decision node for `tile` drawn at `chance`: priors by softmax over the empty cells."""
    d = trees.decisions[g]
    trees.decisions[g] = d + 1
    trees.tile_decision[g, chance, tile] = d
    trees.parent[g, d] = chance
    trees.visits[g, d] = 0
    trees.decision_value[g, d] = trees.tile_value[g, chance, tile]
    board = trees.board[g, chance]
    logits = trees.logits[g, chance, tile]
    edges = 0
    largest = np.float32(-np.inf)
    for c in range(board.shape[0]):
        if board[c] < 0:
            largest = max(largest, logits[c])
            trees.cell[g, d, edges] = c
            edges += 1
    trees.edges[g, d] = edges
    total = np.float32(0.0)
    for e in range(edges):
        c = trees.cell[g, d, e]
        weight = np.exp(logits[c] - largest)
        total += weight
        gain = np.float32(placement_gain(tables, board, tile, c))
        trees.prior[g, d, e] = weight
        trees.gain[g, d, e] = gain
        trees.edge_visits[g, d, e] = 0
        trees.child[g, d, e] = NONE
        if edges == 1:
            trees.edge_value[g, d, e] = gain
        elif has_q:
            trees.edge_value[g, d, e] = gain + trees.q[g, chance, tile, c]
        else:
            trees.edge_value[g, d, e] = trees.decision_value[g, d]
    for e in range(edges):
        trees.prior[g, d, e] /= total
        _see_advantage(trees, g, trees.edge_value[g, d, e] - trees.decision_value[g, d])
    return d


@inlined
def _see_advantage(trees, g, advantage):
    trees.low[g] = min(trees.low[g], advantage)
    trees.high[g] = max(trees.high[g], advantage)


@compiled
def _choose_edge(trees, g, d, exploration):
    """PUCT (Rosin 2011; Silver et al. 2017), on advantages scaled to what this tree has seen.

    Advantages, edge value minus decision value, are comparable all over the tree, where values
    differ by the luck of the draws above them.
    """
    span = max(trees.high[g] - trees.low[g], np.float32(LEAST_SPAN))
    push = np.float32(exploration) * np.sqrt(np.float32(trees.visits[g, d] + 1))
    best = -1
    best_score = np.float32(-np.inf)
    for e in range(trees.edges[g, d]):
        advantage = (trees.edge_value[g, d, e] - trees.decision_value[g, d]) / span
        bonus = push * trees.prior[g, d, e] / np.float32(1 + trees.edge_visits[g, d, e])
        if advantage + bonus > best_score:
            best_score = advantage + bonus
            best = e
    return best


@compiled
def _draw_tile(trees, g, chance):
    """The next tile of an even sequence: no tile comes a second time before all have come once.

    Each node goes through the tiles left from a start and with a stride of its own.
    """
    board = trees.board[g, chance]
    tiles = trees.tile_decision.shape[2]
    used = 0
    left = tiles
    for c in range(board.shape[0]):
        if board[c] >= 0:
            used |= 1 << board[c]
            left -= 1
    wanted = trees.next_draw[g, chance]
    trees.next_draw[g, chance] = (wanted + trees.draw_stride[g, chance]) % left
    for tile in range(tiles):
        if not (used >> tile) & 1:
            if wanted == 0:
                return tile
            wanted -= 1
    return NONE


@compiled
def _select(tables, trees, path, g, exploration, has_q):
    """Walk from the root to a new chance node, which is made, or to a full board."""
    chance = d = ROOT
    tile = trees.tile[g]
    depth = 0
    while True:
        e = _choose_edge(trees, g, d, exploration)
        path.decision[g, depth] = d
        path.edge[g, depth] = e
        depth += 1
        path.length[g] = depth
        child = trees.child[g, d, e]
        if child == NONE:
            child = _new_chance(trees, g, trees.board[g, chance], tile, trees.cell[g, d, e])
            trees.child[g, d, e] = child
            return child
        if trees.edges[g, d] == 1:
            return child
        chance = child
        tile = _draw_tile(trees, g, chance)
        d = trees.tile_decision[g, chance, tile]
        if d == NONE:
            d = _new_decision(tables, trees, g, chance, tile, has_q)


@compiled
def _expand(tables, trees, g, n, logits, value, q, has_q):
    """Keep what the network says of chance node `n`, and what that makes each next tile worth."""
    trees.logits[g, n] = logits
    if not has_q:
        trees.tile_value[g, n] = value
        trees.chance_value[g, n] = value
        return
    trees.q[g, n] = q
    board = trees.board[g, n]
    tiles, cells = logits.shape
    worth = q.copy()
    add_board_gains(tables, board, worth)
    used = 0
    left = tiles
    for c in range(cells):
        if board[c] >= 0:
            used |= 1 << board[c]
            left -= 1
    total = np.float32(0.0)
    for tile in range(tiles):
        if (used >> tile) & 1:
            continue
        best = np.float32(-np.inf)
        for c in range(cells):
            if board[c] < 0:
                best = max(best, worth[tile, c])
        trees.tile_value[g, n, tile] = best
        total += best
    trees.chance_value[g, n] = total / left


@compiled
def _back_up(trees, path, g, leaf, has_q):
    """Carry the leaf's value to the root, bringing up to date every node on the way."""
    tiles = trees.tile_decision.shape[2]
    cells = trees.board.shape[2]
    chance = leaf
    for depth in range(path.length[g] - 1, -1, -1):
        d = path.decision[g, depth]
        e = path.edge[g, depth]
        trees.edge_value[g, d, e] = trees.gain[g, d, e] + trees.chance_value[g, chance]
        trees.edge_visits[g, d, e] += 1
        trees.visits[g, d] += 1
        now = np.float32(-np.inf)
        for k in range(trees.edges[g, d]):
            # Without q, an edge not looked at has no value of its own.
            if has_q or trees.edge_visits[g, d, k] > 0:
                now = max(now, trees.edge_value[g, d, k])
        change = now - trees.decision_value[g, d]
        trees.decision_value[g, d] = now
        _see_advantage(trees, g, trees.edge_value[g, d, e] - now)
        chance = trees.parent[g, d]
        tiles_left = tiles - (cells - trees.edges[g, d])
        trees.chance_value[g, chance] += change / tiles_left


@compiled
def _keep(trees, g, chance, tile):
    """Make `chance` with `tile` drawn the root, and drop all that does not hang from it.

    Nodes keep their order, so each moves to a place at or before its own; a node is always made
    after its parents, so one pass in rising order finds all that is to be kept.
    """
    root = trees.tile_decision[g, chance, tile]
    for t in range(trees.tile_decision.shape[2]):
        d = trees.tile_decision[g, chance, t]
        if d != NONE:
            trees.tile_value[g, chance, t] = trees.decision_value[g, d]
    new_chance = np.full(trees.chances[g], NONE, dtype=np.int32)
    new_decision = np.full(trees.decisions[g], NONE, dtype=np.int32)
    new_chance[chance] = ROOT
    decisions = 0
    if root != NONE:
        for d in range(root, trees.decisions[g]):
            above = trees.parent[g, d]
            if new_chance[above] == NONE or (above == chance and d != root):
                continue
            new_decision[d] = decisions
            decisions += 1
            for e in range(trees.edges[g, d]):
                if trees.child[g, d, e] != NONE:
                    new_chance[trees.child[g, d, e]] = ROOT
    chances = 0
    for n in range(trees.chances[g]):
        if new_chance[n] == NONE:
            continue
        new_chance[n] = chances
        for t in range(trees.tile_decision.shape[2]):
            d = trees.tile_decision[g, n, t]
            trees.tile_decision[g, chances, t] = NONE if d == NONE else new_decision[d]
        trees.board[g, chances] = trees.board[g, n]
        trees.next_draw[g, chances] = trees.next_draw[g, n]
        trees.draw_stride[g, chances] = trees.draw_stride[g, n]
        trees.chance_value[g, chances] = trees.chance_value[g, n]
        trees.tile_value[g, chances] = trees.tile_value[g, n]
        trees.logits[g, chances] = trees.logits[g, n]
        trees.q[g, chances] = trees.q[g, n]
        chances += 1
    for d in range(trees.decisions[g]):
        to = new_decision[d]
        if to == NONE:
            continue
        trees.parent[g, to] = new_chance[trees.parent[g, d]]
        trees.edges[g, to] = trees.edges[g, d]
        trees.visits[g, to] = trees.visits[g, d]
        trees.decision_value[g, to] = trees.decision_value[g, d]
        trees.cell[g, to] = trees.cell[g, d]
        trees.prior[g, to] = trees.prior[g, d]
        trees.edge_visits[g, to] = trees.edge_visits[g, d]
        trees.edge_value[g, to] = trees.edge_value[g, d]
        trees.gain[g, to] = trees.gain[g, d]
        for e in range(trees.edges[g, d]):
            child = trees.child[g, d, e]
            trees.child[g, to, e] = NONE if child == NONE else new_chance[child]
    trees.chances[g] = chances
    trees.decisions[g] = decisions


@compiled
def set_roots(trees, boards, tiles, keys, unknown):
    """Put each game's position at the root, keeping what its tree knows of it.

    Writes to `unknown` the games whose root the network has yet to see; returns how many.
    """
    count = 0
    for g in range(boards.shape[0]):
        kept = NONE
        if trees.keys[g] == keys[g] and trees.decisions[g] > 0:
            for e in range(trees.edges[g, ROOT]):
                child = trees.child[g, ROOT, e]
                if child != NONE and (trees.board[g, child] == boards[g]).all():
                    kept = child
        trees.tile[g] = tiles[g]
        if kept != NONE:
            _keep(trees, g, kept, tiles[g])
            continue
        trees.keys[g] = keys[g]
        trees.chances[g] = 0
        trees.decisions[g] = 0
        trees.low[g] = 0.0
        trees.high[g] = 0.0
        _new_chance(trees, g, boards[g], NONE, NONE)
        unknown[count] = g
        count += 1
    return count


@compiled
def expand_roots(tables, trees, games, logits, value, q, has_q):
    """Keep the network's word on the roots of `games` [B]."""
    for i in range(games.shape[0]):
        _expand(tables, trees, games[i], ROOT, logits[i], value[i], q[i], has_q)


@compiled
def open_roots(tables, trees, games, has_q):
    """Make the decision of every root's drawn tile, where it is not there from before."""
    for g in range(games):
        if trees.decisions[g] == 0:
            _new_decision(tables, trees, g, ROOT, trees.tile[g], has_q)


@compiled
def select_leaves(
    tables, trees, path, games, simulations, exploration, has_q, leaf_games, leaf_nodes, leaf_boards
):
    """A simulation down to a leaf in each tree with budget left; how many leaves there are.

    Simulations that end on a full board need no network and are finished here.
    """
    found = 0
    for g in range(games):
        while trees.visits[g, ROOT] < simulations:
            n = _select(tables, trees, path, g, exploration, has_q)
            if trees.edges[g, path.decision[g, path.length[g] - 1]] == 1:
                _back_up(trees, path, g, n, has_q)
                continue
            leaf_games[found] = g
            leaf_nodes[found] = n
            leaf_boards[found] = trees.board[g, n]
            found += 1
            break
    return found


@compiled
def grow(tables, trees, path, leaf_games, leaf_nodes, logits, value, q, has_q):
    """Expand the leaves that were selected and finish their simulations."""
    for i in range(leaf_games.shape[0]):
        g = leaf_games[i]
        _expand(tables, trees, g, leaf_nodes[i], logits[i], value[i], q[i], has_q)
        _back_up(trees, path, g, leaf_nodes[i], has_q)


@compiled
def root_results(trees, cells, visits, values):
    """The choice at every root [G], and visits and values over the cells [G, C].

    Of the edges that were looked at well, the one of the highest value: the values are exact over
    the draws, so a count of visits tells less than they do.
    """
    for g in range(cells.shape[0]):
        most = 0
        for e in range(trees.edges[g, ROOT]):
            most = max(most, trees.edge_visits[g, ROOT, e])
        best = -np.inf
        for e in range(trees.edges[g, ROOT]):
            c = trees.cell[g, ROOT, e]
            visits[g, c] = trees.edge_visits[g, ROOT, e]
            values[g, c] = trees.edge_value[g, ROOT, e]
            if visits[g, c] >= LOOKED_AT * most and values[g, c] > best:
                best = values[g, c]
                cells[g] = c
