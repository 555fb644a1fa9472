"""`azx solve`: perfect play, where the game is small enough."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from azx.cli.terminal import counting, say, stdout
from azx.runtime.solver import afterstate_count
from azx.runtime.solver import solve as solve_exactly
from azx.runtime.variant import MINI, variant_named


def solve(
    variant: Annotated[
        str, typer.Option("--variant", metavar="NAME", help="The board: mini.")
    ] = MINI.name,
) -> None:
    """Solve a small board exactly.

    Gives the expected score of perfect play and the number of afterstates.

    \b
    Example:
      azx solve --variant mini
    """
    board = variant_named(variant)
    start = time.perf_counter()
    with counting("afterstates", afterstate_count(board)) as count:
        solved = 0

        def progress(done: int, _: int) -> None:
            nonlocal solved
            count(done - solved)
            solved = done

        solution = solve_exactly(board, progress)
    seconds = time.perf_counter() - start
    say(
        stdout(),
        f"{board.name}: perfect play scores {solution.optimum:.6f} points on average",
        f"{solution.afterstates:,} afterstates, {seconds:.1f} s",
    )
