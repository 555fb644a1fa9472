"""How fast are whole games, by one process or several, and how far from their ceiling? Seconds.

The ceiling is the network alone: as many processes with as many threads, each calling `session.run`
on batches of the size that self-play came to. It is measured just before and after every round of
games, so that whatever else the machine does hits both.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from azx.runtime.bench.processes import Helper, together
from azx.runtime.bench.rounds import ROUNDS, in_turns, median_of, noise_of
from azx.runtime.bench.time_spent import Shares, Watched, rules_seconds, shares_of
from azx.runtime.contract import BOARD
from azx.runtime.onnx_evaluator import LARGEST_BATCH, OnnxEvaluator
from azx.runtime.play import play_part
from azx.runtime.players import SearchPlayer
from azx.runtime.search import Budget, Search
from azx.runtime.seeds import draw_orders, game_keys
from azx.runtime.variant import Variant
from azx.runtime.verify import sample_boards


class SelfPlayCase(NamedTuple):
    """What is to be measured: W processes, each with G games in step."""

    workers: int
    games: int
    budget: Budget


class SelfPlayRound(NamedTuple):
    """All games of all workers once."""

    asked: int  # boards that the network judged
    seconds: float
    network_seconds: float  # of all lanes of all workers together
    ceiling: float  # boards a second of the network alone, mean of just before and just after


@dataclass(frozen=True)
class SelfPlayTiming:
    """R rounds of one case."""

    workers: int
    games: int  # of each worker
    simulations: int
    batch: int  # the mean batch of self-play, and every batch of the network alone
    lanes: int  # threads of each worker
    rules_seconds_per_board: float  # for each board that the network judged
    rounds: Sequence[SelfPlayRound]

    @property
    def rates(self) -> NDArray[np.float64]:
        """float64 [R]: games a second in each round."""
        return np.array([self.workers * self.games / found.seconds for found in self.rounds])

    @property
    def shares_of_ceiling(self) -> NDArray[np.float64]:
        """float64 [R]: boards a second over those of the network alone."""
        return np.array([found.asked / found.seconds / found.ceiling for found in self.rounds])

    @property
    def shares(self) -> Shares:
        """Where the time of all rounds went."""
        asked, seconds, network, _ = np.sum(self.rounds, axis=0)
        return shares_of(
            self.workers * self.lanes * seconds, network, asked * self.rules_seconds_per_board
        )

    def to_json(self) -> dict[str, Any]:
        """Figures and raw samples."""
        return {
            "workers": self.workers,
            "games": self.games,
            "simulations": self.simulations,
            "batch": self.batch,
            "lanes": self.lanes,
            "games_per_second": median_of(self.rates).to_json(),
            "boards_per_second": median_of([r.asked / r.seconds for r in self.rounds]).to_json(),
            "share_of_ceiling": median_of(self.shares_of_ceiling).to_json(),
            "noise": noise_of(self.rates),
            "shares": self.shares.to_json(),
            "rules_seconds_per_board": self.rules_seconds_per_board,
            "boards_asked": [found.asked for found in self.rounds],
            "seconds": [found.seconds for found in self.rounds],
            "network_seconds": [found.network_seconds for found in self.rounds],
            "ceiling_boards_per_second": [found.ceiling for found in self.rounds],
        }


def time_selfplay(
    load: Callable[[int], Callable[[], OnnxEvaluator]],
    cases: Sequence[SelfPlayCase],
    seconds: float,
    tell: Callable[[str], None] = lambda _: None,
) -> list[SelfPlayTiming]:
    """Each of `cases` in `ROUNDS` rounds, all in turns, each with the network alone for `seconds`.

    A round is all the games of the case, however long they take. `load(W)` gives what opens the
    network in each of W processes; it must be something that pickles.
    """
    with ExitStack() as stack:
        crews = {
            workers: stack.enter_context(_crew(workers, load(workers)))
            for workers in {case.workers for case in cases}
        }
        tell("whole games, getting ready")
        ready = {case: crews[case.workers].get_ready(case) for case in cases}
        measures = {
            case: partial(crews[case.workers].round, case, ready[case].batch, seconds / ROUNDS / 2)
            for case in cases
        }
        found = in_turns(measures, ROUNDS, lambda which: tell(f"whole games, {which}"))
    return [
        SelfPlayTiming(
            case.workers,
            case.games,
            case.budget.simulations,
            ready[case].batch,
            ready[case].lanes,
            ready[case].rules_seconds_per_board,
            found[case],
        )
        for case in cases
    ]


class _Ready(NamedTuple):
    """What a worker knows after its first games."""

    batch: int
    lanes: int
    rules_seconds_per_board: float


class _Crew:
    """W processes that do the same at the same time."""

    def __init__(self, processes: Sequence[Helper]) -> None:
        self.processes = processes
        self.rounds = 0

    def get_ready(self, case: SelfPlayCase) -> _Ready:
        """Have everything compiled and every tree's memory given out; the first worker's word."""
        ready: list[_Ready] = together(self.processes, _get_ready, case.games, case.budget)
        return ready[0]

    def round(self, case: SelfPlayCase, batch: int, seconds: float) -> SelfPlayRound:
        """Games, between the network alone for `seconds` before and after."""
        before = self._network_alone(batch, seconds)
        start = time.perf_counter()
        first = self.rounds * len(self.processes) * case.games
        self.rounds += 1
        for number, process in enumerate(self.processes):
            process.ask(_play, case.games, case.budget, first + number * case.games)
        played = [process.answer() for process in self.processes]
        taken = time.perf_counter() - start
        after = self._network_alone(batch, seconds)
        asked, network_seconds = zip(*played, strict=True)
        return SelfPlayRound(sum(asked), taken, sum(network_seconds), (before + after) / 2)

    def _network_alone(self, batch: int, seconds: float) -> float:
        return sum(together(self.processes, _network_alone, batch, seconds))


@contextmanager
def _crew(workers: int, load: Callable[[], OnnxEvaluator]) -> Iterator[_Crew]:
    """The processes, each with what opens the network."""
    with ExitStack() as stack:
        processes = [stack.enter_context(Helper()) for _ in range(workers)]
        together(processes, _begin, load)
        yield _Crew(processes)


# What follows happens in the processes.

_load: list[Callable[[], OnnxEvaluator]] = []


def _begin(load: Callable[[], OnnxEvaluator]) -> None:
    """Keep what opens the network."""
    _load.append(load)


@cache
def _network() -> OnnxEvaluator:
    """Opened when it is first asked for."""
    return _load[0]()


@cache
def _player(games: int, budget: Budget) -> SearchPlayer:
    """A player for so many games, whose trees stay; its evaluator is a `Watched`."""
    return SearchPlayer(Watched(_network()), budget)


def _play(games: int, budget: Budget, first: int) -> tuple[int, float]:
    """Whole games from the number `first` on: boards judged, and seconds in the network."""
    player = _player(games, budget)
    watched = player.evaluator
    assert isinstance(watched, Watched)
    watched.clear()
    keys = game_keys(first, games)
    play_part(player, draw_orders(player.variant, keys), keys)
    return sum(watched.batches), sum(watched.seconds)


def _get_ready(games: int, budget: Budget) -> _Ready:
    _play(games, budget, 0)
    watched = _player(games, budget).evaluator
    assert isinstance(watched, Watched)
    batch = max(1, min(LARGEST_BATCH, round(float(np.mean(watched.batches[1:] or [1])))))
    anew = _AnewEveryMove(Watched(_network()), budget)
    keys = game_keys(0, games)
    play_part(anew, draw_orders(anew.variant, keys), keys)
    asked = max(1, sum(anew.watched.batches))
    return _Ready(batch, _network().lanes, anew.rules_seconds / asked)


class _AnewEveryMove:
    """Plays by search and keeps no tree, so that every node in its trees is of this very move."""

    name = "anew"

    def __init__(self, watched: Watched, budget: Budget) -> None:
        self.variant: Variant = watched.variant
        self.watched, self.budget = watched, budget
        self.rules_seconds = 0.0

    def choose(
        self, boards: NDArray[np.int8], tiles: NDArray[np.int8], keys: NDArray[np.uint64]
    ) -> NDArray[np.int8]:
        """The search's choice."""
        search = Search(self.watched, len(boards), self.budget)
        cells = search.run(boards, tiles, keys).cells
        self.rules_seconds += rules_seconds(search)
        return cells


def _network_alone(batch: int, seconds: float) -> float:
    """Boards a second of all lanes together, each calling `session.run` for `seconds`."""
    evaluator = _network()
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
