"""Train a throwaway copy for a few steps and watch: which parameters get a gradient, what answers.

Nothing is judged here; `azx.export.audit` reads these facts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from azx.export.isolation import evaluating, first_line
from azx.export.outputs import named_outputs, ordinary, varies
from azx.runtime.errors import UsageError

Loss = Callable[[Any], Tensor]

#: Adam moves every entry with a gradient by about this much a step, whatever the gradient's size.
RATE = 1e-3


@dataclass
class Liveness:
    """What a copy did while it was trained for steps 0 to `steps`."""

    steps: int
    wakes: dict[str, int] = field(default_factory=dict)  # first step with a gradient that is not 0
    detached: set[str] = field(default_factory=set)  # no gradient, yet outputs change with it
    unused: set[str] = field(default_factory=set)  # no gradient, and outputs do not change with it
    nan_gradients: dict[str, int] = field(default_factory=dict)  # first step with NaN or Inf
    nan_outputs: list[str] = field(default_factory=list)  # at the start
    answers_at_start: dict[str, bool] = field(default_factory=dict)  # by output: rows differ
    answers: dict[str, bool] = field(default_factory=dict)  # the same after the steps


def watch(
    copy: nn.Module, inputs: Sequence[Tensor], loss: Loss | None, seed: int, steps: int
) -> Liveness:
    """Train `copy` in place for `steps` steps and note what happens; torch's generators move.

    `loss` makes a scalar of what forward returns; None takes a fixed random projection of all
    outputs, which no healthy parameter escapes. Raises `UsageError` where forward or backward fail.
    """
    life = Liveness(steps)
    before = _answer(copy, inputs)
    life.nan_outputs = [name for name, tensor in before.items() if bool(tensor.isnan().any())]
    if life.nan_outputs:
        return life
    life.answers_at_start = _which_vary(before, inputs)
    copy.train()
    if not _runs(copy, inputs):  # such as a BatchNorm and a single row
        copy.eval()
    objective = loss or _Projection(seed)
    trainable = {path: p for path, p in copy.named_parameters() if p.requires_grad}
    reached: set[str] = set()
    optimiser = torch.optim.Adam(trainable.values(), lr=RATE) if trainable else None
    for step in range(steps + 1):
        _backward(copy, inputs, objective, trainable)
        for path, parameter in trainable.items():
            if parameter.grad is None:
                continue
            # Embeddings may give sparse gradients, which Adam does not take.
            gradient = parameter.grad = parameter.grad.to_dense()
            reached.add(path)
            if not bool(gradient.isfinite().all()):
                life.nan_gradients.setdefault(path, step)
            elif bool((gradient != 0).any()):
                life.wakes.setdefault(path, step)
        if life.nan_gradients:
            return life
        if optimiser is not None and step < steps:
            optimiser.step()
    life.answers = _which_vary(_answer(copy, inputs), inputs)
    for path in trainable.keys() - reached:
        used = _matters(copy, trainable[path], inputs)
        (life.detached if used else life.unused).add(path)
    return life


class _Projection:
    """A loss that looks at every ordinary entry of every output, with weights drawn once."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.weights: dict[str, Tensor] = {}

    def __call__(self, result: object) -> Tensor:
        total = torch.zeros(())
        for name, tensor in _floats(result).items():
            if name not in self.weights or self.weights[name].shape != tensor.shape:
                drawn = torch.randn(tensor.shape, generator=self.generator).to(tensor.device)
                self.weights[name] = drawn * ordinary(tensor.detach())
            weights = self.weights[name]
            kept = tensor.float().masked_fill(weights == 0, 0.0)
            total = (
                total.to(tensor.device) + (kept * weights).sum() / max(1, weights.numel()) ** 0.5
            )
        return total


def _floats(result: object) -> dict[str, Tensor]:
    return {n: t for n, t in named_outputs(result).items() if t.is_floating_point() and t.numel()}


def _fresh(inputs: Sequence[Tensor]) -> list[Tensor]:
    return [tensor.detach().clone() for tensor in inputs]  # a forward may write into its inputs


def _answer(module: nn.Module, inputs: Sequence[Tensor]) -> dict[str, Tensor]:
    """The floating-point outputs in eval mode."""
    with evaluating(module), torch.no_grad():
        try:
            return {n: t.float() for n, t in _floats(module(*_fresh(inputs))).items()}
        except Exception as error:  # whatever a stranger's forward raises
            shapes = ", ".join(f"{t.dtype} {list(t.shape)}" for t in inputs)
            raise UsageError(
                f"{type(module).__name__} cannot run on ({shapes}): {first_line(error)}"
            ) from error


def _which_vary(outputs: dict[str, Tensor], inputs: Sequence[Tensor]) -> dict[str, bool]:
    """For each output with a row for each row of the inputs: do its rows differ?"""
    rows = inputs[0].shape[0] if inputs and inputs[0].ndim else 0
    told_apart = any(
        bool((tensor != tensor[:1]).any())
        for tensor in inputs
        if tensor.ndim and len(tensor) == rows
    )
    if not told_apart:
        return {}
    return {n: varies(t) for n, t in outputs.items() if t.ndim and t.shape[0] == rows}


def _runs(module: nn.Module, inputs: Sequence[Tensor]) -> bool:
    with suppress(Exception), torch.no_grad():
        return bool(_floats(module(*_fresh(inputs))))
    return False


def _backward(
    copy: nn.Module, inputs: Sequence[Tensor], objective: Loss, trainable: dict[str, nn.Parameter]
) -> None:
    """Leave in `trainable` the gradients of one forward."""
    for parameter in trainable.values():
        parameter.grad = None
    try:
        with torch.enable_grad():
            value = objective(copy(*_fresh(inputs)))
            if value.requires_grad:
                value.backward()
    except RuntimeError as error:
        raise UsageError(
            f"{type(copy).__name__} cannot be trained on these inputs: {first_line(error)}"
        ) from error


def _matters(module: nn.Module, parameter: nn.Parameter, inputs: Sequence[Tensor]) -> bool:
    """Whether any output changes when the parameter does."""
    before = _answer(module, inputs)
    kept = parameter.detach().clone()
    with torch.no_grad():
        parameter.add_(torch.randn_like(parameter))
        after = _answer(module, inputs)
        parameter.copy_(kept)
    return any(not torch.equal(after[name], tensor) for name, tensor in before.items())
