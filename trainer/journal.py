"""The record of a run: a line of JSON for every round, and the same for TensorBoard."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from azx.runtime.files import write_text

#: In the run's folder: a line of JSON for every round.
METRICS = "metrics.jsonl"


def layer_statistics(network: nn.Module) -> dict[str, list[float]]:
    """Root mean square of every parameter and of its last gradient, by name."""

    def rms(tensor: torch.Tensor | None) -> float:
        return 0.0 if tensor is None else float(tensor.detach().float().square().mean().sqrt())

    return {name: [rms(p), rms(p.grad)] for name, p in network.named_parameters()}


def _round_of(line: str) -> float:
    """Whose metrics a line holds; infinity where it was torn, by a kill or a power cut."""
    try:
        return int(json.loads(line)["round"])
    except (ValueError, KeyError, TypeError):
        return math.inf


class Journal:
    """Writes `RUN/metrics.jsonl` and TensorBoard's event files beside it."""

    def __init__(self, run: Path, rounds_done: int) -> None:
        """Continue after `rounds_done` rounds: lines of later ones, never saved, are dropped."""
        self.path = run / METRICS
        kept = []
        if rounds_done and self.path.exists():
            lines = self.path.read_text(errors="replace").splitlines()
            kept = [line for line in lines if _round_of(line) <= rounds_done]
        write_text(self.path, "".join(line + "\n" for line in kept))
        self._board = SummaryWriter(str(run / "tensorboard"), purge_step=rounds_done + 1)

    def write(self, metrics: dict[str, Any]) -> None:
        """Append one round's metrics, numbers or lists of numbers by name."""
        with self.path.open("a") as stream:
            stream.write(json.dumps(metrics) + "\n")
        for name, value in metrics.items():
            if isinstance(value, (int, float)):
                self._board.add_scalar(name, value, metrics["round"])
            elif isinstance(value, list):
                turns = {f"turn {turn}": v for turn, v in enumerate(value)}
                for turn, number in turns.items():
                    self._board.add_scalar(f"{name}/{turn}", number, metrics["round"])

    def weights(self, network: nn.Module, index: int) -> None:
        """Histograms of every parameter and of its last gradient."""
        for name, parameter in network.named_parameters():
            self._board.add_histogram(f"weight/{name}", parameter.detach(), index)
            if parameter.grad is not None and bool(torch.isfinite(parameter.grad).all()):
                self._board.add_histogram(f"gradient/{name}", parameter.grad, index)
        self._board.flush()

    def close(self) -> None:
        """Flush what TensorBoard has not written yet."""
        self._board.close()
