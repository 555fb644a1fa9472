"""A run in progress: a round of games, steps on what is remembered, now and then a measurement."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from azx.runtime.errors import RunError, UsageError
from azx.runtime.records import Games
from azx.runtime.stats import estimate
from azx.runtime.variant import variant_named
from azx.trainer.checkpoint import (
    OTHER_VERSION,
    Checkpoint,
    LoadedNetwork,
    restore,
    save_best,
    save_last,
)
from azx.trainer.config import TrainConfig
from azx.trainer.evaluation import measure
from azx.trainer.growth import grow
from azx.trainer.initialise import initialise
from azx.trainer.learner import Learner, Losses, choose_precision, losses, optimizers_of
from azx.trainer.network import PolicyValueNetwork
from azx.trainer.parts import PART, each_part
from azx.trainer.preflight import Preflight
from azx.trainer.samples import Replay, Samples
from azx.trainer.sources import Played, Recorded, Source, check_trees, split, taught
from azx.trainer.standing import Standing
from azx.trainer.teacher import Teacher
from azx.trainer.torch_evaluator import TorchEvaluator
from azx.trainer.watchdog import Watchdog


class Reporter(Protocol):
    """Whoever shows how the run goes."""

    def begins(self, done: int, of: int) -> None:
        """It sets out, with so many of its rounds done."""

    def passed(self, found: Preflight) -> None:
        """The network is alive and learning begins."""

    def step(self, what: str, done: int, of: int) -> None:
        """`what` is under way: `done` of `of`."""

    def round(self, metrics: dict[str, Any], config: TrainConfig) -> None:
        """A round is over; its metrics, those of an evaluation among them where there was one."""


class Training:
    """All that a checkpoint holds, and what is done with it."""

    def __init__(
        self,
        config: TrainConfig,
        run: Path,
        games: Games | None,
        teacher: Teacher | None,
    ) -> None:
        """Make the network from the config's seed; it learns from `games`, `teacher` or itself."""
        self.config, self.run, self.teacher = _settled(config), run, teacher
        self.games: Games | None = None
        self.held_out: Games | None = None
        if games is not None:
            self.games, self.held_out = split(games)
        network = PolicyValueNetwork(variant_named(config.variant), config.network)
        initialise(network, config.seed, network.heads)
        for stage in self.config.stages:  # what does not fit must not show after hours
            optimizers_of(network, stage.learning, choose_precision(stage.learning.precision))
            if games is None:
                check_trees(stage)
        self.standing = Standing()
        self._begin_stage(0, network)
        self.round = 0
        self.games_seen = 0
        self.seconds = 0.0
        # Recorded games teach what their own moves are worth, and one ply asks about all moves.
        self.judged_by = "policy" if self.held_out is not None else "one ply"
        self.begun_from: dict[str, Any] | None = None  # where the run before this one stood

    @property
    def over(self) -> bool:
        """Whether there is no round to come."""
        return self.standing.stands_still or self.round >= self.config.rounds_in_all

    @property
    def at_the_end_of_a_stage(self) -> bool:
        """Whether the next round is another stage's, or none."""
        return self.round == self.stage_began + self.stage.rounds

    def _begin_stage(self, index: int, network: PolicyValueNetwork) -> None:
        """Be ready for the first round of the stage `index`, with nothing remembered."""
        stages = self.config.stages
        self.stage_index, self.stage = index, stages[index]
        self.standing.begin_stage()
        self.stage_began = sum(stage.rounds for stage in stages[:index])  # rounds before it
        precision = choose_precision(self.stage.learning.precision)
        self.learner = Learner(network, self.stage.learning, precision)
        self.replay = Replay(self.stage.learning.replay_rounds)
        evaluator = TorchEvaluator(self.learner.average, precision)
        self.source: Source
        if self.games is not None:
            self.source = Recorded(self.games, evaluator)
        elif self.teacher is not None:
            self.source = taught(self.stage, self.teacher.evaluator(precision))
        else:
            self.source = Played(self.stage, evaluator, lesson=self.stage.learning.hold_q)

    def begin_from(self, other: LoadedNetwork) -> None:
        """Take the weights of a network that was trained before, grown to this run's size.

        `UsageError` where they do not fit, or where it has played the deals of a seed of this run.
        """
        for network in (self.learner.network, self.learner.average):
            grow(network, other.network)
        self.begun_from = {"config": other.config.to_json(), **other.info}
        if self.games is None:
            _refuse_deals_again(self.config, self.begun_from)

    def go_back_to(self, checkpoint: Checkpoint) -> None:
        """Stand where the run stood then; `RunError` where the checkpoint lacks something."""
        info = checkpoint.info
        numbers = [info["round"], info["games"], info["seconds"]]
        if not all(isinstance(n, int | float) and n >= 0 for n in numbers):
            raise RunError(f"{checkpoint.path} says it stood at {numbers}: {OTHER_VERSION}")
        if info["round"] > self.config.rounds_in_all:
            raise RunError(
                f"{checkpoint.path} is of round {info['round']}, and its config has "
                f"{self.config.rounds_in_all}: it was changed meanwhile"
            )
        ends = np.cumsum([stage.rounds for stage in self.config.stages])
        index = int((ends < info["round"]).sum())
        if index != self.stage_index:
            self._begin_stage(index, self.learner.network)
        restore(checkpoint, self.learner, self.replay)
        self.round, self.games_seen, self.seconds = info["round"], info["games"], info["seconds"]
        try:
            self.standing = Standing.from_info(info)
            by_stage = len(self.standing.history) == index + 1
        except (TypeError, ValueError):
            by_stage = False
        if not by_stage:
            raise RunError(f"{checkpoint.path} has no scores by stage: {OTHER_VERSION}")
        self.begun_from = info["begun_from"]

    def info(self) -> dict[str, Any]:
        """Where the run stands."""
        return {
            "round": self.round,
            "games": self.games_seen,
            "seconds": round(self.seconds, 1),
            **self.standing.info(),
            "recorded": self.held_out is not None,
            "taught": self.teacher is not None,
            "begun_from": self.begun_from,
        }

    def save(self) -> None:
        """Write the checkpoint to resume from."""
        info = {**self.info(), "history": self.standing.scores()}
        save_last(self.run, self.config, info, self.learner, self.replay)

    def play_and_learn(self, watchdog: Watchdog, reporter: Reporter) -> dict[str, Any]:
        """One round; returns its metrics."""
        if self.at_the_end_of_a_stage:
            network = self.learner.network
            network.load_state_dict(self.learner.average.state_dict())
            self._begin_stage(self.stage_index + 1, network)
        config, index_in_stage = self.stage, self.round - self.stage_began
        began = time.perf_counter()
        samples, games = self.source.samples(
            index_in_stage, lambda done, of: reporter.step("playing", done, of)
        )
        self.replay.add(samples)
        self.games_seen += len(games)
        played = time.perf_counter()
        remembered = self.replay.all()
        size = min(config.learning.batch_size, len(remembered))
        steps = max(1, round(len(samples) * config.learning.passes / size))
        rng = np.random.default_rng((config.seed, 1, index_in_stage))
        reports = []
        for index, rows in enumerate(_batches(len(remembered), steps, size, rng)):
            self.learner.set_rate((index_in_stage + index / steps) / config.rounds)
            report = self.learner.step(remembered.take(rows, rng.random(size) < 0.5))
            watchdog.watch(report)
            reports.append(report)
            reporter.step("learning", index + 1, steps)
        self.round += 1
        took = time.perf_counter() - began
        self.seconds += took
        return {
            "round": self.round,
            "stage": self.stage_index + 1,
            "games": self.games_seen,
            "seconds": round(self.seconds, 2),
            "score": float(games.scores().mean()),
            **_mean_losses([report.losses for report in reports]),
            "gradient_norm": float(np.mean([report.gradient_norm for report in reports])),
            "seconds_playing": round(played - began, 3),
            "seconds_learning": round(took - (played - began), 3),
        }

    def evaluate(self, reporter: Reporter) -> dict[str, Any]:
        """Measure the averaged weights, keep them where they are the best; the metrics."""
        settings = self.stage.evaluation
        found = measure(
            TorchEvaluator(self.learner.average),
            settings.games,
            lambda done, of: reporter.step("evaluating", done, of),
        )
        policy, one_ply = estimate(found.policy), estimate(found.one_ply)
        judged = found.one_ply if self.judged_by == "one ply" else found.policy
        metrics = {
            "policy": policy.mean,
            "policy_ci": policy.half_width,
            "one_ply": one_ply.mean,
            "one_ply_ci": one_ply.half_width,
            "explained": [round(float(share), 4) for share in found.explained],
            "bias": [round(float(points), 2) for points in found.bias],
        }
        if self.held_out is not None:
            metrics |= self._held_out_losses(self.held_out)
        if self.standing.add(judged, self.round, settings):
            info = {**self.info(), **metrics, "evaluated_games": settings.games}
            save_best(self.run, self.config, info, self.learner.average)
        return metrics

    def _held_out_losses(self, games: Games) -> dict[str, float]:
        """The losses on games that are not learnt from."""
        network = self.learner.average
        samples, _ = Recorded(games, TorchEvaluator(network)).samples(self.round, None)
        temperature = self.stage.learning.temperature

        def of_part(part: Samples) -> Losses:
            with torch.inference_mode():
                return losses(network, network(torch.from_numpy(part.boards)), part, temperature)

        cut = samples.parts(PART)
        means = _mean_losses(each_part(of_part, cut), [len(part) for part in cut])
        return {f"held_out_{name}": value for name, value in means.items()}


def _settled(config: TrainConfig) -> TrainConfig:
    """With what a precision of `auto` comes to on this machine: elsewhere it goes on the same."""

    def settled(stage: TrainConfig) -> TrainConfig:
        precision = str(choose_precision(stage.learning.precision)).removeprefix("torch.")
        return replace(stage, learning=replace(stage.learning, precision=precision))

    return replace(settled(config), then=tuple(settled(stage) for stage in config.then))


def _refuse_deals_again(config: TrainConfig, begun_from: dict[str, Any]) -> None:
    """`UsageError` where a stage would play deals that the weights have been through."""
    played = _seeds_played(begun_from)
    again = [stage.seed for stage in config.stages if stage.seed in played]
    if not again:
        return
    free = max(played) + 1
    what_to_do = f"--set seed={free}"
    if config.seed not in again:
        what_to_do = f"give the later stages seeds from {free} on, in a TOML file of your own"
    elif len(again) > 1:
        what_to_do += f", and later stages seeds from {free + 1} on, in a TOML file of your own"
    raise UsageError(
        f"the run to begin from has played the deals of seed {', '.join(map(str, again))} "
        f"already; for other games {what_to_do}"
    )


def _seeds_played(begun_from: dict[str, Any] | None) -> set[int]:
    """Of all the runs that the weights have come through; none of recorded games."""
    played: set[int] = set()
    while begun_from is not None:
        config, rounds = begun_from["config"], begun_from["round"]
        for stage in (config, *config.get("then", ())):
            if rounds > 0 and stage.get("learns_from") != "games":
                played.add(stage["seed"])
            rounds -= stage["rounds"]
        begun_from = begun_from.get("begun_from")
    return played


def _mean_losses(found: list[Losses], weights: list[int] | None = None) -> dict[str, float]:
    """Means by name, of losses that count as `weights` say."""
    columns = zip(*found, strict=True)
    return {
        name: float(np.average([float(loss) for loss in column], weights=weights))
        for name, column in zip(Losses._fields, columns, strict=True)
    }


def _batches(
    count: int, steps: int, size: int, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """`steps` batches of `size` rows, none twice before all have come that fill whole batches."""
    order = rng.permutation(count)
    at = 0
    for _ in range(steps):
        if at + size > count:
            order, at = rng.permutation(count), 0
        yield order[at : at + size]
        at += size
