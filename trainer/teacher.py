"""Who is learnt from: the network of another run, or an exported model."""

from __future__ import annotations

from pathlib import Path

import torch

from azx.runtime.evaluator import Evaluator
from azx.runtime.files import write_bytes
from azx.runtime.modelfile import read_model
from azx.runtime.onnx_evaluator import OnnxEvaluator
from azx.trainer.checkpoint import load_network, save_teacher
from azx.trainer.torch_evaluator import TorchEvaluator


def open_teacher(path: Path, precision: torch.dtype) -> Evaluator:
    """The judgement of a run, a checkpoint's .json or an .onnx file.

    `precision` is that of a run's matrix products; a model file computes as it was exported. Raises
    `RunError` or `ModelError` where there is none at `path`.
    """
    if path.suffix == ".onnx":
        # Each part of a round has a thread of its own already (`azx.trainer.parts`).
        return OnnxEvaluator(read_model(path), threads=torch.get_num_threads(), many_games=True)
    return TorchEvaluator(load_network(path).network, precision)


def keep_teacher(path: Path, run: Path) -> None:
    """Copy the teacher into the folder `run`, which may go on when `path` is no more."""
    model = run / "teacher.onnx"
    if path.suffix == ".onnx":
        write_bytes(model, read_model(path).data)
    else:
        model.unlink(missing_ok=True)  # of a run that was given up before its first save
        save_teacher(run, load_network(path))


def kept_teacher(run: Path) -> Path:
    """Where `keep_teacher` left it."""
    model = run / "teacher.onnx"
    return model if model.exists() else run / "teacher.json"
