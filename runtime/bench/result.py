"""One document for everything that `azx bench` measures: see docs/bench-schema.json."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from math import prod
from pathlib import Path
from typing import Any

from azx.runtime.bench.layout import RESULT, wrong_sample
from azx.runtime.bench.machine import machine
from azx.runtime.errors import RecordError
from azx.runtime.files import read_bytes
from azx.runtime.layout import misfit
from azx.runtime.modelfile import ModelFile

SCHEMA = "azx-bench/2"

Result = dict[str, Any]


def new_result(models: dict[str, ModelFile], config: dict[str, Any], commit: str) -> Result:
    """A document without measurements: when, by which command, on what, of which models.

    `commit` is azx's own.
    """
    return {
        "schema": SCHEMA,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": ["azx", *sys.argv[1:]],
        "commit": commit,
        "config": config,
        "machine": machine(),
        "models": [_describe(name, model) for name, model in models.items()],
    }


def _describe(name: str, model: ModelFile) -> dict[str, Any]:
    """What a figure of a model must be read with."""
    return {
        "name": name,
        "path": str(model.path),
        "sha256": model.sha256,
        "bytes": len(model.data),
        "parameters": sum(prod(p["shape"]) for p in model.card.parameters),
        "precision": model.card.precision,
        "verified": model.card.verified,
        "commit": model.card.made_by.get("commit", "unknown"),
        "variant": model.card.variant.name,
    }


def read_result(path: Path) -> Result:
    """Read a document; `RecordError` where it is none of this version, or not whole and sound."""
    try:
        found = json.loads(read_bytes(path, RecordError))
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path} is no JSON: {error}") from error
    tag = found.get("schema") if isinstance(found, dict) else None
    if tag != SCHEMA:
        raise RecordError(
            f"{path} is no benchmark result that this azx reads: its schema is {tag!r}, not "
            f"{SCHEMA!r}; measure again"
        )
    wrong = misfit(found, RESULT)
    if wrong is None:
        wrong = wrong_sample(found) if found["models"] else "models is empty"
    if wrong is not None:
        raise RecordError(f"{path} is a broken benchmark result: {wrong}; measure again")
    return dict(found)
