"""Monte Carlo tree search over many games in step, one evaluation for all their leaves."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from azx.runtime.errors import UsageError
from azx.runtime.evaluator import Evaluator, has_q
from azx.runtime.lanes import in_lanes
from azx.runtime.search.keep import set_roots
from azx.runtime.search.leaves import distinct
from azx.runtime.search.room import FASTEST, check_room, simulations_that_fit
from azx.runtime.search.root import root_results
from azx.runtime.search.tree import new_trees
from azx.runtime.search.walk import Leaves, Settings, gather, grow

#: Share of a budget that may wait for the network at once, and the most of it. What is under way
#: cannot tell the next simulation where to go: at a sixteenth no loss was seen (docs/log.md).
UNDER_WAY_SHARE, MOST_UNDER_WAY = 1 / 16, 32

#: Simulations where time alone limits a search.
UNLIMITED = 2**31 - 1

#: Simulations of a tree between two looks at the clock. The network does not hold up those that end
#: where the value is exact: near the end of a game, all there is room for would pass at once.
MOST_AT_ONCE = 128

#: Leaves that are judged together, so many that the network is at its fastest and so few that its
#: answers stay in the cache.
LEAVES = 1024

#: Ways to search the root, what scored best first (docs/log.md).
ROOTS = ("puct", "gumbel")


def check_root(root: str) -> None:
    """`UsageError` where `root` is no way to search the root."""
    if root not in ROOTS:
        raise UsageError(f"the root is one of {', '.join(ROOTS)}, found {root!r}")


@dataclass(frozen=True)
class Budget:
    """How much a move may cost, and how it is spent. The defaults are what scored best."""

    simulations: int = UNLIMITED
    seconds: float | None = None  # stop then, whatever is left of the simulations
    root: str = ROOTS[0]  # or the other: see `azx.runtime.search.root`
    exact_cells: int = 3  # afterstates with at most so many empty cells are worked out exactly

    def __post_init__(self) -> None:
        if self.simulations < 1:
            raise UsageError(f"a search needs at least 1 simulation, found {self.simulations}")
        if self.seconds is not None and not self.seconds > 0:
            raise UsageError(f"a search needs more than 0 seconds, found {self.seconds}")
        if self.seconds is None and self.simulations == UNLIMITED:
            raise UsageError("a search needs a number of simulations or seconds, found neither")
        check_root(self.root)
        # Without a value of their own full boards would go to the network.
        if self.exact_cells < 0:
            raise UsageError(f"exact cells are 0 or more, found {self.exact_cells}")

    def __str__(self) -> str:
        """As in `mcts:100` or `mcts:0.5s`."""
        amount = f"{self.simulations}" if self.seconds is None else f"{self.seconds:g}s"
        return amount if self.root == ROOTS[0] else f"{amount}:{self.root}"

    @property
    def described(self) -> str:
        """For people: what a move may cost."""
        amount = (
            f"{self.simulations} simulations a move"
            if self.seconds is None
            else f"{self.seconds:g} s a move"
        )
        return amount if self.root == ROOTS[0] else f"{amount}, {self.root} at the root"

    @property
    def least(self) -> Budget:
        """The smallest of the kind, to get ready with."""
        return replace(self, simulations=1, seconds=None)

    @property
    def under_way(self) -> int:
        """Simulations of one tree that wait for the network together."""
        return max(1, min(MOST_UNDER_WAY, int(self.simulations * UNDER_WAY_SHARE)))


class Found(NamedTuple):
    """What a search says of G positions."""

    cells: NDArray[np.int8]  # [G] where to lay the tile
    visits: NDArray[np.int32]  # [G, C] simulations through each cell
    values: NDArray[np.float32]  # [G, C] gain + points to come; 0 on filled cells
    policy: NDArray[np.float32]  # [G, C] the improved policy; sums to 1
    outlook: NDArray[np.float32]  # [G] points to come, before the tile was known
    luck: NDArray[np.float32]  # [G] variance of that over the tiles, points²


@dataclass(frozen=True)
class _Clock:
    """When a search began, and how long it may take; None is as long as it takes."""

    start: float  # by `time.monotonic`
    seconds: float | None

    def spent(self) -> float:
        """The share of the time that is over, 0 to 1."""
        if self.seconds is None:
            return 0.0
        return min(1.0, (time.monotonic() - self.start) / self.seconds)


class Search:
    """Trees for up to G games; a game's tree is kept from move to move.

    Reads the board, the tile and the game's key, so it cannot know what will be drawn. The result
    for a game depends on these and on the tree kept from its earlier moves, and on nothing else
    unless time is what limits it: not on the other games, nor on how many there are, nor on
    threads. Where time limits it, all games have the same share of it; a search also ends when half
    of the memory is full of trees.
    """

    def __init__(self, evaluator: Evaluator, games: int, budget: Budget) -> None:
        """Make room; `UsageError` where there is not enough memory."""
        self.evaluator, self.budget = evaluator, budget
        variant = evaluator.variant
        room = budget.simulations
        if budget.seconds is not None:
            in_time = 1 + int(budget.seconds * FASTEST)
            room = min(room, in_time, max(1, simulations_that_fit(variant, games)))
        check_room(variant, (games, room))
        self.tables = variant.tables
        self.settings = Settings(
            simulations=budget.simulations,
            under_way=budget.under_way,
            at_once=budget.simulations if budget.seconds is None else MOST_AT_ONCE,
            exact_cells=budget.exact_cells,
            halving=budget.root == "gumbel",
            has_q=has_q(evaluator),
        )
        # Each simulation makes at most one chance node and one decision; the root is one more.
        # Where everything is exact all cells are tried, whatever the budget.
        nodes = max(room, budget.exact_cells + 1) + 1
        self.trees = new_trees(variant, games, nodes)
        size = min(max(1, LEAVES // budget.under_way), -(-games // evaluator.lanes))
        self._blocks = [
            _Block(self, first, min(first + size, games)) for first in range(0, games, size or 1)
        ]

    def run(
        self, boards: NDArray[np.int8], tiles: NDArray[np.int8], keys: NDArray[np.uint64]
    ) -> Found:
        """Search for `tiles` [G] drawn at `boards` int8 [G, C] in the games of `keys` [G].

        G is at most what the search was made for; game g goes on with tree g where the board
        follows from it.
        """
        games = len(boards)
        clock = _Clock(time.monotonic(), self.budget.seconds)
        set_roots(self.trees, boards, tiles, keys)
        blocks = [block for block in self._blocks if block.first < games]
        for block in blocks:
            block.steps = 0
        _drive(blocks, self.evaluator.lanes, games, clock)
        found = Found(
            np.zeros(games, dtype=np.int8),
            np.zeros(boards.shape, dtype=np.int32),
            np.zeros(boards.shape, dtype=np.float32),
            np.zeros(boards.shape, dtype=np.float32),
            np.zeros(games, dtype=np.float32),
            np.zeros(games, dtype=np.float32),
        )
        root_results(self.trees, self.settings, *found)
        return found


class _Block:
    """The trees `first` to `last`, whose leaves are judged together."""

    def __init__(self, search: Search, first: int, last: int) -> None:
        self.search, self.first, self.last = search, first, last
        self.steps = 0  # of the search under way
        variant = search.evaluator.variant
        most = (last - first) * search.settings.under_way
        self.leaves = Leaves(
            np.empty(most, dtype=np.int32),
            np.empty(most, dtype=np.int32),
            np.empty((most, variant.cells), dtype=np.int8),
        )
        self.slots = np.empty(4 << most.bit_length(), dtype=np.int32)
        self.which = np.empty(most, dtype=np.int32)
        self.scratch = np.empty((variant.tiles, variant.cells), dtype=np.float32)

    def step(self, games: int, clock: _Clock) -> bool:
        """Have the next leaves of the first `games` judged; whether there is more to do."""
        search, leaves, spent = self.search, self.leaves, clock.spent()
        # The first step may be the root's own, and a choice needs one more.
        if spent == 1 and self.steps > 1:
            return False
        count, more = gather(
            search.tables, search.trees, search.settings, spent,
            self.first, min(self.last, games), leaves,
        )  # fmt: skip
        self.steps += 1
        if count == 0:
            return bool(more)
        rows = distinct(leaves.board, count, self.slots, self.which)
        answer = search.evaluator.evaluate(leaves.board[:rows])
        q = answer.q if answer.q is not None else answer.policy_logits
        grow(
            search.tables, search.trees, search.settings, leaves, self.which[:count],
            answer.policy_logits, answer.value, q, self.scratch,
        )  # fmt: skip
        return True


def _drive(blocks: list[_Block], lanes: int, games: int, clock: _Clock) -> None:
    """Step after step of all `blocks` in turn, in `lanes` threads; none goes on where one fails.

    Compiled code and onnxruntime let go of the GIL: while one lane's leaves are with the network,
    the other lanes' trees are at work.
    """
    stop = threading.Event()
    waiting = deque(blocks)
    if lanes == 1 or len(blocks) < 2:
        _drive_lane(waiting, games, clock, stop)
        return

    def drive(lane: int) -> None:
        _drive_lane(waiting, games, clock, stop)

    in_lanes(lanes, drive, range(lanes), stop)


def _drive_lane(waiting: deque[_Block], games: int, clock: _Clock, stop: threading.Event) -> None:
    """Take the block that waited longest for a step, until none waits.

    Each of the others' lanes puts back the block it has, so none is left alone by this one's end.
    """
    while not stop.is_set():
        try:
            block = waiting.popleft()
        except IndexError:
            return
        if not block.step(games, clock):
            continue
        if clock.seconds is None:
            waiting.appendleft(block)  # its trees are in the processor's cache
        else:
            waiting.append(block)  # all are to have their share of the time
