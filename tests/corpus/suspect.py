"""Modules that work and that an audit must warn of, with the paths that it must name."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from corpus.parts import PLANES, VECTORS, Case, Lambda, OwnNorm, case, filled, mlp, zeroed


def scaled(module: nn.Module, path: str, factor: float) -> nn.Module:
    with torch.no_grad():
        module.get_parameter(path).mul_(factor)
    return module


def half_shut() -> nn.Module:
    made = mlp(nn.ReLU())
    with torch.no_grad():
        made[0].bias[:12] = -50.0
    return made


def mostly_shut(activation: nn.Module) -> nn.Module:
    """Of 16 channels 15 say nothing anywhere."""
    made = nn.Sequential(nn.Conv2d(3, 16, 3), activation, nn.Conv2d(16, 2, 3))
    with torch.no_grad():
        made[0].bias[:15] = -50.0
    return made


def one_filter() -> nn.Module:
    """Sixteen copies of a filter, which the layer behind them drives apart."""
    made = nn.Sequential(nn.Conv2d(3, 16, 3, bias=False), nn.ReLU(), nn.Conv2d(16, 2, 3))
    with torch.no_grad():
        made[0].weight.copy_(made[0].weight[:1].expand_as(made[0].weight))
    return made


def biased_zero_norm(norm: nn.Module, activation: nn.Module) -> nn.Module:
    """Its bias makes it put out something, which is the same for every input."""
    return filled(zeroed(mlp(norm, activation), "1.weight"), "1.bias", 1.0)


class AlwaysDropping(nn.Module):
    """Dropout that does not ask whether it is training."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.dropout(self.linear(x), 0.5, True)


class Deaf(nn.Module):
    """Takes a mask, and forgets it."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 4)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.linear(x)


class OneConstantOutput(nn.Module):
    """A second output that no input changes."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.spread = nn.Linear(8, 4), nn.Parameter(torch.zeros(4))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        mean = self.linear(x)
        return {"mean": mean, "log_std": self.spread.expand_as(mean)}


SUSPECT: dict[str, Case] = {
    "zero norm in a trunk": case(
        lambda: zeroed(mlp(nn.LayerNorm(16), nn.GELU()), "1.weight"), VECTORS, "1"
    ),
    "zero norm in a trunk of SiLUs": case(
        lambda: zeroed(mlp(nn.BatchNorm1d(16), nn.SiLU()), "1.weight"), VECTORS, "1"
    ),
    "zero norm with a bias": case(
        lambda: biased_zero_norm(nn.LayerNorm(16), nn.GELU()), VECTORS, "1"
    ),
    "zero norm with a bias, ReLU": case(
        lambda: biased_zero_norm(nn.GroupNorm(4, 16), nn.ReLU()), VECTORS, "1"
    ),
    "zero norm of one's own in a trunk": case(
        lambda: zeroed(mlp(OwnNorm(16), nn.GELU()), "1.weight"), VECTORS, "1"
    ),
    "constant convolution": case(
        lambda: filled(
            nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 2, 3)), "0.weight", 0.05
        ),
        PLANES,
        "0.weight",
    ),
    "constant linear layer": case(
        lambda: filled(mlp(nn.ReLU()), "0.weight", 0.1), VECTORS, "0.weight"
    ),
    "spread far too small": case(
        lambda: scaled(mlp(nn.Tanh()), "0.weight", 1e-3), VECTORS, "0.weight"
    ),
    "spread far too large": case(
        lambda: scaled(
            nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4)), "2.weight", 50
        ),
        VECTORS,
        "2.weight",
    ),
    "three quarters of the units idle": case(half_shut, VECTORS, "1"),
    "most channels idle": case(lambda: mostly_shut(nn.ReLU()), PLANES, "1"),
    "most channels idle, GELU": case(lambda: mostly_shut(nn.GELU()), PLANES, "1"),
    "filters that begin as copies": case(one_filter, PLANES, "0.weight"),
    "an input never used": case(Deaf, ("x=float32[batch,8]", "mask=int64[batch,4]"), "input mask"),
    "rows that mix": case(
        lambda: nn.Sequential(nn.Linear(8, 4), Lambda(lambda x: x - x.mean(0))),
        VECTORS,
        "output output",
    ),
    "a sum over the rows before": case(
        lambda: nn.Sequential(nn.Linear(8, 4), Lambda(lambda x: x.cumsum(0))),
        VECTORS,
        "output output",
    ),
    "the row before leaks": case(
        lambda: nn.Sequential(nn.Linear(8, 4), Lambda(lambda x: x + x.roll(1, 0))),
        VECTORS,
        "output output",
    ),
    "dropout in use": case(AlwaysDropping, VECTORS, "output output"),
    "softmax over the batch": case(
        lambda: nn.Sequential(nn.Linear(8, 4), nn.Softmax(dim=0)), VECTORS, "output output"
    ),
    "one output of two constant": case(OneConstantOutput, VECTORS, "output log_std"),
}
