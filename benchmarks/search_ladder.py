"""What do search and rollouts add? One network, more and more simulations, the same orders.

    python benchmarks/search_ladder.py models/standard.onnx --orders orders.npy \\
        --rungs 0:10000 50:10000 200:2000 800:1000 --out ladder.json

A rung is simulations:games, 0 for one ply, or r400:games for 400 rollouts a move at most; each
plays the first so many of the orders. The table gives the mean score, the difference to the first
rung game by game, and the same for strength, which is the mean score without the luck of the draws.
Of searched games it is told by what each move gains on a game played out (`advantages.py`). One ply
plays so many games that less will do: what the network foresees before a draw and after it differ
by a number of mean zero, whoever plays, so subtracting it leaves the mean as it was and most of the
spread behind. Games are kept in the file after each part, so an interrupted run goes on where it
stopped, and a rung that is to have more games than before goes on with those that are missing.
"""

from __future__ import annotations

import argparse
import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from advantages import EACH, FROM_THE_START, strengths
from measured import measured_here
from numpy.typing import NDArray

from azx.runtime.bench.strength import orders_hash
from azx.runtime.errors import UsageError
from azx.runtime.evaluator import Evaluator
from azx.runtime.files import write_json
from azx.runtime.onnx_evaluator import open_model
from azx.runtime.play import play_part
from azx.runtime.players import network_player
from azx.runtime.records import Games, read_orders
from azx.runtime.review import luck_of
from azx.runtime.rollouts import Rollouts
from azx.runtime.search import Budget
from azx.runtime.seeds import game_keys
from azx.runtime.stats import Estimate, difference, estimate, paired_difference

#: Games between two savings.
PART = 250

#: Seeds of the players' own randomness, and of the draws that their moves are judged by.
PLAYING, JUDGING = 0, 1


def budget_of(name: str) -> Budget | Rollouts | None:
    """What a move of a rung may cost: '0', '400' or 'r512'; else `ValueError` or `UsageError`."""
    if name.startswith("r"):
        return Rollouts(int(name[1:]))
    return Budget(int(name)) if int(name) else None


def rung_of(text: str) -> tuple[str, int]:
    """The name of a rung and its games, from the command line."""
    name, _, games = text.partition(":")
    try:
        budget_of(name)
        if int(games) < 1:
            raise ValueError
        return name, int(games)
    except (ValueError, UsageError):
        raise argparse.ArgumentTypeError(
            f"a rung is like 0:1000, 400:1000 or r400:1000, found {text!r}"
        ) from None


def shown_name(name: str) -> str:
    """A rung's name for people."""
    budget = budget_of(name)
    if budget is None:
        return "one-ply"
    return f"{'rollouts' if isinstance(budget, Rollouts) else 'mcts'}:{budget}"


def play_rung(
    evaluator: Evaluator,
    name: str,
    orders: NDArray[np.int8],
    kept: dict[str, Any],
    save: Any,
) -> None:
    """Play what is missing of one rung: scores, scores without luck, core seconds of each part."""
    keys, judging = (game_keys(seed, len(orders)) for seed in (PLAYING, JUDGING))
    budget = budget_of(name)
    player = network_player(evaluator, budget, one_ply=True)
    cores = evaluator.lanes if budget is not None else 1  # one ply asks from one thread alone
    for first in range(len(kept["score"]), len(orders), PART):
        part = slice(first, min(first + PART, len(orders)))
        start = time.perf_counter()
        cells = play_part(player, orders[part], keys[part])
        kept["seconds"].append((time.perf_counter() - start) * cores)
        games = Games(evaluator.variant, orders[part], cells)
        if kept["judge"] == "q":
            without_luck = games.scores() - luck_of(evaluator, games)
        else:
            without_luck = strengths(evaluator, games, judging[part])
        kept["score"] += games.scores().tolist()
        kept["without_luck"] += without_luck.round(3).tolist()
        save()
        print(f"{shown_name(name)}: {part.stop} of {len(orders)} games", flush=True)


def judge_of(name: str) -> str:
    """What tells the strength of a rung's games: luck by q, or what their moves gain."""
    return "q" if budget_of(name) is None else f"moves:{FROM_THE_START}+{EACH}"


def rung_in(found: dict[str, Any], name: str, games: int) -> dict[str, Any]:
    """What is known of a rung that is to have so many `games`, begun where it is new.

    `UsageError` where luck was judged otherwise: its mean would be right all the same, but not what
    is said of its games. Also where games are missing that would be played by other code, or on
    another processor.
    """
    judge, here = judge_of(name), measured_here()
    lists: dict[str, Any] = {"score": [], "without_luck": [], "seconds": []}
    new = {"judge": judge, "measured": here, **lists}
    kept: dict[str, Any] = found["rungs"].setdefault(name, new)
    if kept.get("judge") != judge:
        raise UsageError(
            f"the luck of {shown_name(name)} was judged by {kept.get('judge', 'one ply')}, not by "
            f"{judge}: choose another --out"
        )
    if kept["measured"] != here and len(kept["score"]) < games:
        raise UsageError(
            f"{shown_name(name)} was begun at {kept['measured']}, this is {here}: choose another "
            "--out"
        )
    return kept


def begun(file: Path, model: str, orders: NDArray[np.int8]) -> dict[str, Any]:
    """What `file` holds of the model of this hash on these orders [N, C], or an empty ladder.

    `UsageError` where it is of another model or of other orders.
    """
    played = orders_hash(orders)
    if not file.exists():
        return {"sha256": model, "orders_sha256": played, "rungs": {}}
    found: dict[str, Any] = json.loads(file.read_text())
    if found["sha256"] != model:
        raise UsageError(f"{file} is of another model: {found['sha256'][:12]}")
    if found.get("orders_sha256") != played:
        raise UsageError(
            f"{file} is of other orders, or does not say of which: choose another --out; if they "
            f'are known to be these, put "orders_sha256": "{played}" in it'
        )
    return found


def gained(rung: dict[str, Any], first: dict[str, Any], kind: str) -> Estimate:
    """How much more a rung has than another: in pairs, on the games that both played.

    Where their luck was judged otherwise the pairs have nothing in common, and all games count.
    """
    if kind == "without_luck" and rung["judge"] != first["judge"]:
        return difference(estimate(rung[kind]), estimate(first[kind]))
    count = min(len(rung[kind]), len(first[kind]))
    return paired_difference(rung[kind][:count], first[kind][:count])


def rows(rungs: dict[str, dict[str, Any]]) -> list[str]:
    """The table in Markdown."""
    first = next(iter(rungs.values()))
    lines = [
        "| player | games | score | difference | without luck | difference | games/s a core |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, rung in rungs.items():
        shown = [shown_name(name), str(len(rung["score"]))]
        for kind in ("score", "without_luck"):
            more = gained(rung, first, kind)
            shown += [
                str(estimate(rung[kind])),
                f"{more.mean:+.2f} ± {more.half_width:.2f}",
            ]
        shown.append(f"{len(rung['score']) / sum(rung['seconds']):.1f}")
        lines.append("| " + " | ".join(shown) + " |")
    return lines


def main() -> None:
    """Read the arguments, play, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--orders", type=Path, required=True)
    parser.add_argument(
        "--rungs",
        nargs="+",
        type=rung_of,
        default=[("0", 1000), ("50", 1000)],
        metavar="BUDGET:GAMES",
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    evaluator = open_model(
        arguments.model, provider="cpu", threads=arguments.threads, many_games=True
    )
    orders = read_orders(arguments.orders, evaluator.variant)
    try:
        found = begun(arguments.out, evaluator.model.sha256, orders)
        rungs = [(name, games, rung_in(found, name, games)) for name, games in arguments.rungs]
    except UsageError as error:
        parser.error(str(error))
    for name, games, kept in rungs:
        save = partial(write_json, arguments.out, found)
        play_rung(evaluator, name, orders[:games], kept, save)
    print("\n".join(rows(found["rungs"])))


if __name__ == "__main__":
    main()
