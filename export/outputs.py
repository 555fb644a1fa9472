"""What a module returns, as tensors by name, and whether they say anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass

import torch
from torch import Tensor

from azx.runtime.golden import LARGEST_ORDINARY

#: Rows that differ by less than this share of an output's largest entry differ by rounding alone.
ROUNDING = 1e-6


def named_outputs(result: object, names: Sequence[str] = ()) -> dict[str, Tensor]:
    """The tensors in what a module's forward returned, in its order.

    A named tuple, a mapping or a dataclass names its own; those of a plain tuple take `names`, as
    far as they go. Parts within parts are joined by a dot. What is no tensor is left out.
    """
    return {".".join(path) or "output": tensor for path, tensor in _walk(result, names)}


def _walk(result: object, names: Sequence[str]) -> Iterator[tuple[tuple[str, ...], Tensor]]:
    if isinstance(result, Tensor):
        yield (), result
        return
    parts: list[tuple[str, object]] = []
    if isinstance(result, Mapping):
        parts = [(str(key), part) for key, part in result.items()]
    elif isinstance(result, tuple) and hasattr(result, "_fields"):
        parts = list(zip(result._fields, result, strict=True))
    elif isinstance(result, tuple | list):
        given = dict(enumerate(names))
        parts = [(given.get(i, f"output_{i}"), part) for i, part in enumerate(result)]
    elif is_dataclass(result):
        parts = [(field.name, getattr(result, field.name)) for field in fields(result)]
    for name, part in parts:
        for path, tensor in _walk(part, ()):
            yield (name, *path), tensor


def floating_outputs(result: object) -> dict[str, Tensor]:
    """The outputs that carry real numbers, and any at all."""
    return {n: t for n, t in named_outputs(result).items() if t.is_floating_point() and t.numel()}


def row_axis(tensor: Tensor, rows: int, main_axis: int = 0) -> int | None:
    """Which axis of an output counts the rows; None where no axis has `rows` entries.

    Of several such axes the inputs' own comes first, then the first.
    """
    for axis in (main_axis, *range(tensor.ndim)):
        if axis < tensor.ndim and tensor.shape[axis] == rows:
            return axis
    return None


def by_row(tensor: Tensor, rows: int, main_axis: int = 0) -> Tensor | None:
    """An output with its batch axis first, at least [B, 1]; None where it has none."""
    axis = row_axis(tensor, rows, main_axis)
    if axis is None:
        return None
    return tensor.movedim(axis, 0) if tensor.ndim > 1 else tensor[:, None]


def ordinary(tensor: Tensor) -> Tensor:
    """bool, of the same shape: entries that are numbers rather than masks.

    Those are the finite entries below `LARGEST_ORDINARY`, or all finite ones where none is below.
    """
    if tensor.numel() and float(tensor.abs().max()) < LARGEST_ORDINARY:
        return torch.ones_like(tensor, dtype=torch.bool)  # as most are, and NaN is not
    finite = tensor.isfinite()
    small = finite & (tensor.abs() < LARGEST_ORDINARY)
    return small if bool(small.any()) else finite


def varies(tensor: Tensor) -> bool:
    """Whether an output [B, ...] differs between rows at any entry, by more than rounding."""
    tensor = tensor.detach() if tensor.is_floating_point() else tensor.double()
    largest = float(tensor.abs().max()) if tensor.numel() else float("nan")
    if largest < LARGEST_ORDINARY:
        return float((tensor.amax(dim=0) - tensor.amin(dim=0)).max()) > ROUNDING * largest
    usable = ordinary(tensor)
    if not bool(usable.any()):
        return False
    low = tensor.masked_fill(~usable, float("inf")).amin(dim=0)
    high = tensor.masked_fill(~usable, float("-inf")).amax(dim=0)
    # Where no row is usable, high - low is -inf.
    spread = float((high - low).max())
    return spread > ROUNDING * float(tensor[usable].abs().max())
