"""Where the time of a search goes: the network by a watch, the rules by asking them once more.

What is neither is trees: going down, keeping what was judged, carrying values up, and the exact
endings. In compiled code the rules cannot be timed where they are used, a call takes nanoseconds.
So they are asked again what a search asked them, in a bare loop over the nodes of its trees.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from azx.runtime.bench.clock import repeated
from azx.runtime.compiled import compiled
from azx.runtime.evaluator import Evaluation, Evaluator
from azx.runtime.rules import add_board_gains, placement_gain
from azx.runtime.search import Search
from azx.runtime.search.tree import OPEN
from azx.runtime.variant import Variant

#: Runs of the bare loop, whose median counts.
LEAST_LOOPS = 3


@dataclass
class Watched:
    """Another evaluator, with the batches it judged and the time that took."""

    evaluator: Evaluator
    batches: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def variant(self) -> Variant:
        """The other's."""
        return self.evaluator.variant

    @property
    def lanes(self) -> int:
        """The other's."""
        return self.evaluator.lanes

    def evaluate(self, boards: NDArray[np.int8]) -> Evaluation:
        """The other's answer. Lists may be added to by several threads."""
        start = time.perf_counter()
        answer = self.evaluator.evaluate(boards)
        self.seconds.append(time.perf_counter() - start)
        self.batches.append(len(boards))
        return answer

    def clear(self) -> None:
        """Begin anew."""
        self.batches.clear()
        self.seconds.clear()


@dataclass(frozen=True)
class Shares:
    """What the lanes' time was spent on, as parts of 1."""

    network: float
    rules: float

    @property
    def trees(self) -> float:
        """The rest, waiting included."""
        return 1.0 - self.network - self.rules

    def to_json(self) -> dict[str, float]:
        """All three."""
        return {"network": self.network, "trees": self.trees, "rules": self.rules}


def shares_of(total: float, network: float, rules: float) -> Shares:
    """From seconds of all lanes together."""
    return Shares(network / total, rules / total)


def rules_seconds(search: Search) -> float:
    """Seconds that the rules take for all nodes that are now in the trees of `search`.

    A board that a tree found judged already elsewhere is asked about here all the same, so it is
    rather too much than too little by those.
    """
    variant = search.evaluator.variant
    scratch = np.zeros((variant.tiles, variant.cells), dtype=np.float32)
    ask_rules_again(search.tables, search.trees, scratch)  # compiles
    taken = repeated(
        lambda: ask_rules_again(search.tables, search.trees, scratch), 0.0, LEAST_LOOPS
    )
    return float(np.median(taken))


@compiled
def ask_rules_again(tables, trees, scratch):  # type: ignore[no-untyped-def]
    """Gains of all placements on judged boards, and of each edge; the sum of the edges' gains."""
    total = 0
    for g in range(trees.tree.shape[0]):
        for n in range(trees.tree[g].chances):
            if trees.chance[g, n].state == OPEN:
                add_board_gains(tables, trees.board[g, n], scratch)
        for d in range(trees.tree[g].decisions):
            board = trees.board[g, trees.decision[g, d].chance]
            for e in range(trees.decision[g, d].edges):
                total += placement_gain(
                    tables, board, trees.decision[g, d].tile, trees.edge[g, d, e].cell
                )
    return total
