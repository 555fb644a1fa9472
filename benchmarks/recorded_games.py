"""Who played better, once the luck of the draw is taken out? Reviews recorded games by player.

    python benchmarks/recorded_games.py ../shared/data/recorded_games.json

The file is a JSON list of games with `player`, `game` (the number of the order) and `moves`. Games
of the same number had the same tiles drawn, so players are compared in pairs. Intervals are 95%,
by Student's t: there are few games.
"""

from __future__ import annotations

import argparse
import json
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from azx.cli.review import judge_of
from azx.runtime.models import model_file
from azx.runtime.onnx_evaluator import open_model
from azx.runtime.records import read_games
from azx.runtime.review import Totals, review_games
from azx.runtime.stats import estimate


def with_interval(samples: NDArray[np.float64]) -> str:
    """The mean of few samples [N] and the half-width of its 95% interval."""
    mean = estimate(samples)
    return f"{mean.mean:.1f} ± {mean.half_width:.1f}"


def main() -> None:
    """Review the file and print a row for each player, then for each pair of players."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("games", type=Path, help="recorded games, .json with players")
    parser.add_argument("--model", type=Path, help="the judge, the shipped network if not given")
    parser.add_argument("--rollouts", type=int, default=0, help="of each decision; 0 is one ply")
    arguments = parser.parse_args()
    games = read_games(arguments.games)
    listed = json.loads(arguments.games.read_text())
    model = model_file(arguments.model, games.variant.name)
    evaluator = open_model(model, games.variant, provider="cpu")
    how, judge = judge_of(evaluator, 0, arguments.rollouts)
    totals = review_games(games, judge).totals

    # By player, the games in the order of their numbers.
    rows = {
        player: sorted(
            (row for row, game in enumerate(listed) if game["player"] == player),
            key=lambda row: listed[row]["game"],
        )
        for player in dict.fromkeys(game["player"] for game in listed)
    }
    print(f"judge: {how} of {model} ({evaluator.model.sha256[:12]})\n")
    names = [name.replace("_", " ") for name in Totals._fields]
    print("| player | games | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 2) + "|")
    for player, own in rows.items():
        said = [with_interval(values[own]) for values in totals]
        print(f"| {player} | {len(own)} | " + " | ".join(said) + " |")
    for first, second in combinations(rows, 2):
        a, b = rows[first], rows[second]
        if [listed[row]["game"] for row in a] == [listed[row]["game"] for row in b]:
            said = [with_interval(values[a] - values[b]) for values in totals]
            print(f"| {first} - {second}, in pairs | {len(a)} | " + " | ".join(said) + " |")


if __name__ == "__main__":
    main()
