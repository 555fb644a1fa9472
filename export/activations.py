"""One forward, layer by layer: how the spread goes with depth, and which units say nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from azx.export.inputs import Batch
from azx.export.isolation import evaluating
from azx.export.outputs import ROUNDING, by_row, named_outputs, ordinary, varies
from azx.export.statistics import MIXERS, NORMS, channel_axis

#: Activations whose units can be cut off for every input, and those that flatten at their ends.
RECTIFIERS = {
    *("relu", "relu_", "relu6", "leaky_relu", "leaky_relu_", "elu", "elu_"),
    *("gelu", "silu", "hardswish", "mish", "softplus"),
}
ENDS: dict[str, tuple[float, float]] = {
    "tanh": (-0.99, 0.99),
    "tanh_": (-0.99, 0.99),
    "sigmoid": (0.01, 0.99),
    "sigmoid_": (0.01, 0.99),
    "hardsigmoid": (0.01, 0.99),
}


#: A unit is cut off where the slope of its activation is below this for every row.
FLAT = 1e-3


@dataclass(frozen=True)
class LayerFacts:
    """What one layer put out, the first time that it was called."""

    path: str
    kind: str  # type of the layer
    spread: float  # standard deviation of its output's ordinary entries
    varies: bool | None  # whether the rows of its output differ; None where it has none
    gain: float | None = None  # of a norm: what its units deviate by from their own means


@dataclass(frozen=True)
class ActivationFacts:
    """What one activation function did in the layer at `path`."""

    path: str
    function: str
    units: int
    idle: float | None  # of a rectifier: share of units that are cut off for every row
    saturated: float | None  # of a squashing function: share of entries at one of its ends


@dataclass
class Trace:
    """All layers and activation functions in the order of execution."""

    layers: list[LayerFacts] = field(default_factory=list)
    activations: list[ActivationFacts] = field(default_factory=list)

    def where_rows_become_equal(self) -> LayerFacts | None:
        """The last layer that varies is followed by this one, which no longer does."""
        told = [layer for layer in self.layers if layer.varies is not None]
        first_equal = None
        for layer in told:
            if layer.varies:
                first_equal = None
            elif first_equal is None:
                first_equal = layer
        return first_equal


def trace(module: nn.Module, batch: Batch) -> Trace:
    """Run `module` in eval mode on `batch`; it is as before afterwards."""
    found = Trace()
    running: list[str] = [""]
    producers: list[tuple[str, nn.Module]] = [("", module)]
    seen: set[str] = set()
    fed: dict[str, Tensor] = {}

    def enter(path: str) -> Callable[..., None]:
        def hook(layer: nn.Module, given: tuple[Any, ...]) -> None:
            own = next(layer.parameters(recurse=False), None) is not None
            known = isinstance(layer, (*NORMS, *MIXERS))
            if own and not known and given and isinstance(given[0], Tensor) and path not in fed:
                fed[path] = given[0].detach().clone()

        return hook

    def leave(path: str) -> Callable[..., None]:
        def hook(layer: nn.Module, given: tuple[Any, ...], result: object) -> None:
            if next(layer.parameters(recurse=False), None) is not None:
                producers.append((path, layer))
            tensors = [t for t in named_outputs(result).values() if t.is_floating_point()]
            if path in seen or not tensors or not tensors[0].numel():
                return
            seen.add(path)
            output = tensors[0].detach().float()
            rows = by_row(output, batch.rows, batch.main_axis)
            usable = ordinary(output)
            usual = output if bool(usable.all()) else output[usable]
            found.layers.append(
                LayerFacts(
                    path,
                    type(layer).__name__,
                    float(usual.std(correction=0)) if usual.numel() else float("nan"),
                    varies(rows) if rows is not None and batch.rows > 1 else None,
                    _gain(layer, fed.get(path), output, rows),
                )
            )

        return hook

    activations = _Activations(running, producers, found.activations, batch)
    with (
        evaluating(module),
        torch.no_grad(),
        _running(module, running),
        _hooks(module, enter, leave),
        activations,
    ):
        batch.call(module)
    return found


@contextmanager
def _running(module: nn.Module, running: list[str]) -> Iterator[None]:
    """Keep in `running` the paths of the modules that are inside of their forward."""
    handles = []
    for path, part in module.named_modules():
        if path:
            handles.append(part.register_forward_pre_hook(lambda *_, at=path: running.append(at)))
            handles.append(part.register_forward_hook(lambda *_: (running.pop(), None)[1]))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _hooks(
    module: nn.Module,
    enter: Callable[[str], Callable[..., None]],
    leave: Callable[[str], Callable[..., None]],
) -> Iterator[None]:
    """Call `enter` and `leave` around every layer: what has no parts, or weights of its own."""
    handles = []
    for path, layer in module.named_modules():
        is_leaf = next(layer.children(), None) is None
        if path and (is_leaf or next(layer.parameters(recurse=False), None) is not None):
            handles.append(layer.register_forward_pre_hook(enter(path)))
            handles.append(layer.register_forward_hook(leave(path)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Activations(TorchFunctionMode):
    """Sees activation functions wherever they are called, as layers or as functions."""

    def __init__(
        self,
        running: list[str],
        producers: list[tuple[str, nn.Module]],
        found: list[ActivationFacts],
        batch: Batch,
    ) -> None:
        super().__init__()
        self.running, self.producers, self.found, self.batch = running, producers, found, batch

    def __torch_function__(  # type: ignore[no-untyped-def]
        self, func, types, args=(), kwargs=None
    ):
        name = getattr(func, "__name__", "")
        rectifies = name in RECTIFIERS and args and isinstance(args[0], Tensor)
        slopes = self._slopes(func, args, kwargs or {}) if rectifies else None
        result = func(*args, **(kwargs or {}))
        if (slopes is not None or name in ENDS) and isinstance(result, Tensor):
            told = result.detach() if slopes is None else slopes
            rows = by_row(told, self.batch.rows, self.batch.main_axis)
            if rows is not None and rows.is_floating_point() and rows.numel():
                producer, layer = self.producers[-1]
                axis = channel_axis(layer, rows.ndim)
                idle = _idle(rows, axis) if slopes is not None else None
                saturated = _saturated(rows, *ENDS[name]) if name in ENDS else None
                path = self.running[-1] or f"{name} after {producer or 'the input'}"
                self.found.append(ActivationFacts(path, name, rows.shape[axis], idle, saturated))
        return result

    def _slopes(self, func, args, kwargs):  # type: ignore[no-untyped-def]
        """The slope of the activation at each entry of its input."""
        with torch.enable_grad():
            at = args[0].detach().requires_grad_(True)
            # A clone, for the function may write into what it is given.
            (slopes,) = torch.autograd.grad(func(at.clone(), *args[1:], **kwargs).sum(), at)
        return slopes


def _idle(slopes: Tensor, axis: int) -> float:
    """Share of the units along `axis` that are flat throughout, of slopes [B, ...]."""
    others = [a for a in range(slopes.ndim) if a != axis]
    steepest = slopes.abs().amax(dim=others) if others else slopes.abs()
    return float((steepest < FLAT).float().mean())


def _saturated(rows: Tensor, low: float, high: float) -> float:
    return float(((rows < low) | (rows > high)).float().mean())


def _deviation(layer: nn.Module, rows: Tensor) -> float:
    """What the units of an output [B, ...] deviate by from their own means; 0 up to rounding.

    A norm with weights of 0 puts out its bias, which is not nothing and says nothing.
    """
    axis = channel_axis(layer, rows.ndim)
    others = [a for a in range(rows.ndim) if a != axis]
    reach = rows.amax(dim=others) - rows.amin(dim=others)
    if float(reach.max()) <= ROUNDING * float(rows.abs().max()):
        return 0.0
    return float((rows - rows.mean(dim=others, keepdim=True)).square().mean().sqrt())


def _gain(
    layer: nn.Module, given: Tensor | None, output: Tensor, rows: Tensor | None
) -> float | None:
    """What a norm's units deviate by from their own means; None for what is no norm.

    Types that torch does not know are judged by what they do: with its parameters moved a norm
    puts out something, which is the same for an input four times as large, and not for its
    negative. So a weight stored as w and used as 1 + w is seen as it acts.
    """
    acts = _deviation(layer, output if rows is None else rows)
    if isinstance(layer, NORMS):
        return acts
    if given is None or not given.is_floating_point():
        return None
    if given.shape != output.shape or not bool(given.any()):
        return None
    own = [p for p in layer.parameters(recurse=False) if p.is_floating_point()]
    kept = [parameter.detach().clone() for parameter in own]
    running_forward = type(layer).forward
    try:
        for parameter in own:
            parameter.add_(1.0)
        with suppress(Exception):
            once = running_forward(layer, given)
            fourfold = running_forward(layer, given * 4.0)
            negative = running_forward(layer, -given)
            same = torch.allclose(once, fourfold, rtol=1e-2, atol=1e-3)
            return acts if same and not torch.allclose(once, negative) else None
        return None
    finally:
        for parameter, values in zip(own, kept, strict=True):
            parameter.copy_(values)
