"""How fast is a network here, alone and under the search? Raw samples, seconds throughout."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

import azx
from azx.runtime.contract import BOARD
from azx.runtime.evaluator import Evaluation, Evaluator
from azx.runtime.onnx_evaluator import OnnxEvaluator, available_cores
from azx.runtime.rules import tiles_left
from azx.runtime.search import Search
from azx.runtime.seeds import game_keys
from azx.runtime.variant import Variant
from azx.runtime.verify import sample_boards

#: Runs that are not counted, and the least that are.
WARM_UP, LEAST_RUNS = 2, 5

#: The recommended batch is the smallest that reaches this share of the best rate.
GOOD_SHARE = 0.9


@dataclass(frozen=True)
class BatchTiming:
    """The network alone, `session.run` and nothing else, on one batch size."""

    batch: int
    first_run: float  # seconds: the very first run of this shape
    seconds: NDArray[np.float64]  # [R] the runs after it and a warm-up

    @property
    def boards_per_second(self) -> float:
        """Over all counted runs."""
        return self.batch * len(self.seconds) / float(self.seconds.sum())

    def percentile(self, percent: float) -> float:
        """Seconds that this share of the runs stays within."""
        return float(np.percentile(self.seconds, percent))

    def to_json(self) -> dict[str, Any]:
        """Figures and raw samples."""
        return {
            "batch": self.batch,
            "boards_per_second": self.boards_per_second,
            "first_run_seconds": self.first_run,
            **{f"p{p}_seconds": self.percentile(p) for p in (50, 95, 99)},
            "seconds": self.seconds.tolist(),
        }


@dataclass(frozen=True)
class SearchTiming:
    """The search with one evaluator: G games in step, the same simulations for each."""

    evaluator: str
    games: int
    simulations: int
    boards_asked: int  # boards that the evaluator judged in all runs
    seconds: NDArray[np.float64]  # [R] one search of all games each

    @property
    def simulations_per_second(self) -> float:
        """Over all runs."""
        return self.games * self.simulations * len(self.seconds) / float(self.seconds.sum())

    @property
    def boards_per_second(self) -> float:
        """What the evaluator was asked; simulations that end on a full board ask nothing."""
        return self.boards_asked / float(self.seconds.sum())

    def to_json(self) -> dict[str, Any]:
        """Figures and raw samples."""
        return {
            "evaluator": self.evaluator,
            "games": self.games,
            "simulations": self.simulations,
            "simulations_per_second": self.simulations_per_second,
            "boards_per_second": self.boards_per_second,
            "seconds": self.seconds.tolist(),
        }


def time_batch(evaluator: OnnxEvaluator, batch: int, seconds: float) -> BatchTiming:
    """Run boards of all turns through the session for at least `seconds` and `LEAST_RUNS` runs."""
    boards = sample_boards(evaluator.variant, batch)

    def run() -> None:
        evaluator.session.run(evaluator.outputs, {BOARD: boards})

    first_run = _timed(run)
    for _ in range(WARM_UP):
        run()
    return BatchTiming(batch, first_run, _repeated(run, seconds, LEAST_RUNS))


def recommended_batch(timings: Sequence[BatchTiming]) -> int:
    """The smallest batch that is nearly as fast as the fastest: see `GOOD_SHARE`."""
    best = max(timing.boards_per_second for timing in timings)
    return min(t.batch for t in timings if t.boards_per_second >= GOOD_SHARE * best)


def time_search(
    name: str, evaluator: Evaluator, games: int, simulations: int, seconds: float
) -> SearchTiming:
    """Search positions of all turns, each from an empty tree, for at least `seconds`."""
    asked = _Counting(evaluator)
    boards, tiles = _positions(evaluator.variant, games)
    Search(asked, 1, 1).run(boards[:1], tiles[:1], game_keys(0, 1))  # compiles
    search = Search(asked, games, simulations)
    run_number = 0

    def run() -> None:
        nonlocal run_number
        run_number += 1
        # The roots of the last run are no children of themselves, so every tree starts anew.
        search.run(boards, tiles, game_keys(run_number, games))

    run()
    asked.boards = 0
    taken = _repeated(run, seconds, 1)
    return SearchTiming(name, games, simulations, asked.boards, taken)


class _Counting:
    """Another evaluator, with a count of the boards that it judged."""

    def __init__(self, evaluator: Evaluator) -> None:
        self.variant, self.evaluator, self.boards = evaluator.variant, evaluator, 0

    def evaluate(self, boards: NDArray[np.int8]) -> Evaluation:
        """The other's answer."""
        self.boards += len(boards)
        return self.evaluator.evaluate(boards)


def _positions(variant: Variant, games: int) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Boards int8 [games, C] of all turns but the end, and for each a tile that may be drawn."""
    boards = sample_boards(variant, 2 * games)
    boards = boards[(boards < 0).any(axis=1)][:games]
    left = tiles_left(variant, boards)
    lottery = np.random.default_rng(0).random(left.shape)
    return boards, np.where(left, lottery, -1.0).argmax(axis=1).astype(np.int8)


def _timed(run: Callable[[], None]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _repeated(run: Callable[[], None], seconds: float, least: int) -> NDArray[np.float64]:
    """float64 [R]: seconds of each run, until they come to `seconds` and are `least` in number."""
    taken: list[float] = []
    total = 0.0
    while total < seconds or len(taken) < least:
        taken.append(_timed(run))
        total += taken[-1]
    return np.array(taken)


def machine() -> dict[str, str | int]:
    """What a figure must be read with: processor, cores this process may use, versions."""
    return {
        "processor": _processor(),
        "cores_available": available_cores(),
        "cores_of_machine": os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "azx": azx.__version__,
        "onnxruntime": onnxruntime.__version__,
        "numpy": np.__version__,
    }


def _processor() -> str:
    """The processor's name, as far as the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"
