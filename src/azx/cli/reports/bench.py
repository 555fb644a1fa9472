"""A benchmark result as a report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from azx.cli.reports.page import Report, Section, Table
from azx.cli.reports.speed import inference_section, search_section, selfplay_section
from azx.cli.reports.strength import estimated, strength_section
from azx.cli.terminal import counted

#: What a result may hold, in the order of the page.
SECTIONS = {
    "strength": strength_section,
    "inference": inference_section,
    "search": search_section,
    "selfplay": selfplay_section,
}


def bench_report(result: dict[str, Any], with_figures: bool) -> Report:
    """Cards, and a section for each thing that was measured."""
    machine, model = result["machine"], result["models"][0]
    about = (
        f"{result['created'][:10]}, {machine['processor']}, "
        f"{counted(machine['cores_available'], 'core')}, onnxruntime {machine['onnxruntime']}; "
        f"{' '.join(result['command'])}"
    )
    sections = [_models(result)]
    sections += [
        make(result[name], with_figures) for name, make in SECTIONS.items() if name in result
    ]
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
    yield _verdict(model), "by the export gate"


def _verdict(model: dict[str, Any]) -> str:
    return "verified" if model["verified"] else "UNVERIFIED"


def _models(result: dict[str, Any]) -> Section:
    columns = ("model", "variant", "precision", "gate", "parameters", "bytes", "sha256")
    rows = [
        (
            model["name"],
            model["variant"],
            model["precision"],
            _verdict(model),
            f"{model['parameters']:,}",
            f"{model['bytes']:,}",
            model["sha256"][:12],
        )
        for model in result["models"]
    ]
    return Section("What was measured", tables=[Table(columns, rows, words=4)])
