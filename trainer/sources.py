"""Where rounds of games come from: the network's own play, a teacher's, or a record."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from azx.runtime.errors import UsageError
from azx.runtime.evaluator import Evaluator
from azx.runtime.records import Games
from azx.runtime.search.room import check_room
from azx.runtime.seeds import game_keys
from azx.trainer.config import TrainConfig
from azx.trainer.foresight import q_of
from azx.trainer.parts import PART, each_part, parts_of, play_in_parts
from azx.trainer.samples import Samples, samples_of
from azx.trainer.schedule import exploration, lambda_at
from azx.trainer.selfplay import Progress, Round, judge, play_round, search_round, whole_corrections

#: Keeps the games of training apart from those that any other use of the same seed would draw.
TRAINING = 1 << 62


class Source(Protocol):
    """Gives the samples of a round, which depend on the config, the round and the network alone."""

    def samples(self, index: int, progress: Progress | None) -> tuple[Samples, Games]:
        """Round `index`, from 0: what to learn from it, and its games."""
        ...


class SelfPlay:
    """The network plays itself, exploring less as the run goes on."""

    def __init__(self, config: TrainConfig, evaluator: Evaluator) -> None:
        self.config, self.evaluator = config, evaluator

    def samples(self, index: int, progress: Progress | None) -> tuple[Samples, Games]:
        """New games, with keys that no other round has."""
        settings = self.config.selfplay
        share = index / self.config.rounds
        count = settings.games_per_round
        keys = game_keys(self.config.seed ^ TRAINING, count, first=index * count)
        explore = exploration(settings, share)
        simulations = settings.simulations
        if simulations:  # each part makes sure of its own room alone
            at_once = min(count, torch.get_num_threads() * PART)
            check_room(self.evaluator.variant, at_once, simulations)

        def play(part: NDArray[np.uint64], told: Progress) -> Round:
            if simulations:
                return search_round(self.evaluator, part, explore.share, simulations, told)
            looks = settings.candidates, settings.other_tiles
            return play_round(self.evaluator, part, explore, *looks, told)

        played = play_in_parts(play, keys, progress)
        return samples_of(played, lambda_at(self.config.learning, share)), played.games


class Taught:
    """A teacher plays instead, and says of every tile and cell what it thinks of them."""

    def __init__(self, config: TrainConfig, teacher: Evaluator) -> None:
        if teacher.variant.name != config.variant:
            raise UsageError(
                f"the teacher plays {teacher.variant.name}, the run is for {config.variant}"
            )
        self.teacher, self.play = teacher, SelfPlay(config, teacher)

    def samples(self, index: int, progress: Progress | None) -> tuple[Samples, Games]:
        """The teacher's games as it would learn from them itself, with its q beside."""
        samples, games = self.play.samples(index, progress)
        return replace(samples, lesson=self._lesson(samples.boards)), games

    def _lesson(self, boards: NDArray[np.int8]) -> NDArray[np.float16]:
        """The teacher's q of `boards` [M, C], [M, T, C]."""

        def of_part(part: NDArray[np.int8]) -> NDArray[np.float16]:
            return q_of(self.teacher.evaluate(part)).astype(np.float16)

        return np.concatenate(each_part(of_part, parts_of(boards)))


class Recorded:
    """The same games every round: their moves are the policy's target, their points q's."""

    def __init__(self, games: Games, evaluator: Evaluator) -> None:
        if games.variant != evaluator.variant:
            raise UsageError(
                f"the recorded games are of {games.variant.name}, the run is for "
                f"{evaluator.variant.name}"
            )
        self.games, self.evaluator = games, evaluator

    def samples(self, index: int, progress: Progress | None) -> tuple[Samples, Games]:
        """Returns without bootstrapping; the luck in them as the network now sees it."""
        games = self.games
        values, luck = judge(self.evaluator, games)
        policy = games.policy
        if policy is None:
            policy = np.eye(games.variant.cells, dtype=np.float16)[games.cells]
        played = Round.empty(games, 0, policy.astype(np.float32))
        played.values[:], played.luck[:] = values, luck
        played.correction[:] = whole_corrections(played)
        return samples_of(played, lam=1.0), games


def split(games: Games, held_out: float = 0.1) -> tuple[Games, Games]:
    """The games to learn from, and the last share of them to check against."""
    cut = len(games) - max(1, round(len(games) * held_out))
    if cut < 1:
        raise UsageError(f"{len(games)} recorded game is too few to learn from and check against")
    return games.part(slice(0, cut)), games.part(slice(cut, None))
