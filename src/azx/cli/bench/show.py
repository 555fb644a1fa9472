"""Tables of `azx bench` for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console

from azx.cli.terminal import counted, say, table
from azx.runtime.bench.compare import Change
from azx.runtime.bench.engine import SearchTiming, SelfPlayTiming
from azx.runtime.bench.inference import GOOD_SHARE, BatchTiming


def head(result: dict[str, Any]) -> list[str]:
    """What the figures below must be read with."""
    machine = result["machine"]
    lines = [
        f"machine    {machine['processor']}, {machine['cores_available']} cores to use "
        f"of {machine['cores_of_machine']}",
        f"versions   azx {machine['azx']}, onnxruntime {machine['onnxruntime']}, "
        f"numpy {machine['numpy']}, Python {machine['python']}",
    ]
    for model in result["models"]:
        lines += [
            f"model      {model['path']} ({model['sha256'][:12]}), {model['variant']}, "
            f"{model['parameters']:,} parameters in {model['precision']}",
            f"ran on     {model['provider']}, {counted(model['threads'], 'thread')}",
        ]
    return [*lines, ""]


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.3f}"


def inference(
    console: Console,
    timings: Sequence[BatchTiming],
    best: dict[str, int],
    ran_on: dict[str, dict[str, int]],
) -> None:
    """A table for each network."""
    columns = ("batch", "boards/s", "95% interval", "p50 ms", "p90 ms", "p99 ms", "first ms")
    for engine, batch in best.items():
        own = [timing for timing in timings if timing.engine == engine]
        rows = table(*columns, right=columns)
        for timing in own:
            rate = timing.boards_per_second
            rows.add_row(
                str(timing.batch),
                f"{rate.median:,.0f}",
                f"{rate.low:,.0f} to {rate.high:,.0f}",
                *(_milliseconds(timing.percentile(p)) for p in (50, 90, 99)),
                _milliseconds(timing.first_run),
            )
        by_provider = ran_on.get(engine, {})
        nodes = ", ".join(f"{count} on {name}" for name, count in by_provider.items())
        noise = float(np.median([timing.noise for timing in own]))
        say(console, f"the network alone: {engine}")
        console.print(rows)
        say(
            console,
            "",
            f"recommended batch: {batch}, the smallest that reaches {GOOD_SHARE:.0%} of the best "
            "rate",
            f"nodes: {nodes or 'not onnxruntime'}",
            f"noise: even rounds differ from odd ones by {noise:.1%} in the median",
            "",
        )


def search(console: Console, timings: Sequence[SearchTiming], threads: int) -> None:
    """A row for each number of games and simulations, with the network and without."""
    columns = ("evaluator", "games", "simulations", "threads", "simulations/s", "boards/s asked")
    rows = table(*columns, right=columns[1:])
    for timing in timings:
        rows.add_row(
            timing.evaluator,
            str(timing.games),
            str(timing.simulations),
            str(threads if timing.evaluator == "network" else 1),
            f"{timing.simulations_per_second:,.0f}",
            f"{timing.boards_per_second:,.0f}",
        )
    say(console, "the search")
    console.print(rows)
    network, uniform = timings[-2:]
    memory = network.bytes_per_node * network.games * (network.simulations + 1) / 2**20
    in_network = 1 - network.simulations_per_second / (threads * uniform.simulations_per_second)
    say(
        console,
        "",
        f"ceiling: trees and rules alone allow {uniform.simulations_per_second:,.0f} simulations/s "
        "a core;",
        f"         the network is {in_network:.1%} of the work",
        f"memory:  {network.bytes_per_node:,} bytes a simulation and game, {memory:,.0f} MiB in "
        "the last row",
        "",
    )


def selfplay(console: Console, timing: SelfPlayTiming) -> None:
    """Games beside the network alone."""
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


def strength(console: Console, section: dict[str, Any]) -> None:
    """Scores, differences to the first player, and to other people's players."""
    columns = ("player", "score", "luck out", "to the first", "ms a move")
    rows = table(*columns, right=columns[1:])
    pairs = {pair["other"]: pair for pair in section["pairs"]}
    for entrant in section["entrants"]:
        pair = pairs.get(entrant["name"])
        rows.add_row(
            entrant["name"],
            estimated(entrant["mean"]),
            estimated(entrant["mean_without_luck"]),
            estimated(pair, signed=True) if pair else "",
            f"{1000 * entrant['seconds_per_move']:.2f}",
        )
    say(console, f"strength on {counted(section['orders']['games'], 'order')}; {section['ended']}")
    console.print(rows)
    say(console, "")
    if section["against"]:
        others = table("player", "against", "difference in pairs", right=("difference in pairs",))
        for found in section["against"]:
            others.add_row(found["name"], found["other"], estimated(found, signed=True))
        console.print(others)
        say(console, "")


def estimated(found: dict[str, Any], signed: bool = False) -> str:
    """A mean and the half of its interval, as in `Estimate`."""
    mean = f"{found['mean']:+.2f}" if signed else f"{found['mean']:.2f}"
    return mean if found["high"] is None else f"{mean} ± {found['high'] - found['mean']:.2f}"


def changes(console: Console, found: Sequence[Change]) -> None:
    """A row for each figure; what exceeds noise is said to be better or worse."""
    columns = ("figure", "before", "after", "change", "95% interval", "")
    rows = table(*columns, right=columns[1:5])
    for change in found:
        rows.add_row(
            change.what,
            _figure(change.before),
            _figure(change.after),
            f"{change.change:+.1%}",
            f"{change.low:+.1%} to {change.high:+.1%}",
            verdict(change),
        )
    console.print(rows)
    say(console, "")


def verdict(change: Change) -> str:
    """better, worse, or nothing where it may be noise."""
    if not change.exceeds_noise:
        return ""
    return "better" if change.change > 0 else "worse"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.2f}"
