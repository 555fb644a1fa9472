"""What a result must hold for it to be read: the part of docs/bench-schema.json that azx relies on.

A layout is a type, a tuple of types, a list of one layout for all items, or a dict of layouts by
name; names that end in `?` may be missing.
"""

from __future__ import annotations

from typing import Any

Layout = Any

NUMBER = (int, float)
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


def misfit(found: Any, layout: Layout, where: str = "it") -> str | None:
    """The first thing that is not as `layout` says, in words; None where everything is.

    A list may be empty only where it holds plain values: of pairs there may be none, of models not.
    """
    if isinstance(layout, dict):
        return _misfit_of_names(found, layout, where)
    if isinstance(layout, list):
        if not isinstance(found, list):
            return f"{where} is {type(found).__name__}, expected a list"
        numbered = ((item, f"{where}[{number}]") for number, item in enumerate(found))
        return next(filter(None, (misfit(item, layout[0], name) for item, name in numbered)), None)
    if not isinstance(found, layout) or (isinstance(found, bool) and layout is not bool):
        return f"{where} is {type(found).__name__}"
    return None


def _misfit_of_names(found: Any, layout: dict[str, Layout], where: str) -> str | None:
    if not isinstance(found, dict):
        return f"{where} is {type(found).__name__}, expected an object"
    for key, part in layout.items():
        name = key.removesuffix("?")
        if name not in found:
            if name == key:
                return f"{where} has no {name!r}"
            continue
        if wrong := misfit(found[name], part, name if where == "it" else f"{where}.{name}"):
            return wrong
    return None
