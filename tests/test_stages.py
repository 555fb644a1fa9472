"""A run of several stages: what runs that begin from one another come to, and how it is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cli_testing import good, run
from training_testing import SMALL, Silent

from azx.runtime.errors import UsageError
from azx.trainer.checkpoint import Tensors, read_checkpoint
from azx.trainer.config import config_from_dict, load_config
from azx.trainer.train import resume, train

FIRST = replace(SMALL, rounds=3, network=replace(SMALL.network, half_turn=True))
SECOND = replace(
    FIRST,
    seed=5,
    rounds=2,
    selfplay=replace(FIRST.selfplay, noise=1.0, noise_end=0.5),
    learning=replace(FIRST.learning, rate=4e-3, hold_q=True, replay_rounds=2),
)
BOTH = replace(FIRST, then=(SECOND,))

TOML = """
variant = "mini"
rounds = 3

[selfplay]
noise = 2.0
noise_end = 1.0

[[then]]
seed = 1
selfplay.noise_end = 0.5

[[then]]
rounds = 7
selfplay = { noise = 1.0 }
learning.hold_q = true
"""


def weights(folder: Path, kind: str = "last") -> Tensors:
    """What a checkpoint holds of the network."""
    tensors = read_checkpoint(folder / f"{kind}.json").tensors
    return {k: v for k, v in tensors.items() if k.startswith(("network", "average"))}


def the_same(one: Tensors, other: Tensors) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stages") / "unbroken"
    reporter = Silent()
    outcome = train(BOTH, folder, reporter)
    assert (outcome.reason, outcome.rounds, outcome.of) == ("finished", 5, 5)
    assert [metrics["round"] for metrics in reporter.metrics] == [1, 2, 3, 4, 5]
    assert [m["round"] for m in reporter.metrics if "one_ply" in m] == [2, 3, 4, 5]
    return folder


def test_stages_are_runs_that_begin_from_one_another(unbroken: Path, tmp_path: Path) -> None:
    train(FIRST, tmp_path / "first", Silent())
    train(SECOND, tmp_path / "second", Silent(), begin_from=tmp_path / "first" / "last.json")
    assert the_same(weights(unbroken), weights(tmp_path / "second"))


@pytest.mark.parametrize("stop_after", [2, 3, 4])
def test_stopped_anywhere_it_goes_on_to_the_same_end(
    stop_after: int, unbroken: Path, tmp_path: Path
) -> None:
    rounds: list[int] = []

    def stop() -> bool:
        rounds.append(1)
        return len(rounds) == stop_after

    outcome = train(BOTH, tmp_path, Silent(), stop=stop)
    assert (outcome.reason, outcome.rounds) == ("stopped", stop_after)
    reporter = Silent()
    resume(tmp_path, reporter)
    assert len(reporter.metrics) == 5 - stop_after
    assert the_same(weights(unbroken), weights(tmp_path))
    assert the_same(weights(unbroken, "best"), weights(tmp_path, "best"))


def test_a_stage_is_as_the_one_before_but_for_what_it_names(tmp_path: Path) -> None:
    path = tmp_path / "three.toml"
    path.write_text(TOML)
    config = load_config(str(path), ["network.width=32", "network.groups=4"])
    one, two, three = config.stages
    assert [(stage.seed, stage.rounds) for stage in config.stages] == [(0, 3), (1, 3), (1, 7)]
    noises = [(stage.selfplay.noise, stage.selfplay.noise_end) for stage in config.stages]
    assert noises == [(2.0, 1.0), (2.0, 0.5), (1.0, 0.5)]
    assert [stage.learning.hold_q for stage in config.stages] == [False, False, True]
    assert one.network == two.network == three.network
    assert one.network.width == 32
    assert config.rounds_in_all == 13
    kept = json.loads(json.dumps(config.to_json()))
    assert config_from_dict(kept, "kept") == config


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("[[then]]\nnetwork.width = 64", "network is the same in all stages"),
        ('[[then]]\nvariant = "standard"', "variant is the same in all stages"),
        ("[[then]]\nlearning.rte = 1.0", "unknown field then.learning.rte"),
        ("[[then]]\nrounds = 0", "rounds must be at least 1, found 0"),
        ("[then]\nrounds = 4", "then is a list of tables"),
        ("[[then]]\n[[then.then]]\nrounds = 2", "then is a list of tables"),
    ],
)
def test_wrong_stages_are_refused(wrong: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(f'variant = "mini"\n{wrong}\n')
    with pytest.raises(UsageError, match=says):
        load_config(str(path), [])


def test_the_report_shows_what_each_stage_changes(unbroken: Path, tmp_path: Path) -> None:
    good(run("report", unbroken, "--out", tmp_path / "run.md"))
    text = (tmp_path / "run.md").read_text()
    assert "round 5 of 5" in text
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    assert ["field", "stage 1", "stage 2"] in rows
    assert ["learning.hold_q", "False", "True"] in rows
    assert ["learning.batch_size", "64", ""] in rows
