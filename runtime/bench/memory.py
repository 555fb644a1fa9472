"""How much memory does a network take? Each is opened and run in a fresh process."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from azx.runtime.bench.processes import Helper
from azx.runtime.contract import BOARD
from azx.runtime.onnx_evaluator import OnnxEvaluator


def memory_of(load: Callable[[], OnnxEvaluator], boards: NDArray[np.int8]) -> int | None:
    """Bytes that a process grows by as it opens a network and runs `boards` [B, C] through it.

    `load` goes to a process of its own, so it must be one that pickles: in a process that had
    other networks before, this one would be given memory that they left. None where the system
    does not tell.
    """
    with Helper() as process:
        process.ask(_growth, load, boards)
        grown: int | None = process.answer()
        return grown


def _growth(load: Callable[[], OnnxEvaluator], boards: NDArray[np.int8]) -> int | None:
    before = _resident_bytes()
    evaluator = load()
    evaluator.session.run(evaluator.outputs, {BOARD: boards})
    after = _resident_bytes()
    return None if before is None or after is None else after - before


def _resident_bytes() -> int | None:
    """Memory that this process holds now."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
