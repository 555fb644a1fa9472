"""How strong the network is now, on the same orders every time, and what its values explain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from azx.runtime.evaluator import Evaluator
from azx.runtime.play import Progress, parts, play_games
from azx.runtime.players import OnePlyPlayer, Player, PolicyPlayer
from azx.runtime.records import Games
from azx.runtime.seeds import draw_orders, game_keys
from azx.trainer.foresight import by_the_policy
from azx.trainer.parts import PART, Overall, each_long_part

#: Of the orders that runs are followed on. No run trains on them, whatever its seed: those of
#: training are marked (`azx.trainer.sources`). Published comparisons are on others again.
EVALUATION_SEED = 0x5EED_0E7A


@dataclass(frozen=True)
class Strength:
    """Scores on the evaluation orders, and how well the values foresaw the policy's games."""

    policy: NDArray[np.float32]  # [N] scores of the policy alone, without the luck of the draws
    one_ply: NDArray[np.float32]  # [N] the same of gain + value
    explained: NDArray[np.float64]  # [C] share of the variance of the points to come, by turn
    bias: NDArray[np.float64]  # [C] points foreseen minus points made, by turn


def measure(evaluator: Evaluator, games: int, progress: Overall | None = None) -> Strength:
    """Play `games` orders twice, by policy and by one ply; `progress` counts games."""
    keys = game_keys(EVALUATION_SEED, games)
    orders = draw_orders(evaluator.variant, keys)
    players = PolicyPlayer(evaluator), OnePlyPlayer(evaluator)

    def played(part: slice, told: Progress) -> list[_Played]:
        return [_played(player, evaluator, orders[part], keys[part], told) for player in players]

    found = each_long_part(played, parts(games, PART), len(players) * games, progress)
    policy, one_ply = (_Played.joined(of_player) for of_player in zip(*found, strict=True))
    return Strength(
        policy.scores_without_luck,
        one_ply.scores_without_luck,
        explained_variance(policy.to_come, policy.foreseen),
        (policy.foreseen - policy.to_come_without_luck).mean(axis=0),
    )


class _Played(NamedTuple):
    """What is kept of N games of a player."""

    to_come: NDArray[np.float64]  # [N, C] the points made from each move on
    to_come_without_luck: NDArray[np.float64]  # [N, C] less the luck of the draws from there on
    foreseen: NDArray[np.float32]  # [N, C] and what was expected of them

    @classmethod
    def joined(cls, played: Sequence[_Played]) -> _Played:
        """The games of all of `played`, in their order."""
        return cls(*(np.concatenate(column) for column in zip(*played, strict=True)))

    @property
    def scores_without_luck(self) -> NDArray[np.float32]:
        """[N], as a checkpoint keeps them: a resumed run compares the same numbers."""
        return self.to_come_without_luck[:, 0].astype(np.float32)


def _played(
    player: Player,
    evaluator: Evaluator,
    orders: NDArray[np.int8],
    keys: NDArray[np.uint64],
    told: Progress,
) -> _Played:
    games = play_games(player, orders, keys, told)
    foreseen, luck = look_back(evaluator, games)
    to_come = _from_each_on(games.gains())
    return _Played(to_come, to_come - _from_each_on(luck), foreseen)


def _from_each_on(by_turn: NDArray[np.generic]) -> NDArray[np.float64]:
    """[N, C]: the sum of each turn and all later ones."""
    return by_turn[:, ::-1].cumsum(axis=1, dtype=np.float64)[:, ::-1]


def look_back(
    evaluator: Evaluator, games: Games
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What was foreseen before each draw of `games` [N, C], and what the draw changed of it [N, C].

    The second is luck: its mean is zero whoever plays, for all tiles left are equally likely and
    what is foreseen is their mean. Taking it off a score leaves the mean as it is and most of the
    spread out (see `azx.runtime.review`): seven times as many games would say as much.
    """
    boards = games.boards()
    foreseen = np.empty(games.cells.shape, dtype=np.float32)
    luck = np.empty_like(foreseen)
    for turn in range(games.cells.shape[1]):
        before = np.ascontiguousarray(boards[:, turn])
        by_tile, foreseen[:, turn] = by_the_policy(evaluator, before)
        drawn = games.orders[:, turn].astype(np.int64)
        luck[:, turn] = by_tile[np.arange(len(drawn)), drawn] - foreseen[:, turn]
    return foreseen, luck


def explained_variance(
    made: NDArray[np.float64], foreseen: NDArray[np.float32]
) -> NDArray[np.float64]:
    """[C]: of the points made from each move on [N, C], the share that was `foreseen` [N, C].

    1 - Var(made - foreseen) / Var(made). The draws' luck keeps it below 1, and it begins at 0: all
    games start from the same board.
    """
    variance = made.var(axis=0)
    explained = 1.0 - (made - foreseen).var(axis=0) / np.where(variance > 0, variance, 1.0)
    return np.where(variance > 0, explained, 0.0)
