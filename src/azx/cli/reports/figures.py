"""Figures as SVG for pages: readable on light and on dark grounds, drawn by matplotlib."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from azx.runtime.errors import UsageError

#: Told apart by people who see few colours too (Okabe and Ito 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")

#: A grey that stands out from white and from black; the ground is left clear.
INK = "#808080"

STYLE: dict[Any, Any] = {
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 10,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "azx",  # the same figure gives the same text
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


@contextmanager
def drawn(into: list[str], height: float = 3.0) -> Iterator[Any]:
    """Axes to draw on; the SVG is added to `into` afterwards."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError(
            "a page with figures needs matplotlib: pip install 'azx[report]', or write a .md file"
        ) from error
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, height))
        axes = figure.subplots()
        axes.set_prop_cycle(color=COLOURS)
        yield axes
        text = io.StringIO()
        figure.savefig(
            text, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None}
        )
    into.append(text.getvalue()[text.getvalue().index("<svg") :])


def histogram(scores: dict[str, Sequence[float]]) -> str:
    """Shares of games by score, in steps of five points; a dotted line at each mean."""
    made: list[str] = []
    with drawn(made) as axes:
        every = np.concatenate([np.asarray(values) for values in scores.values()])
        edges = np.arange(every.min() // 5 * 5, every.max() + 5.1, 5)
        for index, (name, values) in enumerate(scores.items()):
            colour = COLOURS[index % len(COLOURS)]
            share = 100 * np.histogram(values, edges)[0] / len(values)
            axes.stairs(share, edges, label=f"{name}, mean {np.mean(values):.1f}", color=colour)
            axes.axvline(np.mean(values), color=colour, linewidth=0.7, linestyle=":")
        axes.set(xlabel="points", ylabel="% of games")
        axes.legend(loc="upper left")
    return made[0]


def lines(
    curves: dict[str, tuple[Sequence[float], Sequence[float], Sequence[float] | None]],
    x: str,
    y: str,
    log: tuple[bool, bool] = (False, False),
    marks: bool = True,
) -> str:
    """Curves of x, y and maybe half-widths of intervals, on log axes where `log` says so."""
    made: list[str] = []
    with drawn(made) as axes:
        for name, (at, values, spans) in curves.items():
            style = "o-" if marks else "-"
            axes.errorbar(at, values, yerr=spans, fmt=style, markersize=3, capsize=2, label=name)
        axes.set(xlabel=x, ylabel=y)
        for axis, scale, logarithmic in (
            (axes.xaxis, axes.set_xscale, log[0]),
            (axes.yaxis, axes.set_yscale, log[1]),
        ):
            if logarithmic:
                scale("log", base=2)
                axis.set_major_formatter("{x:g}")
        if len(curves) > 1 or next(iter(curves), ""):
            axes.legend()
    return made[0]


def bars(names: Sequence[str], parts: Mapping[str, Sequence[float]], x: str) -> str:
    """Stacked shares, a bar for each name."""
    made: list[str] = []
    with drawn(made, 0.6 + 0.4 * len(names)) as axes:
        left = np.zeros(len(names))
        for label, values in parts.items():
            axes.barh(names, values, left=left, label=label, height=0.6)
            left += np.asarray(values)
        axes.set(xlabel=x)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(parts))
    return made[0]
