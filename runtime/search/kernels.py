"""The four moves of a simulation, compiled: select, expand, back up, and keep a subtree.

Each function works on one tree `g` of `Trees`; the loops over trees stand at the end. Chance is
exact: an afterstate is worth the mean over all tiles that may come, a tile that was never drawn
counting with the network's own estimate, so a value never depends on which tiles luck drew.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint64

from azx.runtime.rules import add_board_gains, placement_gain
from azx.runtime.search.tree import NONE, ROOT
from azx.runtime.seeds import mix

# mypy: disable-error-code="no-untyped-def"


@njit(cache=True, nogil=True)
def _new_chance(trees, g, board):
    """A chance node for `board`, not yet evaluated; returns its number."""
    n = trees.chances[g]
    trees.chances[g] = n + 1
    trees.board[g, n] = board
    trees.draws[g, n] = 0
    trees.tiles_seen[g, n] = 0
    trees.correction[g, n] = 0.0
    trees.network_value[g, n] = 0.0
    trees.chance_value[g, n] = 0.0
    trees.tile_decision[g, n] = NONE
    return n


@njit(cache=True, nogil=True)
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
    total = np.float32(0.0)
    for e in range(edges):
        c = trees.cell[g, d, e]
        weight = np.exp(logits[c] - largest)
        total += weight
        gain = np.float32(placement_gain(tables, board, tile, c))
        trees.prior[g, d, e] = weight
        trees.gain[g, d, e] = gain
        trees.edge_visits[g, d, e] = 0
        # After the last placement there is nothing to come.
        if edges == 1:
            trees.edge_value[g, d, e] = gain
        elif has_q:
            trees.edge_value[g, d, e] = trees.q[g, chance, tile, c]
        else:
            trees.edge_value[g, d, e] = trees.tile_value[g, chance, tile]
        trees.child[g, d, e] = NONE
    for e in range(edges):
        trees.prior[g, d, e] /= total
        advantage = trees.edge_value[g, d, e] - trees.decision_value[g, d]
        trees.low[g] = min(trees.low[g], advantage)
        trees.high[g] = max(trees.high[g], advantage)
    trees.edges[g, d] = edges
    return d


@njit(cache=True, nogil=True)
def _choose_edge(trees, g, d, exploration):
    """PUCT (Rosin 2011; Silver et al. 2017), on advantages scaled to what this tree has seen.

    Advantages, edge value minus decision value, are comparable all over the tree, where values
    differ by the luck of the draws above them.
    """
    span = max(trees.high[g] - trees.low[g], np.float32(1.0))
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


@njit(cache=True, nogil=True)
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
    key = mix(trees.keys[g], uint64(board.shape[0] - (tiles - left)) * uint64(1 << 32) + uint64(chance))
    start = int(key & uint64(0xFFFF)) % left
    stride = 1 + int((key >> uint64(16)) & uint64(0xFFFF)) % left
    while _common_divisor(stride, left) != 1:
        stride = stride % left + 1
    wanted = (start + stride * (trees.draws[g, chance] % left)) % left
    trees.draws[g, chance] += 1
    for tile in range(tiles):
        if not (used >> tile) & 1:
            if wanted == 0:
                return tile
            wanted -= 1
    return -1


@njit(cache=True, nogil=True)
def _common_divisor(a, b):
    while b:
        a, b = b, a % b
    return a


@njit(cache=True, nogil=True)
def _select(tables, trees, path, g, exploration, has_q):
    """Walk from the root to a chance node without draws so far: a new one, or a full board."""
    chance, d = ROOT, ROOT
    depth = 0
    while True:
        e = _choose_edge(trees, g, d, exploration)
        path.decision[g, depth] = d
        path.edge[g, depth] = e
        depth += 1
        child = trees.child[g, d, e]
        if child == NONE:
            child = _new_chance(trees, g, trees.board[g, chance])
            trees.board[g, child, trees.cell[g, d, e]] = path.tile[g]
            trees.child[g, d, e] = child
            break
        if trees.edges[g, d] == 1:
            break
        chance = child
        tile = _draw_tile(trees, g, chance)
        path.tile[g] = tile
        d = trees.tile_decision[g, chance, tile]
        if d == NONE:
            d = _new_decision(tables, trees, g, chance, tile, has_q)
            trees.tiles_seen[g, chance] += 1
    path.length[g] = depth
    return child


@njit(cache=True, nogil=True)
def _expand(tables, trees, g, n, logits, value, q, has_q):
    """Store what the network says of chance node `n`, and what that makes each next tile worth."""
    board = trees.board[g, n]
    tiles, cells = logits.shape
    trees.logits[g, n] = logits
    worth = trees.q[g, n]
    worth[:] = 0.0
    if not has_q:
        trees.tile_value[g, n] = value
        trees.chance_value[g, n] = value
        return
    worth[:] = q
    add_board_gains(tables, board, worth)
    total = np.float32(0.0)
    left = tiles
    used = 0
    for c in range(cells):
        if board[c] >= 0:
            used |= 1 << board[c]
            left -= 1
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
    trees.network_value[g, n] = total / left


@njit(cache=True, nogil=True)
def _back_up(trees, path, g, leaf, mode, beta):
    """Carry the leaf's value to the root; every node on the way is brought up to date."""
    chance = leaf
    tiles = trees.tile_decision.shape[2]
    cells = trees.board.shape[2]
    for depth in range(path.length[g] - 1, -1, -1):
        d = path.decision[g, depth]
        e = path.edge[g, depth]
        trees.edge_value[g, d, e] = trees.gain[g, d, e] + trees.chance_value[g, chance]
        trees.edge_visits[g, d, e] += 1
        trees.visits[g, d] += 1
        before = trees.decision_value[g, d]
        best = np.float32(-np.inf)
        mean = np.float32(0.0)
        for k in range(trees.edges[g, d]):
            if trees.edge_visits[g, d, k] > 0:
                best = max(best, trees.edge_value[g, d, k])
                mean += trees.edge_value[g, d, k] * trees.edge_visits[g, d, k]
        mean /= trees.visits[g, d]
        now = best if mode == 1 else mean
        trees.decision_value[g, d] = now
        advantage = trees.edge_value[g, d, e] - now
        trees.low[g] = min(trees.low[g], advantage)
        trees.high[g] = max(trees.high[g], advantage)
        chance = trees.parent[g, d]
        trees.correction[g, chance] += now - before
        left = tiles - (cells - trees.edges[g, d])
        k = trees.tiles_seen[g, chance]
        share = (np.float32(k) / left) ** (np.float32(1.0) - np.float32(beta))
        trees.chance_value[g, chance] = (
            trees.network_value[g, chance] + share * trees.correction[g, chance] / k
        )


@njit(cache=True, nogil=True)
def start(tables, trees, path, boards, tiles, keys, fresh):
    """Put a chance node for each board at the root of its tree, where `fresh`; drop what was."""
    for g in range(boards.shape[0]):
        path.root_tile[g] = tiles[g]
        if fresh[g]:
            trees.chances[g] = 0
            trees.decisions[g] = 0
            trees.keys[g] = keys[g]
            trees.low[g] = 0.0
            trees.high[g] = 0.0
            _new_chance(trees, g, boards[g])


@njit(cache=True, nogil=True)
def expand_roots(tables, trees, games, logits, value, q, has_q):
    for i in range(games.shape[0]):
        _expand(tables, trees, games[i], ROOT, logits[i], value[i], q[i], has_q)


@njit(cache=True, nogil=True)
def open_roots(tables, trees, path, games, has_q):
    for g in range(games):
        if trees.tile_decision[g, ROOT, path.root_tile[g]] == NONE:
            _new_decision(tables, trees, g, ROOT, path.root_tile[g], has_q)
            trees.tiles_seen[g, ROOT] = 1


@njit(cache=True, nogil=True)
def select_leaves(tables, trees, path, games, simulations, exploration, has_q, mode, beta, leaf_games, leaf_nodes, leaf_boards):
    """One simulation in each tree with budget left; returns how many leaves want the network."""
    cells = trees.board.shape[2]
    found = 0
    for g in range(games):
        while trees.visits[g, ROOT] < simulations:
            path.tile[g] = path.root_tile[g]
            n = _select(tables, trees, path, g, exploration, has_q)
            d = path.decision[g, path.length[g] - 1]
            if trees.edges[g, d] == 1:
                _back_up(trees, path, g, n, mode, beta)
                continue
            leaf_games[found] = g
            leaf_nodes[found] = n
            leaf_boards[found] = trees.board[g, n]
            found += 1
            break
    return found


@njit(cache=True, nogil=True)
def grow(tables, trees, path, leaf_games, leaf_nodes, logits, value, q, has_q, mode, beta):
    for i in range(leaf_games.shape[0]):
        g = leaf_games[i]
        _expand(tables, trees, g, leaf_nodes[i], logits[i], value[i], q[i], has_q)
        _back_up(trees, path, g, leaf_nodes[i], mode, beta)


@njit(cache=True, nogil=True)
def root_statistics(trees, games, visits, values):
    visits[:] = 0
    values[:] = -np.inf
    for g in range(games):
        for e in range(trees.edges[g, ROOT]):
            c = trees.cell[g, ROOT, e]
            visits[g, c] = trees.edge_visits[g, ROOT, e]
            if visits[g, c] > 0:
                values[g, c] = trees.edge_value[g, ROOT, e]
