"""`azx bench inference`, `search` and `selfplay`: how fast, and how near to the ceiling."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from azx.cli.bench.session import (
    JsonOption,
    ModelsOption,
    ProvidersOption,
    SecondsOption,
    Session,
    sizes,
)
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
from azx.runtime.resources import available_cores
from azx.runtime.search import ROOTS

#: From one board to a thousand, by doubling.
BATCHES = ",".join(str(2**power) for power in range(11))
MOST_SIMULATIONS, MOST_WORKERS = 100_000, 1024


@guarded
def inference(
    model: ModelsOption = None,
    variant: VariantOption = None,
    batches: Annotated[
        str, typer.Option("--batches", metavar="N,N,...", help="Batch sizes.")
    ] = BATCHES,
    seconds: SecondsOption = 4.0,
    torch: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            show_default=False,
            help="A training run or checkpoint too, in torch: eager and compiled.",
        ),
    ] = None,
    provider: ProvidersOption = None,
    threads: Annotated[
        str | None,
        typer.Option(
            "--threads",
            metavar="N,N,...",
            show_default="every core this process may use",
            help="Threads of onnxruntime; several show how it scales.",
        ),
    ] = None,
    allow_unverified: UnverifiedOption = False,
    json: JsonOption = None,
) -> None:
    """Measure networks alone, by batch size.

    Gives rates, latencies, memory and the batch to use. All networks, providers, threads and
    batches take turns, round by round; intervals are over rounds.

    \b
    Examples:
      azx bench inference --model net.onnx --batches 1,64,1024
      azx bench inference --model net.onnx --model net-int8.onnx --json speed.json
      azx bench inference --threads 1,2,4
      azx bench inference --model net.onnx --torch runs/mine
    """
    asked = sizes("--batches", batches)
    counts = sizes("--threads", threads) if threads is not None else [available_cores()]
    with Session(
        model or [], variant, provider or "every", counts[-1], allow_unverified, json,
        batches=asked, threads_alone=counts, seconds=seconds,
    ) as run:  # fmt: skip
        more = torch_engines(torch, run.variant, counts[-1]) if torch else []
        run.inference(asked, seconds, provider, counts, more)


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
        [model] if model else [], variant, provider, threads, allow_unverified, json,
        games=asked, simulations=budgets, root=root, seconds=seconds,
    ) as run:  # fmt: skip
        run.search(asked, budgets, root, seconds)


@guarded
def selfplay(
    model: ModelOption = None,
    variant: VariantOption = None,
    simulations: Annotated[
        str, typer.Option("--simulations", metavar="N,N,...", help="Simulations a move.")
    ] = "50",
    root: RootOption = ROOTS[0],
    games: Annotated[
        str, typer.Option("--games", metavar="N,N,...", help="Games that each worker has in step.")
    ] = "64",
    workers: Annotated[
        str,
        typer.Option(
            "--workers",
            metavar="N,N,...",
            help="Processes that play, each with its share of the threads.",
        ),
    ] = "1",
    seconds: Annotated[
        float,
        typer.Option(
            "--seconds", min=0.0, max=3600.0, metavar="S", help="Of the network alone, each row."
        ),
    ] = 5.0,
    provider: ProviderOption = "auto",
    threads: ThreadsOption = None,
    allow_unverified: UnverifiedOption = False,
    json: JsonOption = None,
) -> None:
    """Measure whole games beside the network alone.

    Rounds of games alternate with rounds of bare session.run, same batch, threads and processes.

    \b
    Examples:
      azx bench selfplay --simulations 50 --games 512
      azx bench selfplay --workers 1,2,4 --games 16,64,256
    """
    processes = sizes("--workers", workers, MOST_WORKERS)
    asked, budgets = sizes("--games", games), sizes("--simulations", simulations, MOST_SIMULATIONS)
    with Session(
        [model] if model else [], variant, provider, threads, allow_unverified, json,
        workers=processes, games=asked, simulations=budgets, root=root, seconds=seconds,
    ) as run:  # fmt: skip
        run.selfplay(processes, asked, budgets, root, seconds)
