"""How much does a player give away, by the judgement of many more games played out?

    python benchmarks/headroom.py models/standard.onnx --orders orders.npy --rollouts 1200 \\
        --games 100 --out benchmarks/results/headroom_standard.json

Every placement of a player is set beside those that might be as good: each of them is played out
a thousand times. One half of these games chooses, the other half, of other draws, says what the
choice gains on the player's; then both change places. So nobody is flattered by luck of its own,
and where the choice is no better, what it gains is 0 in the mean or less. In the mean over games of
the player the gains of its turns add up to what a player that chooses so would score more, if what
came after every placement were games played out (Kakade and Langford 2002, as in `advantages.py`).
The table says how this grows with the number of games that choose: where it no longer grows, no
more rollouts help.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from advantages import games_after
from measured import measured_here
from numpy.typing import NDArray

from azx.runtime.bench.strength import orders_hash
from azx.runtime.evaluator import Evaluator
from azx.runtime.files import write_json
from azx.runtime.onnx_evaluator import open_model
from azx.runtime.play import play_part
from azx.runtime.players import network_player
from azx.runtime.records import Games, read_orders
from azx.runtime.rollouts import (
    EXACT_AFTER_THE_MOVE,
    MOST_CANDIDATES,
    Rollouts,
    foreseen,
    value_error,
    within_reach,
)
from azx.runtime.seeds import game_keys
from azx.runtime.stats import estimate

#: By so many games after each placement it is chosen; by the last so many in the other half it is
#: judged.
CHOOSING = (32, 128, 512)

#: Games between two savings.
PART = 25

#: Seeds of the player's own randomness, and of the draws of the two halves.
PLAYING, HALVES = 0, (2, 3)


def given_away(
    evaluator: Evaluator, games: Games, keys: tuple[NDArray[np.uint64], NDArray[np.uint64]]
) -> NDArray[np.float64]:
    """float64 [N, C, len(CHOOSING)]: what a choice by so many games gains on each placement.

    Near the end the choice is perfect play's and the gain exact. The draws of the two halves come
    from `keys`, two of [N], which must be new to whoever played.
    """
    cells, boards = games.variant.cells, games.boards()
    gained = np.zeros((*games.cells.shape, len(CHOOSING)))
    for turn in range(cells):
        before, tiles = np.ascontiguousarray(boards[:, turn]), games.orders[:, turn].copy()
        chosen, worth = games.cells[:, turn], foreseen(evaluator, before, tiles)
        if cells - turn - 1 <= EXACT_AFTER_THE_MOVE:
            at = np.take_along_axis(worth, chosen[:, None].astype(np.int64), 1)[:, 0]
            gained[:, turn] = (worth.max(axis=1) - at)[:, None]
        else:
            gained[:, turn] = _by_games(evaluator, before, tiles, chosen, worth, keys)
    return gained


def _by_games(
    evaluator: Evaluator,
    boards: NDArray[np.int8],
    tiles: NDArray[np.int8],
    chosen: NDArray[np.int8],
    worth: NDArray[np.float64],
    keys: tuple[NDArray[np.uint64], NDArray[np.uint64]],
) -> NDArray[np.float64]:
    """float64 [N, len(CHOOSING)], where games have to be played out."""
    error = value_error(boards)[:, None]
    rival = within_reach(worth, error, MOST_CANDIDATES)
    rival[np.arange(len(boards)), chosen] = True
    rival &= (rival.sum(axis=1) > 1)[:, None]
    game, cell = np.nonzero(rival)
    placements = game, cell.astype(np.int8), max(CHOOSING)
    halves = [games_after(evaluator, boards, tiles, half, *placements) for half in keys]
    means = [np.full(worth.shape, -np.inf) for _ in keys]
    for mean, made in zip(means, halves, strict=True):
        mean[rival] = made.mean(axis=1)
    prior = 1 / error[game, 0] ** 2
    gained = np.zeros((len(boards), len(CHOOSING)))
    contested = np.flatnonzero(rival.any(axis=1))
    for made, judge in zip(halves, means[::-1], strict=True):
        variance = made.var(axis=1, ddof=1).clip(min=1e-6)
        for column, count in enumerate(CHOOSING):
            # What is foreseen and what the games made, by the precision of each.
            weight = count / variance
            expected = np.full(worth.shape, -np.inf)
            expected[rival] = (prior * worth[rival] + weight * made[:, :count].mean(axis=1)) / (
                prior + weight
            )
            choice = expected[contested].argmax(axis=1)
            more = judge[contested, choice] - judge[contested, chosen[contested]]
            gained[contested, column] += more / len(halves)
    return gained


def rows_of(kept: dict[str, Any]) -> list[str]:
    """The table in Markdown, and what each third of the turns has in it."""
    gained = np.array(kept["given_away"])  # [N, C, len(CHOOSING)]
    thirds = np.array_split(np.arange(gained.shape[1]), 3)
    names = " | ".join(f"turns {third[0] + 1} to {third[-1] + 1}" for third in thirds)
    lines = [
        f"| games that choose | {kept['player']} gives away | {names} |",
        "|---|---|" + "---|" * len(thirds),
    ]
    for column, count in enumerate(kept["choosing"]):
        by_turn = gained[:, :, column]
        parts = [by_turn, *(by_turn[:, third] for third in thirds)]
        shown = [str(estimate(part.sum(axis=1))) for part in parts]
        lines.append(f"| {count} | " + " | ".join(shown) + " |")
    return [f"{len(gained)} games, {kept['measured']['commit']}", "", *lines]


def main() -> None:
    """Read the arguments, play and judge what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--orders", type=Path, required=True)
    parser.add_argument("--rollouts", type=int, default=0, help="0: one ply")
    parser.add_argument("--games", type=int, default=100)
    parser.add_argument("--out", type=Path, required=True, help="goes on where it was stopped")
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    evaluator = open_model(
        arguments.model, provider="cpu", threads=arguments.threads, many_games=True
    )
    orders = read_orders(arguments.orders, evaluator.variant)
    budget = Rollouts(arguments.rollouts) if arguments.rollouts else None
    player = network_player(evaluator, budget, one_ply=True)
    origin = {
        "sha256": evaluator.model.sha256,
        "orders_sha256": orders_hash(orders),
        "player": player.name,
        "choosing": list(CHOOSING),
        "measured": measured_here(),
    }
    kept: dict[str, Any] = {**origin, "given_away": []}
    if arguments.out.exists():
        kept = json.loads(arguments.out.read_text())
        if {name: kept[name] for name in origin} != origin:
            parser.error(f"{arguments.out} is of something else than {origin}: choose another")
    playing = game_keys(PLAYING, len(orders))
    first_half, second_half = (game_keys(seed, len(orders)) for seed in HALVES)
    for first in range(len(kept["given_away"]), arguments.games, PART):
        part = slice(first, min(first + PART, arguments.games))
        cells = play_part(player, orders[part], playing[part])
        games = Games(evaluator.variant, orders[part], cells)
        found = given_away(evaluator, games, (first_half[part], second_half[part]))
        kept["given_away"] += found.round(4).tolist()
        write_json(arguments.out, kept)
        print(f"{kept['player']}: {part.stop} of {arguments.games} games", flush=True)
    print("\n".join(rows_of(kept)))


if __name__ == "__main__":
    main()
