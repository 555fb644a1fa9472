"""`azx report`: a training run as a page, while it runs or afterwards."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from azx.cli.bench.report import check_reports
from azx.cli.boundary import need_training_packages
from azx.cli.reports.page import PAGE, write_report
from azx.cli.terminal import busy, say, stdout

#: Seconds between two looks with --follow.
AGAIN = 20


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a training run.")],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            show_default="RUN/report.html",
            help="The page (.html) or Markdown (.md).",
        ),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option("--follow", help="Write it again until nobody trains there; Ctrl-C ends."),
    ] = False,
) -> None:
    """Make a page of a training run.

    Curves with their floors, scores with intervals, values by turn, layers, games.

    \b
    Examples:
      azx report runs/mine
      azx report runs/mine --out run.md
      azx report runs/mine --follow
    """
    need_training_packages()
    path = out or run / "report.html"
    check_reports([path])
    with busy("loading torch"):
        from azx.cli.reports.run import has_rounds, is_training, read_metrics, run_report
    done = 0
    while True:
        # Asked before the rounds are read: where nobody trains, no more can come afterwards.
        going_on = follow and is_training(run)
        if going_on and not has_rounds(run):
            with busy("waiting for the first round"):
                time.sleep(AGAIN)
            continue
        rounds = read_metrics(run)
        if len(rounds) != done or not going_on:
            done = len(rounds)
            made = run_report(run, path.suffix == PAGE, refresh=AGAIN if going_on else None)
            write_report(path, made)
            say(stdout(), f"written    {path}, round {rounds[-1]['round']}")
        if not going_on:
            return
        time.sleep(AGAIN)
