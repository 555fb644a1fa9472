"""One document for everything that `azx bench` measures: see docs/bench-schema.json."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from azx.runtime.bench.machine import machine
from azx.runtime.errors import RecordError
from azx.runtime.files import read_bytes
from azx.runtime.onnx_evaluator import OnnxEvaluator

SCHEMA = "azx-bench/1"

#: What a document may hold of measurements.
SECTIONS = ("inference", "search", "selfplay", "strength")

Result = dict[str, Any]


def new_result(models: dict[str, OnnxEvaluator], config: dict[str, Any]) -> Result:
    """A document without measurements: when, by which command, on what, of which models."""
    return {
        "schema": SCHEMA,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": ["azx", *sys.argv[1:]],
        "config": config,
        "machine": machine(),
        "models": [describe(name, evaluator) for name, evaluator in models.items()],
    }


def describe(name: str, evaluator: OnnxEvaluator) -> dict[str, Any]:
    """What a figure of a model must be read with."""
    model = evaluator.model
    return {
        "name": name,
        "path": str(model.path),
        "sha256": model.sha256,
        "bytes": len(model.data),
        "parameters": sum(_size(p["shape"]) for p in model.card.parameters),
        "precision": model.card.precision,
        "verified": model.card.verified,
        "commit": model.card.made_by.get("commit", "unknown"),
        "variant": evaluator.variant.name,
        "provider": evaluator.provider_used,
        "threads": evaluator.threads,
    }


def _size(shape: list[int]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def resident_bytes() -> int | None:
    """Memory that this process holds now; None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def read_result(path: Path) -> Result:
    """Read a document; `RecordError` where it is none of this version."""
    try:
        found = json.loads(read_bytes(path, RecordError))
    except ValueError as error:
        raise RecordError(f"{path} is no JSON: {error}") from error
    tag = found.get("schema") if isinstance(found, dict) else None
    if tag != SCHEMA:
        raise RecordError(f"{path} is no benchmark result: its schema is {tag!r}, not {SCHEMA!r}")
    if missing := [key for key in ("machine", "models", "config") if key not in found]:
        raise RecordError(f"{path} is a broken benchmark result: it has no {missing[0]!r}")
    return dict(found)
