"""Training in a folder: what is begun or resumed there, alone, until it is over or stopped."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from azx.runtime.errors import UsageError
from azx.runtime.files import exists, write_json
from azx.runtime.records import Games, read_games, write_games
from azx.trainer.checkpoint import load_network, read_checkpoint
from azx.trainer.config import TrainConfig
from azx.trainer.journal import METRICS, Journal, layer_statistics
from azx.trainer.memory import keep_memory
from azx.trainer.preflight import preflight
from azx.trainer.teacher import MODEL, kept_teacher, read_teacher
from azx.trainer.training import Reporter, Training
from azx.trainer.watchdog import Watchdog

#: Seconds between checkpoints: what a kill costs at most, beside the round it interrupts.
SAVE_EVERY = 30.0

#: In the run's folder: the recorded games that it learns from.
GAMES = "games.npz"

#: What a run writes before its first save.
WRITTEN_FIRST = ("config.json", METRICS, GAMES, "teacher.json", MODEL)

#: What is to be given, by what a network learns from.
NEEDED = {
    "games": "recorded games: give them with --games",
    "teacher": "a teacher: name one with --teacher, like standard",
}


@dataclass(frozen=True)
class Outcome:
    """How a run ended: `reason` is 'finished', 'stopped' (by hand) or 'standing still'."""

    reason: str
    rounds: int
    of: int  # rounds of all its stages
    best_round: int
    best_score: float
    judged_by: str  # the player whose score that is: 'one ply', or 'policy' for recorded games


def train(
    config: TrainConfig,
    run: Path,
    reporter: Reporter,
    games: Games | None = None,
    begin_from: Path | None = None,
    teacher: Path | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Train in the folder `run` until the rounds are done, it stands still, or `stop()` is true.

    `stop` is asked after every round; the run is then saved, for `resume`. The first weights are
    those of the run or checkpoint `begin_from`, if it is given, and the run learns from `games`, or
    from the games and the judgement of `teacher`, instead of games of its own. Raises `UsageError`
    where the folder holds a run already, `CheckFailed` where the network is not alive or the
    watchdog stops it.
    """
    config = _as_given(config, games, teacher)
    _refuse_a_second_run_in(run)
    # What is refused here leaves no folder.
    taught_by = None if teacher is None else read_teacher(teacher)
    training = Training(config, run, games, taught_by)
    if begin_from is not None:
        training.begin_from(load_network(begin_from))
    with _alone_in(run):
        _refuse_a_second_run_in(run)  # that began meanwhile
        _begin(training, games, reporter)
        return _loop(training, reporter, stop)


def resume(run: Path, reporter: Reporter, stop: Callable[[], bool] = lambda: False) -> Outcome:
    """Go on with the run in the folder `run` from its last save, as if it had never stopped.

    With the config, the games and the teacher that it began with. Raises `UsageError` where there
    is no such run.
    """
    if not exists(run / "last.json"):
        if exists(run / "best.json"):
            raise UsageError(
                f"{run} has no last.json to go on from any more; a new run can begin with its best "
                f"weights: --from {run}, and --set seed=... for other games"
            )
        raise UsageError(
            f"{run} holds no run to go on with: name its folder with --run, or begin one without "
            "--resume"
        )
    with _alone_in(run):
        training = _resumed(run)
        reporter.begins(training.round, training.config.rounds_in_all)
        return _loop(training, reporter, stop)


def _as_given(config: TrainConfig, games: Games | None, teacher: Path | None) -> TrainConfig:
    """The config with what the run really learns from; `UsageError` where that is not given."""
    if games is not None and teacher is not None:
        raise UsageError("a run learns from recorded games or from a teacher: leave one out")
    given = "games" if games is not None else "teacher" if teacher is not None else "itself"
    if config.learns_from not in ("itself", given):
        raise UsageError(
            f"these settings are for a network that learns from {NEEDED[config.learns_from]}, or "
            "set learns_from=itself"
        )
    then = tuple(replace(stage, learns_from=given) for stage in config.then)
    return replace(config, learns_from=given, then=then)


def _refuse_a_second_run_in(run: Path) -> None:
    if exists(run) and not run.is_dir():
        raise UsageError(f"a run has a folder of its own, found the file {run}")
    if exists(run / "last.json"):
        raise UsageError(f"{run} holds a run already: --resume goes on with it, or take another")
    if exists(run / "best.json"):
        raise UsageError(f"{run} holds what a run has left, its best weights: take another folder")
    found = [name for name in WRITTEN_FIRST if exists(run / name)]
    if found and not exists(run / "lock"):  # else of a run that was given up before its first save
        raise UsageError(f"{run} holds a {found[0]} that is of no run: take a folder of its own")


def _begin(training: Training, games: Games | None, reporter: Reporter) -> None:
    """The checks before the first step; then its folder holds a run, with its teacher or games."""
    config, run = training.config, training.run
    reporter.begins(0, config.rounds_in_all)
    trained = training.begun_from is not None
    reporter.passed(preflight(training.learner.network, config.seed, trained))
    write_json(run / "config.json", config.to_json())
    if games is not None:
        write_games(run / GAMES, games)
    if training.teacher is not None:
        training.teacher.keep(run)
    training.save()


def _resumed(run: Path) -> Training:
    """A run at its last checkpoint, learning from what it learnt from before."""
    last = read_checkpoint(run / "last.json")
    training = Training(
        last.config,
        run,
        read_games(run / GAMES) if last.info["recorded"] else None,
        kept_teacher(run) if last.info["taught"] else None,
    )
    training.go_back_to(last)
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
        except BlockingIOError:
            raise UsageError(f"another process is training in {run}") from None
        except OSError as error:
            raise UsageError(
                f"cannot lock {run}: {error.strerror}; train in a folder of another filesystem"
            ) from error
        yield


def _loop(training: Training, reporter: Reporter, stop: Callable[[], bool]) -> Outcome:
    keep_memory()
    config = training.config
    watchdog = Watchdog(training.learner.network)
    saved = -SAVE_EVERY
    interrupted = False
    with closing(Journal(training.run, training.round)) as journal:
        while not (training.over or interrupted):
            metrics = training.play_and_learn(watchdog, reporter)
            every = training.stage.evaluation.every
            evaluated = training.at_the_end_of_a_stage or training.round % every == 0
            if evaluated:
                metrics |= training.evaluate(reporter)
                journal.weights(training.learner.network, training.round)
                metrics["layers"] = layer_statistics(training.learner.network)
            journal.write(metrics)
            reporter.round(metrics, config)
            interrupted = stop()
            if evaluated or interrupted or time.monotonic() - saved > SAVE_EVERY:
                training.save()
                saved = time.monotonic()
    if training.round == config.rounds_in_all:
        reason = "finished"
    else:
        reason = "standing still" if training.standing.stands_still else "stopped"
    return Outcome(
        reason,
        training.round,
        config.rounds_in_all,
        training.standing.best_round,
        training.standing.best_score,
        training.judged_by,
    )
