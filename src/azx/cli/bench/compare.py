"""`azx bench compare`: what has changed, and is it more than noise?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from azx.cli.bench import show
from azx.cli.boundary import guarded
from azx.cli.terminal import say, stdout
from azx.runtime.bench.compare import compare as compare_results
from azx.runtime.bench.result import read_result
from azx.runtime.errors import CheckFailed, UsageError


@guarded
def compare(
    results: Annotated[
        list[Path], typer.Argument(metavar="A.JSON B.JSON...", help="Results; A is the measure.")
    ],
    fail_over: Annotated[
        str | None,
        typer.Option(
            metavar="PERCENT",
            show_default=False,
            help="Exit code 1 where something is worse by more than this, beyond noise.",
        ),
    ] = None,
    across_machines: Annotated[
        bool, typer.Option("--across-machines", help="Compare times of different machines too.")
    ] = False,
) -> None:
    """Say what changed between results, and whether it exceeds noise.

    \b
    Examples:
      azx bench compare before.json after.json
      azx bench compare main.json branch.json --fail-over 5%
    """
    if len(results) < 2:
        raise UsageError(f"compare takes two results or more, found {len(results)}")
    limit = _share(fail_over) if fail_over is not None else None
    read = [read_result(path) for path in results]
    console = stdout()
    worse = []
    for path, other in zip(results[1:], read[1:], strict=True):
        changes = compare_results(read[0], other, across_machines)
        say(console, f"{results[0]} to {path}")
        show.changes(console, changes)
        if limit is not None:
            worse += [f"{c.what} by {-c.change:.1%}" for c in changes if c.is_worse_by(limit)]
    if worse:
        raise CheckFailed(f"worse by more than {fail_over}: {'; '.join(worse[:3])}")


def _share(text: str) -> float:
    try:
        share = float(text.removesuffix("%")) / 100
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise UsageError(f"--fail-over takes a percentage, such as 5%; found {text!r}")
    return share
