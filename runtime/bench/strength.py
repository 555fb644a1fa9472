"""How strong are players, on the same orders, and when is that known well enough?

Everyone plays the same orders, so players are compared game by game. Where there is a network, the
luck of the draws by its opinion is taken out of every score (`azx.runtime.review.luck_of`): that
leaves each mean where it is and says as much as several times the games.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from azx.runtime.errors import UsageError
from azx.runtime.evaluator import Evaluator
from azx.runtime.play import parts, play_games, play_part
from azx.runtime.players import (
    GreedyPlayer,
    Player,
    RandomPlayer,
    SearchPlayer,
    network_player,
)
from azx.runtime.records import Games
from azx.runtime.review import luck_of
from azx.runtime.rollouts import RolloutPlayer, Rollouts
from azx.runtime.search import Budget
from azx.runtime.search.room import games_that_fit
from azx.runtime.seeds import game_keys
from azx.runtime.stats import Estimate, estimate, paired_difference
from azx.runtime.variant import Variant

#: Games between two looks at whether the question is settled, and the fewest before the first.
BLOCK, FEWEST = 100, 200


@dataclass
class Entrant:
    """A player and what it did."""

    name: str
    player: Player
    model: str | None = None  # whose network it plays by
    rule: str = ""  # as it was asked for: policy, mcts:200
    scores: list[float] = field(default_factory=list)
    without_luck: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, games: Games, seconds: float, luck: NDArray[np.float64] | None) -> None:
        """Games that it played, and the `luck` [N] in them where a network says what that is."""
        scores = games.scores()
        self.seconds += seconds
        self.scores += scores.astype(float).tolist()
        if luck is not None:
            self.without_luck += (scores - luck).tolist()

    def to_json(self) -> dict[str, Any]:
        """Figures and every score."""
        return {
            "name": self.name,
            "model": self.model,
            "rule": self.rule,
            "simulations": self.simulations,
            "scores": self.scores,
            "without_luck": self.without_luck,
            "seconds": self.seconds,
            "mean": as_json(estimate(self.scores)),
            "mean_without_luck": as_json(estimate(self.telling)),
            "seconds_per_move": self.seconds / max(1, len(self.scores)) / self.player.variant.cells,
        }

    @property
    def simulations(self) -> int | None:
        """Of each move, or rollouts; None where nothing is searched or played out."""
        if isinstance(self.player, RolloutPlayer):
            return self.player.budget.count
        return self.player.budget.simulations if isinstance(self.player, SearchPlayer) else None

    @property
    def telling(self) -> list[float]:
        """The scores to compare by: without luck where there was a network to say what luck is."""
        return self.without_luck or self.scores


def as_json(found: Estimate) -> dict[str, Any]:
    """A mean with its 95% interval; no interval where there are too few games."""
    low, high = found.ci95 if np.isfinite(found.half_width) else (None, None)
    return {"mean": found.mean, "low": low, "high": high, "games": found.count}


def player_named(name: str, variant: Variant, evaluator: Evaluator | None) -> Player:
    """random, greedy, policy, one-ply, mcts:N or rollouts:N. `UsageError` for any other name."""
    if name == "random":
        return RandomPlayer(variant)
    if name == "greedy":
        return GreedyPlayer(variant)
    kind, _, number = name.partition(":")
    if evaluator is None or (kind, bool(number)) not in (
        ("policy", False),
        ("one-ply", False),
        ("mcts", True),
        ("rollouts", True),
    ):
        raise UsageError(
            f"no player {name!r}: there are policy, one-ply, mcts:N, rollouts:N, random and greedy"
        )
    if not number:
        return network_player(evaluator, None, kind == "one-ply")
    if not number.isdecimal() or int(number) < 1:
        raise UsageError(f"{kind} takes a number, like {kind}:200; found {name!r}")
    count = int(number)
    return network_player(evaluator, Rollouts(count) if kind == "rollouts" else Budget(count))


def play_all(
    entrants: Sequence[Entrant],
    orders: NDArray[np.int8],
    judge: Evaluator | None,
    until: float | None = None,
    progress: Callable[[int], None] = lambda games: None,
) -> str:
    """Let all `entrants` play `orders` int8 [N, C] block by block; why it ended, in words.

    With `until` it ends once every difference to the first entrant, or the mean of an only one, is
    known to that many points (half of the 95% interval). That looks at widths and never at who is
    ahead, so looking often favours nobody.

    A block is played in step, or in parts where the trees of all entrants would not fit in memory.
    Interrupted, they have played the same whole blocks.
    """
    keys = game_keys(0, len(orders))
    searching = sum(isinstance(entrant.player, SearchPlayer) for entrant in entrants)
    for entrant in entrants:
        play_part(entrant.player, orders[:1], keys[:1])  # compiles, and loads what is loaded late
    for part in parts(len(orders), BLOCK):
        block = []
        for entrant in entrants:
            in_step = _in_step(entrant.player, searching)
            start = time.perf_counter()
            games = play_games(entrant.player, orders[part], keys[part], batch=in_step)
            seconds = time.perf_counter() - start
            block.append((games, seconds, None if judge is None else luck_of(judge, games)))
        for entrant, played in zip(entrants, block, strict=True):  # all of them, or an interrupt
            entrant.add(*played)
        progress(part.stop - part.start)
        if until is not None and part.stop >= FEWEST and unsettled_by(entrants) <= until:
            return f"settled to {until:g} points after {part.stop} games"
    if until is not None:
        return f"not settled: ± {unsettled_by(entrants):.2f} after all {len(orders)} games"
    return f"all {len(orders)} games were played"


def _in_step(player: Player, searching: int) -> int:
    """How many games it plays at once, where `searching` players keep their trees in memory."""
    if not isinstance(player, SearchPlayer):
        return BLOCK
    room = games_that_fit(player.variant, player.budget.simulations, searching)
    return max(1, min(BLOCK, room))


def unsettled_by(entrants: Sequence[Entrant]) -> float:
    """Half of the widest interval, in points: of the differences to the first, or its mean."""
    first, *others = entrants
    if not others:
        return estimate(first.telling).half_width
    return max(pair(first, other).half_width for other in others)


def pair(first: Entrant, other: Entrant) -> Estimate:
    """The mean of other - first over the same orders."""
    return paired_difference(other.telling, first.telling)


def strength_section(
    entrants: Sequence[Entrant],
    orders: NDArray[np.int8],
    ended: str,
    others: dict[str, NDArray[np.float64]],
) -> dict[str, Any]:
    """What goes into the document: entrants, pairs, and others' scores on the same orders.

    `orders` int8 [N, C] are those offered; early stopping may have left the last ones unplayed.
    """
    played = len(entrants[0].scores)
    against = []
    for name, theirs in others.items():
        for entrant in entrants:
            difference = paired_difference(entrant.scores, theirs[:played])
            against.append({"name": entrant.name, "other": name, **as_json(difference)})
    return {
        "orders": {"offered": len(orders), "games": played, "sha256": orders_hash(orders)},
        "ended": ended,
        "entrants": [entrant.to_json() for entrant in entrants],
        "pairs": [
            {"first": entrants[0].name, "other": other.name, **as_json(pair(entrants[0], other))}
            for other in entrants[1:]
        ],
        "others": {name: theirs[:played].tolist() for name, theirs in others.items()},
        "against": against,
    }


def orders_hash(orders: NDArray[np.int8]) -> str:
    """Of all orders that were offered: where it is the same, so are the first that were played."""
    return hashlib.sha256(np.ascontiguousarray(orders).tobytes()).hexdigest()
