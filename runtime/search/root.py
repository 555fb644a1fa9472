"""What is tried at the root, and what is chosen in the end: by PUCT, or by Gumbel and halving.

`puct` spreads the simulations by policy and value and chooses, of the cells that were looked at
well, the one of the highest value: values are exact over the draws, so a count of visits tells less
than they do. `gumbel` (Danihelka et al. 2022, "Policy improvement by planning with Gumbel") picks
some candidates by policy, gives all of them the same number of simulations, and halves their number
by value until the budget is spent; here without noise, for it plays its best.
"""

# numba infers these types; the arrays are described in tree.py.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from azx.runtime.compiled import compiled, inlined, inner
from azx.runtime.search.endgame import count_bits
from azx.runtime.search.tree import NONE, ROOT

#: Weight of the policy against the values in PUCT.
EXPLORATION = 1.0

#: Edges with at least this share of the most visited edge's visits may be chosen by PUCT.
LOOKED_AT = 0.25

#: What a value weighs against the policy: (c_visit + most visits) x c_scale x value / span, with
#: the constants of the paper.
VISIT_CONSTANT, VALUE_SCALE = 50.0, 1.0

#: So many cells are candidates at first, with `gumbel`.
CONSIDERED = 16

#: Advantages are never blown up beyond this many points to one.
LEAST_SPAN = 1.0


@inlined
def span_of(trees, g):
    """Points between the least and the largest advantage that this tree has seen."""
    return max(trees.tree[g].high - trees.tree[g].low, np.float32(LEAST_SPAN))


@inlined
def choose_by_puct(trees, g, d):
    """The edge of the highest advantage + bonus (Rosin 2011; Silver et al. 2017).

    Advantages, edge value minus decision value, are comparable all over the tree, where values
    differ by the luck of the draws above them. They are scaled to the span this tree has seen.
    """
    scale = np.float32(1.0) / span_of(trees, g)
    value = trees.decision[g, d].value
    push = np.float32(EXPLORATION) * np.sqrt(np.float32(trees.decision[g, d].visits + 1))
    best = 0
    best_score = np.float32(-np.inf)
    for e in range(trees.decision[g, d].edges):
        bonus = push * trees.edge[g, d, e].prior / np.float32(1 + trees.edge[g, d, e].visits)
        score = (trees.edge[g, d, e].value - value) * scale + bonus
        if score > best_score:
            best_score = score
            best = e
    return best


@inlined
def _logit(trees, g, d, e):
    return np.log(trees.edge[g, d, e].prior + np.float32(1e-9))


@inner
def _merit(trees, g, d, e):
    """What halving keeps the larger half of: log of the prior + scaled value."""
    most = 0
    for k in range(trees.decision[g, d].edges):
        most = max(most, trees.edge[g, d, k].visits)
    weight = (VISIT_CONSTANT + most) * VALUE_SCALE / span_of(trees, g)
    advantage = np.float32(0.0)  # what is not known is taken to be like the rest
    if trees.edge[g, d, e].known:
        advantage = trees.edge[g, d, e].value - trees.decision[g, d].value
    return _logit(trees, g, d, e) + weight * advantage


@inner
def pick_candidates(trees, g):
    """Sequential halving begins with the edges that the policy prefers."""
    trees.tree[g].halvings = 0
    trees.tree[g].candidates = 0
    for _ in range(min(CONSIDERED, trees.decision[g, ROOT].edges)):
        best = -1
        best_logit = -np.inf
        for e in range(trees.decision[g, ROOT].edges):
            if not (trees.tree[g].candidates >> e) & 1:
                logit = _logit(trees, g, ROOT, e)
                if logit > best_logit:
                    best_logit = logit
                    best = e
        trees.tree[g].candidates |= 1 << best


@inner
def _worst_candidate(trees, g):
    worst = -1
    least = np.inf
    for e in range(trees.decision[g, ROOT].edges):
        if (trees.tree[g].candidates >> e) & 1:
            merit = _merit(trees, g, ROOT, e)
            if merit < least:
                least = merit
                worst = e
    return worst


@inner
def _least_visited_candidate(trees, g):
    best = -1
    fewest = 1 << 30
    for e in range(trees.decision[g, ROOT].edges):
        if (trees.tree[g].candidates >> e) & 1 and trees.edge[g, ROOT, e].visits < fewest:
            fewest = trees.edge[g, ROOT, e].visits
            best = e
    return best


@inner
def choose_by_halving(trees, g, budget, spent):
    """The candidate with the fewest visits, after the halvings that are due.

    They are due by the share of `budget`, the simulations, or of the time (`spent`, 0 to 1) that is
    behind: the larger of the two. Time drops nobody before all candidates were looked at.
    """
    halvings = 0
    while (1 << halvings) < min(CONSIDERED, trees.decision[g, ROOT].edges):
        halvings += 1
    due = trees.decision[g, ROOT].visits * halvings // budget
    if spent > 0 and trees.edge[g, ROOT, _least_visited_candidate(trees, g)].visits > 0:
        due = max(due, int(spent * halvings))
    while trees.tree[g].halvings < due:
        trees.tree[g].halvings += 1
        for _ in range(count_bits(trees.tree[g].candidates) // 2):
            trees.tree[g].candidates ^= 1 << _worst_candidate(trees, g)
    return _least_visited_candidate(trees, g)


@inner
def _variance_of_draw(trees, g):
    """Variance of the root's worth over the tiles that might have come."""
    mean = trees.chance[g, ROOT].value
    total = np.float32(0.0)
    for t in range(trees.tile.shape[2]):
        if (trees.chance[g, ROOT].unused >> t) & 1:
            d = trees.tile[g, ROOT, t].decision
            worth = trees.tile[g, ROOT, t].value if d == NONE else trees.decision[g, d].value
            total += (worth - mean) ** 2
    return total / trees.chance[g, ROOT].left


@compiled
def root_results(trees, settings, cells, visits, values, policy, outlook, luck):
    """The choice at every root [G]; visits, values and the improved policy over the cells [G, C].

    The policy is the share of the visits, or with halving the softmax of all edges' merits; where
    all values are exact it is the best cell alone. `outlook` [G] is the points to come before the
    tile was known, `luck` [G] their variance over the tiles.
    """
    for g in range(cells.shape[0]):
        outlook[g] = trees.chance[g, ROOT].value
        luck[g] = _variance_of_draw(trees, g)
        exact = trees.chance[g, ROOT].empty - 1 <= settings.exact_cells
        most = 0
        for e in range(trees.decision[g, ROOT].edges):
            most = max(most, trees.edge[g, ROOT, e].visits)
        best = -np.inf
        for e in range(trees.decision[g, ROOT].edges):
            edge = trees.edge[g, ROOT, e]
            visits[g, edge.cell] = edge.visits
            values[g, edge.cell] = edge.value
            if exact:
                merit, allowed = edge.value, True
            elif settings.halving:
                merit = _merit(trees, g, ROOT, e)
                policy[g, edge.cell] = np.exp(merit)
                allowed = (trees.tree[g].candidates >> e) & 1 > 0
            else:
                policy[g, edge.cell] = edge.visits
                merit, allowed = edge.value, edge.visits >= LOOKED_AT * most
            if allowed and merit > best:
                best = merit
                cells[g] = edge.cell
        if exact:
            policy[g, cells[g]] = 1.0
        total = policy[g].sum()
        for c in range(policy.shape[1]):
            policy[g, c] /= total
