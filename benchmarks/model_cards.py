"""Measure a model file on every rung and write its card: Markdown for people, JSON for programs.

    python benchmarks/search_ladder.py models/standard.onnx --orders eval_orders.npy \
        --rungs 0:10000 400:2000 --out ladder.json
    python benchmarks/model_cards.py models/standard.onnx --orders eval_orders.npy \
        --peers eval_peers.csv --ladder ladder.json
    python benchmarks/model_cards.py models/mini.onnx

For `standard`: the mean score on the orders, the same with the luck of the draws taken out (which
leaves the mean as it is: docs/review.md), and the paired difference to other players' scores on the
same orders. What the card already says of the same model is kept, unless it is measured anew or
dropped: `--drop rollouts:400` after a change of rollouts. For `mini`: the exact expected score
beside the optimum.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from measured import measured_here
from numpy.typing import NDArray
from search_ladder import shown_name

from azx.runtime.bench.scores import read_scores
from azx.runtime.bench.strength import orders_hash
from azx.runtime.evaluator import Evaluator
from azx.runtime.files import write_json, write_text
from azx.runtime.modelfile import ModelCard
from azx.runtime.onnx_evaluator import open_model
from azx.runtime.play import play_games
from azx.runtime.players import OnePlyPlayer, PolicyPlayer
from azx.runtime.records import read_orders
from azx.runtime.review import luck_of
from azx.runtime.seeds import game_keys
from azx.runtime.solver import expected_score, policy_of, solve
from azx.runtime.stats import estimate, paired_difference
from azx.runtime.variant import MINI


def strength(
    scores: NDArray[np.float64],
    without_luck: NDArray[np.float64],
    seconds: float,
    peers: dict[str, NDArray[np.int64]],
    measured: dict[str, str],
) -> dict[str, Any]:
    """What is said of a player by its scores [N] on the first N orders, which took `seconds`.

    `measured` says where that was.
    """
    found, luck_out = estimate(scores), estimate(without_luck)
    against = {}
    for name, theirs in peers.items():
        difference = paired_difference(scores, theirs[: len(scores)])
        against[name] = {"mean": round(difference.mean, 2), "ci95": _rounded(difference.ci95)}
    return {
        "games": len(scores),
        "mean": round(found.mean, 2),
        "ci95": _rounded(found.ci95),
        "without_luck": {"mean": round(luck_out.mean, 2), "ci95": _rounded(luck_out.ci95)},
        "games_per_second": float(f"{len(scores) / seconds:.4g}"),
        "against": against,
        "measured": measured,
    }


def policy_strength(
    evaluator: Evaluator, orders: NDArray[np.int8], peers: dict[str, NDArray[np.int64]]
) -> dict[str, Any]:
    """Of the policy alone, played here."""
    began = time.perf_counter()
    games = play_games(PolicyPlayer(evaluator), orders, game_keys(0, len(orders)))
    seconds = time.perf_counter() - began
    scores = games.scores().astype(np.float64)
    return strength(scores, scores - luck_of(evaluator, games), seconds, peers, measured_here())


def ladder_strength(
    path: Path, sha256: str, orders: NDArray[np.int8], peers: dict[str, NDArray[np.int64]]
) -> dict[str, dict[str, Any]]:
    """Of one ply and of search, as `search_ladder.py` played them on these `orders` [N, C]."""
    found: dict[str, Any] = json.loads(path.read_text())
    if found["sha256"] != sha256:
        raise SystemExit(f"{path} is of another model: {found['sha256'][:12]}, not {sha256[:12]}")
    if found["orders_sha256"] != orders_hash(orders):
        raise SystemExit(f"{path} is of other orders: nothing is in pairs with --peers")
    return {
        shown_name(name): strength(
            np.array(rung["score"]),
            np.array(rung["without_luck"]),
            sum(rung["seconds"]),
            peers,
            rung["measured"],
        )
        for name, rung in found["rungs"].items()
    }


def _rounded(interval: tuple[float, float]) -> list[float]:
    return [round(end, 2) for end in interval]


def _said(figure: dict[str, Any]) -> str:
    low, high = figure["ci95"]
    return f"{figure['mean']:.2f} ({low:.2f} to {high:.2f})"


def origin_of(figure: dict[str, Any]) -> str:
    """The commit and the processor that a figure was measured with, for people."""
    where = figure.get("measured")  # cards of before do not say
    return f"`{where['commit']}`, {where['processor']}" if where else ""


def figures_of_before(card: Path, sha256: str, dropped: list[str]) -> dict[str, Any]:
    """What `card` says of the model of this hash, but for the players that are `dropped`."""
    if not card.exists():
        return {}
    found: dict[str, Any] = json.loads(card.read_text())
    if found["sha256"] != sha256:
        return {}
    return {name: figure for name, figure in found["figures"].items() if name not in dropped}


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


def read_peers(path: Path | None, games: int) -> dict[str, NDArray[np.int64]]:
    """Others' whole scores [games] by player; none without a file."""
    found = read_scores(path, games) if path is not None else {}
    return {name: scores[:games].astype(np.int64) for name, scores in found.items()}


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
    head = [
        "| player | games | mean score, 95% interval | luck taken out | against others in pairs "
        "| measured at |",
        "|---|---|---|---|---|---|",
    ]
    return head + [
        f"| {name} | {f['games']:,} | {_said(f)} | {_said(f['without_luck'])} | "
        + "; ".join(
            f"{peer} {d['mean']:+.2f} ({d['ci95'][0]:+.2f} to {d['ci95'][1]:+.2f})"
            for peer, d in f["against"].items()
        )
        + f" | {origin_of(f)} |"
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
    runs = []
    while training := training.get("begun_from") or {}:
        runs.append(f"{training['games']:,} games in {training['seconds'] / 60:.1f} minutes")
    if runs:
        said += f" It began with the weights of a run of {', and that of one of '.join(runs)}."
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
        + (" It looks at a board and at its half turn." if card.network.get("half_turn") else "")
        + (f" Kept in {card.precision} form." if card.precision != "float32" else ""),
        "",
        *rows(figures),
        "",
        f"{origin(training)} Through the export gate: "
        f"{'verified' if card.verified else 'UNVERIFIED'}.",
        "",
        "Input, outputs and their meaning: the contract in the README. It plays this variant and "
        "no other; the values are points to come under its own policy, not under perfect play.",
        "",
        f"Its own hash `{sha256}` (SHA-256 of all bytes but the entry that holds it, so "
        f"`sha256sum` gives another; `azx verify` checks it), made by azx "
        f"{card.made_by.get('azx')} at commit `{card.made_by.get('commit')}`. Figures: "
        "`python benchmarks/model_cards.py`, on the CPU.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure one model and write its card beside it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--orders", type=Path, help="orders to play, .npy")
    parser.add_argument("--peers", type=Path, help="others' scores on them, .csv")
    parser.add_argument("--ladder", type=Path, help="what search_ladder.py wrote for this model")
    parser.add_argument("--drop", nargs="*", default=[], metavar="PLAYER", help="no longer true")
    arguments = parser.parse_args()
    evaluator = open_model(arguments.model, provider="cpu")
    card_file = arguments.model.with_suffix(".json")
    if evaluator.variant == MINI:
        figures = exact_figures(evaluator)
    else:
        if arguments.orders is None:
            parser.error(f"a model of {evaluator.variant.name} needs --orders")
        orders = read_orders(arguments.orders, evaluator.variant)
        peers = read_peers(arguments.peers, len(orders))
        figures = figures_of_before(card_file, evaluator.model.sha256, arguments.drop)
        figures |= {"policy": policy_strength(evaluator, orders, peers)}
        if arguments.ladder:
            figures |= ladder_strength(arguments.ladder, evaluator.model.sha256, orders, peers)
    card, sha256 = evaluator.model.card, evaluator.model.sha256
    name = arguments.model.stem
    about = {k: v for k, v in card.to_json().items() if k not in ("golden", "parameters")}
    write_json(card_file, {"sha256": sha256, "figures": figures, "card": about})
    write_text(arguments.model.with_suffix(".md"), markdown(name, card, sha256, figures))
    print("\n".join(rows(figures)))


if __name__ == "__main__":
    main()
