"""What `azx bench` prints: the sections of its reports, for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console

from azx.cli.reports.page import Section, Table
from azx.cli.terminal import say, show_table, table
from azx.runtime.bench.compare import Change

BETTER, WORSE = "better", "worse"


def head(result: dict[str, Any]) -> list[str]:
    """What the figures below must be read with."""
    machine = result["machine"]
    lines = [
        f"machine    {machine['processor']}, {machine['cores_available']} cores to use "
        f"of {machine['cores_of_machine']}",
        f"versions   azx {machine['azx']} ({result['commit'][:12]}), onnxruntime "
        f"{machine['onnxruntime']}, numpy {machine['numpy']}, Python {machine['python']}",
    ]
    lines += [
        f"model      {model['path']} ({model['sha256'][:12]}), {model['variant']}, "
        f"{model['parameters']:,} parameters in {model['precision']}"
        for model in result["models"]
    ]
    return [*lines, ""]


def section(console: Console, found: Section) -> None:
    """A section of a report without its figures."""
    say(console, found.title)
    for made in found.tables:
        if made.caption:
            say(console, made.caption)
        _print(console, made)
        say(console, "")
    say(console, *found.notes, "")


def changes(console: Console, found: Sequence[Change]) -> None:
    """A row for each figure; what exceeds noise is said to be better or worse, and counted."""
    rows = [
        (
            change.what,
            _figure(change.before),
            _figure(change.after),
            f"{change.change:+.1%}",
            f"{change.low:+.1%} to {change.high:+.1%}",
            _verdict(change),
        )
        for change in found
    ]
    _print(console, Table(("figure", "before", "after", "change", "95% interval", ""), rows))
    verdicts = [_verdict(change) for change in found]
    counts = (f"{verdicts.count(verdict)} {verdict}" for verdict in (BETTER, WORSE))
    say(console, f"{', '.join(counts)}, {verdicts.count('')} within noise", "")


def _print(console: Console, made: Table) -> None:
    shown = table(*made.columns, right=made.columns[made.words :])
    for row in made.rows:
        shown.add_row(*row)
    show_table(console, shown)


def _verdict(change: Change) -> str:
    """better, worse, or nothing where it may be noise."""
    if not change.exceeds_noise:
        return ""
    return BETTER if change.change > 0 else WORSE


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.2f}"
