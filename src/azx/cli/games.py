"""Many games, and what they come to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import azx
from azx.cli.show import Strategy
from azx.cli.starting import get_ready
from azx.cli.stopping import heeding_sigterm
from azx.cli.terminal import counted, counting, warn
from azx.runtime.errors import UsageError
from azx.runtime.onnx_evaluator import OnnxEvaluator
from azx.runtime.play import BATCH, play_parts
from azx.runtime.players import Player, network_player
from azx.runtime.records import Games, read_orders, write_games
from azx.runtime.rollouts import Rollouts
from azx.runtime.search import Budget
from azx.runtime.search.room import games_that_fit, simulations_that_fit
from azx.runtime.stats import estimate
from azx.runtime.variant import Variant
from azx.runtime.workers import play_in_workers

QUANTILES = {"min": 0.0, "5": 0.05, "25": 0.25, "50": 0.5, "75": 0.75, "95": 0.95, "max": 1.0}


@dataclass(frozen=True)
class Played:
    """N finished games and the seconds they took."""

    games: Games
    seconds: float


@dataclass(frozen=True)
class Crew:
    """Processes that share the games."""

    workers: int
    load: Callable[[], OnnxEvaluator]  # what each of them opens for itself


def first_orders(file: Path, variant: Variant, games: int | None) -> NDArray[np.int8]:
    """int8 [games, C]: the first orders of a file, or all; `UsageError` where it has fewer."""
    orders = read_orders(file, variant)
    if games is not None and games > len(orders):
        raise UsageError(f"{file} has {len(orders)} orders, asked for were --games {games}")
    return orders[:games]


def play_many(
    strategy: Strategy,
    orders: NDArray[np.int8],
    keys: NDArray[np.uint64],
    crew: Crew | None,
    record: Path | None,
) -> Played:
    """Play `orders` int8 [N, C] with a progress bar, here or by a crew.

    Whatever ends it before its time, be it Ctrl-C, SIGTERM or an error, the games that are finished
    are written to `record`, where there is one, and that is said.
    """
    cells = np.empty_like(orders)
    finished = np.zeros(len(orders), dtype=np.bool_)
    get_ready(strategy)
    start = time.perf_counter()
    try:
        with heeding_sigterm(), counting("games", len(orders)) as count:
            for part, chosen in _played_parts(strategy, orders, keys, crew, count):
                cells[part], finished[part] = chosen, True
    except KeyboardInterrupt as interrupt:
        whole = Games(strategy.variant, orders[finished], cells[finished])
        raise type(interrupt)(_left_behind(whole, len(orders), record)) from None
    except Exception:
        if finished.any():
            whole = Games(strategy.variant, orders[finished], cells[finished])
            warn(_left_behind(whole, len(orders), record))
        raise
    return Played(Games(strategy.variant, orders, cells), time.perf_counter() - start)


def _played_parts(
    strategy: Strategy,
    orders: NDArray[np.int8],
    keys: NDArray[np.uint64],
    crew: Crew | None,
    progress: Callable[[int], None],
) -> Iterator[tuple[slice, NDArray[np.int8]]]:
    budget, in_step = _fitted(strategy, 1 if crew is None else crew.workers)
    if crew is None:
        player = network_player(strategy.evaluator, budget, strategy.one_ply)
        return play_parts(player, orders, keys, progress, in_step)
    make_player = partial(_load_player, crew.load, budget, strategy.one_ply)
    return play_in_workers(make_player, crew.workers, orders, keys, progress, warn, in_step)


def _fitted(strategy: Strategy, workers: int) -> tuple[Budget | Rollouts | None, int]:
    """The budget, and how many games are played in step, so that all workers' trees fit in memory.

    Fewer games in step are the same games. `UsageError` where not even one has room.
    """
    budget = strategy.budget
    if not isinstance(budget, Budget):  # nobody grows trees
        return budget, BATCH
    if budget.seconds is not None:
        # Games in step would share the time that each should have alone.
        room = simulations_that_fit(strategy.variant, 1, workers)
        return replace(budget, simulations=max(1, room)), 1
    fit = games_that_fit(strategy.variant, budget.simulations, workers)
    if fit == 0:
        raise UsageError(
            f"{counted(workers, 'game')} at once with {budget.simulations:,} simulations a move "
            "have more trees than half of the memory holds: use fewer --simulations or --workers"
        )
    return budget, min(BATCH, fit)


def _load_player(
    load: Callable[[], OnnxEvaluator], budget: Budget | Rollouts | None, one_ply: bool
) -> Player:
    """The player of a worker, made in its process."""
    return network_player(load(), budget, one_ply)


def _left_behind(whole: Games, wanted: int, record: Path | None) -> str:
    """What an interrupted run says, having written what is whole."""
    if record is None or not len(whole):
        return f"{len(whole)} of {wanted} games were finished, and nothing was written"
    write_games(record, whole)
    return f"{len(whole)} of {wanted} games were finished, and are in {record}"


def report_of(
    strategy: Strategy, played: Played, workers: int, seed: int, orders: Path | None
) -> dict[str, Any]:
    """The report on many games, as it goes to JSON: scores and figures in points.

    `threads` are those of each of the `workers`.
    """
    model = strategy.evaluator
    scores = played.games.scores()
    mean = estimate(scores)
    return {
        "scores": scores.tolist(),
        "mean": mean.mean,
        "ci95": list(mean.ci95) if len(scores) > 1 else None,
        "quantiles": {name: float(np.quantile(scores, share)) for name, share in QUANTILES.items()},
        "games": len(scores),
        "games_per_second": len(scores) / played.seconds,
        "seconds": played.seconds,
        "model": {"path": str(model.model.path), "sha256": model.model.sha256},
        "variant": strategy.variant.name,
        "player": strategy.player().name,
        **_budget_spent(strategy.budget),
        "provider": model.provider_used,
        "workers": workers,
        "threads": model.threads,
        "seed": seed,
        "orders": str(orders) if orders is not None else None,
        "azx": azx.__version__,
    }


def _budget_spent(budget: Budget | Rollouts | None) -> dict[str, float | None]:
    """What a move costs; no number of simulations is fixed where time is the limit."""
    simulations: int | None = 0
    seconds = None
    if isinstance(budget, Budget):
        simulations = budget.simulations if budget.seconds is None else None
        seconds = budget.seconds
    rollouts = budget.count if isinstance(budget, Rollouts) else 0
    return {"simulations": simulations, "seconds_a_move": seconds, "rollouts": rollouts}


def report_lines(report: dict[str, Any]) -> list[str]:
    """The report for people."""
    interval = ""
    if report["ci95"] is not None:
        interval = ", 95% interval {:.2f} to {:.2f}".format(*report["ci95"])
    quantiles = "  ".join(
        f"{name if name.isalpha() else name + '%'} {value:g}"
        for name, value in report["quantiles"].items()
    )
    workers, threads = report["workers"], counted(report["threads"], "thread")
    ran_by = threads if workers == 1 else f"{workers} workers with {threads} each"
    drawn = report["orders"] or f"seed {report['seed']}"
    return [
        f"games      {report['games']} of {report['variant']}, {report['player']}, {drawn}",
        f"mean       {report['mean']:.2f} points{interval}",
        f"quantiles  {quantiles}",
        f"speed      {report['games_per_second']:.1f} games/s, {report['seconds']:.1f} s in all",
        f"model      {report['model']['path']} ({report['model']['sha256'][:12]})",
        f"ran on     {report['provider']}, {ran_by}",
    ]
