"""Presets that go on from others: which runs they are, in what order, and what is left of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from azx.runtime.errors import UsageError
from azx.trainer.config import load_config
from azx.trainer.stages import stages_begun, stages_of, write_plan


def preset(path: Path, begins_from: str | None) -> str:
    line = "" if begins_from is None else f'begins_from = "{begins_from}"\n'
    path.write_text(f'variant = "mini"\nrounds = 3\n{line}')
    return str(path)


def trained(run: Path, rounds: int) -> None:
    """As far as the stages look."""
    run.mkdir(parents=True, exist_ok=True)
    (run / "last.json").write_text(json.dumps({"format": 1, "info": {"round": rounds}}))


def test_each_preset_is_trained_within_the_folder_of_the_one_after_it(tmp_path: Path) -> None:
    first = preset(tmp_path / "a.toml", None)
    second = preset(tmp_path / "b.toml", first)
    third = preset(tmp_path / "c.toml", second)
    run = tmp_path / "run"
    stages = stages_of(load_config(third, []), run)
    assert [stage.run for stage in stages] == [run / "b" / "a", run / "b", run]
    assert [stage.begin_from for stage in stages] == [
        None,
        run / "b" / "a" / "last.json",
        run / "b" / "last.json",
    ]
    assert len(stages_of(load_config(third, []), run, tmp_path / "other")) == 1

    run.mkdir()
    write_plan(stages)
    assert [stage.run.name for stage in stages_begun(run)] == ["a", "b", "run"]
    trained(run / "b" / "a", 2)
    assert [stage.rounds_done for stage in stages_begun(run)] == [2, 0, 0]
    trained(run / "b" / "a", 3)
    assert [stage.run.name for stage in stages_begun(run)] == ["b", "run"]
    trained(run / "b", 1)
    assert [stage.rounds_done for stage in stages_begun(run)] == [1, 0]
    trained(run / "b", 3)
    trained(run, 1)
    assert [stage.run.name for stage in stages_begun(run)] == ["run"]


def test_presets_in_a_circle_are_refused(tmp_path: Path) -> None:
    first, second = tmp_path / "a.toml", tmp_path / "b.toml"
    preset(first, str(second))
    preset(second, str(first))
    with pytest.raises(UsageError, match="presets go on from one another"):
        stages_of(load_config(str(first), []), tmp_path / "run")
