"""What the modules of the corpus are made of, and what they are fed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from azx.export.inputs import InputSpec, parse_input

VECTORS = ("x=float32[batch,8]",)
PLANES = ("x=float32[batch,3,6,6]",)
SEQUENCES = ("x=float32[batch,5,8]",)
WORDS = ("x=int64[batch,6]<30",)


@dataclass(frozen=True)
class Case:
    """One module: how it is made, what it takes, and what an audit must say of it."""

    make: Callable[[], nn.Module]
    inputs: tuple[str, ...] = VECTORS
    paths: frozenset[str] = field(default_factory=frozenset)  # that findings must name

    @property
    def specs(self) -> list[InputSpec]:
        return [parse_input(text) for text in self.inputs]

    def module(self) -> nn.Module:
        """Seeded, so that no test hangs on the order of the others."""
        with torch.random.fork_rng():
            torch.manual_seed(3)
            return self.make()


def case(make: Callable[[], nn.Module], inputs: tuple[str, ...] = VECTORS, *paths: str) -> Case:
    return Case(make, inputs, frozenset(paths))


def zeroed(module: nn.Module, *paths: str) -> nn.Module:
    """`module` with these parameters at 0."""
    with torch.no_grad():
        for path in paths:
            module.get_parameter(path).zero_()
    return module


def filled(module: nn.Module, path: str, value: float) -> nn.Module:
    """`module` with every entry of one parameter at `value`."""
    nn.init.constant_(module.get_parameter(path), value)
    return module


class Lambda(nn.Module):
    """A function as a layer."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Residual(nn.Module):
    """x + the branch of x."""

    def __init__(self, *branch: nn.Module) -> None:
        super().__init__()
        self.branch = nn.Sequential(*branch)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


def mlp(*between: nn.Module) -> nn.Sequential:
    """[B, 8] through 16 hidden units to [B, 4]."""
    return nn.Sequential(nn.Linear(8, 16), *between, nn.Linear(16, 4))


def convolutions(norm: Callable[[], nn.Module] = lambda: nn.GroupNorm(4, 16)) -> nn.Sequential:
    """[B, 3, 6, 6] through a residual block to [B, 4]."""
    block = Residual(
        nn.Conv2d(16, 16, 3, padding=1),
        norm(),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1),
        norm(),
    )
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        norm(),
        nn.ReLU(),
        block,
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 4),
    )


class OnePlusNorm(nn.Module):
    """RMSNorm that stores w and multiplies by 1 + w, as some language models do."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)
        return x * scale * (1.0 + self.weight)


class OwnNorm(OnePlusNorm):
    """The same with a plain weight, which starts at 1."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        nn.init.ones_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)
        return x * scale * self.weight
