"""Compare this search with OpenSpiel's and mctx's: trees and rules alone, one thread, one run.

    pip install open_spiel mctx jax
    python benchmarks/compare_engines.py --games 1000 --simulations 200

Every engine searches positions of all turns of the full game, each from an empty tree, with an
evaluator that knows nothing. Rounds are interleaved, so that whatever else the machine does hits
all of them. Simulations are counted as each engine counts them; below the table is said what is
alike and what is not. A peer that is not installed is left out, with a word on why.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median

from engines.common import Engine
from engines.mctx_engine import mctx_engines
from engines.openspiel_engine import openspiel_engines

from azx.runtime.bench.machine import machine
from azx.runtime.bench.search import SearchCase, time_searches
from azx.runtime.evaluator import UniformEvaluator
from azx.runtime.files import write_json
from azx.runtime.search import Budget
from azx.runtime.variant import STANDARD

#: Before anything that reads them is imported: one thread, and no pool of XLA's own.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}


def azx_engines(games: int, budget: Budget) -> list[Engine]:
    """This project's search."""

    def rate(seconds: float) -> float:
        case = SearchCase("uniform", UniformEvaluator(STANDARD), games, budget)
        return float(time_searches([case], seconds, rounds=1)[0].rates[0])

    return [
        Engine(
            "azx",
            games,
            "this game, compiled rules, no network",
            "a simulation makes a chance node and the decision above it; chance is a mean over "
            f"all tiles; with at most {budget.exact_cells} empty cells a board is worked out "
            "exactly",
            rate,
        )
    ]


#: What each engine needs, as packages and as modules, and what makes its rows.
ENGINES: list[tuple[dict[str, str], Callable[[int, Budget], list[Engine]]]] = [
    ({}, azx_engines),
    ({"mctx": "mctx", "jax": "jax"}, mctx_engines),
    ({"open_spiel": "pyspiel"}, openspiel_engines),
]


def missing(packages: dict[str, str]) -> list[str]:
    """Which of the packages, given with their modules, cannot be imported, and why."""
    reasons = []
    for package, module in packages.items():
        try:
            importlib.import_module(module)
        except ImportError as error:
            reasons.append(f"{error} (pip install {package})")
    return reasons


def prepared(games: int, budget: Budget) -> tuple[list[Engine], dict[str, str]]:
    """The engines that can run here, and the versions of the peers among them."""
    engines: list[Engine] = []
    versions: dict[str, str] = {}
    for packages, build in ENGINES:
        reasons = missing(packages)
        if reasons:
            print(f"skipped {' and '.join(packages)}: {'; '.join(reasons)}", file=sys.stderr)
            continue
        engines += build(games, budget)
        versions |= {package: version(package) for package in packages}
    return engines, versions


def interleaved(engines: list[Engine], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Simulations a second by engine, a figure for each round."""
    rates: dict[str, list[float]] = {engine.name: [] for engine in engines}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        for engine in engines:
            rates[engine.name].append(engine.rate(seconds))
    return rates


def report(engines: list[Engine], rates: dict[str, list[float]], budget: Budget) -> list[str]:
    """The Markdown table, and a line on each row."""
    ours = median(rates[engines[0].name])
    lines = [f"{budget.simulations} simulations a move, one thread", ""]
    lines += ["| engine | games in step | simulations/s, median | range | azx is |"]
    lines += ["|---|---|---|---|---|"]
    for engine in engines:
        found = rates[engine.name]
        middle = median(found)
        lines.append(
            f"| {engine.name} | {engine.games:,} | {middle:,.0f} | "
            f"{min(found):,.0f} to {max(found):,.0f} | {ours / middle:.2f} times |"
        )
    notes = [f"- {e.name}: alike: {e.alike}. Not alike: {e.unlike}." for e in engines]
    return [*lines, "", *notes]


def run_on_one_core() -> None:
    """Keep to the last core that this process may use, and tell libraries to use one thread."""
    os.environ.update(ONE_THREAD)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def main() -> None:
    """Run all engines in turns and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--games", type=int, default=1000, help="in step, for azx and mctx")
    parser.add_argument("--simulations", type=int, default=200, help="of each search")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each engine in a round")
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    arguments = parser.parse_args()
    run_on_one_core()
    budget = Budget(arguments.simulations)
    engines, versions = prepared(arguments.games, budget)
    rates = interleaved(engines, arguments.rounds, arguments.seconds)
    print("\n".join(report(engines, rates, budget)))
    if arguments.json:
        rows = [{**e._asdict(), "simulations_per_second": rates[e.name]} for e in engines]
        for row in rows:
            del row["rate"]
        about = {"machine": {**machine(), **versions}, "simulations": budget.simulations}
        write_json(arguments.json, {**about, "engines": rows})


if __name__ == "__main__":
    main()
