"""Stops a run that is busy without learning, and says what to look at.

The bug this project comes from ran for 8 h 45 min with its loss at ln 19 and all lights green.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from azx.runtime.errors import CheckFailed
from azx.trainer.learner import StepReport

#: Steps after which a healthy network must have moved: the slowest seen needed 30.
STEPS = 300
#: Nats from the uniform policy that count as having left it.
DEPARTURE = 0.01
#: Gradients are looked at every so many steps; a dead one is 0 every time.
EVERY = 20


class Watchdog:
    """Fed with every step; raises `CheckFailed` when something is dead or broken."""

    def __init__(self, network: nn.Module, steps: int = STEPS) -> None:
        self.network, self.steps = network, steps
        self._seen = 0
        self._furthest = 0.0
        self._alive: set[str] = set()

    def watch(self, report: StepReport) -> None:
        """Look at one step's losses and gradients."""
        self._check_finite(report)
        self._seen += 1
        self._furthest = max(self._furthest, float(report.losses.departure))
        if self._seen % EVERY == 1:
            self._alive |= {
                name
                for name, parameter in self.network.named_parameters()
                if parameter.grad is not None and bool(parameter.grad.any())
            }
        if self._seen >= self.steps:
            self._check_alive()
            self._seen, self._furthest, self._alive = 0, 0.0, set()

    def _check_finite(self, report: StepReport) -> None:
        found = report.losses
        loss = found.value_loss + found.lesson_loss + found.policy_loss
        if math.isfinite(report.gradient_norm) and bool(torch.isfinite(loss)):
            return
        broken = [
            name
            for name, parameter in self.network.named_parameters()
            if not bool(torch.isfinite(parameter).all())
            or (parameter.grad is not None and not bool(torch.isfinite(parameter.grad).all()))
        ]
        raise CheckFailed(
            f"a value is not finite: losses q {float(found.value_loss):g}, lesson "
            f"{float(found.lesson_loss):g}, policy {float(found.policy_loss):g}, gradient "
            f"norm {report.gradient_norm:g}, in {', '.join(broken[:3]) or 'the loss itself'}; try "
            "a lower learning.rate, or learning.precision=float32, in a new run"
        )

    def _check_alive(self) -> None:
        trained = [n for n, p in self.network.named_parameters() if p.requires_grad]
        dead = [name for name in trained if name not in self._alive]
        if dead:
            raise CheckFailed(
                f"{len(dead)} of {len(trained)} parameters had no gradient in {self.steps} steps, "
                f"{', '.join(dead[:3])} among them: something behind them is constant (a norm of "
                "weight 0, a detached tensor); run `azx doctor` on this run"
            )
        if self._furthest < DEPARTURE:
            raise CheckFailed(
                f"after {self.steps} steps the policy is still uniform ({self._furthest:.4f} nats "
                f"from it, expected at least {DEPARTURE}): look at learning.policy_weight and "
                "learning.rate, and run `azx doctor` on this run"
            )
