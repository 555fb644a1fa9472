"""Many games, and what they come to."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import azx
from azx.cli.show import Strategy
from azx.cli.terminal import busy, counted, counting
from azx.runtime.play import play_games
from azx.runtime.records import Games
from azx.runtime.stats import estimate

QUANTILES = {"min": 0.0, "5": 0.05, "25": 0.25, "50": 0.5, "75": 0.75, "95": 0.95, "max": 1.0}


@dataclass(frozen=True)
class Played:
    """N finished games and the seconds they took."""

    games: Games
    seconds: float


def play_many(strategy: Strategy, orders: NDArray[np.int8], keys: NDArray[np.uint64]) -> Played:
    """Play `orders` int8 [N, C] with a progress bar; Ctrl-C says that nothing was written."""
    done = 0
    try:
        with busy("getting ready"):
            strategy.get_ready()
        player = strategy.player()
        with counting("games", len(orders)) as count:

            def progress(games: int) -> None:
                nonlocal done
                done += games
                count(games)

            start = time.perf_counter()
            games = play_games(player, orders, keys, progress)
            seconds = time.perf_counter() - start
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"{done} of {len(orders)} games were played, and nothing was written"
        ) from None
    return Played(games, seconds)


def report_of(strategy: Strategy, played: Played, seed: int, orders: Path | None) -> dict[str, Any]:
    """The report on many games, as it goes to JSON: scores and figures in points."""
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
        "simulations": strategy.simulations,
        "provider": model.provider_used,
        "threads": model.threads,
        "seed": seed,
        "orders": str(orders) if orders is not None else None,
        "azx": azx.__version__,
    }


def report_lines(report: dict[str, Any]) -> list[str]:
    """The report for people."""
    interval = ""
    if report["ci95"] is not None:
        interval = ", 95% interval {:.2f} to {:.2f}".format(*report["ci95"])
    quantiles = "  ".join(
        f"{name if name.isalpha() else name + '%'} {value:g}"
        for name, value in report["quantiles"].items()
    )
    drawn = report["orders"] or f"seed {report['seed']}"
    return [
        f"games      {report['games']} of {report['variant']}, {report['player']}, {drawn}",
        f"mean       {report['mean']:.2f} points{interval}",
        f"quantiles  {quantiles}",
        f"speed      {report['games_per_second']:.1f} games/s, {report['seconds']:.1f} s in all",
        f"model      {report['model']['path']} ({report['model']['sha256'][:12]})",
        f"ran on     {report['provider']}, {counted(report['threads'], 'thread')}",
    ]
