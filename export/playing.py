"""Games of an exported graph: boards to calibrate on, and whether another form plays as well."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from azx.runtime.evaluator import has_q
from azx.runtime.modelfile import ModelCard, seal
from azx.runtime.onnx_evaluator import OnnxEvaluator, open_model
from azx.runtime.play import play_games
from azx.runtime.players import OnePlyPlayer, Player, PolicyPlayer
from azx.runtime.review import luck_of
from azx.runtime.seeds import draw_orders, game_keys
from azx.runtime.stats import estimate, paired_difference
from azx.runtime.variant import Variant
from azx.runtime.verify import Check

#: Orders that both play, drawn from a seed that nothing else uses.
GAMES, SEED = 400, 0x91A7

#: Games whose boards int8 is calibrated on.
OWN_GAMES, OWN_SEED = 40, 0x0B0A

#: The share of the score that may be lost: all of the 95% interval must lie above it.
MAY_LOSE = 0.01


def own_boards(graph: bytes, variant: Variant) -> NDArray[np.int8]:
    """int8 [N, C]: every board of some games that the policy of `graph` plays."""
    keys = game_keys(OWN_SEED, OWN_GAMES)
    with tempfile.TemporaryDirectory() as folder:
        player = PolicyPlayer(_opened(Path(folder) / "own.onnx", graph, variant))
        games = play_games(player, draw_orders(variant, keys), keys)
    return np.ascontiguousarray(games.boards().reshape(-1, variant.cells))


def play_checks(original: bytes, other: bytes, variant: Variant) -> list[Check]:
    """Policy and one ply by the graphs `original` and `other`: what the second loses in pairs.

    The draws' luck, as the original sees it, is taken out of both scores where it has the q that
    says what luck is; that leaves their means and narrows the interval (`azx.runtime.review`).
    """
    keys = game_keys(SEED, GAMES)
    orders = draw_orders(variant, keys)
    with tempfile.TemporaryDirectory() as folder:
        first, second = (
            _opened(Path(folder) / name, graph, variant)
            for name, graph in (("original.onnx", original), ("other.onnx", other))
        )

        def scores(player: Player) -> NDArray[np.float64]:
            games = play_games(player, orders, keys)
            made = games.scores().astype(np.float64)
            return made - luck_of(first, games) if has_q(first) else made

        return [
            _check(kind.name, scores(kind(second)), scores(kind(first)), has_q(first))
            for kind in (PolicyPlayer, OnePlyPlayer)
        ]


def _opened(path: Path, graph: bytes, variant: Variant) -> OnnxEvaluator:
    path.write_bytes(seal(graph, ModelCard(variant)))
    return open_model(path, variant, provider="cpu", allow_unverified=True)


def _check(
    name: str, now: NDArray[np.float64], before: NDArray[np.float64], luck_out: bool
) -> Check:
    lost = paired_difference(now, before)
    limit = -MAY_LOSE * float(before.mean())
    low, high = lost.ci95
    says = (
        f"{estimate(now)} points against {estimate(before)} in {len(now)} games"
        f"{', luck out' if luck_out else ''}; "
        f"in pairs {lost.mean:+.2f} ({low:+.2f} to {high:+.2f}), allowed {limit:+.2f}"
    )
    figures = {
        "games": len(now),
        "mean": float(now.mean()),
        "mean_float32": float(before.mean()),
        "difference": lost.mean,
        "ci95": [low, high],
        "allowed": limit,
    }
    return Check(f"play {name}", low >= limit, says, figures)
