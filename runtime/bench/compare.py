"""What has changed between two results, and does it exceed the noise?

Speeds are medians over rounds, and the ratio of two has an interval by bootstrap; scores are means,
compared in pairs where both played the same orders. A change counts where its interval excludes
none, and, for speeds, where it is larger than what the same thing differs from itself by.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from azx.runtime.bench.result import Result
from azx.runtime.bench.rounds import noise_of, ratio_of
from azx.runtime.errors import UsageError
from azx.runtime.stats import estimate, paired_difference

#: What must be alike for times to be compared.
SAME_MACHINE = ("processor", "cores_available", "system")


@dataclass(frozen=True)
class Change:
    """One figure in two results; `change` is a share, above 0 where the second is better."""

    what: str
    before: float
    after: float
    change: float
    low: float
    high: float
    noise: float  # a share; changes below it say nothing

    @property
    def exceeds_noise(self) -> bool:
        """Whether the interval excludes no change, and the change is more than noise."""
        return not self.low <= 0.0 <= self.high and abs(self.change) > self.noise

    def is_worse_by(self, share: float) -> bool:
        """Whether it has got worse by more than `share`, beyond noise."""
        return self.exceeds_noise and self.change < -share


def compare(first: Result, second: Result, across_machines: bool = False) -> list[Change]:
    """Every figure that both results have.

    Raises `UsageError` where they have none, or hold times of different machines, unless told to
    compare those `across_machines`.
    """
    changes = list(_strengths(first, second))
    speeds = list(_speeds(first, second))
    apart = [key for key in SAME_MACHINE if first["machine"].get(key) != second["machine"].get(key)]
    if speeds and apart and not across_machines:
        key = apart[0]
        raise UsageError(
            f"times of different machines say nothing of a change: {key} is "
            f"{first['machine'].get(key)!r} and {second['machine'].get(key)!r}; "
            "--across-machines compares them all the same"
        )
    if not changes and not speeds:
        raise UsageError("the results have no figure in common: nothing can be compared")
    return changes + speeds


def _speeds(first: Result, second: Result) -> Iterator[Change]:
    before, after = dict(_rates(first)), dict(_rates(second))
    for what in before.keys() & after.keys():
        ratio = ratio_of(before[what], after[what])
        noise = max(noise_of(before[what]), noise_of(after[what]))
        yield Change(
            what,
            float(np.median(before[what])),
            float(np.median(after[what])),
            ratio.median - 1.0,
            ratio.low - 1.0,
            ratio.high - 1.0,
            noise if np.isfinite(noise) else 0.0,
        )


def _rates(result: Result) -> Iterator[tuple[str, list[float]]]:
    """Every speed by its name: one number a second for each round."""
    for row in result.get("inference", {}).get("rows", []):
        rates = [row["batch"] * len(runs) / sum(runs) for runs in row["rounds"]]
        yield f"boards/s, {row['engine']}, batch {row['batch']}", rates
    for row in result.get("search", {}).get("rows", []):
        name = f"simulations/s, {row['evaluator']}, {row['games']} games, {row['simulations']}"
        rates = [made / took for made, took in zip(row["simulated"], row["seconds"], strict=True)]
        yield name, rates
    if play := result.get("selfplay"):
        rates = [play["games"] / seconds for seconds in play["seconds"]]
        yield f"self-play games/s, {play['simulations']} simulations", rates


def _strengths(first: Result, second: Result) -> Iterator[Change]:
    one, two = (result.get("strength", {}) for result in (first, second))
    before = {entrant["name"]: entrant for entrant in one.get("entrants", [])}
    after = {entrant["name"]: entrant for entrant in two.get("entrants", [])}
    for name in before:
        if name not in after:
            continue
        # Each result's own network says what luck is: both leave the mean where it is.
        old, new = (e[name]["without_luck"] or e[name]["scores"] for e in (before, after))
        count = min(len(old), len(new))
        if one["orders"]["sha256"] == two["orders"]["sha256"]:
            found = paired_difference(new[:count], old[:count])
            difference, half = found.mean, found.half_width
        else:
            a, b = estimate(old), estimate(new)
            difference, half = b.mean - a.mean, float(np.hypot(a.half_width, b.half_width))
        scale = abs(float(np.mean(old))) or 1.0
        yield Change(
            f"points, {name}",
            float(np.mean(old)),
            float(np.mean(new)),
            difference / scale,
            (difference - half) / scale,
            (difference + half) / scale,
            0.0,
        )
