"""The figures of `docs/strength.md`, as SVG that is readable on light and on dark pages."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from numpy.typing import NDArray

from azx.runtime.stats import Estimate

#: Told apart by people who see few colours too (Okabe and Ito 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")

#: A grey that stands out from white and from black; the ground is left clear.
INK = "#808080"

mpl.use("svg")
mpl.rcParams.update(
    {
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "axes.prop_cycle": mpl.cycler(color=COLOURS),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "font.size": 10,
        "legend.frameon": False,
        "legend.labelcolor": INK,
        "svg.fonttype": "none",
        "svg.hashsalt": "azx",  # the same figure gives the same file
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
    }
)


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, transparent=True, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


def histogram(scores: dict[str, NDArray[np.integer]], path: Path) -> None:
    """Shares of games by score, in steps of five points; a mark at each mean."""
    figure, axes = plt.subplots(figsize=(7, 3.2))
    low = min(s.min() for s in scores.values()) // 5 * 5
    edges = np.arange(low, max(s.max() for s in scores.values()) + 5, 5)
    for index, (name, values) in enumerate(scores.items()):
        share = np.histogram(values, edges)[0] / len(values)
        colour = COLOURS[index]
        axes.stairs(100 * share, edges, label=f"{name}, mean {values.mean():.1f}", color=colour)
        axes.axvline(values.mean(), color=colour, linewidth=0.7, linestyle=":")
    axes.set(xlabel="points", ylabel="% of games")
    axes.legend(loc="upper left", fontsize=8)
    _save(figure, path)


def ladder(names: list[str], found: list[Estimate], milliseconds: list[float], path: Path) -> None:
    """Score with interval against the time of a move."""
    figure, axes = plt.subplots(figsize=(7, 3.2))
    means = [e.mean for e in found]
    spans = [e.half_width for e in found]
    axes.errorbar(milliseconds, means, yerr=spans, fmt="o-", capsize=3)
    for name, x, y in zip(names, milliseconds, means, strict=True):
        axes.annotate(name, (x, y), textcoords="offset points", xytext=(6, -12), fontsize=8)
    axes.set(xscale="log", xlabel="milliseconds a move, one core", ylabel="points, luck out")
    _save(figure, path)


def lines_made(
    made: NDArray[np.float64],
    there: NDArray[np.float64],
    lengths: list[int],
    numbers: list[int],
    path: Path,
) -> None:
    """Share of the lines of each length that were finished with each number."""
    figure, axes = plt.subplots(figsize=(7, 2.6))
    base = np.zeros(len(lengths))
    shades = plt.get_cmap("viridis")(np.linspace(0.05, 0.95, len(numbers)))
    for index, number in enumerate(numbers):
        share = 100 * made[:, index] / there
        axes.barh(range(len(lengths)), share, left=base, color=shades[index], label=str(number))
        base += share
    axes.set(xlabel="% of the lines of this length", ylabel="length", xlim=(0, 100))
    axes.set_yticks(range(len(lengths)), [str(length) for length in lengths])
    axes.legend(title="number", ncols=1, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    _save(figure, path)


def by_turn(gains: NDArray[np.float64], foreseen: NDArray[np.float64], path: Path) -> None:
    """Points made in each turn as bars, points still to come as a line."""
    figure, axes = plt.subplots(figsize=(7, 2.8))
    turns = np.arange(1, len(gains) + 1)
    axes.bar(turns, gains, color=COLOURS[0])
    axes.set(xlabel="turn", ylabel="points made", xticks=turns)
    other = axes.twinx()
    other.plot(turns, foreseen, color=COLOURS[1])
    other.set_ylabel("points to come", color=COLOURS[1])
    other.set_ylim(bottom=0)
    _save(figure, path)


def recorded(scores: dict[str, NDArray[np.integer]], path: Path) -> None:
    """Everybody's score in each game."""
    figure, axes = plt.subplots(figsize=(7, 3))
    for index, (name, values) in enumerate(scores.items()):
        shift = 0.08 * (index - (len(scores) - 1) / 2)
        games = np.arange(len(values)) + shift
        axes.plot(games, values, "o", color=COLOURS[index], label=f"{name}, {values.mean():.0f}")
    axes.set(xlabel="game", ylabel="points", xticks=range(len(values)))
    axes.legend(fontsize=8, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))
    _save(figure, path)
