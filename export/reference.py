"""What torch says of every row, and how far from it another engine may be.

How far is not chosen but measured: float32 in torch is compared with the same network in float64,
and the other engine is allowed a few times that, family by family.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from azx.export.families import Families
from azx.export.inputs import Batch
from azx.export.interface import Interface, Named, arrays, run
from azx.export.isolation import random_numbers_kept, separate_copy, watched_layers
from azx.export.outputs import ordinary, varies
from azx.runtime.answers import Arrays
from azx.runtime.errors import first_line
from azx.runtime.golden import beyond_rounding, differences

#: onnxruntime may be off by this many times what float32 torch is off ...
TIMES = 8
#: ... and always by this many roundings of the output's largest entry, masks aside.
ROUNDINGS = 8
#: The same where no float64 reference is to be had.
ROUNDINGS_UNMEASURED = 256
#: Off by more than this share of the largest entry, float32 is too coarse to compare anything.
TOO_COARSE = 1e-3

#: An output must vary by this many times its bound, or agreement on it shows nothing.
TELLING = 10.0


@dataclass(frozen=True)
class Bound:
    """How far an output may be off on one family of inputs, and where that is from."""

    allowed: float
    torch_off: float | None  # float32 torch against float64; None where there is no float64
    usable: bool = True  # agreement means something: no NaN, fine enough, within what is promised


@dataclass(frozen=True)
class Reference:
    """Torch's answers for all rows of `families`."""

    families: Families
    interface: Interface
    expected: Arrays
    bounds: dict[str, dict[str, Bound]]  # by output, by family
    source: str  # how the bounds were found
    faults: dict[str, str] = field(default_factory=dict)  # outputs on which parity shows nothing
    left_out: str = "float32 is too coarse"  # why some families have no usable bound

    def worst_bound(self, output: str) -> float:
        """What this output may be off on any family."""
        return max((b.allowed for b in self.bounds[output].values() if b.usable), default=0.0)


@dataclass(frozen=True)
class Departure:
    """How far one output is off on one family."""

    family: str
    worst: float  # Inf for NaN on one side, or for another shape
    allowed: float
    row: int
    size: int  # of the batch that it was asked in
    relative: float  # the worst over the family's largest expected entry
    median: float
    p99: float

    @property
    def ratio(self) -> float:
        """Above 1 it is too far."""
        if self.allowed > 0:
            return self.worst / self.allowed
        return float("inf") if self.worst > 0 else 0.0


def reference_of(module: Named, interface: Interface, families: Families) -> Reference:
    """Run `module` on all rows in float32 and in float64. `module` is as before afterwards.

    Raises `UsageError` where it cannot be copied or run.
    """
    with random_numbers_kept(0), watched_layers():
        single = run(module, families.batch)
        exact, source = _in_double(module, families.batch)
    bounds: dict[str, dict[str, Bound]] = {}
    faults = {}
    for name, tensor in single.items():
        axis = interface.output_axes.get(name)
        bounds[name] = {
            family: _bound(
                _rows(tensor, rows, axis),
                _rows(exact[name], rows, axis) if name in exact else None,
            )
            for family in families.names
            if (rows := families.rows_of(family))
        }
        fault = _shows_nothing(tensor, axis, families, bounds[name])
        if fault:
            faults[name] = fault
    return Reference(families, interface, arrays(single), bounds, source, faults)


def _rows(tensor: Tensor, rows: list[int], axis: int | None) -> Tensor:
    return tensor if axis is None else tensor.movedim(axis, 0)[rows]


def _shows_nothing(
    tensor: Tensor, axis: int | None, families: Families, bounds: dict[str, Bound]
) -> str:
    """Why agreement on this output would be empty; nothing where it would not."""
    usual = families.names[0]
    bound = bounds[usual]
    part = _rows(tensor, families.rows_of(usual), axis)
    part = part if part.is_floating_point() else part.double()
    if bool(part.isnan().any()):
        return f"torch itself gives NaN on {usual} inputs"
    if not bound.usable:
        off = f"{bound.torch_off:.1e}" if bound.torch_off is not None else "unknown"
        return f"float32 torch itself is off by {off} from float64: too coarse to compare anything"
    if axis is None:
        return ""
    if not varies(part):
        return f"the same for all {len(part)} rows of {usual} inputs: agreement on it shows nothing"
    usable = part.double().masked_fill(~ordinary(part), 0.0)
    spread = float((usable.amax(dim=0) - usable.amin(dim=0)).max())
    if spread < TELLING * bound.allowed:
        return (
            f"it varies by {spread:.1e} and may be off by {bound.allowed:.1e}: agreement on it "
            "shows nothing"
        )
    return ""


class _Doubled(TorchDispatchMode):
    """Turns each request for a lower floating-point type inside a forward into one for float64."""

    LOWER = (torch.float32, torch.float16, torch.bfloat16)

    def __torch_dispatch__(  # type: ignore[no-untyped-def]
        self, func, types, args=(), kwargs=None
    ):
        raised = {k: torch.float64 if v in self.LOWER else v for k, v in (kwargs or {}).items()}
        return func(*args, **raised)


@contextmanager
def _default_double() -> Iterator[None]:
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(default)


def _in_double(module: Named, batch: Batch) -> tuple[dict[str, Tensor], str]:
    """The outputs in float64, and a line on how bounds come about; none where it fails."""
    exact: dict[str, Tensor] = {}
    try:
        doubled = separate_copy(module).double()
        with _default_double(), _Doubled():
            exact = run(doubled, batch.double())
        floats = {name: tensor for name, tensor in exact.items() if tensor.is_floating_point()}
        single = [name for name, tensor in floats.items() if tensor.dtype != torch.float64]
        reason = f"{single[0]} stays {exact[single[0]].dtype}" if single else ""
    except Exception as error:  # a forward may insist on float32
        reason = first_line(error)
    if reason:
        return {}, f"no float64 reference ({reason}), so {ROUNDINGS_UNMEASURED} roundings allowed"
    return exact, f"{TIMES} times what float32 torch is off from float64"


def _bound(single: Tensor, exact: Tensor | None) -> Bound:
    if not single.is_floating_point():
        return Bound(0.0, None)
    numbers = ordinary(single)
    usual = single[numbers]
    largest = float(usual.abs().max()) if usual.numel() else 0.0
    rounding = torch.finfo(single.dtype).eps * largest
    finite = not bool(single.isnan().any())
    if exact is None:
        return Bound(ROUNDINGS_UNMEASURED * rounding, None, finite)
    held = single.cpu().numpy()
    apart = differences(_within_range(exact, single.dtype).cpu().numpy(), held)
    apart = np.where(numbers.cpu(), apart, beyond_rounding(apart, held, 0.0, ROUNDINGS))
    off = float(apart[np.isfinite(apart)].max(initial=0.0))
    fine = off <= TOO_COARSE * largest
    return Bound(max(TIMES * off, ROUNDINGS * rounding), off, finite and fine)


def _within_range(exact: Tensor, dtype: torch.dtype) -> Tensor:
    """`exact`, finite numbers no further from 0 than `dtype` holds.

    A mask that is the lowest number of its type is another one in float64.
    """
    range_ = torch.finfo(dtype)
    return torch.where(exact.isfinite(), exact.clamp(range_.min, range_.max), exact)


def departures(
    reference: Reference,
    found: Arrays,
    rows: list[int],
    size: int,
    instead: Arrays | None = None,
) -> dict[str, list[Departure]]:
    """For each output of either side: how far `found`, asked for `rows`, is off on each family.

    It is held against torch, or against the answers for the same rows that are given `instead`.
    """
    told = {}
    others = reference.expected if instead is None else instead
    for name in dict.fromkeys((*others, *found)):
        if name not in found or name not in others or name not in reference.bounds:
            told[name] = [_missing(reference, size)]
            continue
        axis = reference.interface.output_axes.get(name)
        expected, array = others[name], found[name]
        if axis is not None:
            expected = np.moveaxis(expected, axis, 0)
            expected = expected if instead is not None else expected[rows]
            array = np.moveaxis(array, axis, 0) if array.ndim > axis else array
        if expected.shape != array.shape or expected.dtype != array.dtype:
            told[name] = [_missing(reference, size)]
            continue
        apart = differences(expected, array)
        told[name] = list(_by_family(reference, name, expected, apart, rows, size, axis))
    return told


def _missing(reference: Reference, size: int) -> Departure:
    inf = float("inf")
    return Departure(reference.families.names[0], inf, 0.0, 0, size, inf, inf, inf)


def _by_family(
    reference: Reference,
    name: str,
    expected: NDArray[Any],
    apart: NDArray[np.float64],
    rows: list[int],
    size: int,
    axis: int | None,
) -> Iterator[Departure]:
    families = reference.families
    for family, bound in reference.bounds[name].items():
        own = [at for at, row in enumerate(rows) if families.family[row] == family]
        if not own or not bound.usable:
            continue
        part, there = (apart[own], expected[own]) if axis is not None else (apart, expected)
        if not part.size:
            continue
        part = beyond_rounding(part, there, bound.allowed)
        at = own[int(part.reshape(len(own), -1).max(axis=1).argmax())] if axis is not None else 0
        usual = np.abs(there).astype(np.float64)
        largest = usual[np.isfinite(usual)].max(initial=0.0)
        worst = float(part.max())
        yield Departure(
            family,
            worst,
            bound.allowed,
            rows[at],
            size,
            worst / largest if largest > 0 else 0.0,
            *(_quantile(part, share) for share in (0.5, 0.99)),
        )


def _quantile(apart: NDArray[np.float64], share: float) -> float:
    """Of the finite differences."""
    finite = apart[np.isfinite(apart)]
    return float(np.quantile(finite, share)) if finite.size else float("inf")
