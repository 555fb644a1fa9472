"""Do two runs of `azx bench inference` agree within what they print? And what does it cost?

    python benchmarks/repeatability.py models/standard.onnx --runs 11

Measures the same network again and again in fresh processes and counts, over neighbouring runs and
batches, how often the interval of the ratio holds 1, and how often `compare` would cry wolf. Then
the harness, by the clock on the wall, against a bare loop of the same calls.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

from azx.runtime.bench.clock import repeated, timed
from azx.runtime.bench.compare import compare
from azx.runtime.bench.inference import session_run
from azx.runtime.bench.result import Result, read_result
from azx.runtime.bench.rounds import median_of
from azx.runtime.contract import BOARD
from azx.runtime.onnx_evaluator import open_model
from azx.runtime.verify import sample_boards

#: How long the harness and the bare loop take in a round, and how many rounds there are.
SECONDS_A_ROUND, ROUNDS = 0.05, 300


def measured(model: Path, runs: int, batches: str, seconds: float) -> list[Result]:
    """The same measurement, each time in a fresh process."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(runs):
            path = Path(folder) / f"{number}.json"
            command = ["bench", "inference", "--model", str(model), "--batches", batches]
            command += ["--seconds", str(seconds), "--threads", "1", "--provider", "cpu"]
            subprocess.run(
                [sys.executable, "-m", "azx", *command, "--json", str(path)],
                check=True,
                capture_output=True,
            )
            found.append(read_result(path))
    return found


def agreement(results: list[Result]) -> None:
    """Print how many comparisons of neighbouring runs find no change."""
    pairs = [compare(before, after) for before, after in itertools.pairwise(results)]
    changes = [change for pair in pairs for change in pair]
    within = sum(change.low <= 0.0 <= change.high for change in changes)
    false = sum(change.exceeds_noise for change in changes)
    alarms = sum(change.is_worse_by(0.05) for change in changes)
    width = np.median([(change.high - change.low) / 2 for change in changes])
    apart = np.median([abs(change.change) for change in changes])
    print(f"{within} of {len(changes)} comparisons agree within their interval (± {width:.1%})")
    print(f"{apart:.1%} apart in the median; {false} exceed noise, {alarms} fail --fail-over 5%")
    for change in changes:
        if not change.low <= 0.0 <= change.high:
            print(
                f"  {change.what}: {change.change:+.1%} ({change.low:+.1%} to {change.high:+.1%})"
            )


def overhead(model: Path, batch: int) -> None:
    """Print what the harness adds to a bare loop of as many calls, who goes first in turns."""
    evaluator = open_model(model, provider="cpu", threads=1)
    boards = sample_boards(evaluator.variant, batch)
    call = partial(session_run(evaluator), boards)
    calls = max(1, round(SECONDS_A_ROUND / np.median(repeated(call, SECONDS_A_ROUND, 5))))

    def harness() -> None:
        repeated(call, 0.0, calls)

    def bare() -> None:
        for _ in range(calls):
            evaluator.session.run(evaluator.outputs, {BOARD: boards})

    ratios = []
    for number in range(ROUNDS):
        order = (harness, bare) if number % 2 else (bare, harness)
        taken = {run: timed(run) for run in order}
        ratios.append(taken[harness] / taken[bare] - 1.0)
    found = median_of(ratios)
    print(
        f"batch {batch}: the harness costs {found.median:+.2%} ({found.low:+.2%} to "
        f"{found.high:+.2%}), {ROUNDS} rounds of {calls} calls"
    )


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--runs", type=int, default=11)
    parser.add_argument("--batches", default="1,16,256")
    parser.add_argument("--seconds", type=float, default=1.0)
    arguments = parser.parse_args()
    start = time.perf_counter()
    results = measured(arguments.model, arguments.runs, arguments.batches, arguments.seconds)
    agreement(results)
    for batch in (1, 16):
        overhead(arguments.model, batch)
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
