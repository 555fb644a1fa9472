"""Runs that go on from another: what must be trained first is trained first, in a folder within."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from azx.runtime.errors import RunError, UsageError
from azx.runtime.files import read_bytes, write_json
from azx.trainer.checkpoint import read_info
from azx.trainer.config import TrainConfig, config_from_dict, load_config


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


def write_plan(stages: list[Stage]) -> None:
    """Keep the config of the last stage, for `stages_begun` to go on with before that has begun."""
    last = stages[-1]
    write_json(last.run / "config.json", last.config.to_json())


def stages_begun(run: Path) -> list[Stage]:
    """What is left of the stages of a run that was begun; `RunError` where none was."""
    path = run / "config.json"
    try:
        config = config_from_dict(json.loads(read_bytes(path, RunError)), str(path))
    except ValueError as error:
        raise RunError(f"{path} is no readable config: {error}") from error
    stages = stages_of(config, run)
    while len(stages) > 1 and (stages[1].begun or _finished(stages[0])):
        stages = stages[1:]
    return stages


def _finished(stage: Stage) -> bool:
    return stage.rounds_done >= stage.config.rounds
