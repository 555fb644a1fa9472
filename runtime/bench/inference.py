"""How fast are networks alone, one call and nothing else? Seconds throughout.

All networks and batches are asked in turns, round by round, so that whatever else the machine does
hits all alike.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from azx.runtime.bench.clock import repeated, timed
from azx.runtime.bench.rounds import Measured, median_of, noise_of
from azx.runtime.contract import BOARD
from azx.runtime.onnx_evaluator import OnnxEvaluator
from azx.runtime.variant import Variant
from azx.runtime.verify import sample_boards

#: Runs that are not counted, and the rounds that a batch is measured in.
WARM_UP, ROUNDS = 2, 10

#: The recommended batch is the smallest that reaches this share of the best rate.
GOOD_SHARE = 0.9


@dataclass(frozen=True)
class BatchTiming:
    """One network on one batch size."""

    engine: str
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

    @property
    def noise(self) -> float:
        """What the same thing differs from itself by, as a share."""
        return noise_of(self.rates)

    def percentile(self, percent: float) -> float:
        """Seconds that this share of all runs stays within."""
        return float(np.percentile(np.concatenate(self.rounds), percent))

    def to_json(self) -> dict[str, Any]:
        """Figures and raw samples."""
        return {
            "engine": self.engine,
            "batch": self.batch,
            "boards_per_second": self.boards_per_second.to_json(),
            "noise": self.noise,
            "first_run_seconds": self.first_run,
            **{f"p{p}_seconds": self.percentile(p) for p in (50, 90, 99)},
            "rounds": [runs.tolist() for runs in self.rounds],
        }


Boards = NDArray[np.int8]


def onnx_engine(evaluator: OnnxEvaluator) -> Callable[[Boards], object]:
    """Bare `session.run`: int8 boards [B, C] to the outputs."""
    return lambda boards: evaluator.session.run(evaluator.outputs, {BOARD: boards})


def time_batches(
    engines: dict[str, Callable[[Boards], object]],
    variant: Variant,
    batches: Sequence[int],
    seconds: float,
    rounds: int = ROUNDS,
    tell: Callable[[str], None] = lambda _: None,
) -> list[BatchTiming]:
    """Each of `engines` on each batch, for at least `seconds` in `rounds` rounds, all in turns.

    An engine is called with int8 boards [batch, C].
    """
    runs: dict[tuple[str, int], Callable[[], object]] = {}
    first: dict[tuple[str, int], float] = {}
    for name, engine in engines.items():
        for batch in batches:
            runs[name, batch] = partial(engine, sample_boards(variant, batch))
            first[name, batch] = timed(runs[name, batch])
            for _ in range(WARM_UP):
                runs[name, batch]()
    taken: dict[tuple[str, int], list[NDArray[np.float64]]] = {key: [] for key in runs}
    for number in range(rounds):
        tell(f"the network alone, round {number + 1} of {rounds}")
        for key, run in runs.items():
            taken[key].append(repeated(run, seconds / rounds, 1))
    return [
        BatchTiming(name, batch, first[name, batch], tuple(taken[name, batch]))
        for name, batch in runs
    ]


def recommended_batch(timings: Sequence[BatchTiming]) -> int:
    """The smallest batch that is nearly as fast as the fastest: see `GOOD_SHARE`."""
    rates = {timing.batch: timing.boards_per_second.median for timing in timings}
    return min(batch for batch, rate in rates.items() if rate >= GOOD_SHARE * max(rates.values()))


def node_providers(evaluator: OnnxEvaluator) -> dict[str, int]:
    """How many nodes of the optimised graph each provider really ran, by onnxruntime's profile."""
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(
            evaluator.model.data, options, providers=evaluator.session.get_providers()
        )
        session.run(None, {BOARD: sample_boards(evaluator.variant, 1)})
        events = json.loads(Path(session.end_profiling()).read_text())
    ran = [e["args"]["provider"] for e in events if e.get("args", {}).get("provider")]
    return dict(Counter(ran))
