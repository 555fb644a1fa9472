"""Facts about parameters, and what the type of the owning module says each is for.

A parameter's part is read from its module's type and from the name which that type gives it. A
shape says nothing: the bug this project comes from took every one-dimensional tensor for a bias.
"""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

NORMS = (nn.GroupNorm, nn.LayerNorm, nn.RMSNorm, _NormBase)

#: Transposed convolutions keep their units along the second axis.
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)

#: Layers that count their units along the second axis of what they put out; others along the last.
CHANNELS_SECOND = (nn.Conv1d, nn.Conv2d, nn.Conv3d, *TRANSPOSED, nn.GroupNorm, _NormBase)

TABLES = (nn.Embedding, nn.EmbeddingBag)
RECURRENT = (nn.RNNBase, nn.RNNCellBase)

#: Layers whose weights are many alike units that must start out different from one another.
MIXERS = (
    nn.Linear,
    nn.Bilinear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    *TRANSPOSED,
    *TABLES,
    nn.MultiheadAttention,
    *RECURRENT,
)


#: What torch's own layers of those types call their weights.
WEIGHTS = re.compile(r"weight(_\w+)?|\w+_proj_weight")


class Role(StrEnum):
    """What a parameter is for."""

    WEIGHT = "weight"  # of a layer in `MIXERS`, by the names in `WEIGHTS`
    NORM_WEIGHT = "norm weight"
    BIAS = "bias"
    OTHER = "other"  # by its owner's type or its name: nothing is expected of it beforehand


def role_of(owner: nn.Module, name: str) -> Role:
    """The part that parameter `name` of `owner` itself plays."""
    if not isinstance(owner, (*NORMS, *MIXERS)):
        return Role.OTHER
    if "bias" in name:
        return Role.BIAS
    if isinstance(owner, NORMS):
        return Role.NORM_WEIGHT
    # A layer that was made into another one may hold more: a gain of ones, a factor of 0.
    return Role.WEIGHT if WEIGHTS.fullmatch(name) else Role.OTHER


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
    expected_std: float | None = None  # 1 / sqrt(fan-in), which keeps the spread; weights only
    duplicates: int = 0  # units that repeat another one, those of zeros aside; weights only
    tied: tuple[str, ...] = ()  # other paths of the same tensor
    optimised: bool | None = None  # in the optimiser that was given; None where none was

    @property
    def entries(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def all_zero(self) -> bool:
        """Whether every entry is exactly 0."""
        return self.entries > 0 and self.zeros == 1.0

    @property
    def owner_path(self) -> str:
        """The path of the module it belongs to."""
        return self.path.rpartition(".")[0]

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        return {**asdict(self), "role": str(self.role), "shape": list(self.shape)}


def parameter_facts(
    module: nn.Module, optimizer: torch.optim.Optimizer | None = None
) -> list[ParameterFacts]:
    """The facts of every parameter, tied ones once, in the module's order."""
    paths: dict[int, list[str]] = {}
    for path, parameter in module.named_parameters(remove_duplicate=False):
        paths.setdefault(id(parameter), []).append(path)
    groups = optimizer.param_groups if optimizer is not None else []
    held = {id(parameter) for group in groups for parameter in group["params"]}
    return [
        _facts(
            owner,
            name,
            parameter,
            paths[id(parameter)],
            id(parameter) in held if optimizer is not None else None,
        )
        for _, owner, name, parameter in owned_parameters(module)
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


def _facts(
    owner: nn.Module,
    name: str,
    parameter: nn.Parameter,
    paths: list[str],
    optimised: bool | None,
) -> ParameterFacts:
    values = parameter.detach()
    if values.is_complex():
        values = torch.view_as_real(values)
    nan, inf = int(values.isnan().sum()), int(values.isinf().sum())
    finite = (values[values.isfinite()] if nan or inf else values).double()
    some = finite.numel() > 0
    std, mean = torch.std_mean(finite, correction=0) if some else (None, None)
    low, high = finite.aminmax() if some else (None, None)
    role = role_of(owner, name)
    real = parameter.is_floating_point() or parameter.is_complex()
    mixes = role == Role.WEIGHT and values.ndim >= 2 and real
    return ParameterFacts(
        path=paths[0],
        owner=type(owner).__name__,
        role=role,
        shape=tuple(parameter.shape),
        dtype=str(parameter.dtype).removeprefix("torch."),
        trainable=parameter.requires_grad,
        mean=None if mean is None else float(mean),
        std=None if std is None else float(std),
        min=None if low is None else float(low),
        max=None if high is None else float(high),
        zeros=float((values == 0).double().mean()) if values.numel() else 0.0,
        nan=nan,
        inf=inf,
        expected_std=expected_std(owner, values) if mixes else None,
        duplicates=duplicate_units(owner, values) if mixes and not (nan or inf) else 0,
        tied=tuple(paths[1:]),
        optimised=optimised,
    )


def expected_std(owner: nn.Module, weight: Tensor) -> float | None:
    """1 / sqrt(fan-in): the deviation at which a layer passes on the spread of its input.

    None for tables, which add nothing up. Recurrent layers count their state (as torch does).
    Source: LeCun et al., Efficient BackProp (1998), section 4.6.
    """
    if isinstance(owner, TABLES) or not weight.numel():
        return None
    if isinstance(owner, RECURRENT):
        return float(owner.hidden_size) ** -0.5
    fan_in = float(_units(owner, weight)[0].numel())
    if isinstance(owner, TRANSPOSED):
        # Of the inputs of its own group, and of these only those whose strides meet.
        fan_in /= owner.groups * math.prod(owner.stride)
    return max(fan_in, 1.0) ** -0.5


def duplicate_units(owner: nn.Module, weight: Tensor) -> int:
    """How many units hold exactly what another one holds; units of zeros do not count."""
    units = _units(owner, weight).flatten(1)
    if isinstance(owner, TABLES) or len(units) < 2:
        return 0
    # Equal units have equal projections; a random one tells all others apart.
    generator = torch.Generator().manual_seed(0)
    axis = torch.randn(units.shape[1], generator=generator, dtype=torch.float64)
    places = units.double() @ axis.to(units.device)
    places = places[(units != 0).any(dim=1)]
    return len(places) - len(places.unique())


def unit_count(owner: nn.Module, weight: Tensor) -> int:
    """How many units a weight has."""
    return len(_units(owner, weight))


def units_alike(owner: nn.Module, weight: Tensor) -> bool:
    """Whether all units of a layer with more than one hold the same numbers, up to rounding."""
    units = _units(owner, weight).double()
    if units.shape[0] < 2:
        return False
    spread = (units.amax(dim=0) - units.amin(dim=0)).max()
    return bool(spread <= torch.finfo(weight.dtype).eps * units.abs().max())


def channel_axis(layer: nn.Module, axes: int) -> int:
    """Along which axis of an output with so many axes, rows first, a layer counts its units."""
    own = next(layer.parameters(recurse=False), None)
    second = isinstance(layer, CHANNELS_SECOND) or (own is not None and own.ndim >= 4)
    return 1 if second and axes > 1 else axes - 1


def _units(owner: nn.Module, weight: Tensor) -> Tensor:
    weight = weight.detach()
    return weight.transpose(0, 1) if isinstance(owner, TRANSPOSED) else weight
