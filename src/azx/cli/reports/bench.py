"""A benchmark result as a report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from azx.cli.bench.show import estimated
from azx.cli.reports import figures
from azx.cli.reports.page import Report, Section, Table
from azx.cli.terminal import counted


def bench_report(result: dict[str, Any], with_figures: bool) -> Report:
    """Cards, and a section for each thing that was measured."""
    machine, model = result["machine"], result["models"][0]
    about = (
        f"{result['created'][:10]}, {machine['processor']}, {machine['cores_available']} cores, "
        f"onnxruntime {machine['onnxruntime']}; {' '.join(result['command'])}"
    )
    sections = [_models(result)]
    if "strength" in result:
        sections.append(_strength(result["strength"], with_figures))
    if "inference" in result:
        sections.append(_inference(result["inference"], with_figures))
    if "search" in result or "selfplay" in result:
        sections.append(_engine(result, with_figures))
    return Report(f"Benchmark of {model['name']}", about, list(_cards(result)), sections)


def _cards(result: dict[str, Any]) -> Iterator[tuple[str, str]]:
    model = result["models"][0]
    if strength := result.get("strength"):
        best = max(strength["entrants"], key=lambda e: e["mean_without_luck"]["mean"])
        yield estimated(best["mean_without_luck"]), f"points, {best['name']}, luck out"
    if inference := result.get("inference"):
        rows = [row for row in inference["rows"] if row["engine"] == model["name"]]
        fastest = max(rows, key=lambda row: row["boards_per_second"]["median"])
        yield f"{fastest['boards_per_second']['median']:,.0f}", "boards a second at best"
        yield f"{1000 * rows[0]['p50_seconds']:.2f} ms", f"for a batch of {rows[0]['batch']}"
    yield f"{model['bytes'] / 1e6:.1f} MB", f"{model['precision']}, {model['parameters']:,} numbers"
    verdict = "verified" if model["verified"] else "UNVERIFIED"
    yield verdict, "by the export gate"


def _models(result: dict[str, Any]) -> Section:
    columns = ("model", "variant", "precision", "parameters", "bytes", "gate", "on", "sha256")
    rows = [
        (
            model["name"],
            model["variant"],
            model["precision"],
            f"{model['parameters']:,}",
            f"{model['bytes']:,}",
            "verified" if model["verified"] else "UNVERIFIED",
            f"{model['provider']}, {counted(model['threads'], 'thread')}",
            model["sha256"][:12],
        )
        for model in result["models"]
    ]
    return Section("What was measured", tables=[Table(columns, rows)])


def _strength(section: dict[str, Any], with_figures: bool) -> Section:
    pairs = {pair["other"]: pair for pair in section["pairs"]}
    columns = ("player", "score", "luck out", "to the first", "ms a move")
    rows = [
        (
            entrant["name"],
            estimated(entrant["mean"]),
            estimated(entrant["mean_without_luck"]),
            estimated(pairs[entrant["name"]], signed=True) if entrant["name"] in pairs else "",
            f"{1000 * entrant['seconds_per_move']:.2f}",
        )
        for entrant in section["entrants"]
    ]
    tables = [Table(columns, rows)]
    if section["against"]:
        tables.append(
            Table(
                ("player", "against", "difference in pairs"),
                [(a["name"], a["other"], estimated(a, signed=True)) for a in section["against"]],
            )
        )
    drawn = []
    if with_figures:
        scores = {entrant["name"]: entrant["scores"] for entrant in section["entrants"]}
        drawn.append(("scores", figures.histogram({**scores, **section["others"]})))
        told = [e for e in section["entrants"] if e["mean_without_luck"]["high"] is not None]
        told.sort(key=lambda entrant: entrant["seconds_per_move"])
        if len(told) > 1:
            means = [e["mean_without_luck"] for e in told]
            curve = (
                [1000 * e["seconds_per_move"] for e in told],
                [m["mean"] for m in means],
                [m["high"] - m["mean"] for m in means],
            )
            drawn.append(
                (
                    "score against time: " + ", ".join(e["name"] for e in told),
                    figures.lines({"": curve}, "milliseconds a move", "points", (True, False)),
                )
            )
    words = f"{section['orders']['games']} orders; {section['ended']}. Intervals are 95%."
    return Section("How strong", words, drawn, tables)


def _inference(section: dict[str, Any], with_figures: bool) -> Section:
    columns = ("model", "batch", "boards/s", "95% interval", "p50 ms", "p90 ms", "p99 ms", "noise")
    rows = []
    for row in section["rows"]:
        rate = row["boards_per_second"]
        rows.append(
            (
                row["engine"],
                str(row["batch"]),
                f"{rate['median']:,.0f}",
                f"{rate['low']:,.0f} to {rate['high']:,.0f}",
                *(f"{1000 * row[f'p{p}_seconds']:.3f}" for p in (50, 90, 99)),
                f"{row['noise']:.1%}",
            )
        )
    drawn = []
    if with_figures:
        curves: dict[str, Any] = {}
        for row in section["rows"]:
            at, values, _ = curves.setdefault(row["engine"], ([], [], None))
            at.append(row["batch"])
            values.append(1000 * row["p50_seconds"])
        drawn.append(
            ("latency by batch", figures.lines(curves, "batch", "milliseconds", (True, True)))
        )
    batches = ", ".join(f"{n} for {name}" for name, n in section["recommended_batch"].items())
    nodes = "; ".join(
        f"{name}: " + ", ".join(f"{count} nodes on {where}" for where, count in by.items())
        for name, by in section["node_providers"].items()
    )
    words = f"Recommended batch: {batches}. {nodes}."
    return Section("How fast alone", words, drawn, [Table(columns, rows)])


def _engine(result: dict[str, Any], with_figures: bool) -> Section:
    tables, drawn = [], []
    if search := result.get("search"):
        columns = ("evaluator", "games", "simulations", "simulations/s", "boards/s asked")
        tables.append(
            Table(
                columns,
                [
                    (
                        row["evaluator"],
                        str(row["games"]),
                        str(row["simulations"]),
                        f"{row['simulations_per_second']:,.0f}",
                        f"{row['boards_per_second']:,.0f}",
                    )
                    for row in search["rows"]
                ],
            )
        )
    if play := result.get("selfplay"):
        columns = ("self-play", "games/s", "boards/s", "of session.run alone", "in the network")
        tables.append(
            Table(
                columns,
                [
                    (
                        f"{play['games']} games, {play['simulations']} simulations",
                        f"{play['games_per_second']:.1f}",
                        f"{play['boards_per_second']:,.0f}",
                        f"{play['share_of_ceiling']:.0%}",
                        f"{play['network_share']:.0%}",
                    )
                ],
            )
        )
        if with_figures:
            inside = 100 * play["network_share"]
            parts = {"network": [inside], "trees and rules": [100 - inside]}
            drawn.append(
                ("where the time of self-play goes", figures.bars(["self-play"], parts, "%"))
            )
    return Section("The search", "", drawn, tables)
