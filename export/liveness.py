"""Train a throwaway copy for a few steps and watch: which parameters get a gradient, and when.

Nothing is judged here; `azx.export.verdicts` reads these facts.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from azx.export.inputs import Batch
from azx.export.isolation import evaluating
from azx.export.outputs import by_row, floating_outputs, named_outputs, ordinary, varies
from azx.runtime.errors import UsageError, first_line

Loss = Callable[[Any], Tensor]

#: Adam moves every entry with a gradient by about this much a step, whatever the gradient's size.
RATE = 1e-3

#: A gradient below this share of the largest in the network is rounding, or as good as nothing.
NO_GRADIENT = 1e-12


@dataclass(frozen=True)
class StepFacts:
    """What one training step did to one parameter, as root mean squares."""

    step: int
    gradient: float
    update: float  # how far its entries moved
    weight: float  # before the update


@dataclass
class Liveness:
    """What a copy did while it was trained for steps 0 to `steps`."""

    steps: int
    wakes: dict[str, int] = field(default_factory=dict)  # first step with a gradient that is not 0
    moves: dict[str, list[StepFacts]] = field(default_factory=dict)  # at steps 0, 1 and the last
    detached: set[str] = field(default_factory=set)  # no gradient, yet outputs change with it
    unused: set[str] = field(default_factory=set)  # no gradient, and outputs do not change with it
    nan_gradients: dict[str, int] = field(default_factory=dict)  # first step with NaN or Inf
    whole_numbers: list[str] = field(default_factory=list)  # the outputs, where none is real
    nan_outputs: list[str] = field(default_factory=list)  # at the start
    rows_differ: bool = False  # those of the inputs, without which no answer can be told
    answers_at_start: dict[str, bool] = field(default_factory=dict)  # by output: rows differ
    answers: dict[str, bool] = field(default_factory=dict)  # the same after the steps


def watch(copy: nn.Module, batch: Batch, loss: Loss | None, seed: int, steps: int) -> Liveness:
    """Train `copy` in place for `steps` steps and note what happens; torch's generators move.

    `loss` makes a scalar of what forward returns; None takes a fixed random projection of all
    outputs, which no healthy parameter escapes. Raises `UsageError` where forward or backward fail.
    """
    life = Liveness(steps)
    before = answer(copy, batch)
    if not before:
        with evaluating(copy), torch.no_grad():
            life.whole_numbers = list(named_outputs(batch.call(copy)))
        if not life.whole_numbers:
            raise UsageError(f"{type(copy).__name__} gives no tensors: nothing to look at")
        return life
    life.nan_outputs = [name for name, tensor in before.items() if bool(tensor.isnan().any())]
    if life.nan_outputs:
        return life
    life.rows_differ = rows_differ(batch)
    life.answers_at_start = which_vary(before, batch)
    training_mode(copy, batch)
    objective = loss or Projection(seed)
    trainable = {path: p for path, p in copy.named_parameters() if p.requires_grad}
    reached: set[str] = set()
    optimiser = torch.optim.Adam(trainable.values(), lr=RATE) if trainable else None
    for step in range(steps + 1):
        backward(copy, batch, objective, trainable)
        largest = _largest_gradient(trainable)
        for path, parameter in trainable.items():
            if parameter.grad is None:
                continue
            # Embeddings may give sparse gradients, which Adam does not take.
            gradient = parameter.grad = parameter.grad.to_dense()
            reached.add(path)
            if not bool(gradient.isfinite().all()):
                life.nan_gradients.setdefault(path, step)
            elif float(gradient.abs().max() if gradient.numel() else 0.0) > NO_GRADIENT * largest:
                life.wakes.setdefault(path, step)
        if life.nan_gradients:
            return life
        _step(life, trainable, optimiser, step)
    life.answers = which_vary(answer(copy, batch), batch)
    for path in trainable.keys() - reached:
        used = _matters(copy, trainable[path], batch)
        (life.detached if used else life.unused).add(path)
    return life


def _largest_gradient(trainable: dict[str, nn.Parameter]) -> float:
    found = [p.grad.to_dense() for p in trainable.values() if p.grad is not None and p.numel()]
    largest = [float(g.abs().max()) for g in found]
    return max((g for g in largest if g < float("inf")), default=0.0)


def _step(
    life: Liveness,
    trainable: dict[str, nn.Parameter],
    optimiser: torch.optim.Optimizer | None,
    step: int,
) -> None:
    """Move the parameters, and note how far at steps 0, 1 and the last."""
    noted = {p: t for p, t in trainable.items() if t.grad is not None}
    noted = noted if step in (0, 1, life.steps) else {}
    before = {path: parameter.detach().clone() for path, parameter in noted.items()}
    gradients = {path: rms(parameter.grad) for path, parameter in noted.items()}
    if optimiser is not None:
        optimiser.step()
    for path, parameter in noted.items():
        moved = rms(parameter.detach() - before[path])
        facts = StepFacts(step, gradients[path], moved, rms(before[path]))
        life.moves.setdefault(path, []).append(facts)


def rms(tensor: Tensor | None) -> float:
    """Root mean square; 0 for nothing."""
    if tensor is None or not tensor.numel():
        return 0.0
    return float(tensor.detach().abs().double().square().mean().sqrt())


class Projection:
    """A loss that looks at every ordinary entry of every output, with weights drawn once."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.weights: dict[str, Tensor] = {}

    def __call__(self, result: object) -> Tensor:
        """A scalar of what a forward returned."""
        total = torch.zeros(())
        for name, tensor in floating_outputs(result).items():
            if name not in self.weights or self.weights[name].shape != tensor.shape:
                drawn = torch.randn(tensor.shape, generator=self.generator).to(tensor.device)
                self.weights[name] = drawn * ordinary(tensor.detach())
            weights = self.weights[name]
            kept = tensor.float().masked_fill(weights == 0, 0.0)
            total = (
                total.to(tensor.device) + (kept * weights).sum() / max(1, weights.numel()) ** 0.5
            )
        return total


def answer(module: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """The floating-point outputs in eval mode; `UsageError` where forward fails."""
    with evaluating(module), torch.no_grad():
        try:
            return {n: t.detach().float() for n, t in floating_outputs(batch.call(module)).items()}
        except Exception as error:  # whatever a stranger's forward raises
            shapes = ", ".join(f"{n} {t.dtype} {list(t.shape)}" for n, t in batch.tensors.items())
            raise UsageError(
                f"{type(module).__name__} cannot run on ({shapes}): {first_line(error)}"
            ) from error


def rows_differ(batch: Batch) -> bool:
    """Whether two rows of the inputs are not the same."""
    return any(
        bool((rows_first != rows_first[:1]).any())
        for name, tensor in batch.tensors.items()
        if (axis := batch.axes[name]) is not None
        for rows_first in [tensor.movedim(axis, 0)]
    )


def which_vary(outputs: dict[str, Tensor], batch: Batch) -> dict[str, bool]:
    """For each output with a row for each row of the inputs: do its rows differ?

    Empty where all rows of the inputs are the same, for then nothing can be told.
    """
    if not rows_differ(batch):
        return {}
    rows = {n: by_row(t, batch.rows, batch.main_axis) for n, t in outputs.items()}
    return {name: varies(tensor) for name, tensor in rows.items() if tensor is not None}


def training_mode(module: nn.Module, batch: Batch) -> None:
    """Into training mode, or eval mode where it cannot train on `batch` (one row, BatchNorm)."""
    module.train()
    with suppress(Exception), torch.no_grad():
        if floating_outputs(batch.call(module)):
            return
    module.eval()


def backward(
    module: nn.Module, batch: Batch, objective: Loss, trainable: dict[str, nn.Parameter]
) -> float:
    """Leave in `trainable` the gradients of one forward; gives the loss."""
    for parameter in trainable.values():
        parameter.grad = None
    try:
        with torch.enable_grad():
            value = scalar(objective, batch.call(module))
            if value.requires_grad:
                value.backward()
            return float(value.detach())
    except RuntimeError as error:
        raise UsageError(
            f"{type(module).__name__} cannot be trained on these inputs: {first_line(error)}"
        ) from error


def scalar(objective: Loss, outputs: object) -> Tensor:
    """The loss of what forward returned; `UsageError` where it fails or is no scalar tensor."""
    try:
        value: object = objective(outputs)
    except Exception as error:  # the stranger's code runs here
        raise UsageError(f"the loss fails on what forward returns: {first_line(error)}") from error
    if not isinstance(value, Tensor) or value.numel() != 1:
        found = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise UsageError(f"a loss gives a tensor with one number, found {found}")
    return value.reshape(())


def _matters(module: nn.Module, parameter: nn.Parameter, batch: Batch) -> bool:
    """Whether any output changes when the parameter does."""
    before = answer(module, batch)
    kept = parameter.detach().clone()
    with torch.no_grad():
        parameter.add_(torch.randn_like(parameter))
        after = answer(module, batch)
        parameter.copy_(kept)
    return any(not torch.equal(after[name], tensor) for name, tensor in before.items())
