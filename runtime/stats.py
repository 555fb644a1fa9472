"""Means that say how sure they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

#: Half the width of a 95% interval in standard errors, for very many samples.
Z95 = 1.959964

#: The same by degrees of freedom for so few samples that the series of `student` is too far off.
OF_FEW = {1: 12.706205, 2: 4.302653, 3: 3.182446}


@dataclass(frozen=True)
class Estimate:
    """A mean, in the unit of its samples, and the half-width of its 95% interval."""

    mean: float
    half_width: float
    count: int

    @property
    def ci95(self) -> tuple[float, float]:
        """The interval (Student's t)."""
        return self.mean - self.half_width, self.mean + self.half_width

    def __str__(self) -> str:
        return f"{self.mean:.2f} ± {self.half_width:.2f}"


def student(freedom: int) -> float:
    """The 97.5% point of Student's t, by Abramowitz and Stegun 26.7.5; within 0.3%."""
    if freedom in OF_FEW:
        return OF_FEW[freedom]
    z = Z95
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )


def estimate(samples: ArrayLike) -> Estimate:
    """The mean of independent samples [N]; with fewer than two the interval is infinite."""
    values = np.asarray(samples, dtype=np.float64)
    if values.size < 2:
        return Estimate(float(values.mean()) if values.size else float("nan"), np.inf, values.size)
    error = values.std(ddof=1) / np.sqrt(values.size)
    half_width = float(student(values.size - 1) * error)
    return Estimate(float(values.mean()), half_width, values.size)


def paired_difference(a: ArrayLike, b: ArrayLike) -> Estimate:
    """The mean of a - b over the same games: the draw's luck cancels where both met it."""
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(f"pairs need as many of each: {first.shape} and {second.shape}")
    return estimate(first - second)


def difference(a: Estimate, b: Estimate) -> Estimate:
    """a - b of means that have nothing in common: of other games, or judged otherwise."""
    return Estimate(a.mean - b.mean, float(np.hypot(a.half_width, b.half_width)), a.count)
