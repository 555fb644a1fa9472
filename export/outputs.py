"""What a module returns, as tensors by name, and whether they say anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass

from torch import Tensor

#: Entries at least this large are taken for masks (-1e4 on a filled cell), where others are not.
LARGEST_ORDINARY = 1e3

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


def ordinary(tensor: Tensor) -> Tensor:
    """bool, of the same shape: entries that are numbers rather than masks.

    Those are the finite entries below `LARGEST_ORDINARY`, or all finite ones where none is below.
    """
    finite = tensor.isfinite()
    small = finite & (tensor.abs() < LARGEST_ORDINARY)
    return small if bool(small.any()) else finite


def varies(tensor: Tensor) -> bool:
    """Whether an output [B, ...] differs between rows at any entry, by more than rounding."""
    usable = ordinary(tensor)
    if not bool(usable.any()):
        return False
    low = tensor.masked_fill(~usable, float("inf")).amin(dim=0)
    high = tensor.masked_fill(~usable, float("-inf")).amax(dim=0)
    # Where no row is usable, high - low is -inf.
    spread = float((high - low).max())
    return spread > ROUNDING * float(tensor[usable].abs().max())
