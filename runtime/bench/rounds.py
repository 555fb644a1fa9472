"""Samples in rounds, and how sure they make us.

Runs close in time are alike, so a thousand of them in a row say less than they seem to. Everything
that is measured takes turns with everything else, round by round; a round is one sample, and
intervals come from resampling whole rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Rounds that everything is measured in. With 3 a 95% interval held the truth in 81% of made-up
#: experiments, with 8 and more in 92% to 95%: `tests/test_bench_rounds.py`.
ROUNDS = 10

#: Resamplings of the bootstrap, whose seed is fixed: the same samples give the same interval.
RESAMPLINGS, SEED = 2000, 0

#: Standard deviations of a normal distribution in its median distance from the middle.
DEVIATIONS = 1.4826

#: Random halves that noise is averaged over.
SPLITS = 500

Key = TypeVar("Key", bound=Hashable)
Sample = TypeVar("Sample")


@dataclass(frozen=True)
class Measured:
    """A median over rounds with its 95% interval, in the unit of its samples."""

    median: float
    low: float
    high: float

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        return dict(self.__dict__)


def in_turns(
    measures: Mapping[Key, Callable[[], Sample]],
    rounds: int,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[Key, list[Sample]]:
    """`rounds` samples of each of `measures`: in every round each has its turn.

    `tell` is told which round it is.
    """
    samples: dict[Key, list[Sample]] = {key: [] for key in measures}
    for number in range(rounds):
        tell(f"round {number + 1} of {rounds}")
        for key, measure in measures.items():
            samples[key].append(measure())
    return samples


def _resampled_medians(samples: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    picked = rng.integers(0, len(samples), (RESAMPLINGS, len(samples)))
    # A little noise of the samples' own spread smooths a median of few values (Efron 1979): of the
    # spread as most of them have it, or one slow round would make every interval wide.
    usual = DEVIATIONS * np.median(np.abs(samples - np.median(samples)))
    noise = rng.normal(0.0, usual / np.sqrt(len(samples)), picked.shape)
    return np.median(samples[picked] + noise, axis=1)


def median_of(samples: ArrayLike) -> Measured:
    """The median of rounds [R], two or more, with a percentile-bootstrap interval."""
    values = np.asarray(samples, dtype=np.float64)
    low, high = np.percentile(_resampled_medians(values, SEED), [2.5, 97.5])
    return Measured(float(np.median(values)), float(low), float(high))


def ratio_of(first: ArrayLike, second: ArrayLike) -> Measured:
    """Median of `second` over median of `first`, rounds [R] and [S] resampled independently."""
    a, b = (np.asarray(samples, dtype=np.float64) for samples in (first, second))
    ratios = _resampled_medians(b, SEED + 1) / _resampled_medians(a, SEED)
    low, high = np.percentile(ratios, [2.5, 97.5])
    return Measured(float(np.median(b) / np.median(a)), float(low), float(high))


def noise_of(samples: ArrayLike) -> float:
    """How far two measurements of R rounds, R at least 2, of the same thing are apart: a share.

    The rounds are cut into random halves again and again; the mean distance of the halves' medians
    is that of two measurements of R / 2 rounds, and of R rounds it is less by the root of two.
    """
    values = np.asarray(samples, dtype=np.float64)
    half = len(values) // 2
    rng = np.random.default_rng(SEED)
    mixed = rng.permuted(np.tile(values, (SPLITS, 1)), axis=1)
    ratios = np.median(mixed[:, :half], axis=1) / np.median(mixed[:, half : 2 * half], axis=1)
    return float(np.abs(ratios - 1.0).mean() / np.sqrt(2.0))
