"""Where rounds of games come from: the network's own play, a teacher's, or a record."""

from __future__ import annotations

from functools import partial
from typing import Protocol

import numpy as np
import torch

from azx.runtime.errors import UsageError
from azx.runtime.evaluator import Evaluator
from azx.runtime.play import Progress, parts
from azx.runtime.records import Games
from azx.runtime.search.room import check_room
from azx.runtime.seeds import game_keys
from azx.runtime.variant import variant_named
from azx.trainer.config import TrainConfig
from azx.trainer.parts import PART, Overall, each_long_part, each_part
from azx.trainer.samples import Samples, samples_of
from azx.trainer.schedule import exploration, lambda_at
from azx.trainer.selfplay import Round, judge, play_round, search_round, whole_corrections

#: Keeps the games of training apart from those that any other use of the same seed would draw.
TRAINING = 1 << 62


class Source(Protocol):
    """Gives the samples of a round, which depend on the config, the round and the network alone."""

    def samples(self, index: int, progress: Overall | None) -> tuple[Samples, Games]:
        """Round `index` of a stage, from 0: what to learn from it, and its games."""
        ...


class Played:
    """A network plays, the one that learns or a teacher, exploring less as the stage goes on.

    With `lesson`, what it says of all tiles and cells is to be learnt too.
    """

    def __init__(self, config: TrainConfig, evaluator: Evaluator, lesson: bool) -> None:
        self.config, self.evaluator, self.lesson = config, evaluator, lesson

    def samples(self, index: int, progress: Overall | None) -> tuple[Samples, Games]:
        """New games, with keys that no other round of this seed has."""
        settings = self.config.selfplay
        share = index / self.config.rounds
        count = settings.games_per_round
        keys = game_keys(self.config.seed ^ TRAINING, count, first=index * count)
        explore = exploration(settings, share)
        simulations = settings.simulations

        def play(games: slice, told: Progress) -> Round:
            part, turn_played = keys[games], partial(told, 1)
            if simulations:
                return search_round(
                    self.evaluator, part, explore.share, simulations, self.lesson, turn_played
                )
            looks = settings.candidates, settings.other_tiles, settings.by_lot
            return play_round(self.evaluator, part, explore, *looks, self.lesson, turn_played)

        of_keys = parts(count, PART)
        turns = len(of_keys) * self.evaluator.variant.cells
        played = Round.joined(each_long_part(play, of_keys, turns, progress))
        return samples_of(played, lambda_at(self.config.learning, share)), played.games


def check_trees(config: TrainConfig) -> None:
    """`UsageError` where the trees of the games that are played at once have no room."""
    settings = config.selfplay
    if settings.simulations:
        at_once = min(settings.games_per_round, torch.get_num_threads() * PART)
        check_room(variant_named(config.variant), (at_once, settings.simulations))


def taught(config: TrainConfig, teacher: Evaluator) -> Played:
    """A teacher plays instead, and what it says of every tile and cell is the lesson."""
    if teacher.variant.name != config.variant:
        raise UsageError(
            f"the teacher plays {teacher.variant.name}, the run is for {config.variant}"
        )
    return Played(config, teacher, lesson=True)


class Recorded:
    """The same games every round: their moves are the policy's target, their points q's."""

    def __init__(self, games: Games, evaluator: Evaluator) -> None:
        if games.variant != evaluator.variant:
            raise UsageError(
                f"the recorded games are of {games.variant.name}, the run is for "
                f"{evaluator.variant.name}"
            )
        self.games, self.evaluator = games, evaluator

    def samples(self, index: int, progress: Overall | None) -> tuple[Samples, Games]:
        """Returns without bootstrapping; the luck in them as the network now sees it."""
        games = self.games
        of_games = [games.part(rows) for rows in parts(len(games), PART)]
        judged = zip(*each_part(partial(judge, self.evaluator), of_games), strict=True)
        values, luck = (np.concatenate(of_parts) for of_parts in judged)
        policy = games.policy
        if policy is None:
            policy = np.eye(games.variant.cells, dtype=np.float16)[games.cells]
        played = Round.empty(games, 0, policy.astype(np.float32), keep_q=False)
        played.values[:], played.luck[:] = values, luck
        played.correction[:] = whole_corrections(played)
        return samples_of(played, lam=1.0), games


def split(games: Games, held_out: float = 0.1) -> tuple[Games, Games]:
    """The games to learn from, and the last share of them to check against."""
    cut = len(games) - max(1, round(len(games) * held_out))
    if cut < 1:
        raise UsageError(f"{len(games)} recorded game is too few to learn from and check against")
    return games.part(slice(0, cut)), games.part(slice(cut, None))
