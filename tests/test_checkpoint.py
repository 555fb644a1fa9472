"""Checkpoints: whole or refused, read beside a run that saves, other people's files left alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file
from training_testing import SMALL, Silent

from azx.runtime.errors import RunError
from azx.trainer import checkpoint
from azx.trainer.checkpoint import load_network, read_checkpoint
from azx.trainer.train import resume, train
from azx.trainer.training import Training


def test_copies_of_weights_are_left_alone(tmp_path: Path) -> None:
    train(replace(SMALL, rounds=2), tmp_path, Silent())
    weights = next(tmp_path.glob("last-*.safetensors"))
    kept = weights.with_stem(f"{weights.stem}-keep")
    kept.write_bytes(weights.read_bytes())
    training = Training(SMALL, tmp_path, None, None)
    training.round = 7
    training.save()
    assert {path.name for path in tmp_path.glob("last-*")} == {
        "last-000007.safetensors",
        kept.name,
    }


def test_weights_that_a_save_replaces_meanwhile_are_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(replace(SMALL, rounds=1), tmp_path, Silent())
    path = tmp_path / "last.json"
    known = path.read_text()
    weights = tmp_path / json.loads(known)["weights"]
    path.write_text(known.replace(weights.name, "last-000000.safetensors"))
    read = checkpoint.read_bytes

    def saved_meanwhile(asked: Path, what: type[RunError]) -> bytes:
        if asked.name == "last-000000.safetensors":
            path.write_text(known)
        return read(asked, what)

    monkeypatch.setattr(checkpoint, "read_bytes", saved_meanwhile)
    assert read_checkpoint(path).tensors.keys() == load_file(weights).keys()


def test_a_run_of_an_earlier_version_says_how_to_go_on(tmp_path: Path) -> None:
    train(SMALL, tmp_path, Silent(), stop=lambda: True)
    weights = next(tmp_path.glob("last-*.safetensors"))
    tensors = load_file(weights)
    save_file({k: v for k, v in tensors.items() if not k.endswith("other_tiles")}, weights)
    with pytest.raises(RunError, match=r"lacks .*other_tiles.*another version.*--from"):
        resume(tmp_path, Silent())
    save_file({k: v for k, v in tensors.items() if not k.startswith("adamw")}, weights)
    with pytest.raises(RunError, match=r"remembered of trunk.*another version.*--from"):
        resume(tmp_path, Silent())
    mean = "adamw.heads.q.even.weight.exp_avg"
    save_file({**tensors, mean: tensors[mean][1:]}, weights)
    with pytest.raises(RunError, match=r"remembered of heads\.q\.even"):
        resume(tmp_path, Silent())
    save_file(tensors, weights)
    last = tmp_path / "last.json"
    known = json.loads(last.read_text())
    last.write_text(json.dumps({**known, "info": {"round": 1, "recorded": False}}))
    with pytest.raises(RunError, match=r"last.json lacks 'taught'.*another version"):
        resume(tmp_path, Silent())
    last.write_text(json.dumps({**known, "info": {**known["info"], "history": [[1.0, 2.0]]}}))
    with pytest.raises(RunError, match=r"no scores by stage: .*another version.*--from"):
        resume(tmp_path, Silent())
    last.write_text(json.dumps(known))
    resume(tmp_path, Silent())


def test_broken_checkpoints_are_refused(tmp_path: Path) -> None:
    train(replace(SMALL, rounds=1), tmp_path, Silent())
    weights = next(tmp_path.glob("best-*.safetensors"))
    whole = weights.read_bytes()
    weights.write_bytes(whole[:1000])
    with pytest.raises(RunError, match="not a readable checkpoint"):
        load_network(tmp_path)
    weights.unlink()
    with pytest.raises(RunError, match="no such file"):
        load_network(tmp_path)
    (tmp_path / "best.json").write_text("{")
    with pytest.raises(RunError, match="not a readable checkpoint"):
        load_network(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="holds no checkpoint"):
        load_network(tmp_path / "empty")
