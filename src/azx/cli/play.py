"""`azx play`: one game to look at, one to play oneself, or many to count."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from azx.cli.games import Crew, first_orders, play_many, report_lines, report_of
from azx.cli.human import play_against
from azx.cli.options import (
    LARGEST_SEED,
    ModelOption,
    ProviderOption,
    RootOption,
    ThreadsOption,
    UnverifiedOption,
    VariantOption,
)
from azx.cli.show import Strategy, show_game
from azx.cli.starting import get_ready
from azx.cli.terminal import busy, check_writable, say, stdout
from azx.runtime.errors import UsageError
from azx.runtime.files import write_json
from azx.runtime.modelfile import read_model
from azx.runtime.models import model_file
from azx.runtime.onnx_evaluator import open_model
from azx.runtime.play import BATCH
from azx.runtime.records import Games, write_games
from azx.runtime.resources import available_cores
from azx.runtime.rollouts import MOST_ROLLOUTS, Rollouts
from azx.runtime.search import ROOTS, Budget, check_root
from azx.runtime.seeds import draw_orders, game_keys
from azx.runtime.variant import STANDARD, Variant, variant_named
from azx.runtime.workers import workers_needed

#: Enough to gain some points over the policy alone, and quick on a laptop.
SIMULATIONS = 100


def play(
    model: ModelOption = None,
    variant: VariantOption = None,
    games: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", show_default=False, help="Play N games and show the scores alone."
        ),
    ] = None,
    simulations: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            show_default=f"{SIMULATIONS}",
            help="Simulations of the search for each move; 0 is the policy alone.",
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            max=3600.0,
            metavar="S",
            show_default=False,
            help="Search for S seconds a move instead, or until half of the memory is full of "
            "trees; games are then played one by one.",
        ),
    ] = None,
    rollouts: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST_ROLLOUTS,
            metavar="N",
            show_default=False,
            help="Instead of a search, play up to N games to their end for each move, less the "
            "luck of their draws: with 300 the longest takes a sixth of a second.",
        ),
    ] = None,
    root: RootOption = ROOTS[0],
    one_ply: Annotated[
        bool,
        typer.Option(
            "--one-ply", help="No search: the cell of the highest gain + value, over all cells."
        ),
    ] = False,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=LARGEST_SEED,
            metavar="S",
            show_default="0 for many games, else a new one each time",
            help="Decides which tiles are drawn, and what a search draws by lot.",
        ),
    ] = None,
    orders: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.NPY",
            show_default=False,
            help="Play these orders (int8 [games, cells], or a record), or the first --games; "
            "with --human the first one.",
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            min=1,
            max=1024,
            metavar="N",
            help="Processes that play, each with its share of the threads. Same games, any N.",
        ),
    ] = 1,
    record: Annotated[
        Path | None,
        typer.Option(metavar="FILE.NPZ", show_default=False, help="Write the games."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.JSON", show_default=False, help="Write every score, and the figures."
        ),
    ] = None,
    human: Annotated[
        bool, typer.Option("--human", help="Lay the tiles yourself; the network comments.")
    ] = False,
    provider: ProviderOption = "auto",
    threads: ThreadsOption = None,
    allow_unverified: UnverifiedOption = False,
) -> None:
    """Play Take It Easy with a network.

    One game turn by turn, one that you play yourself, or many for their scores.

    \b
    Examples:
      azx play
      azx play --human --seed 7
      azx play --games 10000 --simulations 0 --report scores.json
      azx play --model net.onnx --orders orders.npy --simulations 400
      azx play --seconds 0.5
      azx play --rollouts 500
      azx play --games 5000 --workers 8 --record games.npz
    """
    many = games is not None or (orders is not None and not human)
    known = variant_named(variant) if variant is not None else None
    path = model_file(model, (known or STANDARD).name)
    _refuse_odd_pairs(many, human, workers, record, report, (orders, path))
    budget = _budget(simulations, seconds, rollouts, root, one_ply)
    if seed is None:
        seed = 0 if many else secrets.randbelow(1_000_000)

    with busy(f"loading {path}"):
        board = read_model(path, known, allow_unverified).card.variant
        keys, drawn = _orders(board, orders, 1 if human else games, seed)
        workers = workers_needed(len(drawn), workers, batch=1 if seconds is not None else BATCH)
        share = max(1, (threads or available_cores()) // workers)
        many_games = isinstance(budget, Rollouts) or (many and seconds is None)
        load = partial(open_model, path, known, provider, share, allow_unverified, many_games)
        evaluator = load()
    strategy = Strategy(evaluator, budget, one_ply)

    console = stdout()
    written: list[Path] = []

    def keep(games: Games) -> None:
        """Before anything is said of them: that can be worked out again."""
        if record is not None:
            write_games(record, games)
            written.append(record)

    if many:
        crew = Crew(workers, load) if workers > 1 else None
        played = play_many(strategy, drawn, keys, crew, record)
        figures = report_of(strategy, played, workers, seed, orders)
        try:
            keep(played.games)
            if report is not None:
                write_json(report, figures)
                written.append(report)
        finally:  # a full disk does not take the figures too
            say(console, *report_lines(figures))
    else:
        get_ready(strategy)
        say(console, *_heading(strategy, seed))
        (play_against if human else show_game)(console, strategy, drawn[0], keys, keep)
    say(console, *(f"written    {path}" for path in written))


def _refuse_odd_pairs(
    many: bool,
    human: bool,
    workers: int,
    record: Path | None,
    report: Path | None,
    read: Sequence[Path | None],
) -> None:
    """`UsageError` for options that do not go together, or files that could not be written."""
    if human and many:
        raise UsageError("--human is one game at the terminal: leave out --games")
    if report is not None and not many:
        raise UsageError("--report is about many games: give --games N or --orders FILE")
    if workers > 1 and not many:
        raise UsageError(
            f"--workers {workers} is for many games: give --games N or --orders FILE too"
        )
    if record is not None and record.suffix != ".npz":
        raise UsageError(f"--record writes a .npz file, found {record}")
    check_writable(record, report, read=read)
    if record is not None and record.exists():
        raise UsageError(
            f"{record} is there already, and its games would be lost: take another name, or remove "
            "it"
        )


def _budget(
    simulations: int | None, seconds: float | None, rollouts: int | None, root: str, one_ply: bool
) -> Budget | Rollouts | None:
    """What a move may cost, None for no search; `UsageError` where two ways are asked for."""
    check_root(root)
    if one_ply and simulations:
        raise UsageError(
            f"--one-ply plays without a search, found --simulations {simulations} too: "
            "leave one of them out"
        )
    given = {
        "--rollouts": rollouts is not None,
        "--seconds": seconds is not None,
        "--one-ply": one_ply,
        "--simulations": simulations is not None,
    }
    asked = [name for name, there in given.items() if there]
    if len(asked) > 1 and asked[0] in ("--rollouts", "--seconds"):
        raise UsageError(f"{asked[0]} is a budget of its own: leave out {asked[1]}")
    if rollouts is not None:
        if root != ROOTS[0]:
            raise UsageError(f"--rollouts has no tree: leave out --root {root}")
        return Rollouts(rollouts)
    if seconds is not None:
        return Budget(seconds=seconds, root=root)
    if one_ply or simulations == 0:
        if root != ROOTS[0]:
            raise UsageError(f"without a search there is no root: leave out --root {root}")
        return None
    return Budget(SIMULATIONS if simulations is None else simulations, root=root)


def _orders(
    variant: Variant, file: Path | None, games: int | None, seed: int
) -> tuple[NDArray[np.uint64], NDArray[np.int8]]:
    """Keys uint64 [N] and orders int8 [N, C]: from the file, or drawn from the seed."""
    if file is None:
        keys = game_keys(seed, games or 1)
        return keys, draw_orders(variant, keys)
    orders = first_orders(file, variant, games)
    return game_keys(seed, len(orders)), orders


def _heading(strategy: Strategy, seed: int) -> list[str]:
    model = strategy.evaluator
    return [
        f"{strategy.variant.name}, {strategy.described}, seed {seed}",
        f"model {model.model.path} ({model.model.sha256[:12]}), on {model.provider_used}",
        "",
    ]
