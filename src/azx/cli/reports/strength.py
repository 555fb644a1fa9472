"""The section on strength: scores, differences, and what they cost in simulations and time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from azx.cli.reports import figures
from azx.cli.reports.figures import Point
from azx.cli.reports.page import Section, Table

#: Players that everybody beats by so much that nothing else would be seen in a figure.
BASELINES = ("random", "greedy")


def strength_section(found: dict[str, Any], with_figures: bool = False) -> Section:
    """Of the result's part on strength."""
    tables = [_players(found)]
    if found["against"]:
        tables.append(
            Table(
                ("player", "against", "difference in pairs"),
                [(a["name"], a["other"], estimated(a, signed=True)) for a in found["against"]],
                words=2,
            )
        )
    notes = [
        f"{found['orders']['games']:,} orders: {found['ended']}. Intervals are 95%.",
        "Luck out: without what the first network calls the luck of the draws. A move's time is "
        "its share of games in step.",
    ]
    drawn = list(_drawn(found)) if with_figures else []
    return Section("How strong", notes, drawn, tables)


def estimated(found: dict[str, Any], signed: bool = False) -> str:
    """A mean and the half of its interval, as in `Estimate`."""
    mean = f"{found['mean']:+.2f}" if signed else f"{found['mean']:.2f}"
    return mean if found["high"] is None else f"{mean} ± {_half_width(found):.2f}"


def _half_width(found: dict[str, Any]) -> float:
    return float(found["high"] - found["mean"])


def _players(found: dict[str, Any]) -> Table:
    pairs = {pair["other"]: pair for pair in found["pairs"]}
    columns = (
        "player",
        "budget",
        "score",
        "luck out",
        "to the first",
        "ms a move",
    )
    rows = [
        (
            entrant["name"],
            str(entrant["simulations"] or ""),
            estimated(entrant["mean"]),
            estimated(entrant["mean_without_luck"]),
            estimated(pairs[entrant["name"]], signed=True) if entrant["name"] in pairs else "",
            f"{1000 * entrant['seconds_per_move']:.3g}",
        )
        for entrant in found["entrants"]
    ]
    return Table(columns, rows)


def _drawn(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    baselines = [e["name"] for e in found["entrants"] if e["rule"] in BASELINES]
    others = [e for e in found["entrants"] if e["rule"] not in BASELINES]
    left_out = f"; {' and '.join(baselines)} in the table" if baselines else ""
    if not others:
        return
    scores = {entrant["name"]: entrant["scores"] for entrant in others}
    yield f"scores{left_out}", figures.histogram({**scores, **found["others"]})
    told = [e for e in others if e["mean_without_luck"]["high"] is not None]
    searched: dict[str, list[dict[str, Any]]] = {}
    for entrant in sorted(told, key=lambda e: e["simulations"] or 0):
        if entrant["simulations"]:
            kind = entrant["rule"].partition(":")[0]
            searched.setdefault(f"{entrant['model']}, {kind}", []).append(entrant)
    single = [entrant for entrant in told if not entrant["simulations"]]
    if len(told) > 1:
        yield (
            f"score against time{left_out}",
            figures.points(
                [_point(e, 1000 * e["seconds_per_move"]) for e in single],
                {
                    curve: [_point(e, 1000 * e["seconds_per_move"]) for e in entrants]
                    for curve, entrants in searched.items()
                },
                {},
                "milliseconds a move",
                "points, luck out",
            ),
        )
    if searched:
        yield (
            f"score against simulations or rollouts{left_out}",
            figures.points(
                [],
                {
                    curve: [_point(e, e["simulations"]) for e in entrants]
                    for curve, entrants in searched.items()
                },
                {e["name"]: e["mean_without_luck"]["mean"] for e in single},
                "simulations or rollouts a move",
                "points, luck out",
            ),
        )


def _point(entrant: dict[str, Any], x: float) -> Point:
    mean = entrant["mean_without_luck"]
    return Point(entrant["name"], x, mean["mean"], _half_width(mean))
