"""How fast is the network alone, `session.run` and nothing else? Seconds throughout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from azx.runtime.bench.clock import repeated, timed
from azx.runtime.contract import BOARD
from azx.runtime.onnx_evaluator import OnnxEvaluator
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


def time_batch(evaluator: OnnxEvaluator, batch: int, seconds: float) -> BatchTiming:
    """Run boards of all turns through the session for at least `seconds` and `LEAST_RUNS` runs."""
    boards = sample_boards(evaluator.variant, batch)

    def run() -> None:
        evaluator.session.run(evaluator.outputs, {BOARD: boards})

    first_run = timed(run)
    for _ in range(WARM_UP):
        run()
    return BatchTiming(batch, first_run, repeated(run, seconds, LEAST_RUNS))


def recommended_batch(timings: Sequence[BatchTiming]) -> int:
    """The smallest batch that is nearly as fast as the fastest: see `GOOD_SHARE`."""
    best = max(timing.boards_per_second for timing in timings)
    return min(t.batch for t in timings if t.boards_per_second >= GOOD_SHARE * best)
