"""Monte Carlo tree search over many games in step, one evaluation for all their leaves."""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from azx.runtime.errors import UsageError
from azx.runtime.evaluator import Evaluation, Evaluator
from azx.runtime.search import kernels
from azx.runtime.search.tree import bytes_per_node, new_trees
from azx.runtime.variant import Variant

#: Weight of the policy against the values in PUCT; 1.0 beat 0.3 and 0.1 (docs/log.md).
EXPLORATION = 1.0


class Found(NamedTuple):
    """What a search says of G positions."""

    cells: NDArray[np.int8]  # [G] where to lay the tile
    visits: NDArray[np.int32]  # [G, C] simulations through each cell
    values: NDArray[np.float32]  # [G, C] gain + points to come; 0 on filled cells


def _check_memory(variant: Variant, games: int, simulations: int) -> None:
    """`UsageError` where the trees would not fit in half of this machine's memory."""
    wanted = games * (simulations + 1) * bytes_per_node(variant)
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if wanted > there / 2:
        raise UsageError(
            f"{games:,} games in step with {simulations:,} simulations need {wanted / 2**30:,.1f} "
            f"GiB for their trees, and this machine has {there / 2**30:.1f} GiB: use fewer "
            "simulations"
        )


class Search:
    """Trees for up to G games; a game's tree is kept from move to move.

    Reads the board, the tile and the game's key, so it cannot know what will be drawn. The result
    for a game depends on nothing else: not on the other games, nor on how many there are.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        games: int,
        simulations: int,
        exploration: float = EXPLORATION,
    ) -> None:
        """`simulations` is what each root has seen at the end, those kept from before included."""
        if simulations < 1:
            raise UsageError(f"a search needs at least 1 simulation, found {simulations}")
        self.evaluator, self.simulations, self.exploration = evaluator, simulations, exploration
        variant = evaluator.variant
        _check_memory(variant, games, simulations)
        self.tables = variant.tables
        # Each simulation makes at most one chance node and one decision; the root is one more.
        self.trees, self.path = new_trees(variant, games, simulations + 1)
        self._leaf_games = np.zeros(games, dtype=np.int32)
        self._leaf_nodes = np.zeros(games, dtype=np.int32)
        self._leaf_boards = np.zeros((games, variant.cells), dtype=np.int8)

    def run(
        self, boards: NDArray[np.int8], tiles: NDArray[np.int8], keys: NDArray[np.uint64]
    ) -> Found:
        """Search for `tiles` [G] drawn at `boards` int8 [G, C] in the games of `keys` [G].

        G is at most what the search was made for; game g goes on with tree g where the board
        follows from it.
        """
        games = len(boards)
        unknown = self._leaf_games[
            : kernels.set_roots(self.trees, boards, tiles, keys, self._leaf_games)
        ]
        answer, has_q = self._ask(boards[unknown])
        kernels.expand_roots(self.tables, self.trees, unknown, *answer, has_q)
        kernels.open_roots(self.tables, self.trees, games, has_q)
        while True:
            leaves = kernels.select_leaves(
                self.tables, self.trees, self.path, games, self.simulations, self.exploration,
                has_q, self._leaf_games, self._leaf_nodes, self._leaf_boards,
            )  # fmt: skip
            if leaves == 0:
                break
            answer, has_q = self._ask(self._leaf_boards[:leaves])
            kernels.grow(
                self.tables, self.trees, self.path, self._leaf_games[:leaves],
                self._leaf_nodes[:leaves], *answer, has_q,
            )  # fmt: skip
        found = Found(
            np.zeros(games, dtype=np.int8),
            np.zeros(boards.shape, dtype=np.int32),
            np.zeros(boards.shape, dtype=np.float32),
        )
        kernels.root_results(self.trees, *found)
        return found

    def _ask(self, boards: NDArray[np.int8]) -> tuple[Evaluation, bool]:
        """The evaluation, with the logits standing in where there is no q, and whether there is."""
        answer = self.evaluator.evaluate(boards)
        if answer.q is not None:
            return answer, True
        return answer._replace(q=answer.policy_logits), False
