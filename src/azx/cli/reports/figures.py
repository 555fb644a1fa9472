"""Figures as SVG for pages: readable on light and on dark grounds, drawn by matplotlib."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from azx.runtime.errors import UsageError

#: Told apart by people who see few colours too (Okabe and Ito 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")

#: Where there are more curves than colours, these tell them apart.
DASHES = ("-", "--", ":", "-.")

#: A grey that stands out from white and from black; the ground is left clear.
INK = "#808080"

#: Inches; drawn so small, letters are as large as those of the text on a phone.
WIDTH = 5.0

STYLE: dict[Any, Any] = {
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 10,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "azx",  # the same figure gives the same text
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


class Point(NamedTuple):
    """Something measured, by its name."""

    name: str
    x: float
    y: float
    half_width: float  # of the interval of y


#: Values of x, of y, and half-widths of the intervals of y where there are any.
Curve = tuple[Sequence[float], Sequence[float], Sequence[float] | None]


def need_matplotlib() -> None:
    """`UsageError` where matplotlib, which draws the figures, is not installed."""
    if find_spec("matplotlib") is None:
        raise UsageError(
            "a page with figures needs matplotlib: pip install matplotlib, or write a .md file"
        )


@contextmanager
def drawn(into: list[str], height: float = 3.0, width: float = 7.2) -> Iterator[Any]:
    """Axes to draw on, in inches; the SVG is added to `into` afterwards."""
    need_matplotlib()
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots()
        axes.set_prop_cycle(
            color=COLOURS * len(DASHES), linestyle=[d for d in DASHES for _ in COLOURS]
        )
        yield axes
        text = io.StringIO()
        figure.savefig(
            text, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None}
        )
    into.append(_embeddable(text.getvalue()))


def _embeddable(svg: str) -> str:
    """The drawing alone, with no rule and no name that another part of a page could meet."""
    svg = re.sub(r"<style.*?</style>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    mark = hashlib.sha256(svg.encode()).hexdigest()[:8]
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>f{mark}-", svg)
    return svg.replace("<svg ", '<svg stroke-linejoin="round" stroke-linecap="butt" ', 1)


def _legend(axes: Any) -> None:
    """Above the axes, where no data is."""
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)


def _decades(axis: Any) -> None:
    """Ticks of an axis with a logarithmic scale: 1, 2, 5, 10, or powers of ten where it is long."""
    from matplotlib.ticker import LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 100 else (1,)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def histogram(scores: Mapping[str, Sequence[float]]) -> str:
    """Shares of games by score, in steps of five points; a dotted line at each mean."""
    made: list[str] = []
    with drawn(made, width=WIDTH) as axes:
        every = np.concatenate([np.asarray(values) for values in scores.values()])
        edges = np.arange(every.min() // 5 * 5, every.max() + 5.1, 5)
        for index, (name, values) in enumerate(scores.items()):
            colour = COLOURS[index % len(COLOURS)]
            dashes = DASHES[index // len(COLOURS) % len(DASHES)]
            share = 100 * np.histogram(values, edges)[0] / len(values)
            label = f"{name}, mean {np.mean(values):.1f}"
            axes.stairs(share, edges, label=label, color=colour, linestyle=dashes)
            axes.axvline(np.mean(values), color=colour, linewidth=0.7, linestyle=":")
        axes.set(xlabel="points", ylabel="% of games")
        _legend(axes)
    return made[0]


def lines(
    curves: Mapping[str, Curve],
    x: str,
    y: str,
    log: str = "",
    ticks: Sequence[float] | None = None,
    marks: bool = True,
) -> str:
    """Curves by their names; `log` names the axes with a logarithmic scale: "", "x", "y", "xy".

    `ticks` are those of x; without them whole numbers have ticks at whole numbers alone.
    """
    from matplotlib.ticker import MaxNLocator, NullLocator

    made: list[str] = []
    with drawn(made, width=WIDTH) as axes:
        for name, (at, values, spans) in curves.items():
            mark = "o" if marks else ""
            axes.errorbar(at, values, yerr=spans, marker=mark, markersize=3, capsize=2, label=name)
        axes.set(xlabel=x, ylabel=y)
        if "x" in log:
            axes.set_xscale("log")
            _decades(axes.xaxis)
        elif all(value == int(value) for at, _, _ in curves.values() for value in at):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
            axes.xaxis.set_major_formatter("{x:,.0f}")
        if "y" in log:
            axes.set_yscale("log")
            _decades(axes.yaxis)
        if ticks is not None:
            axes.set_xticks(ticks)
            axes.xaxis.set_minor_locator(NullLocator())
        if len(curves) > 1 or next(iter(curves), ""):
            _legend(axes)
    return made[0]


def points(
    single: Sequence[Point],
    joined: Mapping[str, Sequence[Point]],
    levels: Mapping[str, float],
    x: str,
    y: str,
) -> str:
    """Points with their names on a logarithmic x, and levels; only a series is joined."""
    made: list[str] = []
    with drawn(made, height=3.4, width=WIDTH) as axes:
        for name, series in {**{point.name: [point] for point in single}, **joined}.items():
            _, at, values, spans = zip(*series, strict=True)
            axes.errorbar(at, values, yerr=spans, marker="o", markersize=4, capsize=2, label=name)
            for point in series:
                axes.annotate(
                    point.name,
                    (point.x, point.y),
                    textcoords="offset points",
                    xytext=(5, -11),
                    fontsize=9,
                )
        for name, level in levels.items():
            axes.axhline(level, color=INK, linewidth=0.8, linestyle="--")
            axes.annotate(
                name, (1, level), xycoords=("axes fraction", "data"), ha="right", va="bottom",
                fontsize=9,
            )  # fmt: skip
        axes.set(xlabel=x, ylabel=y, xscale="log")
        axes.margins(x=0.15)
        _decades(axes.xaxis)
        if len(joined) > 1:
            _legend(axes)
    return made[0]


def bars(names: Sequence[str], parts: Mapping[str, Sequence[float]], x: str) -> str:
    """Stacked parts, a bar for each name."""
    made: list[str] = []
    with drawn(made, 0.7 + 0.35 * len(names), WIDTH) as axes:
        left = np.zeros(len(names))
        for label, values in parts.items():
            axes.barh(names, values, left=left, label=label, height=0.6)
            left += np.asarray(values)
        axes.invert_yaxis()
        axes.set(xlabel=x)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(parts), borderaxespad=0.2)
    return made[0]


def heat(
    names: Sequence[str], at: Sequence[float], values: Sequence[Sequence[float]], x: str
) -> str:
    """A row for each of `names` [N], a column for each of `at` [X]: `values` [N, X] as shades.

    Shades are logarithmic; what is 0 is left out.
    """
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import MaxNLocator

    made: list[str] = []
    with drawn(made, 0.9 + 0.21 * len(names), WIDTH) as axes:
        table = np.ma.masked_less_equal(np.asarray(values, dtype=float), 0.0)
        edges = np.append(at, 2 * at[-1] - at[-2] if len(at) > 1 else at[-1] + 1)
        shades = axes.pcolormesh(
            edges, np.arange(len(names) + 1), table, norm=LogNorm(), cmap="viridis"
        )
        axes.set_yticks(np.arange(len(names)) + 0.5, names, fontsize=8)
        axes.invert_yaxis()
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        axes.set(xlabel=x)
        bar = axes.figure.colorbar(shades, ax=axes, location="top", aspect=40, pad=0.03)
        _decades(bar.ax.xaxis)
        bar.ax.tick_params(labelsize=8)
        bar.outline.set_visible(False)
    return made[0]
