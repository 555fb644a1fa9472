"""`azx bench all`: speed and strength in one result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from azx.cli.bench.report import ReportsOption, check_reports, write_reports
from azx.cli.bench.session import JsonOption, ModelsOption, Session, sizes
from azx.cli.bench.speed import BATCHES
from azx.cli.boundary import guarded
from azx.cli.options import ProviderOption, ThreadsOption, UnverifiedOption, VariantOption
from azx.runtime.bench.strength import read_scores
from azx.runtime.errors import UsageError
from azx.runtime.play import BATCH
from azx.runtime.records import read_orders
from azx.runtime.search import ROOTS, Budget
from azx.runtime.seeds import draw_orders, game_keys

#: Seconds a row, games in step, simulations, players, and games of the strength.
QUICK = (0.5, [64], [50], ("policy", "one-ply"), 300)
FULL = (
    3.0,
    [1, 16, BATCH],
    [50, 200],
    ("policy", "one-ply", "mcts:50", "mcts:200", "greedy", "random"),
    1000,
)


@guarded
def everything(
    model: ModelsOption = None,
    full: Annotated[
        bool, typer.Option("--full/--quick", help="Under a minute, or some ten minutes.")
    ] = False,
    orders: Annotated[
        Path | None,
        typer.Option(metavar="FILE.NPY", show_default=False, help="Orders for the strength."),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="SCORES.CSV", show_default=False, help="Other people's scores on --orders."
        ),
    ] = None,
    report: ReportsOption = None,
    variant: VariantOption = None,
    provider: ProviderOption = "auto",
    threads: ThreadsOption = None,
    allow_unverified: UnverifiedOption = False,
    json: JsonOption = None,
) -> None:
    """Measure all of it: network, search, self-play, strength.

    \b
    Examples:
      azx bench all
      azx bench all --full --json result.json --report result.html
    """
    if against is not None and orders is None:
        raise UsageError("--against needs the --orders that those scores were made on")
    check_reports(report or [])
    seconds, games, simulations, players, count = FULL if full else QUICK
    with Session(
        model or [], variant, provider, threads, allow_unverified, json, True, full=full
    ) as run:
        board = run.first.variant
        played = (
            draw_orders(board, game_keys(0, count))
            if orders is None
            else read_orders(orders, board)[: max(count, 1)]
        )
        others = read_scores(against, len(played)) if against is not None else {}
        run.inference(sizes("--batches", BATCHES), seconds)
        run.search(games, simulations, ROOTS[0], seconds)
        run.selfplay(games[-1], Budget(simulations[0]), 4 * seconds)
        run.strength(players, played, None, others)
        write_reports(run.result, report or [])
