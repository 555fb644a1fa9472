"""Made-up measurements with known answers, for the tests of `azx bench`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from azx.runtime.bench.inference import BatchTiming

SCHEMA = json.loads((Path(__file__).parents[1] / "docs/bench-schema.json").read_text())


def timing(
    batch: int, rates: list[float], engine: str = "net", provider: str = "cpu", threads: int = 2
) -> BatchTiming:
    """Rounds of two runs each at these rates."""
    rounds = tuple(np.full(2, batch / rate) for rate in rates)
    return BatchTiming(engine, provider, threads, batch, 1.0, rounds)


def result(timings: list[BatchTiming], scores: list[float] | None = None) -> dict[str, Any]:
    """As much of a result as comparing reads; one model, called net."""
    made: dict[str, Any] = {
        "machine": {"processor": "a", "cores_available": 2, "system": "Linux"},
        "models": [{"name": "net", "variant": "standard"}],
        "inference": {"rows": [found.to_json() for found in timings]},
    }
    if scores is not None:
        made["strength"] = {
            "orders": {"offered": len(scores), "games": len(scores), "sha256": "x"},
            "entrants": [
                {
                    "name": "policy",
                    "model": "net",
                    "rule": "policy",
                    "scores": scores,
                    "without_luck": [],
                }
            ],
        }
    return made
