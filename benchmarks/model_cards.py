"""Measure a model file on every rung and write its card: Markdown for people, JSON for programs.

    python benchmarks/model_cards.py models/standard.onnx --orders ../shared/data/eval_orders.npy \
        --peers ../shared/data/eval_peers.csv
    python benchmarks/model_cards.py models/mini.onnx

For `standard`: the mean score on the orders, its 95% interval, and the paired difference to other
players' scores on the same orders. For `mini`: the exact expected score beside the optimum.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from azx.runtime.evaluator import Evaluator
from azx.runtime.files import write_json, write_text
from azx.runtime.modelfile import ModelCard
from azx.runtime.onnx_evaluator import open_model
from azx.runtime.play import play_games
from azx.runtime.players import OnePlyPlayer, Player, PolicyPlayer, SearchPlayer
from azx.runtime.records import read_orders
from azx.runtime.search import Budget
from azx.runtime.seeds import game_keys
from azx.runtime.solver import expected_score, policy_of, solve
from azx.runtime.stats import estimate, paired_difference
from azx.runtime.variant import MINI

#: Simulations a move of the searched rung, and how many of the orders it plays.
SIMULATIONS, SEARCHED = 100, 1000


def strength(
    player: Player, orders: NDArray[np.int8], peers: dict[str, NDArray[np.int64]]
) -> dict[str, Any]:
    """Mean, interval and paired differences of a player on `orders` [N, C]."""
    began = time.perf_counter()
    scores = play_games(player, orders, game_keys(0, len(orders))).scores()
    seconds = time.perf_counter() - began
    found = estimate(scores)
    against = {}
    for name, theirs in peers.items():
        difference = paired_difference(scores, theirs[: len(scores)])
        against[name] = {"mean": round(difference.mean, 2), "ci95": _rounded(difference.ci95)}
    return {
        "games": len(orders),
        "mean": round(found.mean, 2),
        "ci95": _rounded(found.ci95),
        "games_per_second": round(len(orders) / seconds, 1),
        "against": against,
    }


def _rounded(interval: tuple[float, float]) -> list[float]:
    return [round(end, 2) for end in interval]


def exact_figures(evaluator: Evaluator) -> dict[str, Any]:
    """The exact expected score of policy and one ply on `mini`, and what they give away."""
    optimum = solve(MINI).optimum
    figures: dict[str, Any] = {"optimum": round(optimum, 3)}
    for player in (PolicyPlayer(evaluator), OnePlyPlayer(evaluator)):
        exact = expected_score(MINI, policy_of(player))
        figures[player.name] = {
            "expected": round(exact, 3),
            "regret": round(optimum - exact, 3),
            "share": round(exact / optimum, 4),
        }
    return figures


def read_peers(path: Path | None) -> dict[str, NDArray[np.int64]]:
    """Scores by player from a CSV with a column for each."""
    if path is None:
        return {}
    with path.open() as stream:
        rows = list(csv.DictReader(stream))
    return {name: np.array([int(row[name]) for row in rows]) for name in rows[0]}


def rows(figures: dict[str, Any]) -> list[str]:
    """The Markdown table of the figures."""
    if "optimum" in figures:
        head = [f"The optimum, by the exact solver, is {figures['optimum']} points.", ""]
        head += ["| player | expected score, exact | regret | share of the optimum |"]
        head += ["|---|---|---|---|"]
        return head + [
            f"| {name} | {f['expected']:.3f} | {f['regret']:.3f} | {100 * f['share']:.2f}% |"
            for name, f in figures.items()
            if name != "optimum"
        ]
    head = ["| player | games | mean score | 95% interval | against others on the same orders |"]
    head += ["|---|---|---|---|---|"]
    return head + [
        f"| {name} | {f['games']:,} | {f['mean']:.2f} | {f['ci95'][0]:.2f} to {f['ci95'][1]:.2f} | "
        + "; ".join(
            f"{peer} {d['mean']:+.2f} ({d['ci95'][0]:+.2f} to {d['ci95'][1]:+.2f})"
            for peer, d in f["against"].items()
        )
        + " |"
        for name, f in figures.items()
    ]


def origin(training: dict[str, Any]) -> str:
    """Where the weights come from, in a sentence or two."""
    played = "games of a teacher" if training.get("taught") else "games of self-play"
    if training.get("recorded"):
        played = "recorded games"
    said = (
        f"Trained with {training.get('games', 0):,} {played} in "
        f"{training.get('seconds', 0) / 60:.1f} minutes; the network of "
        f"round {training.get('round')}."
    )
    if before := training.get("begun_from"):
        said += (
            f" Its first weights are those of a run of {before['games']:,} games and "
            f"{before['seconds'] / 60:.1f} minutes."
        )
    return said


def markdown(name: str, card: ModelCard, sha256: str, figures: dict[str, Any]) -> str:
    """The card for people."""
    training, parameters = card.training, card.parameters
    count = sum(int(np.prod(p["shape"])) for p in parameters)
    lines = [
        f"# {name}",
        "",
        f"A network for `{card.variant.name}`: {card.network.get('trunk')} trunk, "
        f"{card.network.get('width')} wide, {card.network.get('blocks')} block(s), "
        f"{count:,} parameters in {len(parameters)} tensors."
        + (" A board and its half turn are judged." if card.network.get("half_turn") else ""),
        "",
        *rows(figures),
        "",
        f"{origin(training)} Through the export gate: "
        f"{'verified' if card.verified else 'UNVERIFIED'}.",
        "",
        "Input, outputs and their meaning: the contract in the README. It plays this variant and "
        "no other; the values are points to come under its own policy, not under perfect play.",
        "",
        f"sha256 `{sha256}`, made by azx {card.made_by.get('azx')} at commit "
        f"`{card.made_by.get('commit')}`. Figures: `python benchmarks/model_cards.py`, on the CPU.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure one model and write its card beside it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--orders", type=Path, help="orders to play, .npy")
    parser.add_argument("--peers", type=Path, help="others' scores on them, .csv")
    arguments = parser.parse_args()
    evaluator = open_model(arguments.model, provider="cpu")
    if evaluator.variant == MINI:
        figures = exact_figures(evaluator)
    else:
        if arguments.orders is None:
            parser.error(f"a model of {evaluator.variant.name} needs --orders")
        orders = read_orders(arguments.orders, evaluator.variant)
        peers = read_peers(arguments.peers)
        figures = {
            "policy": strength(PolicyPlayer(evaluator), orders, peers),
            "one-ply": strength(OnePlyPlayer(evaluator), orders, peers),
            f"mcts:{SIMULATIONS}": strength(
                SearchPlayer(evaluator, Budget(SIMULATIONS)), orders[:SEARCHED], peers
            ),
        }
    card, sha256 = evaluator.model.card, evaluator.model.sha256
    name = arguments.model.stem
    about = {k: v for k, v in card.to_json().items() if k not in ("golden", "parameters")}
    write_json(
        arguments.model.with_suffix(".json"), {"sha256": sha256, "figures": figures, "card": about}
    )
    write_text(arguments.model.with_suffix(".md"), markdown(name, card, sha256, figures))
    print("\n".join(rows(figures)))


if __name__ == "__main__":
    main()
