"""Modules that an audit must refuse, and the paths that it must name."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from corpus.parts import (
    PLANES,
    SEQUENCES,
    VECTORS,
    Case,
    Lambda,
    Residual,
    case,
    convolutions,
    filled,
    mlp,
    zeroed,
)


def original_bug() -> nn.Module:
    """Every one-dimensional tensor set to 0, meaning the biases."""
    made = convolutions()
    return zeroed(made, *(path for path, p in made.named_parameters() if p.ndim == 1))


def original_bug_in_a_transformer() -> nn.Module:
    made = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    return zeroed(made, *(path for path, p in made.named_parameters() if p.ndim == 1))


def two_zeros_in_a_branch() -> nn.Module:
    branch = Residual(nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 8))
    made = nn.Sequential(nn.Linear(8, 8), branch, nn.Linear(8, 4))
    return zeroed(made, "1.branch.1.weight", "1.branch.2.weight", "1.branch.1.bias")


def one_nan() -> nn.Module:
    made = mlp(nn.ReLU())
    with torch.no_grad():
        made[0].weight[1, 3] = float("nan")
    return made


def statistics_with(value: float, name: str) -> nn.Module:
    made = mlp(nn.BatchNorm1d(16))
    getattr(made[1], name)[2] = value
    return made


class NanBuffer(nn.Module):
    """A table of positions that was computed wrongly."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 4)
        self.register_buffer("scale", torch.tensor([1.0, 1.0, float("nan"), 1.0]))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) * self.scale.nan_to_num()


class Detached(nn.Module):
    """The stem is used, and cut off from the gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(8, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stem(x).detach())


class DetachedBranch(nn.Module):
    """The same beside a path that learns."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = mlp(nn.ReLU()), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.one(x) + torch.from_numpy(self.other(x).detach().numpy())


class Rounded(nn.Module):
    """A rounding in the way, through which no gradient passes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(8, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.round(self.stem(x) * 4) / 4)


class Idle(nn.Module):
    """A layer that forward forgot."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.idle = nn.Linear(8, 2), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x)


class Overwritten(nn.Module):
    """A branch that is computed, and its result lost."""

    def __init__(self) -> None:
        super().__init__()
        self.branch, self.other = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        lost = self.branch(x)
        lost = self.other(x)  # what should have been added to it
        return lost * 2.0


class TimesZero(nn.Module):
    """A branch switched off by a factor that was meant to be learnt, and is a number."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.branch = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.trunk(x) + 0.0 * self.branch(x)


class DeafToInput(nn.Module):
    """Its parameters learn, and what comes in does not matter."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(torch.ones_like(x))


class RootOfNothing(nn.Module):
    """Finite outputs, and a gradient that is not."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = zeroed(nn.Linear(8, 2, bias=False), "weight")

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).square().sum(1).sqrt() + x.sum(1)


class MaskedThroughout(nn.Module):
    """A softmax over a row in which everything is masked."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).masked_fill(x[:, :1] > -9, float("-inf")).softmax(1)


def shut_relu() -> nn.Module:
    return filled(mlp(nn.ReLU()), "0.bias", -100.0)


def shut_convolution() -> nn.Module:
    made = nn.Sequential(
        nn.Conv2d(3, 8, 3), Lambda(torch.relu), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(32, 2)
    )
    return filled(made, "0.bias", -50.0)


def saturated() -> nn.Module:
    """So far out that not a bit of the sigmoid's slope is left."""
    return filled(mlp(nn.Sigmoid()), "0.bias", 200.0)


def units_alike() -> nn.Module:
    made = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Tanh(), nn.Linear(8, 2, bias=False))
    return filled(filled(made, "0.weight", 0.1), "2.weight", 0.1)


def frozen_zero_norm() -> nn.Module:
    """A zero that will stay, for it is frozen."""
    made = zeroed(mlp(nn.LayerNorm(16)), "1.weight")
    made[1].weight.requires_grad_(False)
    return made


def units_alike_at_random() -> nn.Module:
    """Every unit the same, though no two weights of a unit are."""
    made = mlp(nn.Tanh())
    with torch.no_grad():
        made[0].weight.copy_(made[0].weight[:1].expand(16, 8))
        made[0].bias.zero_()
        made[2].weight.copy_(made[2].weight[:, :1].expand(4, 16))
    return made


class FrozenTable(nn.Module):
    """A frozen table of zeros, which is meant, and a ReLU somewhere else that is shut."""

    def __init__(self) -> None:
        super().__init__()
        self.table = zeroed(nn.Embedding(5, 16), "weight").requires_grad_(False)
        self.stem, self.head = nn.Linear(8, 16), nn.Linear(16, 4)
        self.shut, self.behind = filled(nn.Linear(16, 16), "bias", -50.0), nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x) + self.table.weight[0]
        return self.head(y + self.behind(torch.relu(self.shut(y))))


OUTPUT = "output output"

SICK: dict[str, Case] = {
    "the original bug": case(original_bug, PLANES, "1.weight", "3.branch.1.weight"),
    "the original bug, transformer": case(
        original_bug_in_a_transformer, SEQUENCES, "norm1.weight", "norm2.weight"
    ),
    "two zeros in series in a branch": case(
        two_zeros_in_a_branch, VECTORS, "1.branch.1.weight", "1.branch.2.weight"
    ),
    "two zeros in series": case(
        lambda: zeroed(
            nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 2)), "0.weight", "0.bias", "1.weight"
        ),
        VECTORS,
        "0.weight",
        "1.weight",
    ),
    "NaN in a parameter": case(one_nan, VECTORS, "0.weight"),
    "NaN in a norm's statistics": case(
        lambda: statistics_with(float("nan"), "running_mean"),
        VECTORS,
        "1.running_mean",
    ),
    "Inf in a norm's statistics": case(
        lambda: statistics_with(float("inf"), "running_var"),
        VECTORS,
        "1.running_var",
    ),
    "NaN in a buffer": case(NanBuffer, VECTORS, "scale"),
    "NaN in the gradient": case(RootOfNothing, VECTORS, "linear.weight"),
    "NaN in the output": case(MaskedThroughout, VECTORS, OUTPUT),
    "dead ReLU": case(shut_relu, VECTORS, "0.weight"),
    "dead ReLU, convolutions": case(shut_convolution, PLANES, "0.weight"),
    "saturated sigmoid": case(saturated, VECTORS, "0.weight"),
    "a branch never used": case(Idle, VECTORS, "idle.weight"),
    "a branch whose result is lost": case(Overwritten, VECTORS, "branch.weight"),
    "a branch times zero": case(TimesZero, VECTORS, "branch.weight"),
    "detached stem": case(Detached, VECTORS, "stem.weight"),
    "detached branch": case(DetachedBranch, VECTORS, "other.weight"),
    "rounding in the way": case(Rounded, VECTORS, "stem.weight"),
    "softmax over the wrong axis": case(
        lambda: nn.Sequential(nn.Linear(8, 1), nn.Softmax(dim=1)), VECTORS, OUTPUT
    ),
    "LayerNorm over one number": case(
        lambda: nn.Sequential(nn.Linear(8, 1), nn.LayerNorm(1)), VECTORS, OUTPUT
    ),
    "deaf to its input": case(DeafToInput, VECTORS, OUTPUT),
    "units that stay alike": case(units_alike, VECTORS, "0.weight"),
    "units that stay alike, at random": case(units_alike_at_random, VECTORS, "0.weight"),
    "dead ReLU beside a frozen table of zeros": case(FrozenTable, VECTORS, "shut.weight"),
    "frozen zero in the way": case(frozen_zero_norm, VECTORS, "1.weight"),
}
