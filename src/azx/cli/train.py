"""`azx train`: a network from nothing, by self-play or from recorded games."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from azx.cli.boundary import need_training_packages
from azx.cli.stopping import Terminated
from azx.cli.terminal import busy, stderr, stdout

if TYPE_CHECKING:
    from azx.trainer.config import TrainConfig
    from azx.trainer.preflight import Preflight
    from azx.trainer.train import Outcome


#: The preset of who names none.
QUICK = "quick"

#: Seconds between two lines of a run whose output goes into a file, where no bar shows.
LINE_EVERY = 60.0


class _Screen:
    """Shows a run: a bar for the rounds, what is being done, a line for every evaluation."""

    def __init__(self, console: Console, progress: Progress, resumed: bool) -> None:
        self.console, self.progress, self.resumed = console, progress, resumed
        self.last_line = time.monotonic()
        self.stage: int | None = None  # of the round before; none was yet
        self.under_way = False  # a round, which had best come to its end

    def begins(self, done: int, of: int) -> None:
        """It sets out, with so many of its rounds done."""
        self.task = self.progress.add_task("starting", total=of, completed=done)
        if not self.resumed:
            self.console.print("checking that the network is alive")

    def passed(self, found: Preflight) -> None:
        """The network is alive."""
        self.console.print(
            f"the network is alive: {len(found.audit.parameters)} parameters audited; one batch "
            f"learnt to {found.learnt:.2f} nats, ignoring the board gives {found.ignoring:.2f}"
        )

    def step(self, what: str, done: int, of: int) -> None:
        """Part of a round."""
        self.under_way = True
        self.progress.update(self.task, description=f"{what} {100 * done // of:3d}%")

    def round(self, metrics: dict[str, Any], config: TrainConfig) -> None:
        """A whole round."""
        self.progress.update(self.task, completed=metrics["round"])
        if self.stage is not None and metrics["stage"] > self.stage:
            self.console.print(f"stage {metrics['stage']} of {len(config.stages)}")
        self.stage = metrics["stage"]
        if "one_ply" not in metrics:
            self._go_on_saying(metrics)
            return
        self.last_line = time.monotonic()
        # Mostly the luck of the draws is taken out of what is learnt. What a network that is taught
        # only the moves of others takes for luck is in part its own errors at other cells.
        luck = ""
        if metrics["value_floor"] > 0.0:
            luck = f" (luck at most {metrics['value_floor']:.1f})"
        self.console.print(
            f"round {metrics['round']:4d}  {metrics['games']:8,d} games  "
            f"policy {metrics['policy']:6.2f}  "
            f"one ply {metrics['one_ply']:6.2f} ± {metrics['one_ply_ci']:.2f}  "
            f"value loss {metrics['value_loss']:.1f}{luck}  "
            f"policy loss {metrics['policy_loss']:.3f} (floor {metrics['policy_floor']:.3f})",
            soft_wrap=True,
        )

    def _go_on_saying(self, metrics: dict[str, Any]) -> None:
        """A short line now and then where there is no bar."""
        if self.console.is_terminal or time.monotonic() - self.last_line < LINE_EVERY:
            return
        self.last_line = time.monotonic()
        self.console.print(
            f"round {metrics['round']:4d}  {metrics['games']:8,d} games  "
            f"{metrics['seconds'] / 60:.1f} minutes  value loss {metrics['value_loss']:.1f}",
            soft_wrap=True,
        )


@contextmanager
def _first_interrupt_asks(screen: _Screen, folder: Path) -> Iterator[list[bool]]:
    """Ctrl-C or SIGTERM once asks the run to end after this round; twice interrupts at once.

    Once is enough where no round is under way yet.
    """
    asked: list[bool] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if asked or not screen.under_way:
            ended = Terminated if number == signal.SIGTERM else KeyboardInterrupt
            saved = (folder / "last.json").exists()
            lost = f"what came after the last save is lost; {_go_on(folder)}"
            raise ended(lost if saved else "nothing was saved yet")
        asked.append(True)
        screen.console.print(
            "finishing this round, then saving; a second Ctrl-C or SIGTERM stops at once"
        )

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def train(
    run: Annotated[
        Path | None,
        typer.Option(help="Folder for the run; default runs/PRESET.", show_default=False),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="quick, champion, mini, small, recorded, or a TOML file of one's own.",
            show_default=QUICK,
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="Override a field, e.g. network.width=512.",
        ),
    ] = None,
    games: Annotated[
        Path | None, typer.Option(help="Learn from these recorded games instead of self-play.")
    ] = None,
    from_: Annotated[
        Path | None,
        typer.Option("--from", help="Begin with the weights of this run or checkpoint."),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(
            help="Learn from the play and judgement of this run, checkpoint or .onnx file, or of "
            "one that comes with azx: standard, standard-small, mini.",
        ),
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on with the run in --run.")] = False,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Threads; default: every core. At most one for each 256 games of a round and 128 "
            "samples of a batch; the result is the same with any number.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Train a network by self-play, recorded games or a teacher.

    Before the first step the network is checked to be alive; a run that stops learning is stopped.
    Ctrl-C saves and ends with exit code 0; --resume goes on as if nothing had happened.
    The presets, their fields and what lies in a run's folder: docs/train.md.

    \b
    Examples:
      azx train --preset quick --run runs/quick
      azx train --preset mini --set network.width=128
      azx train --run runs/quick --resume
      azx train --preset recorded --games games.npz
      azx train --preset champion --run runs/champion
      azx train --preset small --teacher standard
    """
    need_training_packages()
    with busy("loading torch"):
        import torch

        from azx.runtime.files import exists
        from azx.runtime.models import named_model
        from azx.runtime.records import read_games
        from azx.trainer.config import load_config
        from azx.trainer.train import resume as resume_run
        from azx.trainer.train import train as train_run

    console = stderr()
    folder = run or Path("runs") / Path(preset or QUICK).stem
    if resume:
        if run is not None:  # else it names the folder
            _refuse_anew({"--preset": preset})
        _refuse_anew({"--set": set_, "--games": games, "--from": from_, "--teacher": teacher})
        go = partial(resume_run, folder)
    else:
        go = partial(
            train_run,
            load_config(preset or QUICK, set_ or []),
            folder,
            games=read_games(games) if games else None,
            begin_from=from_,
            # A run of that name comes before a network that comes with azx.
            teacher=teacher if teacher is None or exists(teacher) else named_model(teacher),
        )
    if threads:
        torch.set_num_threads(threads)
    with _progress(console) as bar:
        screen = _Screen(console, bar, resume)
        with _first_interrupt_asks(screen, folder) as asked:
            outcome = go(reporter=screen, stop=lambda: bool(asked))
    _print_outcome(stdout(), outcome, folder)


def _refuse_anew(options: dict[str, object]) -> None:
    """`UsageError` where one of them is given."""
    from azx.runtime.errors import UsageError

    for name, value in options.items():
        if value:
            raise UsageError(f"--resume goes on with all that the run began with: leave {name} out")


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:16s}"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed}/{task.total} rounds"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def _go_on(folder: Path) -> str:
    return f"go on with: azx train --run {folder} --resume"


def _print_outcome(console: Console, outcome: Outcome, folder: Path) -> None:
    of = f"{outcome.rounds} of {outcome.of}"
    said = {
        "finished": f"finished: {outcome.rounds} rounds",
        "stopped": f"stopped and saved after round {of}; {_go_on(folder)}",
        "standing still": f"stopped after round {of}: the last evaluations are no better than "
        "those before them. A new run goes on from it with --from and another seed; "
        "evaluation.patience is how long one waits",
    }[outcome.reason]
    console.print(said, soft_wrap=True)
    if outcome.best_round:
        console.print(
            f"best: the weights of round {outcome.best_round}, {outcome.best_score:.2f} points by "
            f"{outcome.judged_by}, the latest that are not clearly worse than others; export them "
            f"with: azx export {folder} --out net.onnx",
            soft_wrap=True,
        )
