"""A run that goes on from another: what would go wrong after hours is said at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from azx.runtime.errors import RunError, UsageError
from azx.runtime.files import write_json
from azx.trainer.config import load_config
from azx.trainer.stages import Stage, begin, stages_begun, stages_of

FIRST = """variant = "mini"
rounds = 8
[network]
width = 16
groups = 4
"""


@pytest.fixture
def preset(tmp_path: Path) -> Path:
    """A preset that goes on from another."""
    first, second = tmp_path / "first.toml", tmp_path / "second.toml"
    first.write_text(FIRST)
    second.write_text(f'begins_from = "{first}"\n' + FIRST)
    return second


def stages(preset: Path, run: Path, *overrides: str) -> list[Stage]:
    return stages_of(load_config(str(preset), list(overrides)), run)


def save(stage: Stage, round_: int, stands_still: bool = False) -> None:
    """A checkpoint of the stage, as far as stages look at it, and its config."""
    write_json(stage.run / "config.json", stage.config.to_json())
    info = {"round": round_, "stands_still": stands_still}
    write_json(stage.run / "last.json", {"format": 1, "info": info})


def test_networks_that_do_not_fit_are_told_before_the_first_round(
    preset: Path, tmp_path: Path
) -> None:
    begin(stages(preset, tmp_path / "a"))
    begin(stages(preset, tmp_path / "b", "network.half_turn=true", "network.blocks=2"))
    for wrong in ("network.width=32", "variant=standard", "network.trunk=conv"):
        with pytest.raises(UsageError, match="the network to begin from is"):
            begin(stages(preset, tmp_path / wrong, wrong))
        assert not (tmp_path / wrong).exists()


@pytest.mark.parametrize("which", [0, 1])
def test_what_was_begun_is_not_begun_again(preset: Path, tmp_path: Path, which: int) -> None:
    run = tmp_path / "run"
    planned = stages(preset, run)
    save(planned[which], 3)
    with pytest.raises(UsageError, match=f"{run} holds a run already"):
        begin(planned)


def test_a_plan_that_nothing_came_of_is_replaced(preset: Path, tmp_path: Path) -> None:
    for rounds in (5, 6):
        begin(stages(preset, tmp_path / "run", f"rounds={rounds}"))
    assert stages_begun(tmp_path / "run")[1].config.rounds == 6


def test_the_first_stage_goes_on_as_it_was_begun(preset: Path, tmp_path: Path) -> None:
    """Whatever has become of its preset, as long as there is one."""
    run = tmp_path / "run"
    begin(stages(preset, run))
    first, _ = stages(preset, run)
    save(first, 3)
    (tmp_path / "first.toml").write_text(FIRST.replace("rounds = 8", "rounds = 2"))
    resumed, last = stages_begun(run)
    assert resumed == first
    assert last.begin_from == first.run / "last.json"


@pytest.mark.parametrize(("round_", "stands_still"), [(8, False), (4, True)])
def test_the_last_stage_follows_a_first_that_is_over(
    preset: Path, tmp_path: Path, round_: int, stands_still: bool
) -> None:
    run = tmp_path / "run"
    first, last = stages(preset, run)
    begin([first, last])
    save(first, round_, stands_still)
    assert stages_begun(run) == [last]
    # Once it has begun, no preset is asked any more.
    save(last, 1)
    for name in ("first.toml", "second.toml"):
        (tmp_path / name).unlink()
    (found,) = stages_begun(run)
    assert (found.run, found.config) == (run, last.config)


def test_a_run_without_a_checkpoint_is_not_resumed(tmp_path: Path) -> None:
    """It would begin from nothing, without the games or the teacher that it was given."""
    config = load_config("mini", [])
    write_json(tmp_path / "config.json", config.to_json())
    with pytest.raises(RunError, match="holds no checkpoint to go on from"):
        stages_begun(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config.to_json())[:-5])
    with pytest.raises(RunError, match="no readable config"):
        stages_begun(tmp_path)
