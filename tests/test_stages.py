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
from azx.trainer.config import TrainConfig, config_from_dict, load_config
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
seed = 2
rounds = 7
selfplay = { noise = 1.0 }
learning.hold_q = true
"""


def weights(folder: Path, kind: str = "last") -> Tensors:
    """What a checkpoint holds of the network."""
    tensors = read_checkpoint(folder / f"{kind}.json").tensors
    return {k: v for k, v in tensors.items() if k.startswith(("network", "average"))}


def one_alone(path: Path) -> TrainConfig:
    """The first stage of a preset, without the others."""
    return replace(load_config(str(path), []), then=())


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
    assert [(stage.seed, stage.rounds) for stage in config.stages] == [(0, 3), (1, 3), (2, 7)]
    noises = [(stage.selfplay.noise, stage.selfplay.noise_end) for stage in config.stages]
    assert noises == [(2.0, 1.0), (2.0, 0.5), (1.0, 0.5)]
    assert [stage.learning.hold_q for stage in config.stages] == [False, False, True]
    assert one.network == two.network == three.network
    assert one.network.width == 32
    assert config.rounds_in_all == 13
    assert config_from_dict(config.to_json(), "kept") == config
    assert config_from_dict(json.loads(json.dumps(config.to_json())), "kept") == config
    assert load_config(str(path), ["then=[]"]).stages == (one_alone(path),)


def test_a_stage_that_stands_still_ends_the_run_by_its_own_evaluations(tmp_path: Path) -> None:
    """Two in each stage, of which one must bring a thousand points more than the one before."""
    evaluation = replace(SMALL.evaluation, every=2, patience=1, least_gain=1000.0)
    first = replace(SMALL, rounds=2, evaluation=evaluation)
    outcome = train(replace(first, then=(replace(first, seed=1, rounds=6),)), tmp_path, Silent())
    assert (outcome.reason, outcome.rounds, outcome.of) == ("standing still", 6, 8)
    assert resume(tmp_path, Silent()) == outcome


def test_what_a_later_stage_cannot_do_is_said_before_the_first_round(tmp_path: Path) -> None:
    network = replace(SMALL.network, trunk="conv", half_turn=False)
    first = replace(SMALL, network=network)
    second = replace(first, seed=1, learning=replace(first.learning, optimizer="muon"))
    with pytest.raises(UsageError, match="muon needs matrices"):
        train(replace(first, then=(second,)), tmp_path, Silent())
    many = replace(SMALL, seed=1, selfplay=replace(SMALL.selfplay, simulations=10**9))
    with pytest.raises(UsageError, match="use fewer simulations"):
        train(replace(SMALL, then=(many,)), tmp_path, Silent())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("[[then]]\nseed = 1\nnetwork.width = 64", "network is the same in all stages"),
        ('[[then]]\nseed = 1\nvariant = "standard"', "variant is the same in all stages"),
        ("[[then]]\nseed = 1\nevaluation.games = 9", "evaluation is the same in all stages"),
        ("[[then]]\nrounds = 4", "a seed of its own.*found 0, 0"),
        ("[[then]]\nlearning.rte = 1.0", "stage 2: .*unknown field learning.rte"),
        ("[[then]]\nseed = 1\n[[then]]\nrounds = 0", "stage 3: rounds must be at least 1"),
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
