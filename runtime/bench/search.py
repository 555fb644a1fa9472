"""How fast is the search, and how far from its ceiling? Seconds throughout.

It is measured with the network and with an evaluator that knows nothing and costs nothing: what is
left then is trees and rules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from azx.runtime.bench.clock import repeated
from azx.runtime.bench.rounds import ROUNDS, Measured, in_turns, median_of, noise_of
from azx.runtime.bench.time_spent import Shares, Watched, rules_seconds, shares_of
from azx.runtime.evaluator import Evaluator
from azx.runtime.rules import tiles_left
from azx.runtime.search import Budget, Search
from azx.runtime.search.tree import bytes_per_node
from azx.runtime.seeds import game_keys
from azx.runtime.variant import Variant
from azx.runtime.verify import sample_boards


@dataclass(frozen=True)
class SearchCase:
    """What is to be measured: G games in step, the same budget for each."""

    name: str  # of the evaluator
    evaluator: Evaluator
    games: int
    budget: Budget


class SearchRound(NamedTuple):
    """What one round came to."""

    simulated: int
    asked: int  # boards that the evaluator judged
    seconds: float
    network_seconds: float  # of all lanes together


@dataclass(frozen=True)
class SearchTiming:
    """R rounds of one case, from positions of all turns that need a search."""

    evaluator: str
    games: int
    simulations: int
    lanes: int  # threads that work on the trees
    bytes_per_node: int
    rules_seconds_per_board: float  # for each board that the evaluator judged
    rounds: Sequence[SearchRound]

    @property
    def rates(self) -> NDArray[np.float64]:
        """float64 [R]: simulations a second in each round."""
        return np.array([found.simulated / found.seconds for found in self.rounds])

    @property
    def shares(self) -> Shares:
        """Where the time of all rounds went."""
        _, asked, seconds, network = np.sum(self.rounds, axis=0)
        return shares_of(self.lanes * seconds, network, asked * self.rules_seconds_per_board)

    @property
    def boards_per_second(self) -> Measured:
        """What the evaluator was asked: less than the simulations where boards are alike."""
        return median_of([found.asked / found.seconds for found in self.rounds])

    def to_json(self) -> dict[str, Any]:
        """Figures and raw samples."""
        return {
            "evaluator": self.evaluator,
            "games": self.games,
            "simulations": self.simulations,
            "lanes": self.lanes,
            "simulations_per_second": median_of(self.rates).to_json(),
            "boards_per_second": self.boards_per_second.to_json(),
            "noise": noise_of(self.rates),
            "shares": self.shares.to_json(),
            "bytes_per_node": self.bytes_per_node,
            "rules_seconds_per_board": self.rules_seconds_per_board,
            "simulated": [found.simulated for found in self.rounds],
            "boards_asked": [found.asked for found in self.rounds],
            "seconds": [found.seconds for found in self.rounds],
            "network_seconds": [found.network_seconds for found in self.rounds],
        }


class _Searching:
    """A case with its trees and its positions."""

    def __init__(self, case: SearchCase) -> None:
        self.case, self.watched = case, Watched(case.evaluator)
        variant, games = case.evaluator.variant, case.games
        self.boards, self.tiles = positions(variant, games, case.budget.exact_cells)
        self.search = Search(self.watched, games, case.budget)
        self.runs = 0
        self.run()  # compiles, and has the trees' memory given out
        self.watched.clear()
        self.run()
        self.rules_per_board = rules_seconds(self.search) / max(1, sum(self.watched.batches))

    def run(self) -> int:
        """One search of all games; the simulations that were made.

        The roots of the last run are no children of themselves, so every tree starts anew.
        """
        keys = game_keys(self.runs, self.case.games)
        self.runs += 1
        return int(self.search.run(self.boards, self.tiles, keys).visits.sum())

    def round(self, seconds: float) -> SearchRound:
        """Searches for at least `seconds`."""
        self.watched.clear()
        simulated: list[int] = []
        taken = repeated(lambda: simulated.append(self.run()), seconds, 1)
        watched = self.watched
        return SearchRound(
            sum(simulated), sum(watched.batches), float(taken.sum()), sum(watched.seconds)
        )


def time_searches(
    cases: Sequence[SearchCase],
    seconds: float,
    rounds: int = ROUNDS,
    tell: Callable[[str], None] = lambda _: None,
) -> list[SearchTiming]:
    """Each of `cases` for at least `seconds` in `rounds` rounds, all in turns.

    The trees of all of them stay in memory: see that there is room (`check_room`).
    """
    searching = [_Searching(case) for case in cases]
    measures = {n: partial(each.round, seconds / rounds) for n, each in enumerate(searching)}
    found = in_turns(measures, rounds, lambda which: tell(f"the search, {which}"))
    return [
        SearchTiming(
            case.name,
            case.games,
            case.budget.simulations,
            case.evaluator.lanes,
            bytes_per_node(case.evaluator.variant),
            searching[number].rules_per_board,
            found[number],
        )
        for number, case in enumerate(cases)
    ]


def positions(
    variant: Variant, games: int, exact_cells: int
) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Boards int8 [games, C] that need a search, and tiles int8 [games] that may be drawn then."""
    # Of each C + 1 sampled boards one is of each turn, and the last turns need no search.
    of_each_turn = -(-games // (variant.cells - exact_cells - 1))
    boards = sample_boards(variant, of_each_turn * (variant.cells + 1))
    boards = boards[(boards < 0).sum(axis=1) > exact_cells + 1][:games]
    left = tiles_left(variant, boards)
    lottery = np.random.default_rng(0).random(left.shape)
    return boards, np.where(left, lottery, -1.0).argmax(axis=1).astype(np.int8)
