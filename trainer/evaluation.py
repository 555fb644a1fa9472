"""How strong the network is now, on the same orders every time, and what its values explain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from azx.runtime.evaluator import Evaluator
from azx.runtime.play import play_games
from azx.runtime.players import OnePlyPlayer, PolicyPlayer
from azx.runtime.records import Games
from azx.runtime.seeds import draw_orders, game_keys

#: Of the orders that runs are followed on: no run trains with this seed (they take 0 and up, and
#: seeds are mixed), and the orders of published comparisons are others again.
EVALUATION_SEED = 0x5EED_0E7A


@dataclass(frozen=True)
class Strength:
    """Scores on the evaluation orders, and how well the values foresaw the policy's games."""

    policy: NDArray[np.int32]  # [N] scores of the policy alone
    one_ply: NDArray[np.int32]  # [N] scores of gain + value
    explained: NDArray[np.float64]  # [C] share of the variance of the points to come, by turn
    bias: NDArray[np.float64]  # [C] points foreseen minus points made, by turn


def measure(
    evaluator: Evaluator, games: int, progress: Callable[[int], None] | None = None
) -> Strength:
    """Play `games` orders twice, by policy and by one ply; `progress` counts games."""
    keys = game_keys(EVALUATION_SEED, games)
    orders = draw_orders(evaluator.variant, keys)
    by_policy = play_games(PolicyPlayer(evaluator), orders, keys, progress)
    by_one_ply = play_games(OnePlyPlayer(evaluator), orders, keys, progress)
    explained, bias = explain(evaluator, by_policy)
    return Strength(by_policy.scores(), by_one_ply.scores(), explained, bias)


def explain(evaluator: Evaluator, games: Games) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Explained variance and bias [C] of the value before each move of `games`.

    1 - Var(made - foreseen) / Var(made), of the points made from there on. The draws' luck keeps it
    below 1, and it begins at 0: all games start from the same board.
    """
    gains = games.gains().astype(np.float64)
    made = gains[:, ::-1].cumsum(axis=1)[:, ::-1]
    boards = games.boards()[:, :-1]
    foreseen = np.stack(
        [evaluator.evaluate(boards[:, turn]).value for turn in range(boards.shape[1])], axis=1
    )
    error = made - foreseen
    variance = made.var(axis=0)
    explained = 1.0 - error.var(axis=0) / np.where(variance > 0, variance, 1.0)
    return np.where(variance > 0, explained, 0.0), -error.mean(axis=0)
