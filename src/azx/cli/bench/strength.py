"""`azx bench strength`: how strong, beside whom, and how surely."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from azx.cli.bench.session import JsonOption, ModelsOption, Session
from azx.cli.boundary import guarded
from azx.cli.games import first_orders
from azx.cli.options import (
    LARGEST_SEED,
    ProviderOption,
    ThreadsOption,
    UnverifiedOption,
    VariantOption,
)
from azx.runtime.bench.scores import read_scores
from azx.runtime.errors import UsageError
from azx.runtime.seeds import draw_orders, game_keys

PLAYERS = ("policy", "one-ply")


@guarded
def strength(
    model: ModelsOption = None,
    player: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PLAYER",
            show_default=" and ".join(PLAYERS),
            help="policy, one-ply, mcts:N, rollouts:N, random or greedy; repeatable.",
        ),
    ] = None,
    games: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1_000_000,
            metavar="N",
            show_default="1000, or all of --orders",
            help="How many are played.",
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(min=0, max=LARGEST_SEED, metavar="S", help="Gives the orders drawn."),
    ] = 0,
    orders: Annotated[
        Path | None,
        typer.Option(metavar="FILE.NPY", show_default=False, help="Play these orders instead."),
    ] = None,
    until: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            metavar="POINTS",
            show_default=False,
            help="Stop once every difference to the first player is known so well.",
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="SCORES.CSV",
            show_default=False,
            help="Other people's scores on --orders: a column for each player.",
        ),
    ] = None,
    variant: VariantOption = None,
    provider: ProviderOption = "auto",
    threads: ThreadsOption = None,
    allow_unverified: UnverifiedOption = False,
    json: JsonOption = None,
) -> None:
    """Measure how strong players are, all on the same orders.

    The luck of the draws, as the first network sees it, is taken out of what is compared: the mean
    stays, and fewer games tell as much.

    \b
    Examples:
      azx bench strength --player policy --player one-ply --player mcts:200 --until 0.5
      azx bench strength --model old.onnx --model new.onnx --games 2000 --json strength.json
      azx bench strength --orders orders.npy --against scores.csv
    """
    if against is not None and orders is None:
        raise UsageError("--against needs the --orders that those scores were made on")
    with Session(
        model or [], variant, provider, threads, allow_unverified, json,
        read=(orders, against), players=player or list(PLAYERS), until=until, orders_seed=seed,
    ) as run:  # fmt: skip
        board = run.variant
        if orders is not None:
            played = first_orders(orders, board, games)
        else:
            played = draw_orders(board, game_keys(seed, games or 1000))
        others = read_scores(against, len(played)) if against is not None else {}
        run.strength(player or PLAYERS, played, until, others)
