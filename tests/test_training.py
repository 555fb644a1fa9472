"""The trainer: what it learns, that it resumes exactly, that it stops where nothing is learnt."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ExactEvaluator
from training_testing import SMALL, Silent, network_of, zero_every_vector

from azx.cli.reports.run import is_training
from azx.export import Audit
from azx.runtime.errors import CheckFailed, RunError, UsageError
from azx.runtime.play import play_games
from azx.runtime.players import GreedyPlayer, OnePlyPlayer
from azx.runtime.records import write_games
from azx.runtime.seeds import draw_orders, game_keys
from azx.runtime.solver import Solution, expected_score, policy_of
from azx.runtime.variant import MINI, STANDARD
from azx.trainer.checkpoint import load_network, read_checkpoint
from azx.trainer.config import TrainConfig, load_config
from azx.trainer.evaluation import Strength
from azx.trainer.learner import Losses, StepReport
from azx.trainer.network import NetworkConfig
from azx.trainer.preflight import preflight
from azx.trainer.standing import standing_still
from azx.trainer.torch_evaluator import TorchEvaluator
from azx.trainer.train import Outcome, resume, train
from azx.trainer.training import Training
from azx.trainer.watchdog import Watchdog


def test_it_learns_mini_nearly_perfectly(mini_solution: Solution, tmp_path: Path) -> None:
    """A short run of the preset: 96% of the optimum; the whole preset reaches 99%."""
    config = load_config(
        "mini",
        ["rounds=8", "selfplay.games_per_round=640", "network.width=128",
         "learning.optimizer=muon", "learning.rate=3e-3"],
    )  # fmt: skip
    outcome = train(config, tmp_path / "run", Silent())
    player = OnePlyPlayer(TorchEvaluator(load_network(tmp_path / "run").network))
    exact = expected_score(MINI, policy_of(player))
    assert exact > 0.96 * mini_solution.optimum
    assert outcome.best_score == pytest.approx(exact, abs=2.0)


def test_it_learns_with_search(tmp_path: Path) -> None:
    reporter = Silent()
    train(
        replace(SMALL, rounds=8, selfplay=replace(SMALL.selfplay, simulations=8)),
        tmp_path,
        reporter,
    )
    assert reporter.metrics[-1]["one_ply"] > reporter.metrics[0]["score"] + 5
    assert reporter.metrics[-1]["policy_loss"] < reporter.metrics[0]["policy_loss"]


def test_it_learns_from_recorded_games(mini_solution: Solution, tmp_path: Path) -> None:
    """An expert's games: the policy loss at least halves, the values' stays above the luck."""
    keys = game_keys(11, 2000)
    expert = OnePlyPlayer(ExactEvaluator(mini_solution))
    games = play_games(expert, draw_orders(MINI, keys), keys)
    config = load_config(
        "recorded", ["variant=mini", "rounds=8", "network.width=128", "evaluation.games=50"]
    )
    reporter = Silent()
    train(config, tmp_path, reporter, games)
    first, last = reporter.metrics[0], reporter.metrics[-1]
    assert last["policy_loss"] < 0.5 * first["policy_loss"]
    assert last["held_out_policy_loss"] < 0.6 * first["held_out_policy_loss"]
    assert last["held_out_value_loss"] > 0.7 * last["held_out_value_floor"]


def _trained(
    tmp_path: Path, name: str, stop_after: int | None, config: TrainConfig = SMALL
) -> tuple[Path, list[Outcome]]:
    run = tmp_path / name
    rounds: list[int] = []

    def stop() -> bool:
        rounds.append(1)
        return len(rounds) == stop_after

    outcomes = [train(config, run, Silent(), stop=stop)]
    if stop_after is not None:
        outcomes.append(resume(run, Silent()))
    return run, outcomes


@pytest.mark.parametrize(
    ("optimizer", "hold_q", "stops"), [("adamw", False, (1, 3)), ("muon", True, (3,))]
)
def test_a_resumed_run_ends_like_an_unbroken_one(
    tmp_path: Path, optimizer: str, hold_q: bool, stops: tuple[int, ...]
) -> None:
    learning = replace(SMALL.learning, optimizer=optimizer, hold_q=hold_q)
    network = NetworkConfig("lines", 32, 1, 1) if optimizer == "muon" else SMALL.network
    config = replace(SMALL, learning=learning, network=network)
    unbroken, _ = _trained(tmp_path, "unbroken", None, config)
    for stop_after in stops:
        broken, outcomes = _trained(tmp_path, f"broken{stop_after}", stop_after, config)
        assert outcomes[0].reason == "stopped"
        assert outcomes[1].reason == "finished"
        a, b = (read_checkpoint(run / "last.json") for run in (unbroken, broken))
        assert a.tensors.keys() == b.tensors.keys()
        for name, tensor in a.tensors.items():
            assert (tensor == b.tensors[name]).all(), name
        assert any(name.startswith("muon.") for name in a.tensors) == (optimizer == "muon")
        assert ("replay.0.lesson" in a.tensors) == hold_q
        assert a.info["history"] == b.info["history"]
        lines = [
            [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
            for run in (unbroken, broken)
        ]
        for one, other in zip(*lines, strict=True):
            timeless = {k for k in one if not k.startswith("seconds")}
            assert {k: one[k] for k in timeless} == {k: other[k] for k in timeless}


def test_a_kill_between_two_saves_loses_only_what_came_after(tmp_path: Path) -> None:
    run, _ = _trained(tmp_path, "run", 2)
    unbroken = read_checkpoint(run / "last.json")
    # Lines and weights that a killed run wrote after its last checkpoint.
    train(replace(SMALL), tmp_path / "short", Silent(), stop=lambda: True)
    with (tmp_path / "short/metrics.jsonl").open("a") as stream:
        stream.write('{"round": 2, "score": -1}\n')
    (tmp_path / "short/last-000002.safetensors").write_bytes(b"half")
    (tmp_path / "short/.last.json.77.tmp").write_text("{")
    (tmp_path / "short/.last-000002.safetensors.77.tmp").write_bytes(b"half")
    resume(tmp_path / "short", Silent())
    assert not list((tmp_path / "short").glob(".*"))
    again = read_checkpoint(tmp_path / "short/last.json")
    assert all((unbroken.tensors[k] == again.tensors[k]).all() for k in unbroken.tensors)
    lines = (tmp_path / "short/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["round"] for line in lines] == [1, 2, 3, 4]


def test_a_run_that_stands_still_ends_and_stays_ended(tmp_path: Path) -> None:
    evaluation = replace(SMALL.evaluation, every=1, patience=1, least_gain=1000.0)
    outcome = train(replace(SMALL, evaluation=evaluation), tmp_path, Silent())
    assert (outcome.reason, outcome.rounds, outcome.of) == ("standing still", 2, SMALL.rounds)
    reporter = Silent()
    assert resume(tmp_path, reporter) == outcome
    assert reporter.metrics == []


@pytest.mark.parametrize("taken", ["config.json", "metrics.jsonl"])
def test_a_run_is_never_overwritten_or_mixed(tmp_path: Path, taken: str) -> None:
    train(replace(SMALL, rounds=1), tmp_path, Silent())
    with pytest.raises(UsageError, match="holds a run already"):
        train(SMALL, tmp_path, Silent())
    shutil.copytree(tmp_path, tmp_path / "kept")
    (tmp_path / "kept" / "last.json").unlink()
    with pytest.raises(UsageError, match="what a run has left, its best weights: take another"):
        train(SMALL, tmp_path / "kept", Silent())
    with pytest.raises(UsageError, match=r"no last\.json to go on from.*--from .*kept"):
        resume(tmp_path / "kept", Silent())
    with pytest.raises(UsageError, match="holds no run to go on with"):
        resume(tmp_path / "nothing", Silent())
    assert not (tmp_path / "nothing").exists()
    other = tmp_path / "other"
    other.mkdir()
    (other / taken).write_text("{}")
    with pytest.raises(UsageError, match=rf"holds a {taken} that is of no run"):
        train(SMALL, other, Silent())
    assert [path.read_text() for path in other.iterdir()] == ["{}"]


def test_a_power_cut_costs_no_more_than_the_lines_it_tore(tmp_path: Path) -> None:
    """Lines that never reached the disk, and one that did by half."""
    train(SMALL, tmp_path, Silent(), stop=lambda: True)
    resume(tmp_path, Silent(), stop=lambda: True)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    (tmp_path / "metrics.jsonl").write_text(lines[1][: len(lines[1]) // 2])
    resume(tmp_path, Silent())
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["round"] for line in lines] == [3, 4]


def test_a_resumed_run_learns_from_what_it_learnt_from(tmp_path: Path) -> None:
    keys = game_keys(11, 40)
    games = play_games(GreedyPlayer(MINI), draw_orders(MINI, keys), keys)
    (tmp_path / "lock").touch()  # left there, as the games, by a run that was given up
    write_games(tmp_path / "games.npz", games)
    train(SMALL, tmp_path, Silent(), stop=lambda: True)
    reporter = Silent()
    resume(tmp_path, reporter)
    assert "held_out_value_loss" not in reporter.metrics[-1]


def test_two_processes_cannot_train_in_one_folder(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another process is training"):
            train(SMALL, tmp_path, Silent())


def test_a_filesystem_without_locks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", without)
    with pytest.raises(UsageError, match=r"cannot lock .*No locks available"):
        train(SMALL, tmp_path, Silent())
    assert not is_training(tmp_path)


@pytest.mark.parametrize(
    ("trunk", "why"),
    [
        ("dense", r"not fit to train: .*norm"),
        ("lines", r"not fit to train: trunk\.norms\..* the same for every row"),
        ("conv", r"not fit to train: .*norm"),
    ],
)
def test_the_original_bug_never_takes_a_step(trunk: str, why: str) -> None:
    network = network_of(STANDARD, trunk)
    assert preflight(network, 0).learnt < 1.0
    zero_every_vector(network)
    with pytest.raises(CheckFailed, match=why):
        preflight(network, 0)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"round": 999}, r"last\.json is of round 999, and its config has 4"),
        ({"round": "3"}, r"last\.json says it stood at \['3'"),
        ({"games": None}, r"last\.json says it stood at .*None"),
    ],
)
def test_a_checkpoint_that_cannot_be_gone_on_with(
    tmp_path: Path, changed: dict[str, object], says: str
) -> None:
    train(SMALL, tmp_path, Silent(), stop=lambda: True)
    last = tmp_path / "last.json"
    data = json.loads(last.read_text())
    data["info"] |= changed
    last.write_text(json.dumps(data))
    with pytest.raises(RunError, match=says):
        resume(tmp_path, Silent())


def test_a_network_that_learns_nothing_of_one_batch_never_takes_a_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = network_of(STANDARD, "lines", width=16)
    zero_every_vector(network)
    monkeypatch.setattr(Audit, "problems", lambda *_, **__: [])
    with pytest.raises(CheckFailed, match="the network does not use what it sees"):
        preflight(network, 0)


def _report(**changes: float) -> StepReport:
    numbers = dict.fromkeys(Losses._fields, 1.0) | changes
    losses = Losses(**{k: torch.tensor(v) for k, v in numbers.items()})
    return StepReport(losses, changes.get("gradient_norm", 1.0))


def watch(watchdog: Watchdog, **changes: float) -> None:
    for _ in range(120):
        watchdog.watch(_report(**changes))


def test_the_watchdog_stops_what_does_not_learn() -> None:
    network = network_of(MINI)
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    lively = Watchdog(network, steps=50)
    watch(lively)
    uniform = Watchdog(network, steps=50)
    with pytest.raises(CheckFailed, match="still uniform"):
        watch(uniform, departure=0.001)
    with pytest.raises(CheckFailed, match="not finite"):
        Watchdog(network).watch(_report(value_loss=float("nan")))
    network.trunk.norm.weight.grad.zero_()  # type: ignore[union-attr]
    dead = Watchdog(network, steps=50)
    with pytest.raises(CheckFailed, match=r"no gradient in 50 steps, trunk\.norm\.weight"):
        watch(dead)


def test_the_watchdog_stops_a_real_run_that_goes_dead(tmp_path: Path) -> None:
    """The bug put in after the checks before the first step."""
    training = Training(SMALL, tmp_path, None, None)
    zero_every_vector(training.learner.network)
    watchdog = Watchdog(training.learner.network, steps=30)
    training.play_and_learn(watchdog, Silent())
    with pytest.raises(CheckFailed, match=r"no gradient in 30 steps"):
        training.play_and_learn(watchdog, Silent())


def test_stopping_goes_by_paired_intervals() -> None:
    rng = np.random.default_rng(0)
    luck = rng.normal(150, 25, 500)

    def evaluations(means: list[float]) -> list[np.ndarray]:
        return [np.round(luck + m + rng.normal(0, 8, 500)).astype(np.int32) for m in means]

    settings = replace(SMALL.evaluation, patience=3, least_gain=0.5)
    assert not standing_still(evaluations([0, 1, 2]), settings)  # too few to say
    assert not standing_still(evaluations([0, 1, 2, 3, 4, 5]), settings)  # rising
    assert standing_still(evaluations([5, 5, 5, 3, 3, 3]), settings)  # falling
    stood = [standing_still(evaluations([3.0] * 8), SMALL.evaluation) for _ in range(20)]
    assert sum(stood) > 15


def test_the_best_is_the_latest_that_is_not_clearly_worse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    luck = rng.normal(150, 25, 400)
    means = iter([10.0, 9.9, 4.0, 9.8])

    def measured(*_: object) -> Strength:
        scores = (luck + next(means) + rng.normal(0, 5, 400)).astype(np.float32)
        return Strength(scores, scores, np.zeros(7), np.zeros(7))

    monkeypatch.setattr("azx.trainer.training.measure", measured)
    training = Training(SMALL, tmp_path, None, None)
    kept = []
    for round_ in range(1, 5):
        training.round = round_
        training.evaluate(Silent())
        kept.append(read_checkpoint(tmp_path / "best.json").info["round"])
    assert kept == [1, 2, 2, 4]


def test_too_few_recorded_games_are_refused(tmp_path: Path) -> None:
    keys = game_keys(11, 2)
    two = play_games(GreedyPlayer(MINI), draw_orders(MINI, keys), keys)
    keys = game_keys(11, 1)
    games = play_games(GreedyPlayer(MINI), draw_orders(MINI, keys), keys)
    with pytest.raises(UsageError, match="too few"):
        train(load_config("recorded", ["variant=mini"]), tmp_path, Silent(), games)
    with pytest.raises(UsageError, match="games are of mini"):
        train(load_config("recorded", []), tmp_path / "other", Silent(), two)
