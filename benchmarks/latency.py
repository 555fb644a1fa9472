"""How long does a person wait? The moves of one game, and `azx play` from its start.

    python benchmarks/latency.py models/standard.onnx --threads 2

Moves are those of whole games of one player, one at a time: median and 95th percentile in
milliseconds, the first game aside. Starts are processes, from the call to the first line of the
game's heading, which comes when all is compiled and the next thing is the first move: with kernels
cached, median of several, and once with an empty cache folder.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from azx.runtime.onnx_evaluator import open_model
from azx.runtime.players import network_player
from azx.runtime.rollouts import Rollouts
from azx.runtime.search import Budget
from azx.runtime.seeds import draw_orders, game_keys

#: Starts with kernels cached.
STARTS = 5


def move_times(
    model: Path, threads: int | None, budget: Budget | Rollouts, games: int
) -> list[float]:
    """Milliseconds of each move of `games` games."""
    evaluator = open_model(model, threads=threads, many_games=isinstance(budget, Rollouts))
    player = network_player(evaluator, budget)
    keys = game_keys(0, games + 1)
    orders = draw_orders(evaluator.variant, keys)
    times = []
    for game, order in enumerate(orders):
        board = evaluator.variant.empty_boards(1)
        for turn in range(len(order)):
            start = time.perf_counter()
            cell = player.choose(board, order[turn : turn + 1], keys[game : game + 1])[0]
            if game > 0:  # the first compiles and warms up
                times.append(1000 * (time.perf_counter() - start))
            board[0, cell] = order[turn]
    return times


def start_time(model: Path, threads: int | None, option: list[str], cache: Path) -> float:
    """Seconds from the start of `azx play` to its heading, with kernels in the folder `cache`.

    `option` is the budget's on the command line.
    """
    command = [sys.executable, "-m", "azx", "play", "--model", str(model), "--seed", "0", *option]
    if threads is not None:
        command += ["--threads", str(threads)]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONUNBUFFERED": "1"}
    start = time.perf_counter()
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        heading = process.stdout.readline()
        taken = time.perf_counter() - start
        process.stdout.read()
    if process.returncode != 0 or not heading:
        raise SystemExit(f"{' '.join(command)} ended with code {process.returncode}")
    return taken


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--simulations", type=int, default=400)
    parser.add_argument("--rollouts", type=int, help="instead of a search")
    parser.add_argument("--games", type=int, default=10)
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    model, threads = arguments.model, arguments.threads
    budget: Budget | Rollouts = Budget(arguments.simulations)
    option = ["--simulations", str(arguments.simulations)]
    if arguments.rollouts is not None:
        budget, option = Rollouts(arguments.rollouts), ["--rollouts", str(arguments.rollouts)]

    times = move_times(model, threads, budget, arguments.games)
    median, slow = np.quantile(times, [0.5, 0.95])
    print(f"{budget.described}: median {median:.1f} ms, 95% {slow:.1f} ms, "
          f"longest {max(times):.1f} ms, {len(times)} moves")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        first = start_time(model, threads, option, Path(folder))
        print(f"first move, the first time ever: {first:.1f} s")
        starts = [start_time(model, threads, option, Path(folder)) for _ in range(STARTS)]
        print(f"first move, kernels cached: median {np.median(starts):.2f} s, "
              f"{min(starts):.2f} to {max(starts):.2f} s")  # fmt: skip


if __name__ == "__main__":
    main()
