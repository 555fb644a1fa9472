"""Means that say how sure they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

#: Half the width of a 95% interval in standard errors, for 30 samples and more.
Z95 = 1.959964


@dataclass(frozen=True)
class Estimate:
    """A mean, in the unit of its samples, and the half-width of its 95% interval."""

    mean: float
    half_width: float
    count: int

    @property
    def ci95(self) -> tuple[float, float]:
        """The interval (normal approximation)."""
        return self.mean - self.half_width, self.mean + self.half_width

    def __str__(self) -> str:
        return f"{self.mean:.2f} ± {self.half_width:.2f}"


def estimate(samples: ArrayLike) -> Estimate:
    """The mean of independent samples [N]; with fewer than two the interval is infinite."""
    values = np.asarray(samples, dtype=np.float64)
    if values.size < 2:
        return Estimate(float(values.mean()) if values.size else float("nan"), np.inf, values.size)
    error = values.std(ddof=1) / np.sqrt(values.size)
    return Estimate(float(values.mean()), float(Z95 * error), values.size)


def paired_difference(a: ArrayLike, b: ArrayLike) -> Estimate:
    """The mean of a - b over the same games: the draw's luck cancels where both met it."""
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(f"pairs need as many of each: {first.shape} and {second.shape}")
    return estimate(first - second)


def difference(a: Estimate, b: Estimate) -> Estimate:
    """a - b of means that have nothing in common: of other games, or judged otherwise."""
    return Estimate(a.mean - b.mean, float(np.hypot(a.half_width, b.half_width)), a.count)
