"""Who is learnt from: the network of another run, or an exported model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from azx.runtime.errors import ModelError
from azx.runtime.evaluator import Evaluator, has_q
from azx.runtime.files import write_bytes
from azx.runtime.modelfile import ModelFile, read_model
from azx.runtime.onnx_evaluator import OnnxEvaluator
from azx.trainer.checkpoint import LoadedNetwork, load_network, save_teacher
from azx.trainer.torch_evaluator import TorchEvaluator

#: An exported teacher in the folder of the run that learns from it.
MODEL = "teacher.onnx"


@dataclass(frozen=True)
class Teacher:
    """A network as it was when it was read; the run that learns from it keeps a copy."""

    read: LoadedNetwork | ModelFile

    def evaluator(self, precision: torch.dtype) -> Evaluator:
        """Its judgement, in one thread for each caller.

        `precision` is that of a run's matrix products; a model file computes as it was exported,
        always on the CPU. Raises `ModelError` where it does not judge placements.
        """
        if isinstance(self.read, LoadedNetwork):
            return TorchEvaluator(self.read.network, precision)
        model = OnnxEvaluator(self.read, provider="cpu", threads=1)
        if not has_q(model):
            raise ModelError(
                f"{self.read.path} has no output q, the points to come after each placement, and "
                "those are what a teacher teaches: take a model that azx trained"
            )
        return model

    def keep(self, run: Path) -> None:
        """Copy it into the folder `run`."""
        model = run / MODEL
        if isinstance(self.read, ModelFile):
            write_bytes(model, self.read.data)
        else:
            model.unlink(missing_ok=True)  # of a run that was given up before its first save
            save_teacher(run, self.read)


def read_teacher(path: Path) -> Teacher:
    """The teacher at `path`: a run's folder, a checkpoint's .json or an .onnx file.

    Raises `RunError` or `ModelError` where there is none, or one that the export gate refused.
    """
    if path.suffix != ".onnx":
        return Teacher(load_network(path))
    model = read_model(path, allow_unverified=True)
    if not model.card.verified:
        raise ModelError(
            f"{path} is stamped UNVERIFIED: the export gate refused it, and a network that learns "
            "from it would learn its fault; export it without --force, or learn from the run"
        )
    return Teacher(model)


def kept_teacher(run: Path) -> Teacher:
    """The copy that `Teacher.keep` made."""
    model = run / MODEL
    return read_teacher(model if model.exists() else run / "teacher.json")
