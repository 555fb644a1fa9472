"""Timing, with every sample kept."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


def timed(run: Callable[[], object]) -> float:
    """Seconds that one run takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def repeated(run: Callable[[], object], seconds: float, least: int) -> NDArray[np.float64]:
    """float64 [R]: seconds of each run, until they come to `seconds` and are `least` in number."""
    taken: list[float] = []
    total = 0.0
    while total < seconds or len(taken) < least:
        taken.append(timed(run))
        total += taken[-1]
    return np.array(taken)
