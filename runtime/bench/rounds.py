"""Samples in rounds, and how sure they make us.

Runs close in time are alike, so a thousand of them in a row say less than they seem to. Everything
that is measured takes turns with everything else, round by round; a round is one sample, and
intervals come from resampling whole rounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Resamplings of the bootstrap, whose seed is fixed: the same samples give the same interval.
RESAMPLINGS, SEED = 2000, 0


@dataclass(frozen=True)
class Measured:
    """A median over rounds with its 95% interval, in the unit of its samples."""

    median: float
    low: float
    high: float

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        return dict(self.__dict__)

    def __str__(self) -> str:
        return f"{self.median:,.0f} ({self.low:,.0f} to {self.high:,.0f})"


def _resampled_medians(samples: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    picked = rng.integers(0, len(samples), (RESAMPLINGS, len(samples)))
    # A little noise of the samples' own spread smooths a median of few values (Efron 1979).
    spread = samples.std(ddof=1) / np.sqrt(len(samples)) if len(samples) > 1 else 0.0
    noise = rng.normal(0.0, spread, picked.shape) if spread else 0.0
    return np.median(samples[picked] + noise, axis=1)


def median_of(samples: ArrayLike) -> Measured:
    """The median of rounds [R] with a percentile-bootstrap interval."""
    values = np.asarray(samples, dtype=np.float64)
    middle = float(np.median(values))
    if len(values) < 2:
        return Measured(middle, -np.inf, np.inf)
    low, high = np.percentile(_resampled_medians(values, SEED), [2.5, 97.5])
    return Measured(middle, float(low), float(high))


def ratio_of(first: ArrayLike, second: ArrayLike) -> Measured:
    """Median of `second` over median of `first`, rounds [R] and [S] resampled independently."""
    a, b = (np.asarray(samples, dtype=np.float64) for samples in (first, second))
    middle = float(np.median(b) / np.median(a))
    if min(len(a), len(b)) < 2:
        return Measured(middle, 0.0, np.inf)
    ratios = _resampled_medians(b, SEED + 1) / _resampled_medians(a, SEED)
    low, high = np.percentile(ratios, [2.5, 97.5])
    return Measured(middle, float(low), float(high))


def noise_of(samples: ArrayLike) -> float:
    """How far the even rounds [R] are from the odd ones: the same thing against itself, a share."""
    values = np.asarray(samples, dtype=np.float64)
    if len(values) < 2:
        return float("inf")
    return abs(float(np.median(values[::2]) / np.median(values[1::2])) - 1.0)
