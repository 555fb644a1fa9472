"""`azx bench`: how fast the network is here, alone and under the search."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from azx.cli.boundary import guarded
from azx.cli.options import (
    ModelOption,
    ProviderOption,
    RootOption,
    ThreadsOption,
    UnverifiedOption,
    VariantOption,
)
from azx.cli.terminal import busy, check_writable, counted, say, stdout, table
from azx.runtime.bench.engine import SearchTiming, SelfPlayTiming, time_search, time_selfplay
from azx.runtime.bench.inference import GOOD_SHARE, BatchTiming, recommended_batch, time_batch
from azx.runtime.bench.machine import machine
from azx.runtime.errors import UsageError
from azx.runtime.evaluator import UniformEvaluator
from azx.runtime.files import write_json
from azx.runtime.models import shipped_model
from azx.runtime.onnx_evaluator import OnnxEvaluator, open_model
from azx.runtime.play import BATCH
from azx.runtime.search import ROOTS, Budget
from azx.runtime.variant import STANDARD, variant_named

BATCHES = "1,2,4,8,16,32,64,128,256,512"
LARGEST = 65536

bench_app = typer.Typer(rich_markup_mode=None, invoke_without_command=True)

BatchesOption = Annotated[
    str, typer.Option("--batches", metavar="N,N,...", help="Batch sizes of the network alone.")
]
SecondsOption = Annotated[
    float,
    typer.Option("--seconds", min=0.0, max=3600.0, metavar="S", help="Least time for each row."),
]
SimulationsOption = Annotated[
    int,
    typer.Option("--simulations", min=1, max=100_000, metavar="N", help="Simulations of a search."),
]
GamesOption = Annotated[
    int,
    typer.Option("--games", min=1, max=LARGEST, metavar="N", help="Games searched in step."),
]
JsonOption = Annotated[
    Path | None,
    typer.Option(
        "--json",
        metavar="FILE.JSON",
        show_default=False,
        help="Write the figures with every raw sample.",
    ),
]


@guarded
def bench(
    context: typer.Context,
    model: ModelOption = None,
    variant: VariantOption = None,
    batches: BatchesOption = BATCHES,
    seconds: SecondsOption = 1.0,
    simulations: SimulationsOption = 100,
    games: GamesOption = BATCH,
    provider: ProviderOption = "auto",
    threads: ThreadsOption = None,
    allow_unverified: UnverifiedOption = False,
    json: JsonOption = None,
) -> None:
    """Measure how fast a network is on this machine.

    Without a command, the network alone and the search are measured.

    \b
    Examples:
      azx bench
      azx bench --model net.onnx --batches 1,64,1024 --threads 4 --json bench.json
      azx bench inference --seconds 3
      azx bench search --simulations 400
      azx bench selfplay
    """
    if context.invoked_subcommand is not None:
        _refuse_misplaced(context)
        return
    sizes = _sizes(batches)
    with _Bench(model, variant, provider, threads, allow_unverified, json) as run:
        run.inference(sizes, seconds)
        run.search(games, Budget(simulations), seconds)


@guarded
def inference(
    model: ModelOption = None,
    variant: VariantOption = None,
    batches: BatchesOption = BATCHES,
    seconds: SecondsOption = 1.0,
    provider: ProviderOption = "auto",
    threads: ThreadsOption = None,
    allow_unverified: UnverifiedOption = False,
    json: JsonOption = None,
) -> None:
    """Measure the network alone.

    Gives rate and latency by batch size, and the batch to use.

    \b
    Example:
      azx bench inference --model net.onnx --batches 1,64,1024
    """
    sizes = _sizes(batches)
    with _Bench(model, variant, provider, threads, allow_unverified, json) as run:
        run.inference(sizes, seconds)


@guarded
def search(
    model: ModelOption = None,
    variant: VariantOption = None,
    simulations: SimulationsOption = 100,
    root: RootOption = ROOTS[0],
    games: GamesOption = BATCH,
    seconds: SecondsOption = 1.0,
    provider: ProviderOption = "auto",
    threads: ThreadsOption = None,
    allow_unverified: UnverifiedOption = False,
    json: JsonOption = None,
) -> None:
    """Measure the search, with the network and without one.

    \b
    Example:
      azx bench search --model net.onnx --simulations 400
    """
    with _Bench(model, variant, provider, threads, allow_unverified, json, True) as run:
        run.search(games, Budget(simulations, root=root), seconds)


@guarded
def selfplay(
    model: ModelOption = None,
    variant: VariantOption = None,
    simulations: SimulationsOption = 100,
    root: RootOption = ROOTS[0],
    games: GamesOption = BATCH,
    seconds: SecondsOption = 5.0,
    provider: ProviderOption = "auto",
    threads: ThreadsOption = None,
    allow_unverified: UnverifiedOption = False,
    json: JsonOption = None,
) -> None:
    """Measure whole games, and how near they come to the network alone.

    Rounds of games alternate with rounds of bare session.run, same batch and threads.

    \b
    Example:
      azx bench selfplay --simulations 50 --games 512
    """
    with _Bench(model, variant, provider, threads, allow_unverified, json, True) as run:
        run.selfplay(games, Budget(simulations, root=root), seconds)


bench_app.callback()(bench)
bench_app.command("inference")(inference)
bench_app.command("search")(search)
bench_app.command("selfplay")(selfplay)


def _refuse_misplaced(context: typer.Context) -> None:
    for name in context.params:
        source = context.get_parameter_source(name)
        if name != "debug" and source is not None and source.name == "COMMANDLINE":
            option = "--" + name.replace("_", "-")
            raise UsageError(
                f"{option} stands before {context.invoked_subcommand!r}, where it has no effect: "
                f"write azx bench {context.invoked_subcommand} {option} ..."
            )


def _sizes(batches: str) -> list[int]:
    """The batch sizes in `1,2,4`, each once and rising."""
    parts = [part.strip() for part in batches.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= LARGEST for part in parts):
        raise UsageError(
            f"--batches takes numbers from 1 to {LARGEST}, such as 1,8,64; found {batches!r}"
        )
    return sorted({int(part) for part in parts})


class _Bench:
    """A model that is open, what was measured of it, and the file that this goes to at the end."""

    def __init__(
        self,
        model: Path | None,
        variant: str | None,
        provider: str,
        threads: int | None,
        allow_unverified: bool,
        json: Path | None,
        many_games: bool = False,
    ) -> None:
        check_writable(json)
        known = variant_named(variant) if variant is not None else None
        path = model or shipped_model((known or STANDARD).name)
        start = time.perf_counter()
        with busy(f"loading {path}"):
            self.evaluator = open_model(
                path, known, provider, threads, allow_unverified, many_games
            )
        self.load_seconds = time.perf_counter() - start
        self.console = stdout()
        self.json = json
        self.figures: dict[str, Any] = {
            "machine": machine(),
            "model": {"path": str(path), "sha256": self.evaluator.model.sha256},
            "variant": self.evaluator.variant.name,
            "provider": self.evaluator.provider_used,
            "threads": self.evaluator.threads,
            "load_seconds": self.load_seconds,
        }

    def __enter__(self) -> _Bench:
        say(self.console, *_card(self.evaluator, self.load_seconds, self.figures["machine"]))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self.json is not None:
            write_json(self.json, self.figures)
            say(self.console, f"written    {self.json}")

    def inference(self, sizes: Sequence[int], seconds: float) -> None:
        """Measure and print the network alone."""
        timings = []
        with busy("the network alone") as tell:
            for batch in sizes:
                tell(f"the network alone, batch {batch}")
                timings.append(time_batch(self.evaluator, batch, seconds))
        best = recommended_batch(timings)
        self.figures["inference"] = [timing.to_json() for timing in timings]
        self.figures["recommended_batch"] = best
        _print_inference(self.console, timings, best)

    def search(self, games: int, budget: Budget, seconds: float) -> None:
        """Measure and print the search, with the network and without one."""
        with busy("the search with the network") as tell:
            network = time_search("network", self.evaluator, games, budget, seconds)
            tell("the search without a network")
            nothing = UniformEvaluator(self.evaluator.variant)
            uniform = time_search("uniform", nothing, games, budget, seconds)
        self.figures["search"] = [network.to_json(), uniform.to_json()]
        _print_search(self.console, network, uniform, self.evaluator.threads)

    def selfplay(self, games: int, budget: Budget, seconds: float) -> None:
        """Measure and print whole games, beside the network alone."""
        with busy(f"whole games, {games} in step"):
            timing = time_selfplay(self.evaluator, games, budget, seconds)
        self.figures["selfplay"] = timing.to_json()
        _print_selfplay(self.console, timing)


def _card(evaluator: OnnxEvaluator, load_seconds: float, machine: dict[str, Any]) -> list[str]:
    return [
        f"machine    {machine['processor']}, {machine['cores_available']} cores to use "
        f"of {machine['cores_of_machine']}",
        f"versions   azx {machine['azx']}, onnxruntime {machine['onnxruntime']}, "
        f"numpy {machine['numpy']}, Python {machine['python']}",
        f"model      {evaluator.model.path} ({evaluator.model.sha256[:12]}), "
        f"{evaluator.variant.name}, loaded in {load_seconds:.2f} s",
        f"ran on     {evaluator.provider_used}, {counted(evaluator.threads, 'thread')}",
        "",
    ]


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.3f}"


def _print_inference(console: Console, timings: Sequence[BatchTiming], best: int) -> None:
    columns = ("batch", "boards/s", "p50 ms", "p95 ms", "p99 ms", "first ms", "runs")
    rows: Table = table(*columns, right=columns)
    for timing in timings:
        rows.add_row(
            str(timing.batch),
            f"{timing.boards_per_second:,.0f}",
            *(_milliseconds(timing.percentile(p)) for p in (50, 95, 99)),
            _milliseconds(timing.first_run),
            str(len(timing.seconds)),
        )
    say(console, "the network alone")
    console.print(rows)
    say(
        console,
        "",
        f"recommended batch: {best}, the smallest that reaches {GOOD_SHARE:.0%} of the best rate",
        "",
    )


def _print_search(
    console: Console, network: SearchTiming, uniform: SearchTiming, threads: int
) -> None:
    columns = ("evaluator", "threads", "simulations/s", "boards/s asked")
    rows = table(*columns, right=columns[1:])
    for timing, cores in ((network, threads), (uniform, 1)):
        rows.add_row(
            timing.evaluator,
            str(cores),
            f"{timing.simulations_per_second:,.0f}",
            f"{timing.boards_per_second:,.0f}",
        )
    say(console, f"the search, {network.simulations} simulations in each of {network.games} games")
    console.print(rows)
    memory = network.bytes_per_node * network.games * (network.simulations + 1) / 2**20
    in_network = 1 - network.simulations_per_second / (threads * uniform.simulations_per_second)
    say(
        console,
        "",
        f"ceiling: trees and rules alone allow {uniform.simulations_per_second:,.0f} simulations/s "
        "a core;",
        f"         the network is {in_network:.1%} of the work",
        f"memory:  {network.bytes_per_node:,} bytes a simulation and game, {memory:,.0f} MiB here",
        "",
    )


def _print_selfplay(console: Console, timing: SelfPlayTiming) -> None:
    columns = ("", "boards/s", "games/s", "batch", "threads")
    rows = table(*columns, right=columns[1:])
    shape = (str(timing.batch), str(timing.lanes))
    rows.add_row(
        "self-play", f"{timing.boards_per_second:,.0f}", f"{timing.games_per_second:.2f}", *shape
    )
    rows.add_row("session.run alone", f"{np.median(timing.ceiling):,.0f}", "", *shape)
    shares = timing.shares
    say(
        console, f"self-play, {timing.simulations} simulations a move, {timing.games} games in step"
    )
    console.print(rows)
    say(
        console,
        "",
        f"self-play reaches {np.median(shares):.0%} of the network alone "
        f"({shares.min():.0%} to {shares.max():.0%} in {len(shares)} rounds)",
        f"{timing.network_share:.0%} of its time is the network's",
        "",
    )
