"""The training loop: a round of games, steps on what is remembered, now and then a measurement."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from azx.runtime.errors import RunError, UsageError
from azx.runtime.files import write_json
from azx.runtime.records import Games, read_games, write_games
from azx.runtime.stats import estimate, paired_difference
from azx.runtime.variant import variant_named
from azx.trainer.checkpoint import (
    LoadedNetwork,
    load_network,
    read_checkpoint,
    read_info,
    restore,
    save_best,
    save_last,
)
from azx.trainer.config import TrainConfig
from azx.trainer.evaluation import Strength, measure
from azx.trainer.growth import grow
from azx.trainer.initialise import initialise
from azx.trainer.journal import Journal, layer_statistics
from azx.trainer.learner import Learner, Losses, choose_precision, losses
from azx.trainer.network import PolicyValueNetwork
from azx.trainer.preflight import Preflight, preflight
from azx.trainer.samples import Replay
from azx.trainer.sources import Played, Recorded, Source, split, taught
from azx.trainer.stopping import standing_still
from azx.trainer.teacher import Teacher, kept_teacher, read_teacher
from azx.trainer.torch_evaluator import TorchEvaluator
from azx.trainer.watchdog import Watchdog

#: Seconds between checkpoints: what a kill costs at most, beside the round it interrupts.
SAVE_EVERY = 30.0

#: In the run's folder: the recorded games that it learns from.
GAMES = "games.npz"


class Reporter(Protocol):
    """Whoever shows how the run goes."""

    def passed(self, found: Preflight) -> None:
        """The network is alive and learning begins."""

    def step(self, what: str, done: int, of: int) -> None:
        """`what` is under way: `done` of `of`."""

    def round(self, metrics: dict[str, Any], config: TrainConfig) -> None:
        """A round is over; its metrics, those of an evaluation among them where there was one."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended: `reason` is 'finished', 'stopped' (by hand) or 'standing still'."""

    reason: str
    rounds: int
    best_round: int
    best_score: float
    judged_by: str  # the player whose score that is: 'one ply', or 'policy' for recorded games


class Training:
    """A run in progress: all that a checkpoint holds, and the loop around it."""

    def __init__(
        self,
        config: TrainConfig,
        run: Path,
        games: Games | None,
        teacher: Teacher | None,
    ) -> None:
        """Make the network from the config's seed; it learns from `games`, `teacher` or itself."""
        precision = choose_precision(config.learning.precision)
        # What `auto` came to on this machine is part of the run: elsewhere it goes on the same.
        learning = replace(config.learning, precision=str(precision).removeprefix("torch."))
        self.config, self.run = replace(config, learning=learning), run
        variant = variant_named(config.variant)
        network = PolicyValueNetwork(variant, config.network)
        initialise(network, config.seed, network.heads)
        self.learner = Learner(network, config.learning, precision)
        self.replay = Replay(config.learning.replay_rounds)
        evaluator = TorchEvaluator(self.learner.average, precision)
        self.source: Source
        self.held_out: Games | None = None
        self.taught = teacher is not None
        if games is not None:
            learnt_from, self.held_out = split(games)
            self.source = Recorded(learnt_from, evaluator)
        elif teacher is not None:
            self.source = taught(config, teacher.evaluator(precision))
        else:
            self.source = Played(config, evaluator, lesson=config.learning.hold_q)
        self.round = 0
        self.games_seen = 0
        self.seconds = 0.0
        # Recorded games teach what their own moves are worth, and one ply asks about all moves.
        self.judged_by = "policy" if self.held_out is not None else "one ply"
        self.history: list[NDArray[np.float32]] = []  # that player's scores at each evaluation
        self.best_round, self.best_score = 0, -1.0
        self.best_evaluation = -1  # where in the history its scores stand
        self.begun_from: dict[str, Any] | None = None  # where the run before this one stood

    def begin_from(self, other: LoadedNetwork) -> None:
        """Take the weights of a network that was trained before, grown to this run's size."""
        for network in (self.learner.network, self.learner.average):
            try:
                grow(network, other.network)
            except RuntimeError:
                raise UsageError(
                    f"the network to begin from is {other.config.network} for "
                    f"{other.config.variant}, this run's {self.config.network} for "
                    f"{self.config.variant}"
                ) from None
        self.begun_from = {"config": other.config.to_json(), **other.info}

    def resume(self) -> None:
        """Go back to the run's last checkpoint; `RunError` where it is of another config."""
        checkpoint = read_checkpoint(self.run / "last.json")
        if checkpoint.config != self.config:
            raise RunError(f"{self.run} was made with another config: resume it without overrides")
        restore(checkpoint, self.learner, self.replay)
        info = checkpoint.info
        self.round, self.games_seen, self.seconds = info["round"], info["games"], info["seconds"]
        self.best_round, self.best_score = info["best_round"], info["best_score"]
        self.best_evaluation = info["best_evaluation"]
        self.history = [np.array(scores, dtype=np.float32) for scores in info["history"]]
        self.begun_from = info["begun_from"]

    def info(self) -> dict[str, Any]:
        """Where the run stands."""
        return {
            "round": self.round,
            "games": self.games_seen,
            "seconds": round(self.seconds, 1),
            "best_round": self.best_round,
            "best_score": self.best_score,
            "best_evaluation": self.best_evaluation,
            "recorded": self.held_out is not None,
            "taught": self.taught,
            "begun_from": self.begun_from,
        }

    def save(self) -> None:
        """Write the checkpoint to resume from."""
        info = {**self.info(), "history": [scores.tolist() for scores in self.history]}
        save_last(self.run, self.config, info, self.learner, self.replay)

    def play_and_learn(self, watchdog: Watchdog, reporter: Reporter) -> dict[str, Any]:
        """One round; returns its metrics."""
        config = self.config
        began = time.perf_counter()
        samples, games = self.source.samples(
            self.round, lambda done, of: reporter.step("playing", done, of)
        )
        self.replay.add(samples)
        self.games_seen += len(games)
        played = time.perf_counter()
        remembered = self.replay.all()
        size = min(config.learning.batch_size, len(remembered))
        steps = max(1, round(len(samples) * config.learning.passes / size))
        rng = np.random.default_rng((config.seed, 1, self.round))
        reports = []
        for index, rows in enumerate(_batches(len(remembered), steps, size, rng)):
            self.learner.set_rate((self.round + index / steps) / config.rounds)
            report = self.learner.step(remembered.take(rows, rng.random(size) < 0.5))
            watchdog.watch(report)
            reports.append(report)
            reporter.step("learning", index + 1, steps)
        self.round += 1
        took = time.perf_counter() - began
        self.seconds += took
        return {
            "round": self.round,
            "games": self.games_seen,
            "seconds": round(self.seconds, 2),
            "score": float(games.scores().mean()),
            **_mean_losses([report.losses for report in reports]),
            "gradient_norm": float(np.mean([report.gradient_norm for report in reports])),
            "seconds_playing": round(played - began, 3),
            "seconds_learning": round(took - (played - began), 3),
        }

    def evaluate(self, reporter: Reporter) -> dict[str, Any]:
        """Measure the averaged weights, keep them unless the best so far are better; the metrics.

        Better means: by an interval that leaves 0 out, on the same orders. The largest of many
        noisy means is mostly noise, and what has learnt longer is the better guess.
        """
        settings = self.config.evaluation
        evaluator = TorchEvaluator(self.learner.average)
        done = 0

        def count(games: int) -> None:
            nonlocal done
            done += games
            reporter.step("evaluating", done, 2 * settings.games)

        found: Strength = measure(evaluator, settings.games, count)
        policy, one_ply = estimate(found.policy), estimate(found.one_ply)
        judged = found.one_ply if self.judged_by == "one ply" else found.policy
        self.history.append(judged)
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
        best = self.history[self.best_evaluation]
        if paired_difference(judged, best).ci95[1] >= 0.0:
            self.best_round, self.best_score = self.round, float(judged.mean())
            self.best_evaluation = len(self.history) - 1
            info = {**self.info(), **metrics, "evaluated_games": settings.games}
            save_best(self.run, self.config, info, self.learner.average)
        return metrics

    def _held_out_losses(self, games: Games) -> dict[str, float]:
        """The losses on games that are not learnt from."""
        network = self.learner.average
        samples, _ = Recorded(games, TorchEvaluator(network)).samples(self.round, None)
        with torch.inference_mode():
            outputs = network(torch.from_numpy(samples.boards))
            found = losses(network, outputs, samples, self.config.learning.temperature)
        return {f"held_out_{name}": value for name, value in _mean_losses([found]).items()}


def _mean_losses(found: list[Losses]) -> dict[str, float]:
    """Means by name; the values' errors in points², the policy's in nats."""
    q, lesson, floor, policy, entropy, departure = (
        float(np.mean([float(part) for part in column])) for column in zip(*found, strict=True)
    )
    return {
        "value_loss": q,
        "lesson_loss": lesson,
        "value_floor": floor,
        "policy_loss": policy,
        "policy_floor": entropy,
        "departure": departure,
    }


def _batches(
    count: int, steps: int, size: int, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """`steps` batches of `size` rows, none twice before all `count` have come."""
    order = rng.permutation(count)
    at = 0
    for _ in range(steps):
        if at + size > count:
            order, at = rng.permutation(count), 0
        yield order[at : at + size]
        at += size


def train(
    config: TrainConfig,
    run: Path,
    reporter: Reporter,
    games: Games | None = None,
    resume: bool = False,
    begin_from: Path | None = None,
    teacher: Path | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Train in the folder `run` until the rounds are done, it stands still, or `stop()` is true.

    `stop` is asked after every round; the run is then saved and `resume` goes on to the result of
    an unbroken run. A new run takes its first weights from the run or checkpoint `begin_from`, and
    learns from the games and the judgement of `teacher` instead of its own.
    Raises `CheckFailed` where the network is not alive or the watchdog stops it.
    """
    with _alone_in(run):
        training = (
            _resumed(config, run, games)
            if resume
            else _new(config, run, games, reporter, begin_from, teacher)
        )
        journal = Journal(run, training.round)
        try:
            return _loop(training, journal, reporter, stop)
        finally:
            journal.close()


def _new(
    config: TrainConfig,
    run: Path,
    games: Games | None,
    reporter: Reporter,
    begin_from: Path | None,
    teacher: Path | None,
) -> Training:
    """A run that begins, in a folder without one, after the checks before the first step."""
    if games is not None and teacher is not None:
        raise UsageError("a run learns from recorded games or from a teacher: leave one out")
    if any((run / name).exists() for name in ("last.json", "best.json")):
        raise UsageError(f"{run} holds a run already: --resume goes on with it, or take another")
    if config.learning.hold_q and (games is not None or teacher is not None):
        raise UsageError(
            "learning.hold_q is for self-play: a teacher's q is the lesson already, and recorded "
            "games have none; leave it out"
        )
    taught_by = None if teacher is None else read_teacher(teacher)
    training = Training(config, run, games, taught_by)
    if begin_from is not None:
        training.begin_from(load_network(begin_from))
    reporter.passed(preflight(training.learner.network, config.seed))
    write_json(run / "config.json", training.config.to_json())
    if games is not None:
        write_games(run / GAMES, games)
    if taught_by is not None:
        taught_by.keep(run)
    training.save()  # from here on there is a run to resume, with its teacher or games
    return training


def _resumed(config: TrainConfig, run: Path, games: Games | None) -> Training:
    """A run that goes on from its last checkpoint, learning from what it learnt from before."""
    if games is not None:
        raise UsageError(f"a resumed run goes on with the games in {run / GAMES}: leave them out")
    info = read_info(run / "last.json")
    training = Training(
        config,
        run,
        read_games(run / GAMES) if info["recorded"] else None,
        kept_teacher(run) if info["taught"] else None,
    )
    training.resume()
    return training


@contextmanager
def _alone_in(run: Path) -> Iterator[None]:
    """Hold the folder's lock; `UsageError` where another process trains there."""
    try:
        run.mkdir(parents=True, exist_ok=True)
        stream = (run / "lock").open("w")
    except OSError as error:
        raise UsageError(f"cannot train in {run}: {error.strerror}") from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(f"another process is training in {run}") from None
        yield


def _loop(
    training: Training, journal: Journal, reporter: Reporter, stop: Callable[[], bool]
) -> Outcome:
    config = training.config
    watchdog = Watchdog(training.learner.network)
    saved = -SAVE_EVERY
    reason = "finished"
    while training.round < config.rounds:
        metrics = training.play_and_learn(watchdog, reporter)
        last = training.round == config.rounds
        gain = None
        evaluated = last or training.round % config.evaluation.every == 0
        if evaluated:
            metrics |= training.evaluate(reporter)
            gain = standing_still(training.history, config.evaluation)
            journal.weights(training.learner.network, training.round)
            metrics["layers"] = layer_statistics(training.learner.network)
        journal.write(metrics)
        reporter.round(metrics, config)
        interrupted = stop()
        if evaluated or interrupted or time.monotonic() - saved > SAVE_EVERY:
            training.save()
            saved = time.monotonic()
        if gain or interrupted:
            reason = "stopped" if interrupted else "standing still"
            break
    return Outcome(
        reason, training.round, training.best_round, training.best_score, training.judged_by
    )
