"""What has changed between two results, and does it exceed the noise?

Speeds are medians over rounds, and the ratio of two has an interval by bootstrap; scores are means,
compared in pairs where both played the same orders. A change counts where its interval excludes
none, and, for speeds, where it is larger than what the same thing differs from itself by.

Only what is alike is compared: the same network on the same provider by as many threads. Where each
result has one network they are taken for two states of the same, whatever they are called.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from azx.runtime.bench.machine import runs_on
from azx.runtime.bench.result import Result
from azx.runtime.bench.rounds import noise_of, ratio_of
from azx.runtime.errors import UsageError
from azx.runtime.stats import difference, estimate, paired_difference

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
    """Every figure that both results have, in the order of the first.

    Raises `UsageError` where they have none, are of different boards, or hold times of different
    machines, unless told to compare those `across_machines`.
    """
    _refuse_other_boards(first, second)
    names = _common_names(first, second)
    strengths = list(_strengths(first, second, names))
    speeds = list(_speeds(first, second, names))
    apart = [key for key in SAME_MACHINE if first["machine"][key] != second["machine"][key]]
    if speeds and apart and not across_machines:
        key = apart[0]
        raise UsageError(
            f"times of different machines say nothing of a change: {key} is "
            f"{first['machine'][key]!r} and {second['machine'][key]!r}; "
            "--across-machines compares them all the same"
        )
    if not strengths and not speeds:
        raise UsageError(
            "the results have no figure in common, so nothing can be compared: one has "
            f"{_one_of(first)}, the other {_one_of(second)}"
        )
    return strengths + speeds


def _refuse_other_boards(first: Result, second: Result) -> None:
    one, two = (result["models"][0]["variant"] for result in (first, second))
    if one != two:
        raise UsageError(
            f"the results are of different boards, {one} and {two}: compare results of the same"
        )


def _common_names(first: Result, second: Result) -> dict[str, str]:
    """What the networks of `second` are called in `first`."""
    if len(first["models"]) == len(second["models"]) == 1:
        return {second["models"][0]["name"]: first["models"][0]["name"]}
    return {}


def _one_of(result: Result) -> str:
    rates = [name for name, _ in _rates(result, {})]
    entrants = result.get("strength", {}).get("entrants", [])
    names = rates + [f"points, {entrant['name']}" for entrant in entrants]
    return repr(names[0]) if names else "none"


def _speeds(first: Result, second: Result, names: dict[str, str]) -> Iterator[Change]:
    before, after = dict(_rates(first, {})), dict(_rates(second, names))
    for what in before:
        if what not in after:
            continue
        ratio = ratio_of(before[what], after[what])
        yield Change(
            what,
            float(np.median(before[what])),
            float(np.median(after[what])),
            ratio.median - 1.0,
            ratio.low - 1.0,
            ratio.high - 1.0,
            max(noise_of(before[what]), noise_of(after[what])),
        )


def _rates(result: Result, names: dict[str, str]) -> Iterator[tuple[str, list[float]]]:
    """Every speed by all that it depends on: one number a second for each round."""
    for row in result.get("inference", {}).get("rows", []):
        engine = names.get(row["engine"], row["engine"])
        where = runs_on(row["provider"], row["threads"])
        rates = [row["batch"] * len(runs) / sum(runs) for runs in row["rounds"]]
        yield f"boards/s, {engine}, {where}, batch {row['batch']}", rates
    if search := result.get("search"):
        network = f"network {names.get(search['model'], search['model'])}"
        for row in search["rows"]:
            pace = zip(row["simulated"], row["seconds"], strict=True)
            evaluator = network if row["evaluator"] == "network" else row["evaluator"]
            yield (
                f"simulations/s, {evaluator}, {_settings(search, row)}",
                [made / taken for made, taken in pace],
            )
    if play := result.get("selfplay"):
        model = names.get(play["model"], play["model"])
        for row in play["rows"]:
            games = row["workers"] * row["games"]
            yield (
                f"self-play games/s, {model}, {_settings(play, row)}, workers: {row['workers']}",
                [games / taken for taken in row["seconds"]],
            )


def _settings(section: dict[str, Any], row: dict[str, Any]) -> str:
    where = runs_on(section["provider"], section["threads"])
    return f"{where}, {row['games']} games, {row['simulations']} {section['root']}"


def _strengths(first: Result, second: Result, names: dict[str, str]) -> Iterator[Change]:
    if "strength" not in first or "strength" not in second:
        return
    one, two = first["strength"], second["strength"]
    after = {_who(entrant, names): entrant for entrant in two["entrants"]}
    for entrant in one["entrants"]:
        if _who(entrant, {}) not in after:
            continue
        # Each result's own network says what luck is: both leave the mean where it is.
        old, new = (e["without_luck"] or e["scores"] for e in (entrant, after[_who(entrant, {})]))
        if one["orders"]["sha256"] == two["orders"]["sha256"]:
            # Early stopping may have ended one before the other: both played the first orders.
            old, new = (scores[: min(len(old), len(new))] for scores in (old, new))
            found = paired_difference(new, old)
        else:
            found = difference(estimate(new), estimate(old))
        scale = abs(float(np.mean(old))) or 1.0
        yield Change(
            f"points, {entrant['name']}",
            float(np.mean(old)),
            float(np.mean(new)),
            found.mean / scale,
            found.ci95[0] / scale,
            found.ci95[1] / scale,
            0.0,
        )


def _who(entrant: dict[str, Any], names: dict[str, str]) -> tuple[str, str]:
    """The network and the rule that it plays by."""
    model = entrant["model"] or ""
    return names.get(model, model), entrant["rule"]
