"""`azx bench report`: a result as a page, or as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from azx.cli.boundary import guarded
from azx.cli.reports.figures import need_matplotlib
from azx.cli.reports.page import MARKDOWN, PAGE, write_report
from azx.cli.terminal import check_writable, say, stdout
from azx.runtime.bench.result import read_result
from azx.runtime.errors import UsageError

ReportsOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--report",
        metavar="FILE",
        show_default=False,
        help="Write a page (.html) or Markdown (.md); repeatable.",
    ),
]


@guarded
def report(
    result: Annotated[Path, typer.Argument(metavar="RESULT.JSON", help="What bench wrote.")],
    out: Annotated[
        list[Path],
        typer.Option("--out", metavar="FILE", help="The page (.html) or Markdown (.md)."),
    ],
) -> None:
    """Make a report of a benchmark's result.

    \b
    Example:
      azx bench report result.json --out result.html
    """
    check_reports(out)
    write_reports(read_result(result), out)
    for path in out:
        say(stdout(), f"written    {path}")


def check_reports(paths: Sequence[Path]) -> None:
    """`UsageError` now, rather than after the work, where a report cannot be written."""
    for path in paths:
        if path.suffix not in (PAGE, MARKDOWN):
            raise UsageError(f"a report is {PAGE} or {MARKDOWN}, found {path}")
        if path.suffix == PAGE:
            need_matplotlib()
    check_writable(*paths)


def write_reports(result: dict[str, Any], paths: Sequence[Path]) -> None:
    """Write `result` to each of `paths` in the form of its suffix."""
    from azx.cli.reports.bench import bench_report

    for path in paths:
        write_report(path, bench_report(result, with_figures=path.suffix == PAGE))
