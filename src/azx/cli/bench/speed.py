"""`azx bench inference`, `search` and `selfplay`: how fast, and how near to the ceiling."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from azx.cli.bench.session import JsonOption, ModelsOption, SecondsOption, Session, sizes
from azx.cli.bench.torch_engines import torch_engines
from azx.cli.boundary import guarded
from azx.cli.options import (
    ModelOption,
    ProviderOption,
    RootOption,
    ThreadsOption,
    UnverifiedOption,
    VariantOption,
)
from azx.runtime.play import BATCH
from azx.runtime.search import ROOTS, Budget

#: From one board to a thousand, by doubling.
BATCHES = ",".join(str(2**power) for power in range(11))
MOST_SIMULATIONS = 100_000


@guarded
def inference(
    model: ModelsOption = None,
    variant: VariantOption = None,
    batches: Annotated[
        str, typer.Option("--batches", metavar="N,N,...", help="Batch sizes.")
    ] = BATCHES,
    seconds: SecondsOption = 1.0,
    torch: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            show_default=False,
            help="A training run or checkpoint too, in torch: eager and compiled.",
        ),
    ] = None,
    provider: ProviderOption = "auto",
    threads: ThreadsOption = None,
    allow_unverified: UnverifiedOption = False,
    json: JsonOption = None,
) -> None:
    """Measure networks alone, by batch size.

    Gives rates, latencies and the batch to use. All networks and batches take turns, round by
    round; intervals are over rounds.

    \b
    Examples:
      azx bench inference --model net.onnx --batches 1,64,1024
      azx bench inference --model net.onnx --model net-int8.onnx --json speed.json
      azx bench inference --model net.onnx --torch runs/mine
    """
    asked = sizes("--batches", batches)
    with Session(
        model or [], variant, provider, threads, allow_unverified, json, batches=asked
    ) as run:
        more = torch_engines(torch, run.first.variant, run.first.threads) if torch else {}
        run.inference(asked, seconds, more)


@guarded
def search(
    model: ModelOption = None,
    variant: VariantOption = None,
    simulations: Annotated[
        str, typer.Option("--simulations", metavar="N,N,...", help="Simulations of a search.")
    ] = "100",
    root: RootOption = ROOTS[0],
    games: Annotated[
        str, typer.Option("--games", metavar="N,N,...", help="Games searched in step.")
    ] = str(BATCH),
    seconds: SecondsOption = 1.0,
    provider: ProviderOption = "auto",
    threads: ThreadsOption = None,
    allow_unverified: UnverifiedOption = False,
    json: JsonOption = None,
) -> None:
    """Measure the search, with the network and without one.

    \b
    Examples:
      azx bench search --model net.onnx --simulations 400
      azx bench search --games 1,16,256,1024 --simulations 50,200
    """
    asked, budgets = sizes("--games", games), sizes("--simulations", simulations, MOST_SIMULATIONS)
    with Session(
        [model] if model else [], variant, provider, threads, allow_unverified, json, True
    ) as run:
        run.search(asked, budgets, root, seconds)


@guarded
def selfplay(
    model: ModelOption = None,
    variant: VariantOption = None,
    simulations: Annotated[
        int,
        typer.Option(
            "--simulations", min=1, max=MOST_SIMULATIONS, metavar="N", help="Simulations a move."
        ),
    ] = 100,
    root: RootOption = ROOTS[0],
    games: Annotated[
        int, typer.Option("--games", min=1, max=65536, metavar="N", help="Games played in step.")
    ] = BATCH,
    seconds: SecondsOption = 5.0,
    provider: ProviderOption = "auto",
    threads: ThreadsOption = None,
    allow_unverified: UnverifiedOption = False,
    json: JsonOption = None,
) -> None:
    """Measure whole games beside the network alone.

    Rounds of games alternate with rounds of bare session.run, same batch and threads.

    \b
    Example:
      azx bench selfplay --simulations 50 --games 512
    """
    with Session(
        [model] if model else [], variant, provider, threads, allow_unverified, json, True
    ) as run:
        run.selfplay(games, Budget(simulations, root=root), seconds)
