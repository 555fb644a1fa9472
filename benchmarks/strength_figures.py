"""The figures of `docs/strength.md`, beside those that azx draws in its reports."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from azx.cli.reports.figures import COLOURS, drawn
from azx.runtime.stats import Estimate


def ladder(names: list[str], found: list[Estimate], milliseconds: list[float]) -> str:
    """Score with interval against the time of a move, a line for each way to think."""
    made: list[str] = []
    with drawn(made) as axes:
        means = [e.mean for e in found]
        ways = [name.partition(":")[0] for name in names]
        for way in dict.fromkeys(ways):
            mine = [i for i, other in enumerate(ways) if other == way]
            mine.sort(key=milliseconds.__getitem__)
            spans = [found[i].half_width for i in mine]
            x, y = [milliseconds[i] for i in mine], [means[i] for i in mine]
            axes.errorbar(x, y, yerr=spans, fmt="o-", capsize=3)
        for name, x, y in zip(names, milliseconds, means, strict=True):
            axes.annotate(name, (x, y), textcoords="offset points", xytext=(6, -12), fontsize=8)
        axes.set(xscale="log", xlabel="milliseconds a move, one core", ylabel="points, luck out")
        axes.xaxis.set_major_formatter("{x:g}")
    return made[0]


def lines_made(
    made_of: NDArray[np.float64],
    there: NDArray[np.float64],
    lengths: list[int],
    numbers: list[int],
) -> str:
    """Share of the lines of each length that were finished with each number."""
    from matplotlib import colormaps

    made: list[str] = []
    with drawn(made, 2.6) as axes:
        base = np.zeros(len(lengths))
        shades = colormaps["viridis"](np.linspace(0.05, 0.95, len(numbers)))
        for index, number in enumerate(numbers):
            share = 100 * made_of[:, index] / there
            axes.barh(range(len(lengths)), share, left=base, color=shades[index], label=str(number))
            base += share
        axes.set(xlabel="% of the lines of this length", ylabel="length", xlim=(0, 100))
        axes.set_yticks(range(len(lengths)), [str(length) for length in lengths])
        axes.legend(title="number", loc="center left", bbox_to_anchor=(1, 0.5))
    return made[0]


def by_turn(gains: NDArray[np.float64], foreseen: NDArray[np.float64]) -> str:
    """Points made in each turn as bars, points still to come as a line."""
    made: list[str] = []
    with drawn(made) as axes:
        turns = np.arange(1, len(gains) + 1)
        axes.bar(turns, gains, color=COLOURS[0])
        axes.set(xlabel="turn", ylabel="points made", xticks=turns)
        other = axes.twinx()
        other.plot(turns, foreseen, color=COLOURS[1])
        other.set_ylabel("points to come, foreseen", color=COLOURS[1])
        other.set_ylim(bottom=0)
    return made[0]


def recorded(scores: dict[str, NDArray[np.integer]]) -> str:
    """Everybody's score in each game."""
    made: list[str] = []
    with drawn(made) as axes:
        for index, (name, values) in enumerate(scores.items()):
            shift = 0.08 * (index - (len(scores) - 1) / 2)
            games = np.arange(len(values)) + shift
            axes.plot(
                games, values, "o", color=COLOURS[index], label=f"{name}, {values.mean():.0f}"
            )
        axes.set(xlabel="game", ylabel="points", xticks=range(len(values)))
        axes.legend(ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))
    return made[0]
