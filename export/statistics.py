"""Facts about parameters, and what the type of the owning module says each is for.

A parameter's part is read from its module's type and from the name which that type gives it. A
shape says nothing: the bug this project comes from took every one-dimensional tensor for a bias.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor, nn

NORMS = (
    nn.GroupNorm,
    nn.LayerNorm,
    nn.RMSNorm,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.SyncBatchNorm,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
)

#: Transposed convolutions keep their units along the second axis.
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)

#: Layers whose weights are many alike units that must start out different from one another.
MIXERS = (
    nn.Linear,
    nn.Bilinear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    *TRANSPOSED,
    nn.Embedding,
    nn.EmbeddingBag,
    nn.MultiheadAttention,
    nn.RNNBase,
    nn.RNNCellBase,
)


class Role(StrEnum):
    """What a parameter is for."""

    WEIGHT = "weight"  # of a layer in `MIXERS`
    NORM_WEIGHT = "norm weight"
    BIAS = "bias"
    OTHER = "other"  # of a module of some other type: nothing is expected of it beforehand


def role_of(owner: nn.Module, name: str) -> Role:
    """The part that parameter `name` of `owner` itself plays."""
    if not isinstance(owner, (*NORMS, *MIXERS)):
        return Role.OTHER
    if "bias" in name:
        return Role.BIAS
    return Role.NORM_WEIGHT if isinstance(owner, NORMS) else Role.WEIGHT


@dataclass(frozen=True)
class ParameterFacts:
    """One parameter. The figures are over its finite entries, and None where there are none."""

    path: str
    owner: str  # type of the module it belongs to
    role: Role
    shape: tuple[int, ...]
    dtype: str
    trainable: bool
    mean: float | None
    std: float | None  # of the population: 0 for a single entry
    min: float | None
    max: float | None
    zeros: float  # share of entries that are exactly 0
    nan: int
    inf: int
    wakes: int | None = None  # first step at which it had a gradient; None: never, or not tried

    @property
    def entries(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def all_zero(self) -> bool:
        """Whether every entry is exactly 0."""
        return self.entries > 0 and self.zeros == 1.0

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        return {**asdict(self), "role": str(self.role), "shape": list(self.shape)}


def parameter_facts(module: nn.Module) -> list[ParameterFacts]:
    """The facts of every parameter, tied ones once, in the module's order."""
    return [
        _facts(f"{path}.{name}" if path else name, owner, name, parameter)
        for path, owner, name, parameter in owned_parameters(module)
    ]


def owned_parameters(module: nn.Module) -> list[tuple[str, nn.Module, str, nn.Parameter]]:
    """(path of the owner, owner, name, parameter) of every parameter, tied ones once."""
    found = []
    seen: set[int] = set()
    for path, owner in module.named_modules():
        for name, parameter in owner.named_parameters(recurse=False):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                found.append((path, owner, name, parameter))
    return found


def _facts(path: str, owner: nn.Module, name: str, parameter: nn.Parameter) -> ParameterFacts:
    values = parameter.detach()
    finite = values[values.isfinite()].double()
    some = finite.numel() > 0
    return ParameterFacts(
        path=path,
        owner=type(owner).__name__,
        role=role_of(owner, name),
        shape=tuple(values.shape),
        dtype=str(values.dtype).removeprefix("torch."),
        trainable=parameter.requires_grad,
        mean=float(finite.mean()) if some else None,
        std=float(finite.std(correction=0)) if some else None,
        min=float(finite.min()) if some else None,
        max=float(finite.max()) if some else None,
        zeros=float((values == 0).double().mean()) if values.numel() else 0.0,
        nan=int(values.isnan().sum()),
        inf=int(values.isinf().sum()),
    )


def units_alike(owner: nn.Module, weight: Tensor) -> bool:
    """Whether all units of a layer with more than one hold the same numbers, up to rounding."""
    units = weight.detach().double()
    if isinstance(owner, TRANSPOSED):
        units = units.transpose(0, 1)
    if units.shape[0] < 2:
        return False
    spread = (units.amax(dim=0) - units.amin(dim=0)).max()
    return bool(spread <= torch.finfo(weight.dtype).eps * units.abs().max())
