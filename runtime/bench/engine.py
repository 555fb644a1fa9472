"""How fast are the search and self-play, and how far from their ceilings? Seconds throughout.

The search alone is measured with an evaluator that knows nothing and costs nothing: what is left is
trees and rules. Self-play is measured against the network alone, in turns within one run, so that
whatever else the machine does hits both: the ceiling is as many threads, each calling `session.run`
on batches of the size that self-play came to.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from azx.runtime.bench.clock import repeated, timed
from azx.runtime.contract import BOARD
from azx.runtime.evaluator import Evaluation, Evaluator
from azx.runtime.onnx_evaluator import LARGEST_BATCH, OnnxEvaluator
from azx.runtime.play import play_part
from azx.runtime.players import SearchPlayer
from azx.runtime.rules import tiles_left
from azx.runtime.search import Budget, Search
from azx.runtime.search.tree import bytes_per_node
from azx.runtime.seeds import draw_orders, game_keys
from azx.runtime.variant import Variant
from azx.runtime.verify import sample_boards

#: Rounds of the search; and of self-play, each between two of the network alone.
LEAST_ROUNDS = 3


@dataclass(frozen=True)
class SearchTiming:
    """G games in step, the same budget for each, positions of all turns that need a search."""

    evaluator: str
    games: int
    simulations: int
    simulated: NDArray[np.int64]  # [R] simulations that were made in each run
    asked: int  # boards that the evaluator judged in all runs
    bytes_per_node: int
    seconds: NDArray[np.float64]  # [R] one search of all games each

    @property
    def simulations_per_second(self) -> float:
        """Over all runs."""
        return float(self.simulated.sum() / self.seconds.sum())

    @property
    def boards_per_second(self) -> float:
        """What the evaluator was asked: less than the simulations where boards are alike."""
        return self.asked / float(self.seconds.sum())

    def to_json(self) -> dict[str, Any]:
        """Figures and raw samples."""
        return {
            "evaluator": self.evaluator,
            "games": self.games,
            "simulations": self.simulations,
            "simulations_per_second": self.simulations_per_second,
            "boards_per_second": self.boards_per_second,
            "bytes_per_node": self.bytes_per_node,
            "simulated": self.simulated.tolist(),
            "seconds": self.seconds.tolist(),
        }


@dataclass(frozen=True)
class SelfPlayTiming:
    """R rounds of G whole games, and R + 1 of the network alone around them."""

    games: int
    simulations: int
    batch: int  # the mean batch of self-play, and every batch of the network alone
    lanes: int  # threads of both
    asked: NDArray[np.int64]  # [R] boards that the network judged
    seconds: NDArray[np.float64]  # [R]
    network_seconds: NDArray[np.float64]  # [R] spent in the network by all lanes together
    ceiling: NDArray[np.float64]  # [R + 1] boards a second of the network alone

    @property
    def games_per_second(self) -> float:
        """Over all rounds."""
        return self.games * len(self.seconds) / float(self.seconds.sum())

    @property
    def boards_per_second(self) -> float:
        """What the network judged, over all rounds."""
        return float(self.asked.sum() / self.seconds.sum())

    @property
    def shares(self) -> NDArray[np.float64]:
        """[R] of each round: its boards a second over the ceiling's just before and after."""
        around = (self.ceiling[:-1] + self.ceiling[1:]) / 2
        return np.asarray(self.asked / self.seconds / around)

    @property
    def network_share(self) -> float:
        """Of the lanes' time, what they spent in the network."""
        return float(self.network_seconds.sum() / (self.lanes * self.seconds.sum()))

    def to_json(self) -> dict[str, Any]:
        """Figures and raw samples."""
        return {
            "games": self.games,
            "simulations": self.simulations,
            "batch": self.batch,
            "lanes": self.lanes,
            "games_per_second": self.games_per_second,
            "boards_per_second": self.boards_per_second,
            "share_of_ceiling": float(np.median(self.shares)),
            "network_share": self.network_share,
            "seconds": self.seconds.tolist(),
            "boards_asked": self.asked.tolist(),
            "network_seconds": self.network_seconds.tolist(),
            "ceiling_boards_per_second": self.ceiling.tolist(),
        }


@dataclass
class _Watched:
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


def time_search(
    name: str, evaluator: Evaluator, games: int, budget: Budget, seconds: float
) -> SearchTiming:
    """Search positions, each from an empty tree, for at least `seconds`."""
    watched = _Watched(evaluator)
    boards, tiles = positions(evaluator.variant, games, budget.exact_cells)
    Search(watched, 1, budget).run(boards[:1], tiles[:1], game_keys(0, 1))  # compiles
    search = Search(watched, games, budget)
    simulated: list[int] = []

    def run() -> None:
        # The roots of the last run are no children of themselves, so every tree starts anew.
        keys = game_keys(len(simulated), games)
        simulated.append(int(search.run(boards, tiles, keys).visits.sum()))

    run()
    watched.batches.clear()
    simulated.clear()
    taken = repeated(run, seconds, LEAST_ROUNDS)
    return SearchTiming(
        name,
        games,
        budget.simulations,
        np.array(simulated),
        sum(watched.batches),
        bytes_per_node(evaluator.variant),
        taken,
    )


def time_selfplay(
    evaluator: OnnxEvaluator, games: int, budget: Budget, seconds: float
) -> SelfPlayTiming:
    """Play `games` whole games, again for at least `seconds`, in turns with the network alone."""
    watched = _Watched(evaluator)
    player = SearchPlayer(watched, budget)

    def play(number: int, count: int) -> None:
        keys = game_keys(number, count)
        play_part(player, draw_orders(evaluator.variant, keys), keys)

    play(0, games)  # compiles, and has the memory of the trees given out
    batch = max(1, min(LARGEST_BATCH, round(float(np.mean(watched.batches[1:])))))
    asked: list[int] = []
    taken: list[float] = []
    in_network: list[float] = []
    ceiling = [_network_alone(evaluator, batch, seconds / 4)]
    while len(taken) < LEAST_ROUNDS or sum(taken) < seconds:
        watched.batches.clear()
        watched.seconds.clear()
        taken.append(timed(lambda: play(len(ceiling), games)))
        asked.append(sum(watched.batches))
        in_network.append(sum(watched.seconds))
        ceiling.append(_network_alone(evaluator, batch, seconds / 4))
    return SelfPlayTiming(
        games,
        budget.simulations,
        batch,
        evaluator.lanes,
        np.array(asked),
        np.array(taken),
        np.array(in_network),
        np.array(ceiling),
    )


def _network_alone(evaluator: OnnxEvaluator, batch: int, seconds: float) -> float:
    """Boards a second of all lanes together, each calling `session.run` for `seconds`."""
    boards = sample_boards(evaluator.variant, batch)
    deadline = time.perf_counter() + seconds
    together = threading.Barrier(evaluator.lanes)

    def run() -> float:
        together.wait()
        start = time.perf_counter()
        runs = 0
        while runs == 0 or time.perf_counter() < deadline:
            evaluator.session.run(evaluator.outputs, {BOARD: boards})
            runs += 1
        return batch * runs / (time.perf_counter() - start)

    with ThreadPoolExecutor(evaluator.lanes) as threads:
        running = [threads.submit(run) for _ in range(evaluator.lanes)]
        return sum(lane.result() for lane in running)


def positions(
    variant: Variant, games: int, exact_cells: int
) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Boards int8 [games, C] that need a search, and tiles int8 [games] that may be drawn then."""
    boards = sample_boards(variant, 2 * games + 2 * variant.cells)
    boards = boards[(boards < 0).sum(axis=1) > exact_cells + 1][:games]
    left = tiles_left(variant, boards)
    lottery = np.random.default_rng(0).random(left.shape)
    return boards, np.where(left, lottery, -1.0).argmax(axis=1).astype(np.int8)
