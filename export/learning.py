"""Can a network learn one batch, better than any answer that does not look at the input?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from azx.export.inputs import Batch
from azx.export.isolation import separate_copy
from azx.export.liveness import Loss, backward, scalar, training_mode
from azx.export.outputs import by_row, floating_outputs, ordinary, row_axis

#: Every entry moves by the rate, against the sign of its gradient. The rate finds itself: a step
#: that helped makes the next one larger, one that did not is taken back and made smaller.
RATE = 1e-3
FASTER, SLOWER = 1.5, 0.2
STEPS = 40

#: So many steps of Adam follow for a network of which every part is alive: deep stacks of
#: saturating layers without norms begin on a plain that takes hundreds of steps to leave.
PATIENT_STEPS, PATIENT_RATE = 400, 1e-2

#: A network learns where its loss comes below the blind answer's, or below its first one, by this
#: share of what the blind answer's is, or of the larger of the two: losses may be negative.
BEATEN = 0.02
APPROACHED = 0.1

#: Outputs that spread by less than this share of their size are asked to spread by that much.
LEAST_SPREAD = 0.1

#: This share below the blind answer's loss no more steps are needed.
ENOUGH = 0.1

#: A blind answer is found once its gradient is this share of what it was.
FOUND = 1e-3


@dataclass(frozen=True)
class Learning:
    """How far one batch was learnt."""

    objective: str  # the output that was to tell the rows apart, or `loss`
    start: float
    learnt: float  # the least loss that was reached
    ignoring: float  # the least loss of an answer that is the same for every row
    steps: int

    @property
    def learns(self) -> bool:
        """Whether the input was used: the blind answer was beaten, or is being approached fast.

        A network whose first answers are far from blind ones may need more steps than it is given
        to come below; one that moves by its last bias alone does neither.
        """
        size = max(abs(self.start), abs(self.ignoring))
        beaten = self.ignoring - self.learnt > BEATEN * abs(self.ignoring)
        return beaten or self.start - self.learnt > APPROACHED * size


def learn_one_batch(
    module: nn.Module, batch: Batch, loss: Loss | None, seed: int, patient: bool = False
) -> Learning | None:
    """Let a copy of `module` learn `batch`, and compare with the best answer that ignores it.

    Without a `loss`, a random projection of each output is to become +1 for half of the rows and
    -1 for the others; the mean square of the error is 1 for the best blind answer. With a `loss`
    the blind answer is looked for: outputs of the same form, equal for every row. A `patient` trial
    goes on for hundreds of steps before it gives up.

    None where it cannot be told: fewer than two rows, nothing to train, no output with rows, or a
    loss that has no least value.
    """
    if loss is None:
        batch = batch.distinct()  # no network tells equal rows apart
    if batch.rows < 2 or not any(p.requires_grad for p in module.parameters()):
        return None
    targets = _Targets(batch, seed)
    ignoring = 1.0 if loss is None else _best_blind(module, batch, loss)
    if ignoring is None:
        return None
    losses: dict[str, list[float]] = {}

    def objective(result: object) -> Tensor:
        parts = targets(result) if loss is None else {"loss": scalar(loss, result)}
        for name, part in parts.items():
            losses.setdefault(name, []).append(float(part.detach()))
        return torch.stack(list(parts.values())).mean() if parts else torch.zeros(())

    student = separate_copy(module)
    training_mode(student, batch)
    trainable = {path: p for path, p in student.named_parameters() if p.requires_grad}
    rate, least = RATE, float("inf")
    kept: dict[str, tuple[Tensor, Tensor]] = {}  # parameters and gradients of the least loss

    def step() -> float:
        torch.manual_seed(seed)  # the same dropout in every step
        return backward(student, batch, objective, trainable)

    def done() -> bool:
        enough = ignoring - ENOUGH * abs(ignoring)
        return any(values[-1] < enough for values in losses.values())

    for _ in range(STEPS):
        reached = step()
        if done():
            break
        if reached < least:
            least, rate = reached, rate * FASTER
            kept = _state(trainable)
        else:
            rate *= SLOWER
        with torch.no_grad():
            for path, (values, gradient) in kept.items():
                trainable[path].copy_(values - rate * gradient.sgn())
    if not losses:
        return None
    if patient and not _best(losses, ignoring).learns:
        optimiser = torch.optim.Adam(trainable.values(), lr=PATIENT_RATE)
        for _ in range(PATIENT_STEPS):
            step()
            if done():
                break
            for parameter in trainable.values():
                if parameter.grad is not None:
                    parameter.grad = parameter.grad.to_dense()
            optimiser.step()
    return _best(losses, ignoring)


def _state(trainable: dict[str, nn.Parameter]) -> dict[str, tuple[Tensor, Tensor]]:
    return {
        path: (parameter.detach().clone(), parameter.grad.to_dense())
        for path, parameter in trainable.items()
        if parameter.grad is not None
    }


def _best(losses: dict[str, list[float]], ignoring: float) -> Learning:
    """What was learnt of the output that was learnt best."""
    found = [
        Learning(name, values[0], min(v for v in values if v == v), ignoring, len(values))
        for name, values in losses.items()
        if any(v == v for v in values)
    ]
    able = [learning for learning in found if learning.learns]
    return min(able or found, key=lambda learning: learning.learnt)


class _Targets:
    """For each output the loss of telling one half of the rows from the other."""

    def __init__(self, batch: Batch, seed: int) -> None:
        self.batch = batch
        self.generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(batch.rows, generator=self.generator)
        sides = (2.0 * (torch.arange(batch.rows) % 2) - 1.0)[order]
        self.sides = (sides - sides.mean()) / sides.std(correction=0)
        self.weights: dict[str, Tensor] = {}
        self.scales: dict[str, tuple[Tensor, Tensor]] = {}

    def __call__(self, result: object) -> dict[str, Tensor]:
        losses = {}
        for name, tensor in floating_outputs(result).items():
            rows = by_row(tensor.float(), self.batch.rows, self.batch.main_axis)
            if rows is None:
                continue
            rows = rows.flatten(1)
            if name not in self.weights:
                drawn = torch.randn(rows.shape[1], generator=self.generator)
                self.weights[name] = drawn.to(rows.device)
            weights = self.weights[name]
            usual = rows.masked_fill(~ordinary(rows.detach()), 0.0)
            projected = usual @ weights / max(1, len(weights)) ** 0.5
            if name not in self.scales:
                # In units of its own spread, or of its size where it hardly spreads; of 1 at 0.
                detached = projected.detach()
                size = usual.detach().square().mean().sqrt()
                unit = torch.maximum(detached.std(correction=0), LEAST_SPREAD * size)
                unit = torch.where(size == 0, torch.ones_like(unit), unit)
                self.scales[name] = (detached.mean(), unit)
            start, unit = self.scales[name]
            answered = (projected - start) / unit
            losses[name] = (answered - self.sides.to(answered.device)).square().mean()
        return losses


def _best_blind(module: nn.Module, batch: Batch, loss: Loss) -> float | None:
    """The least loss of outputs that are the same for every row; None where it has none."""
    with torch.no_grad():
        result = batch.call(module)
    counted = {id(t): t for t in floating_outputs(result).values()}
    free = {
        key: rows.mean(dim=0, keepdim=True).requires_grad_(True)
        for key, tensor in counted.items()
        if (rows := by_row(tensor, batch.rows, batch.main_axis)) is not None
    }

    def blind(part: object) -> object:
        if id(part) not in free or not isinstance(part, Tensor):
            return part
        one = free[id(part)] if part.ndim > 1 else free[id(part)].squeeze(1)
        return one.movedim(0, row_axis(part, batch.rows, batch.main_axis) or 0).expand_as(part)

    if not free:
        return None
    if not scalar(loss, tree_map(blind, result)).requires_grad:
        return None
    optimiser = torch.optim.LBFGS(free.values(), max_iter=100, line_search_fn="strong_wolfe")
    steepness: list[float] = []

    def closure() -> float:
        optimiser.zero_grad()
        value = scalar(loss, tree_map(blind, result))
        value.backward()
        slopes = [t.grad.square().sum() for t in free.values() if t.grad is not None]
        steepness.append(float(torch.stack(slopes).sum().sqrt()) if slopes else 0.0)
        return float(value.detach())

    optimiser.step(closure)
    least = closure()
    if not steepness[-1] <= FOUND * max(1.0, steepness[0]):
        return None
    return least
