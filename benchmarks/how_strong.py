"""Write `docs/strength.md` and its figures: how strong is a network, and what pays its points?

    pip install '.[report]'
    python benchmarks/how_strong.py models/standard.onnx --orders eval_orders.npy \\
        --peers eval_peers.csv --recorded recorded_games.json

Policy and one ply play all the orders here; what search adds comes from the model's card, which
`model_cards.py` writes first.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import strength_figures as figures
from measured import this_commit
from model_cards import origin_of, read_peers
from numpy.typing import NDArray

from azx.cli.reports.figures import histogram
from azx.runtime.bench.machine import machine
from azx.runtime.evaluator import Evaluator
from azx.runtime.files import write_text
from azx.runtime.onnx_evaluator import open_model
from azx.runtime.play import play_games
from azx.runtime.players import OnePlyPlayer, PolicyPlayer
from azx.runtime.records import Games, read_games, read_orders
from azx.runtime.review import one_ply_judge, review_games
from azx.runtime.seeds import game_keys
from azx.runtime.stats import Estimate, difference, estimate, paired_difference
from azx.runtime.variant import Variant

DOCS = Path(__file__).resolve().parents[1] / "docs"


@dataclass(frozen=True)
class Rung:
    """One line of the ladder."""

    name: str
    strength: Estimate  # the score, the luck taken out
    milliseconds: float  # a move, many games in step
    measured: str  # the commit and the processor, where the card says them


def finished_lines(games: Games) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean number of finished lines a game by length and number, and the lines there are.

    float64 [lengths, numbers], and how many lines of each length there are [lengths]; lengths from
    the shortest, numbers in rising order over all axes.
    """
    variant = games.variant
    boards = games.boards()[:, -1]
    lengths, numbers = line_kinds(variant)
    made = np.zeros((len(lengths), len(numbers)))
    there = np.zeros(len(lengths))
    for line, cells in enumerate(variant.lines):
        axis = int(variant.tables.line_axis[line])
        shown = np.asarray(variant.tile_values)[boards[:, list(cells)], axis]
        whole = (shown == shown[:, :1]).all(axis=1)
        row = lengths.index(len(cells))
        there[row] += 1
        for number in variant.values[axis]:
            made[row, numbers.index(number)] += (whole & (shown[:, 0] == number)).mean()
    return made, there


def line_kinds(variant: Variant) -> tuple[list[int], list[int]]:
    """The lengths of lines and the numbers on tiles, both rising."""
    lengths = sorted({len(cells) for cells in variant.lines})
    return lengths, sorted({number for values in variant.values for number in values})


def ladder_rungs(card: Path, sha256: str, turns: int) -> list[Rung]:
    """One ply and the searches on the model's card; `SystemExit` where it is of another model."""
    found: dict[str, Any] = json.loads(card.read_text())
    if found["sha256"] != sha256:
        raise SystemExit(f"{card} is of another model, {found['sha256'][:12]}: write it anew first")
    return [
        Rung(name, _strength(figure), 1000 / figure["games_per_second"] / turns, origin_of(figure))
        for name, figure in found["figures"].items()
        if name != "policy"
    ]


def _strength(figure: dict[str, Any]) -> Estimate:
    low, high = figure["without_luck"]["ci95"]
    return Estimate(figure["without_luck"]["mean"], (high - low) / 2, figure["games"])


def score_rows(
    players: dict[str, NDArray[np.int32]], peers: dict[str, NDArray[np.int64]]
) -> list[str]:
    """Mean, spread and quantiles of each, and the pairs."""
    lines = ["| player | mean | median | 5% | 95% | best | " + " | ".join(peers) + " |"]
    lines.append("|---" * (6 + len(peers)) + "|")
    for name, scores in {**players, **peers}.items():
        pairs = [
            "" if scores is theirs else _signed(paired_difference(scores, theirs))
            for theirs in peers.values()
        ]
        q05, q50, q95 = np.percentile(scores, [5, 50, 95])
        lines.append(
            f"| {name} | {estimate(scores)} | {q50:.0f} | {q05:.0f} | {q95:.0f} | "
            f"{scores.max()} | " + " | ".join(pairs) + " |"
        )
    return lines


def _signed(difference: Any) -> str:
    return f"{difference.mean:+.2f} ± {difference.half_width:.2f}"


def ladder_rows(rungs: list[Rung]) -> list[str]:
    """Each rung, and how much more it has than the first."""
    lines = ["| player | games | luck out | difference | ms a move | measured at |"]
    lines.append("|---" * 6 + "|")
    for rung in rungs:
        more = difference(rung.strength, rungs[0].strength)
        lines.append(
            f"| {rung.name} | {rung.strength.count:,} | {rung.strength} | "
            f"{'' if rung is rungs[0] else _signed(more)} | {rung.milliseconds:.3g} | "
            f"{rung.measured} |"
        )
    return lines


def recorded_rows(
    evaluator: Evaluator, path: Path
) -> tuple[list[str], dict[str, NDArray[np.int32]]]:
    """Everybody's score in the recorded games, and the network's on the same draws."""
    listed = json.loads(path.read_text())
    games = read_games(path)
    scores = games.scores()
    names = list(dict.fromkeys(game["player"] for game in listed))
    numbers = sorted({game["game"] for game in listed})
    at = {(game["player"], game["game"]): row for row, game in enumerate(listed)}
    by_player = {name: scores[[at[name, n] for n in numbers]] for name in names}
    orders = games.orders[[at[names[0], n] for n in numbers]]
    ours = play_games(OnePlyPlayer(evaluator), orders, game_keys(0, len(orders)))
    by_player["azx, one ply"] = ours.scores()
    totals = review_games(games, one_ply_judge(evaluator)).totals
    lines = ["| game | " + " | ".join(by_player) + " |", "|---" * (1 + len(by_player)) + "|"]
    for index, number in enumerate(numbers):
        row = " | ".join(str(int(s[index])) for s in by_player.values())
        lines.append(f"| {number} | {row} |")
    means = " | ".join(f"{s.mean():.1f}" for s in by_player.values())
    lines.append(f"| mean | {means} |")
    away = [totals.given_away[[at[name, n] for n in numbers]].mean() for name in names]
    lines.append("| given away a game | " + " | ".join(f"{p:.1f}" for p in away) + " | |")
    return lines, by_player


def turn_by_turn(games: Games, foreseen: NDArray[np.float64]) -> list[str]:
    """Points made in each turn, and points foreseen to come before it."""
    gains = games.gains()
    lines = ["| turn | points made in it | games with points in it | points to come, foreseen |"]
    lines.append("|---" * 4 + "|")
    for turn in range(gains.shape[1]):
        paid = 100 * (gains[:, turn] > 0).mean()
        lines.append(
            f"| {turn + 1} | {gains[:, turn].mean():.2f} | {paid:.0f}% | {foreseen[turn]:.1f} |"
        )
    return lines


def page(sections: dict[str, list[str]]) -> str:
    """Markdown from headings and their lines."""
    parts = ["# How strong is it?"]
    for heading, lines in sections.items():
        parts.append(("## " + heading + "\n\n" if heading else "") + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Play, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--orders", type=Path, required=True)
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--recorded", type=Path)
    parser.add_argument("--out", type=Path, default=DOCS / "strength.md")
    arguments = parser.parse_args()
    commit = this_commit()  # before the figures are written
    evaluator = open_model(arguments.model, provider="cpu")
    variant, sha256 = evaluator.variant, evaluator.model.sha256
    rungs = ladder_rungs(arguments.model.with_suffix(".json"), sha256, variant.cells)
    orders = read_orders(arguments.orders, variant)
    peers = read_peers(arguments.peers, len(orders))
    keys = game_keys(0, len(orders))
    played = {
        player.name: play_games(player, orders, keys)
        for player in (PolicyPlayer(evaluator), OnePlyPlayer(evaluator))
    }
    players = {name: games.scores() for name, games in played.items()}
    best = played["one-ply"]
    pictures = arguments.out.with_name("strength")
    pictures.mkdir(parents=True, exist_ok=True)
    write_text(pictures / "scores.svg", histogram({**players, **peers}))
    made, there = finished_lines(best)
    lengths, numbers = line_kinds(variant)
    write_text(pictures / "lines.svg", figures.lines_made(made, there, lengths, numbers))
    boards = best.boards()
    foreseen = np.array(
        [
            evaluator.evaluate(np.ascontiguousarray(boards[:1000, t])).value.mean()
            for t in range(variant.cells)
        ]
    )
    write_text(pictures / "turns.svg", figures.by_turn(best.gains().mean(axis=0), foreseen))
    on = machine()
    sections = {
        "": [
            f"`{arguments.model.name}` ({sha256[:12]}), commit {commit}, on "
            f"{on['processor']}, {on['cores_available']} cores. Written by "
            "`python benchmarks/how_strong.py`; nothing was trained or chosen on these orders. "
            "Intervals are 95%."
        ],
        f"Scores on {len(orders):,} orders": [
            *score_rows(players, peers),
            "",
            "The last columns are differences in pairs, on the same orders.",
            "",
            "![Distribution of scores](strength/scores.svg)",
        ],
    }
    if rungs:
        drawn = figures.ladder(
            [r.name for r in rungs],
            [r.strength for r in rungs],
            [r.milliseconds for r in rungs],
        )
        write_text(pictures / "ladder.svg", drawn)
        sections["What search and rollouts add"] = [
            "On the first so many of the same orders. The luck of the draws is taken out, which "
            "leaves the mean where it is: of one ply by what the network foresees "
            "([review.md](review.md)), else by what each move gains on a game played out "
            "(`benchmarks/advantages.py`). Differences are to the first line. `mcts:N` is a tree "
            "of N simulations for each move, `rollouts:N` are up to N games played to their end. "
            "Milliseconds are of one core with many games "
            "in step.",
            "",
            *ladder_rows(rungs),
            "",
            "![Score against time](strength/ladder.svg)",
        ]
    sections["Where the points come from"] = [
        "Finished lines by length and number, as a share of the lines of that length, one ply:",
        "",
        "![Finished lines](strength/lines.svg)",
        "",
        "![Points by turn](strength/turns.svg)",
        "",
        *turn_by_turn(best, foreseen),
    ]
    if arguments.recorded:
        lines, by_player = recorded_rows(evaluator, arguments.recorded)
        write_text(pictures / "recorded.svg", figures.recorded(by_player))
        sections["Ten real games"] = [
            "Everybody had the same tiles. 'Given away': by this network's judgement, one ply.",
            "",
            *lines,
            "",
            "![Ten games](strength/recorded.svg)",
        ]
    sections["How far from the best possible?"] = ["[upper-bound.md](upper-bound.md)"]
    write_text(arguments.out, page(sections))


if __name__ == "__main__":
    main()
