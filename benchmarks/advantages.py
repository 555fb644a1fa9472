"""How strong is a player? By what each of its moves gains on the games that are played out.

    python benchmarks/advantages.py models/standard.onnx --orders orders.npy \\
        --players r400:1000 800:500 --out advantages.json

Games that are played out (`azx.runtime.playout`) cost milliseconds each, so how well they score is
known as closely as one likes. What a better player adds to that is the sum of what its moves gain,
each played out beside the move that the game played out would make there (Kakade and Langford 2002,
"Approximately optimal approximate reinforcement learning", lemma 6.1):

    score of the player = score of games played out + sum over its turns of
        (its move and the game played out after it) - (their move and the game played out after it)

in the mean over games of the player. Most moves are the same and gain 0 for certain; the others are
played out on both sides with the same draws, which the player did not see. So the luck of its own
draws is hardly in it, and a game deviates by half of what luck taken out by a search leaves
(docs/log.md). Games are kept in the file after each part: an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from search_ladder import begun, budget_of, rung_of, shown_name

from azx.runtime.errors import UsageError
from azx.runtime.evaluator import Evaluator
from azx.runtime.files import write_json
from azx.runtime.onnx_evaluator import open_model
from azx.runtime.play import parts, play_part
from azx.runtime.players import network_player
from azx.runtime.playout import EXACT_AT_THE_END, lay, play_out
from azx.runtime.records import Games, read_orders
from azx.runtime.rollouts import AT_ONCE, Rows, played_out
from azx.runtime.rules import every_placement
from azx.runtime.search.endgame import exact_values
from azx.runtime.seeds import draw_orders, game_keys
from azx.runtime.stats import Estimate, estimate

#: Games between two savings.
PART = 50

#: Games played out after each of two moves that differ.
EACH = 64

#: Seeds of the players' own randomness, of the draws after their moves, and of the games that are
#: played out from the empty board.
PLAYING, JUDGING, BASE = 0, 1, 2


def base_scores(evaluator: Evaluator, count: int) -> NDArray[np.float64]:
    """float64 [count]: scores, less luck, of games played out from the empty board."""
    orders = draw_orders(evaluator.variant, game_keys(BASE, count))
    scores = np.zeros(count)

    def play(part: slice) -> None:
        boards = evaluator.variant.empty_boards(part.stop - part.start)
        play_out(evaluator, boards, orders[part], scores[part])

    with ThreadPoolExecutor(evaluator.lanes) as threads:
        list(threads.map(play, parts(count, AT_ONCE)))
    return scores


def advantages(evaluator: Evaluator, games: Games, keys: NDArray[np.uint64]) -> NDArray[np.float64]:
    """float64 [N, C]: what each placement gained on what a game played out would have done there.

    The draws that judge it come from `keys` [N] and must be new to whoever played. Games played out
    end in perfect play: there a placement gains 0 or less, exactly.
    """
    cells, boards = games.variant.cells, games.boards()
    gained = np.zeros(games.cells.shape)
    for turn in range(cells):
        before, drawn = np.ascontiguousarray(boards[:, turn]), games.orders[:, turn].copy()
        judge = _by_games if cells - turn > EXACT_AT_THE_END else _exactly
        gained[:, turn] = judge(evaluator, before, drawn, games.cells[:, turn], keys)
    return gained


def _by_games(
    evaluator: Evaluator,
    boards: NDArray[np.int8],
    tiles: NDArray[np.int8],
    chosen: NDArray[np.int8],
    keys: NDArray[np.uint64],
) -> NDArray[np.float64]:
    """What `chosen` [N] gains, by games played out after it and after the usual cell."""
    usual, gained = lay(evaluator, boards, tiles), np.zeros(len(boards))
    other = np.flatnonzero(usual != chosen)
    if len(other):
        both = np.stack((chosen[other], usual[other]), axis=1)
        rows = Rows(
            np.repeat(other, 2 * EACH),
            np.repeat(both.ravel(), EACH),
            np.tile(np.arange(EACH), 2 * len(other)),
        )
        made = played_out(evaluator, boards, tiles, keys, rows).reshape(len(other), 2, EACH)
        gained[other] = (made[:, 0] - made[:, 1]).mean(axis=1)
    return gained


def _exactly(
    evaluator: Evaluator,
    boards: NDArray[np.int8],
    tiles: NDArray[np.int8],
    chosen: NDArray[np.int8],
    keys: NDArray[np.uint64],
) -> NDArray[np.float64]:
    """What `chosen` [N] gives away, 0 or less, where perfect play would lay better."""
    laid = every_placement(evaluator.variant, boards, tiles)
    worth = np.full(boards.shape, -np.inf)
    worth[laid.game, laid.cell] = laid.gain + exact_values(evaluator.variant, laid.after)
    return worth[np.arange(len(boards)), chosen] - worth.max(axis=1)


def measure(
    evaluator: Evaluator, name: str, orders: NDArray[np.int8], kept: dict[str, Any], save: Any
) -> None:
    """Play what is missing of one player's games and judge its moves."""
    playing, judging = (game_keys(seed, len(orders)) for seed in (PLAYING, JUDGING))
    player = network_player(evaluator, budget_of(name), one_ply=True)
    for first in range(len(kept["score"]), len(orders), PART):
        part = slice(first, min(first + PART, len(orders)))
        start = time.perf_counter()
        games = Games(
            evaluator.variant, orders[part], play_part(player, orders[part], playing[part])
        )
        played = time.perf_counter()
        kept["advantages"] += advantages(evaluator, games, judging[part]).round(3).tolist()
        kept["score"] += games.scores().tolist()
        kept["seconds"].append((played - start) * evaluator.lanes)
        kept["judging"].append((time.perf_counter() - played) * evaluator.lanes)
        save()
        print(f"{shown_name(name)}: {part.stop} of {len(orders)} games", flush=True)


def strength(base: list[float], gained: list[list[float]]) -> Estimate:
    """The expected score: that of the base, and what the moves of N games gained on it."""
    of_base, of_moves = estimate(base), estimate(np.sum(gained, axis=1))
    return Estimate(
        of_base.mean + of_moves.mean,
        float(np.hypot(of_base.half_width, of_moves.half_width)),
        of_moves.count,
    )


def rows_of(found: dict[str, Any]) -> list[str]:
    """The table in Markdown."""
    base = found["base"]
    lines = [
        f"{len(base):,} games played out from the empty board: {estimate(base)}",
        "",
        "| player | games | score | moves gain | strength | a game deviates by | moves that differ "
        "| core s a game | judging |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, rung in found["rungs"].items():
        sums, count = np.sum(rung["advantages"], axis=1), len(rung["score"])
        shown = (
            shown_name(name), count, estimate(rung["score"]), estimate(sums),
            strength(base, rung["advantages"]), f"{sums.std(ddof=1):.2f}",
            f"{np.count_nonzero(rung['advantages']) / count:.2f}",
            f"{sum(rung['seconds']) / count:.2f}", f"{sum(rung['judging']) / count:.2f}",
        )  # fmt: skip
        lines.append("| " + " | ".join(map(str, shown)) + " |")
    return lines


def main() -> None:
    """Read the arguments, play, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--orders", type=Path, required=True)
    parser.add_argument(
        "--players", nargs="+", type=rung_of, default=[("r400", 500)], metavar="BUDGET:GAMES"
    )
    parser.add_argument("--base-games", type=int, default=100_000)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    evaluator = open_model(arguments.model, threads=arguments.threads, many_games=True)
    orders = read_orders(arguments.orders, evaluator.variant)
    try:
        found = begun(arguments.out, evaluator.model.sha256, orders)
    except UsageError as error:
        parser.error(str(error))
    if "base" not in found:
        found["base"] = base_scores(evaluator, arguments.base_games).round(3).tolist()
    for name, games in arguments.players:
        new = {"score": [], "advantages": [], "seconds": [], "judging": []}
        kept = found["rungs"].setdefault(name, new)
        measure(evaluator, name, orders[:games], kept, lambda: write_json(arguments.out, found))
    print("\n".join(rows_of(found)))


if __name__ == "__main__":
    main()
