"""`azx bench all`: speed and strength in one result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from azx.cli.bench.report import ReportsOption, check_reports, write_reports
from azx.cli.bench.session import (
    JsonOption,
    ModelsOption,
    ProvidersOption,
    Session,
    sizes,
)
from azx.cli.bench.speed import BATCHES
from azx.cli.boundary import guarded
from azx.cli.options import ThreadsOption, UnverifiedOption, VariantOption
from azx.cli.terminal import say, stdout
from azx.runtime.bench.scores import read_scores
from azx.runtime.errors import UsageError
from azx.runtime.play import BATCH
from azx.runtime.records import read_orders
from azx.runtime.search import ROOTS
from azx.runtime.seeds import draw_orders, game_keys


class Extent(NamedTuple):
    """How much is measured."""

    seconds: float  # of each row
    search: tuple[list[int], list[int]]  # games in step, simulations
    selfplay: tuple[list[int], list[int], list[int]]  # workers, games in step, simulations
    players: tuple[str, ...]
    games: int  # that the players play


QUICK = Extent(
    0.5,
    ([64], [50]),
    ([1], [16], [32]),
    ("policy", "one-ply", "mcts:4", "mcts:16"),
    200,
)
FULL = Extent(
    3.0,
    ([1, 16, BATCH], [50, 200]),
    ([1, 2], [16, 64], [50]),
    ("policy", "one-ply", "mcts:10", "mcts:50", "mcts:200", "greedy", "random"),
    1000,
)


@guarded
def everything(
    model: ModelsOption = None,
    full: Annotated[
        bool, typer.Option("--full/--quick", help="Some ten minutes, or one to two.")
    ] = False,
    orders: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.NPY",
            show_default=False,
            help="Orders for the strength, of which the first 200 are played, 1,000 with --full.",
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="SCORES.CSV", show_default=False, help="Other people's scores on --orders."
        ),
    ] = None,
    report: ReportsOption = None,
    variant: VariantOption = None,
    provider: ProvidersOption = None,
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
    extent = FULL if full else QUICK
    with Session(
        model or [], variant, provider or "auto", threads, allow_unverified, json,
        reports=report or [], read=(orders, against), root=ROOTS[0], **extent._asdict(),
    ) as run:  # fmt: skip
        played = (
            draw_orders(run.variant, game_keys(0, extent.games))
            if orders is None
            else read_orders(orders, run.variant)[: extent.games]
        )
        others = read_scores(against, len(played)) if against is not None else {}
        run.inference(sizes("--batches", BATCHES), extent.seconds, provider, [run.threads])
        run.search(*extent.search, ROOTS[0], extent.seconds)
        run.selfplay(*extent.selfplay, ROOTS[0], 4 * extent.seconds)
        run.strength(extent.players, played, None, others)
    write_reports(run.result, report or [])
    say(stdout(), *(f"written    {path}" for path in report or []))
