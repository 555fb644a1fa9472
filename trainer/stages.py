"""Runs that go on from another: what must be trained first is trained first, in a folder within."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from azx.runtime.errors import RunError, UsageError
from azx.runtime.files import read_bytes, write_json
from azx.runtime.variant import variant_named
from azx.trainer.checkpoint import read_info
from azx.trainer.config import TrainConfig, config_from_dict, load_config
from azx.trainer.growth import grow
from azx.trainer.network import PolicyValueNetwork

#: In a run's folder: its config. Of the last stage it is there before that begins.
PLAN = "config.json"


@dataclass(frozen=True)
class Stage:
    """One run of several."""

    config: TrainConfig
    run: Path
    begin_from: Path | None  # a run or checkpoint whose weights it begins with

    @property
    def begun(self) -> bool:
        """Whether there is anything to resume."""
        return (self.run / "last.json").exists()

    @property
    def rounds_done(self) -> int:
        """How many rounds its last checkpoint has behind it."""
        return int(read_info(self.run / "last.json")["round"]) if self.begun else 0


def stages_of(config: TrainConfig, run: Path, begin_from: Path | None = None) -> list[Stage]:
    """The runs that end in the run of `config` in the folder `run`, in the order of training.

    With `config.begins_from` the preset of that name comes first, in a folder of its name within
    `run`, and its last weights are what the next one begins with; with `begin_from` there already
    is such a run. Raises `UsageError` for a preset that would need a third.
    """
    if begin_from is not None:
        config = replace(config, begins_from=None)
    if config.begins_from is None:
        return [Stage(config, run, begin_from)]
    before = load_config(config.begins_from, [])
    if before.begins_from is not None:
        raise UsageError(
            f"a run goes on from a preset that goes on from none, found {config.begins_from}, "
            f"which goes on from {before.begins_from}"
        )
    first = run / Path(config.begins_from).stem
    return [
        Stage(before, first, None),
        Stage(config, run, first / "last.json"),
    ]


def begin(stages: list[Stage]) -> None:
    """Make sure that all of `stages` can be trained, and keep the plan for `stages_begun`.

    Raises `UsageError` where one of them was begun before, or where the last one's network cannot
    begin with the weights of the first: that shows now, not after hours.
    """
    last = stages[-1]
    if any(stage.begun for stage in stages):
        raise UsageError(
            f"{last.run} holds a run already: --resume goes on with it, or take another"
        )
    if len(stages) > 1:
        before, after = (
            PolicyValueNetwork(variant_named(stage.config.variant), stage.config.network)
            for stage in stages
        )
        grow(after, before)
        write_json(last.run / PLAN, last.config.to_json())


def stages_begun(run: Path) -> list[Stage]:
    """What is left of the stages of a run that was begun; `RunError` where none was."""
    last = Stage(_config_in(run), run, None)
    if last.begun:
        return [last]
    if last.config.begins_from is None:
        raise RunError(f"{run} holds no checkpoint to go on from: begin it again, without --resume")
    first, last = stages_of(last.config, run)
    # As it was begun: the preset may have changed since, or this machine is another.
    if (first.run / PLAN).exists():
        first = replace(first, config=_config_in(first.run))
    return [last] if _over(first) else [first, last]


def _config_in(run: Path) -> TrainConfig:
    path = run / PLAN
    try:
        return config_from_dict(json.loads(read_bytes(path, RunError)), str(path))
    except ValueError as error:
        raise RunError(f"{path} is no readable config: {error}") from error


def _over(stage: Stage) -> bool:
    if not stage.begun:
        return False
    info = read_info(stage.run / "last.json")
    return bool(info["stands_still"]) or info["round"] >= stage.config.rounds
