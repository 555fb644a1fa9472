"""How fast are networks alone, one call and nothing else? Seconds throughout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from azx.runtime.bench.clock import repeated, timed
from azx.runtime.bench.rounds import ROUNDS, Measured, in_turns, median_of, noise_of
from azx.runtime.contract import BOARD
from azx.runtime.modelfile import ModelFile
from azx.runtime.onnx_evaluator import OnnxEvaluator
from azx.runtime.variant import Variant
from azx.runtime.verify import sample_boards

#: The recommended batch is the smallest that reaches this share of the best rate.
GOOD_SHARE = 0.9

Boards = NDArray[np.int8]


Run = Callable[[Boards], object]


@dataclass(frozen=True)
class Engine:
    """Something that judges boards, and what it runs on."""

    name: str
    provider: str  # cpu or cuda
    threads: int
    open: Callable[[], Run]  # gives what takes int8 [B, C] to whatever it says of them


def onnx_engine(name: str, model: ModelFile, provider: str, threads: int) -> Engine:
    """`session_run` with all threads for one call."""
    return Engine(
        name, provider, threads, lambda: session_run(OnnxEvaluator(model, provider, threads))
    )


def session_run(evaluator: OnnxEvaluator) -> Run:
    """Bare `session.run` of an evaluator's session."""
    return lambda boards: evaluator.session.run(evaluator.outputs, {BOARD: boards})


@dataclass(frozen=True)
class BatchTiming:
    """One engine on one batch size."""

    engine: str
    provider: str
    threads: int
    batch: int
    first_run: float  # seconds: the very first run of this shape
    rounds: tuple[NDArray[np.float64], ...]  # [R] of [runs]: seconds of each run

    @property
    def rates(self) -> NDArray[np.float64]:
        """float64 [R]: boards a second in each round."""
        return np.array([self.batch * len(runs) / runs.sum() for runs in self.rounds])

    @property
    def boards_per_second(self) -> Measured:
        """The median round, with its interval."""
        return median_of(self.rates)

    def percentile(self, percent: float) -> float:
        """Seconds that this share of all runs stays within."""
        return float(np.percentile(np.concatenate(self.rounds), percent))

    def to_json(self) -> dict[str, Any]:
        """Figures and raw samples."""
        return {
            "engine": self.engine,
            "provider": self.provider,
            "threads": self.threads,
            "batch": self.batch,
            "boards_per_second": self.boards_per_second.to_json(),
            "noise": noise_of(self.rates),
            "first_run_seconds": self.first_run,
            **{f"p{p}_seconds": self.percentile(p) for p in (50, 90, 99)},
            "rounds": [runs.tolist() for runs in self.rounds],
        }


def time_batches(
    engines: Sequence[Engine],
    variant: Variant,
    batches: Sequence[int],
    seconds: float,
    tell: Callable[[str], None] = lambda _: None,
) -> list[BatchTiming]:
    """Each of `engines` on each batch, for at least `seconds` in `ROUNDS` rounds, all in turns.

    Every round opens the engine anew: where its weights come to lie in memory makes some percent,
    and an interval that knew only one place would be too narrow for the next process.
    """
    boards = {batch: sample_boards(variant, batch) for batch in batches}
    first = {number: _first_runs(engine, boards) for number, engine in enumerate(engines)}

    def measure(engine: Engine) -> dict[int, NDArray[np.float64]]:
        run = engine.open()
        taken = {}
        for batch, asked in boards.items():
            run(asked)  # gives out the memory for this shape
            taken[batch] = repeated(partial(run, asked), seconds / ROUNDS, 1)
        return taken

    measures = {number: partial(measure, engine) for number, engine in enumerate(engines)}
    taken = in_turns(measures, ROUNDS, lambda which: tell(f"the network alone, {which}"))
    return [
        BatchTiming(
            engine.name,
            engine.provider,
            engine.threads,
            batch,
            first[number][batch],
            tuple(samples[batch] for samples in taken[number]),
        )
        for number, engine in enumerate(engines)
        for batch in boards
    ]


def _first_runs(engine: Engine, boards: dict[int, Boards]) -> dict[int, float]:
    """Seconds of the very first run of each shape."""
    run = engine.open()
    return {batch: timed(partial(run, asked)) for batch, asked in boards.items()}


def recommended_batch(timings: Sequence[BatchTiming]) -> int:
    """The smallest batch that is nearly as fast as the fastest: see `GOOD_SHARE`."""
    rates = {timing.batch: timing.boards_per_second.median for timing in timings}
    return min(batch for batch, rate in rates.items() if rate >= GOOD_SHARE * max(rates.values()))
