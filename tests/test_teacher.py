"""Learning from another network: a run's or an exported one, to the same end when resumed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import torch
from cli_testing import made_up_graph
from training_testing import SMALL, Silent

from azx.runtime.errors import ModelError, RunError, UsageError
from azx.runtime.modelfile import ModelCard, seal
from azx.runtime.models import shipped_model
from azx.runtime.play import play_games
from azx.runtime.players import GreedyPlayer
from azx.runtime.seeds import draw_orders, game_keys
from azx.runtime.variant import MINI
from azx.trainer.checkpoint import read_checkpoint
from azx.trainer.teacher import read_teacher
from azx.trainer.train import resume, train


def test_a_network_learns_from_a_teacher(tmp_path: Path) -> None:
    """It plays nearly as well in fewer rounds."""
    more = replace(SMALL, selfplay=replace(SMALL.selfplay, games_per_round=256))
    teacher, student = Silent(), Silent()
    train(replace(more, rounds=8), tmp_path / "teacher", teacher)
    learning = replace(SMALL.learning, rate=4e-3, lambda_start=0.0)
    config = replace(more, rounds=4, learning=learning, seed=1)
    train(config, tmp_path / "student", student, teacher=tmp_path / "teacher")
    first, last = student.metrics[0], student.metrics[-1]
    assert last["lesson_loss"] < 0.25 * first["lesson_loss"]
    assert last["one_ply"] > teacher.metrics[-1]["one_ply"] - 3.0


def test_a_run_with_a_teacher_is_resumed_to_the_same_end(tmp_path: Path) -> None:
    few = replace(SMALL, rounds=2)
    teacher = tmp_path / "teacher"
    train(few, teacher, Silent())
    train(few, tmp_path / "unbroken", Silent(), teacher=teacher)
    train(few, tmp_path / "broken", Silent(), teacher=teacher, stop=lambda: True)
    resume(tmp_path / "broken", Silent())
    one, other = (read_checkpoint(tmp_path / run / "last.json") for run in ("unbroken", "broken"))
    assert all((tensor == other.tensors[name]).all() for name, tensor in one.tensors.items())


def test_an_exported_model_teaches(tmp_path: Path) -> None:
    """From a copy of its own: the run goes on to the same end where the file is gone."""
    model = tmp_path / "teacher.onnx"
    shutil.copy(shipped_model("mini"), model)
    config = replace(SMALL, rounds=2)
    taught = Silent()
    train(config, tmp_path / "unbroken", taught, teacher=model)
    assert taught.metrics[-1]["lesson_loss"] < taught.metrics[0]["lesson_loss"]
    broken = tmp_path / "broken"
    train(config, broken, Silent(), teacher=model, stop=lambda: True)
    model.unlink()
    resume(broken, Silent())
    one, other = (read_checkpoint(tmp_path / run / "last.json") for run in ("unbroken", "broken"))
    assert all((tensor == other.tensors[name]).all() for name, tensor in one.tensors.items())


def test_a_run_that_is_killed_in_its_first_round_keeps_its_teacher(tmp_path: Path) -> None:
    class Killed(Silent):
        def step(self, what: str, done: int, of: int) -> None:
            raise KeyboardInterrupt

    config, teacher = replace(SMALL, rounds=1), shipped_model("mini")
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "killed", Killed(), teacher=teacher)
    resume(tmp_path / "killed", Silent())
    train(config, tmp_path / "unbroken", Silent(), teacher=teacher)
    one, other = (read_checkpoint(tmp_path / run / "last.json") for run in ("unbroken", "killed"))
    assert all((tensor == other.tensors[name]).all() for name, tensor in one.tensors.items())


def test_teachers_that_cannot_teach_are_refused(tmp_path: Path) -> None:
    train(replace(SMALL, rounds=1), tmp_path / "teacher", Silent())
    keys = game_keys(11, 40)
    games = play_games(GreedyPlayer(MINI), draw_orders(MINI, keys), keys)
    with pytest.raises(UsageError, match="leave one out"):
        train(SMALL, tmp_path / "run", Silent(), games, teacher=tmp_path / "teacher")
    holds = replace(SMALL, learning=replace(SMALL.learning, hold_q=True))
    with pytest.raises(UsageError, match="recorded games have no q to hold"):
        train(holds, tmp_path / "run", Silent(), games)
    with pytest.raises(UsageError, match="recorded games: give them with --games"):
        train(replace(SMALL, learns_from="games"), tmp_path / "run", Silent(),
              teacher=tmp_path / "teacher")  # fmt: skip
    with pytest.raises(UsageError, match="the teacher plays mini, the run is for standard"):
        train(
            replace(SMALL, variant="standard"),
            tmp_path / "run",
            Silent(),
            teacher=tmp_path / "teacher",
        )


def test_a_model_of_another_variant_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the teacher plays mini, the run is for standard"):
        train(
            replace(SMALL, variant="standard"),
            tmp_path / "run",
            Silent(),
            teacher=shipped_model("mini"),
        )
    assert not (tmp_path / "run" / "teacher.onnx").exists()


def test_models_that_cannot_teach_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no checkpoint"):
        read_teacher(tmp_path)
    with pytest.raises(ModelError, match="no such file"):
        read_teacher(tmp_path / "none.onnx")
    unverified = tmp_path / "unverified.onnx"
    unverified.write_bytes(seal(made_up_graph(MINI), ModelCard(MINI, verified=False)))
    with pytest.raises(ModelError, match=r"UNVERIFIED.*export it without --force"):
        read_teacher(unverified)
    without_q = tmp_path / "without_q.onnx"
    graph = onnx.load_from_string(made_up_graph(MINI))
    assert graph.graph.output.pop().name == "q"
    without_q.write_bytes(seal(graph.SerializeToString(), ModelCard(MINI, verified=True)))
    with pytest.raises(ModelError, match=f"{without_q} has no output q"):
        read_teacher(without_q).evaluator(torch.float32)
