"""Steps for the matrices inside a network that turn it alike in all directions.

Adam gives every weight a step of its own size. Muon (Jordan et al. 2024) takes a layer's weights as
the matrix that they are: of the running mean of its gradients it keeps the directions and makes
them equally strong, so that what few boards ask for is learnt as fast as what most of them ask for.
The network of cells and lines learns far more from as many boards that way (docs/log.md).

Letters: N matrices of one shape   O outputs   I inputs
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from azx.trainer.parts import each_part

#: Of the polynomial a x + b x³ + c x⁵ that drives singular values to about 1 (Jordan et al. 2024).
LINEAR, CUBIC, QUINTIC = 3.4445, -4.775, 2.0315
ITERATIONS = 5

#: Matrices that a thread takes at once: few enough for its cache.
TOGETHER = 16


class Muon(Optimizer):
    """Momentum whose steps are made orthogonal, with decoupled weight decay.

    Torch's own works on one matrix at a time, in bfloat16, which takes several times as long on a
    processor without it (docs/log.md); this one takes all matrices of one shape at once, and
    multiplies in `precision`. A step has the size that Adam's have at the same rate, a root mean
    square of 0.2 (Liu et al. 2025).
    """

    def __init__(
        self,
        matrices: Iterable[Tensor],
        lr: float,
        weight_decay: float,
        precision: torch.dtype,
        momentum: float = 0.95,
    ) -> None:
        self.precision = precision
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step along the gradients; `closure` is never asked."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for matrix in group["params"]:
                by_shape[matrix.shape].append(matrix)
            for shape, matrices in by_shape.items():
                gradients = [matrix.grad for matrix in matrices if matrix.grad is not None]
                assert len(gradients) == len(matrices)  # `Learner` gives every one of them
                means = [self._mean(matrix) for matrix in matrices]
                torch._foreach_lerp_(means, gradients, 1.0 - group["momentum"])
                # Nesterov's: where the mean will be after another such gradient.
                ahead = torch._foreach_lerp(gradients, means, group["momentum"])
                parts = torch.stack(ahead).split(TOGETHER)
                of_part = partial(orthogonal, precision=self.precision)
                steps = torch.cat(each_part(of_part, parts))
                size = 0.2 * max(shape) ** 0.5
                torch._foreach_mul_(matrices, 1.0 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(matrices, list(steps), alpha=-group["lr"] * size)

    def _mean(self, matrix: Tensor) -> Tensor:
        """The running mean of the matrix's gradients."""
        state = self.state[matrix]
        if not state:
            state["mean"] = torch.zeros_like(matrix)
        return state["mean"]


def orthogonal(matrices: Tensor, precision: torch.dtype) -> Tensor:
    """[N, O, I] to the like: singular vectors kept, singular values brought to 0.6 to 1.25.

    By a Newton-Schulz iteration, which is products only. Values below about a thousandth of the
    matrix's norm are made several hundred times as large and no larger; zeros stay zeros. In
    bfloat16 what comes of values below some 0.004 of the norm is in part rounding, up to 0.2 or so.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = (x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-12)).to(precision)
    for _ in range(ITERATIONS):
        square = x @ x.mT
        polynomial = torch.baddbmm(square, square, square, beta=CUBIC, alpha=QUINTIC)
        x = torch.baddbmm(x, polynomial, x, beta=LINEAR)
    return (x.mT if tall else x).to(matrices.dtype).contiguous()
