"""Do two runs of `azx bench inference` agree within what they print? And what does it cost?

    python benchmarks/repeatability.py models/standard.onnx --pairs 10

Measures the same network again and again in fresh processes and counts, over neighbouring runs and
batches, how often the interval of the ratio holds 1, and how often `compare` would cry wolf. Then
the harness against a bare loop of the same calls, in turns.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from azx.runtime.bench.compare import compare
from azx.runtime.bench.inference import onnx_engine, time_batches
from azx.runtime.contract import BOARD
from azx.runtime.onnx_evaluator import open_model
from azx.runtime.verify import sample_boards


def agreement(model: Path, pairs: int, batches: str, seconds: float) -> None:
    """Print how many comparisons of neighbouring runs find no change."""
    with tempfile.TemporaryDirectory() as folder:
        results = []
        for number in range(pairs + 1):
            path = Path(folder) / f"{number}.json"
            command = ["bench", "inference", "--model", str(model), "--batches", batches]
            command += ["--seconds", str(seconds), "--threads", "1", "--json", str(path)]
            subprocess.run([sys.executable, "-m", "azx", *command], check=True, capture_output=True)
            results.append(json.loads(path.read_text()))
    changes = [
        change for before, after in itertools.pairwise(results) for change in compare(before, after)
    ]
    within = sum(change.low <= 0.0 <= change.high for change in changes)
    false = sum(change.exceeds_noise for change in changes)
    alarms = sum(change.is_worse_by(0.05) for change in changes)
    print(f"{within} of {len(changes)} comparisons agree within their interval")
    print(f"{false} exceed noise, {alarms} would fail --fail-over 5%")


def overhead(model: Path, batch: int, rounds: int) -> None:
    """Print what the harness adds to a bare loop, over rounds in turns."""
    evaluator = open_model(model, threads=1)
    boards = sample_boards(evaluator.variant, batch)
    engines = {"net": onnx_engine(evaluator)}
    ratios = []
    for _ in range(rounds):
        harness = time_batches(engines, evaluator.variant, [batch], 0.2, rounds=1)[0]
        runs = len(harness.rounds[0])
        start = time.perf_counter()
        for _ in range(runs):
            evaluator.session.run(evaluator.outputs, {BOARD: boards})
        bare = batch * runs / (time.perf_counter() - start)
        ratios.append(bare / float(harness.rates[0]) - 1.0)
    print(f"batch {batch}: the harness costs {100 * np.median(ratios):.2f}% (median of {rounds})")


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--batches", default="1,16,256")
    parser.add_argument("--seconds", type=float, default=1.0)
    arguments = parser.parse_args()
    agreement(arguments.model, arguments.pairs, arguments.batches, arguments.seconds)
    for batch in (1, 16):
        overhead(arguments.model, batch, 15)


if __name__ == "__main__":
    main()
