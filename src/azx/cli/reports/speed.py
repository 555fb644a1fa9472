"""The sections on speed: the network alone, the search, whole games."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

from azx.cli.reports import figures
from azx.cli.reports.figures import Curve
from azx.cli.reports.page import Section, Table
from azx.cli.terminal import counted
from azx.runtime.bench.inference import GOOD_SHARE
from azx.runtime.bench.machine import runs_on

Row = dict[str, Any]

#: What the columns of each kind of row are called where something depends on them.
SEARCH_AXES = {"games": "games in step", "simulations": "simulations"}
SELFPLAY_AXES = {"workers": "workers", **SEARCH_AXES}


def inference_section(found: dict[str, Any], with_figures: bool = False) -> Section:
    """Of the result's part on networks alone."""
    rows_of = {_engine(engine): _rows_of(engine, found["rows"]) for engine in found["engines"]}
    notes = [
        f"The batch to use is the smallest that reaches {GOOD_SHARE:.0%} of the best rate. Memory "
        "is what a fresh process grows by as it opens the network and runs the largest batch. "
        "Noise is how far two such measurements of the same thing are apart.",
        *(f"{_engine(engine)}: {_nodes(engine)}." for engine in found["engines"]),
    ]
    drawn = []
    if with_figures:
        batches = sorted({row["batch"] for row in found["rows"]})
        ticks = batches[:: 1 + (len(batches) > 6)]
        latencies = {
            name: _curve(rows, "batch", lambda row: 1000 * row["p50_seconds"])
            for name, rows in rows_of.items()
        }
        rates = {
            name: _curve(rows, "batch", lambda row: row["boards_per_second"]["median"])
            for name, rows in rows_of.items()
        }
        drawn = [
            ("latency by batch", figures.lines(latencies, "batch", "milliseconds", "xy", ticks)),
            ("rate by batch", figures.lines(rates, "batch", "boards a second", "xy", ticks)),
        ]
        drawn += _by_threads(found["engines"], rows_of)
    tables = [_engines(found["engines"], rows_of)]
    tables += [_batches(name, rows) for name, rows in rows_of.items()]
    return Section("The network alone", notes, drawn, tables)


def _engine(row: Row) -> str:
    return f"{row['engine']} on {runs_on(row['provider'], row['threads'])}"


def _rows_of(engine: Row, rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if _engine(row) == _engine(engine)]


def _nodes(engine: Row) -> str:
    ran = engine["node_providers"].items()
    return ", ".join(f"{count} nodes on {name}" for name, count in ran) or "not onnxruntime"


def _best(rows: Sequence[Row]) -> float:
    return float(max(row["boards_per_second"]["median"] for row in rows))


def _engines(engines: Sequence[Row], rows_of: dict[str, list[Row]]) -> Table:
    columns = ("engine", "on", "best boards/s", "batch to use", "memory, MB", "noise")
    rows = [
        (
            engine["engine"],
            runs_on(engine["provider"], engine["threads"]),
            f"{_best(rows_of[_engine(engine)]):,.0f}",
            str(engine["recommended_batch"]),
            "" if engine["memory_bytes"] is None else f"{engine['memory_bytes'] / 1e6:,.0f}",
            f"{median(row['noise'] for row in rows_of[_engine(engine)]):.1%}",
        )
        for engine in engines
    ]
    return Table(columns, rows, words=2)


def _batches(name: str, rows: Sequence[Row]) -> Table:
    columns = ("batch", "boards/s", "95% interval", "p50 ms", "p90 ms", "p99 ms", "first ms")
    cells = [
        (
            str(row["batch"]),
            *_rate(row["boards_per_second"]),
            *(f"{1000 * row[f'p{p}_seconds']:.3f}" for p in (50, 90, 99)),
            f"{1000 * row['first_run_seconds']:.3f}",
        )
        for row in rows
    ]
    return Table(columns, cells, words=0, caption=name)


def _by_threads(engines: Sequence[Row], rows_of: dict[str, list[Row]]) -> Iterator[tuple[str, str]]:
    """The best rate by threads, where there are several numbers of them."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for engine in engines:
        curve = curves.setdefault(f"{engine['engine']} on {engine['provider']}", [])
        curve.append((engine["threads"], _best(rows_of[_engine(engine)])))
    several = {name: _unzipped(curve) for name, curve in curves.items() if len(curve) > 1}
    if several:
        yield "best rate by threads", figures.lines(several, "threads", "boards a second")


def search_section(found: dict[str, Any], with_figures: bool = False) -> Section:
    """Of the result's part on the search."""
    rows = found["rows"]
    columns = ("evaluator", "games", "simulations", "simulations/s", "95% interval", "boards/s")
    speeds = Table(
        columns,
        [
            (
                row["evaluator"],
                str(row["games"]),
                str(row["simulations"]),
                *_rate(row["simulations_per_second"]),
                f"{row['boards_per_second']['median']:,.0f}",
            )
            for row in rows
        ],
    )
    ceiling = max(
        r["simulations_per_second"]["median"] for r in rows if r["evaluator"] == "uniform"
    )
    largest = max(rows, key=lambda row: row["games"] * row["simulations"])
    memory = largest["bytes_per_node"] * largest["games"] * (largest["simulations"] + 1) / 1e6
    notes = [
        f"{found['model']} on {runs_on(found['provider'], found['threads'])}; {found['root']} at "
        f"the root. Without a network, one thread comes to {ceiling:,.0f} simulations a second: "
        "trees and rules are the ceiling.",
        f"Memory: {largest['bytes_per_node']:,} bytes a simulation and game, {memory:,.0f} MB in "
        "the largest row.",
        HOW_SHARED,
    ]
    drawn = []
    if with_figures:
        network = [row for row in rows if row["evaluator"] == "network"]
        drawn = [_where(network, SEARCH_AXES)]
        drawn += _scaling(network, SEARCH_AXES, "simulations_per_second", "simulations a second")
    return Section("The search", notes, drawn, [speeds, _shares(rows, ("evaluator", *SEARCH_AXES))])


#: How the shares came about, beside every table of them.
HOW_SHARED = (
    "Network: by a watch, over all threads. Rules: gains asked again for the nodes of the trees, "
    "in a bare loop. Trees: the rest, waiting included."
)


def selfplay_section(found: dict[str, Any], with_figures: bool = False) -> Section:
    """Of the result's part on whole games."""
    rows = found["rows"]
    columns = (*SELFPLAY_AXES, "games/s", "95% interval", "of ceiling")
    speeds = Table(
        columns,
        [
            (
                *(str(row[name]) for name in SELFPLAY_AXES),
                *_rate(row["games_per_second"]),
                f"{row['share_of_ceiling']['median']:.0%}",
            )
            for row in rows
        ],
        words=0,
    )
    lanes = ", ".join(
        f"{row['workers']} with {counted(row['lanes'], 'thread')} each, batches of {row['batch']}"
        for row in {row["workers"]: row for row in rows}.values()
    )
    notes = [
        f"{found['model']} on {runs_on(found['provider'], found['threads'])}; {found['root']} at "
        f"the root. Workers: {lanes}; games are those of each worker.",
        "The ceiling is bare session.run, by as many workers and threads and in the same batches, "
        "just before and after.",
        HOW_SHARED,
    ]
    drawn = []
    if with_figures:
        drawn = [_where(rows, SELFPLAY_AXES)]
        drawn += _scaling(rows, SELFPLAY_AXES, "games_per_second", "games a second")
    return Section("Whole games", notes, drawn, [speeds, _shares(rows, tuple(SELFPLAY_AXES))])


def _rate(found: Row) -> tuple[str, str]:
    """A median, and its interval."""
    digits = 0 if found["median"] >= 100 else 1 if found["median"] >= 10 else 2
    middle, low, high = (f"{found[end]:,.{digits}f}" for end in ("median", "low", "high"))
    return middle, f"{low} to {high}"


def _shares(rows: Sequence[Row], names: Sequence[str]) -> Table:
    """Where the time goes."""
    cells = [
        (
            *(str(row[name]) for name in names),
            *(f"{row['shares'][part]:.1%}" for part in ("network", "trees", "rules")),
        )
        for row in rows
    ]
    columns = (*names, "network", "trees", "rules")
    return Table(columns, cells, words=int("evaluator" in names), caption="where the time goes")


def _where(rows: Sequence[Row], axes: dict[str, str]) -> tuple[str, str]:
    varied = [name for name in axes if len({row[name] for row in rows}) > 1]
    names = [", ".join(_named(row, name) for name in varied) for row in rows]
    parts = {
        part: [100 * row["shares"][part] for row in rows] for part in ("network", "trees", "rules")
    }
    return "where the time goes", figures.bars(names, parts, "%")


def _named(row: Row, name: str) -> str:
    """`64 games`, `1 worker`."""
    return counted(row[name], name.removesuffix("s"))


def _scaling(
    rows: Sequence[Row], axes: dict[str, str], rate: str, y: str
) -> Iterator[tuple[str, str]]:
    """A figure for each of `axes` that was varied, a curve for each setting of the others."""
    for name, label in axes.items():
        ticks = sorted({row[name] for row in rows})
        if len(ticks) < 2:
            continue
        others = [other for other in axes if other != name]
        groups: dict[str, list[Row]] = {}
        for row in rows:
            groups.setdefault(", ".join(_named(row, other) for other in others), []).append(row)
        curves = {
            group: _curve(members, name, lambda row: row[rate]["median"])
            for group, members in groups.items()
        }
        yield f"{y} by {label}", figures.lines(curves, label, y, "x", ticks)


def _curve(rows: Sequence[Row], x: str, y: Any) -> Curve:
    return _unzipped([(row[x], float(y(row))) for row in rows])


def _unzipped(pairs: Sequence[tuple[int, float]]) -> Curve:
    return [x for x, _ in pairs], [y for _, y in pairs], None
