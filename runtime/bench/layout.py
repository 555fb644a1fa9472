"""What a result must hold for it to be read: the part of docs/bench-schema.json that azx uses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from azx.runtime.layout import NUMBER, Layout

MEDIAN: Layout = {"median": NUMBER, "low": NUMBER, "high": NUMBER}
MEAN: Layout = {
    "mean": NUMBER,
    "low": (*NUMBER, type(None)),
    "high": (*NUMBER, type(None)),
    "games": int,
}
SHARES: Layout = {"network": NUMBER, "trees": NUMBER, "rules": NUMBER}

INFERENCE: Layout = {
    "engines": [
        {
            "engine": str,
            "provider": str,
            "threads": int,
            "recommended_batch": int,
            "memory_bytes": (int, type(None)),
            "node_providers": dict,
        }
    ],
    "rows": [
        {
            "engine": str,
            "provider": str,
            "threads": int,
            "batch": int,
            "boards_per_second": MEDIAN,
            "noise": NUMBER,
            "first_run_seconds": NUMBER,
            "p50_seconds": NUMBER,
            "p90_seconds": NUMBER,
            "p99_seconds": NUMBER,
            "rounds": [[NUMBER]],
        }
    ],
}

SEARCH: Layout = {
    "model": str,
    "provider": str,
    "threads": int,
    "root": str,
    "rows": [
        {
            "evaluator": str,
            "games": int,
            "simulations": int,
            "lanes": int,
            "simulations_per_second": MEDIAN,
            "boards_per_second": MEDIAN,
            "noise": NUMBER,
            "shares": SHARES,
            "bytes_per_node": int,
            "rules_seconds_per_board": NUMBER,
            "simulated": [int],
            "boards_asked": [int],
            "seconds": [NUMBER],
            "network_seconds": [NUMBER],
        }
    ],
}

SELFPLAY: Layout = {
    "model": str,
    "provider": str,
    "threads": int,
    "root": str,
    "rows": [
        {
            "workers": int,
            "games": int,
            "simulations": int,
            "batch": int,
            "lanes": int,
            "games_per_second": MEDIAN,
            "boards_per_second": MEDIAN,
            "share_of_ceiling": MEDIAN,
            "noise": NUMBER,
            "shares": SHARES,
            "rules_seconds_per_board": NUMBER,
            "boards_asked": [int],
            "seconds": [NUMBER],
            "network_seconds": [NUMBER],
            "ceiling_boards_per_second": [NUMBER],
        }
    ],
}

STRENGTH: Layout = {
    "provider": str,
    "threads": int,
    "orders": {"offered": int, "games": int, "sha256": str},
    "ended": str,
    "entrants": [
        {
            "name": str,
            "model": (str, type(None)),
            "rule": str,
            "simulations": (int, type(None)),
            "scores": [NUMBER],
            "without_luck": [NUMBER],
            "seconds": NUMBER,
            "mean": MEAN,
            "mean_without_luck": MEAN,
            "seconds_per_move": NUMBER,
        }
    ],
    "pairs": [{"first": str, "other": str, **MEAN}],
    "others": dict,
    "against": [{"name": str, "other": str, **MEAN}],
}

RESULT: Layout = {
    "schema": str,
    "created": str,
    "command": [str],
    "commit": str,
    "config": dict,
    "machine": {
        "processor": str,
        "cores_available": int,
        "cores_of_machine": int,
        "system": str,
        "python": str,
        "azx": str,
        "onnxruntime": str,
        "numpy": str,
        "numba": str,
        "torch": str,
    },
    "models": [
        {
            "name": str,
            "path": str,
            "sha256": str,
            "bytes": int,
            "parameters": int,
            "precision": str,
            "verified": bool,
            "commit": str,
            "variant": str,
        }
    ],
    "inference?": INFERENCE,
    "search?": SEARCH,
    "selfplay?": SELFPLAY,
    "strength?": STRENGTH,
}

SECTIONS = ("inference", "search", "selfplay", "strength")

#: By section: the samples of a row, one of each for each round, and counts that rates are made of.
SAMPLES = {
    "inference": (("rounds",), ("batch",)),
    "search": (("simulated", "seconds"), ()),
    "selfplay": (("seconds",), ("workers", "games")),
}


def wrong_sample(result: dict[str, Any]) -> str | None:
    """The first row that no rate can be made of, in words; None where all are sound.

    `result` is laid out as `RESULT`. A row has two rounds or more, as many of each kind of sample,
    and every number in them is above 0. Each player has a score, and luck is out of all or none.
    """
    for section, (columns, counts) in SAMPLES.items():
        for number, row in enumerate(result.get(section, {}).get("rows", [])):
            where = f"{section}.rows[{number}]"
            rounds = {len(row[name]) for name in columns}
            if len(rounds) > 1 or rounds.pop() < 2:
                return f"{where} has fewer than 2 rounds, or not as many {' as '.join(columns)}"
            for name in (*columns, *counts):
                if not all(0 < found < math.inf for found in _numbers(row[name])):
                    return f"{where}.{name} has a number that is not above 0, or a round of none"
    for number, entrant in enumerate(result.get("strength", {}).get("entrants", [])):
        scores, without_luck = entrant["scores"], entrant["without_luck"]
        if not scores or len(without_luck) not in (0, len(scores)):
            return f"strength.entrants[{number}] has no scores, or luck is not out of all"
    return None


def _numbers(sample: Any) -> Iterator[float]:
    """All numbers in a sample; 0 for a list without any."""
    if isinstance(sample, list):
        for part in sample or [0.0]:
            yield from _numbers(part)
    else:
        yield sample
