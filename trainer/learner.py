"""One step after another: the losses, the optimiser, and the averaged weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, mse_loss
from torch.optim import Optimizer

from azx.runtime.contract import MASKED_LOGIT
from azx.runtime.errors import UsageError
from azx.runtime.rules import all_gains, tiles_left
from azx.trainer.config import LearningConfig
from azx.trainer.muon import Muon
from azx.trainer.network import POINTS, Outputs, PolicyValueNetwork
from azx.trainer.parts import BATCH_PART, each_part
from azx.trainer.samples import Samples

#: Share of a stage in which the learning rate rises to what it falls from.
RISE = 0.02


class Losses(NamedTuple):
    """Of one batch. Squared errors are in points²; the policy's are in nats, per tile."""

    value_loss: Tensor  # mean squared error of q at the placements looked at
    value_floor: Tensor  # the part of it that is the draws' luck
    lesson_loss: Tensor  # from the lesson's q, over all that may be laid; 0 without one
    policy_loss: Tensor  # cross-entropy to the improved policy
    policy_floor: Tensor  # the entropy of the improved policy
    departure: Tensor  # KL of the network's policy from the uniform one over the empty cells

    def total(self, policy_weight: float) -> Tensor:
        """What is minimised."""
        return (self.value_loss + self.lesson_loss) / POINTS**2 + policy_weight * self.policy_loss


def losses(
    network: PolicyValueNetwork, outputs: Outputs, batch: Samples, temperature: float
) -> Losses:
    """The losses of `outputs` for `batch`, on the outputs' device.

    Where the batch has a policy of its own, it is the target for the tile that was drawn. Otherwise
    the network's own q is, softmax((gain + q) / temperature), for every tile that may come.
    """
    device = outputs.q.device
    rows = torch.arange(len(batch), device=device)
    tiles = torch.from_numpy(batch.tiles).long().to(device)
    laid = torch.from_numpy(np.column_stack((batch.tiles, batch.other_tiles))).long().to(device)
    cells = torch.from_numpy(np.column_stack((batch.cells, batch.others))).long().to(device)
    after = torch.from_numpy(np.column_stack((batch.after, batch.others_after))).to(device)
    looked_at = cells >= 0
    q = outputs.q[rows[:, None], laid, cells.clamp(min=0)]
    error = mse_loss(q[looked_at], after[looked_at])
    log_policy = log_softmax(outputs.policy_logits, dim=2)
    filled = torch.from_numpy(batch.boards >= 0).to(device)
    left = torch.from_numpy(tiles_left(network.variant, batch.boards)).to(device)
    lesson = torch.zeros((), device=device)
    if batch.lesson is not None:
        taught = torch.from_numpy(batch.lesson).to(device).float()
        may_be_laid = left[:, :, None] * (~filled)[:, None, :]
        lesson = ((outputs.q - taught).square() * may_be_laid).sum() / may_be_laid.sum()
    if batch.policy is not None:
        log_policy = log_policy[rows, tiles].unsqueeze(1)
        target = torch.from_numpy(batch.policy).to(device).unsqueeze(1)
        weight = torch.full((len(batch), 1), 1.0 / len(batch), device=device)
    else:
        gains = torch.from_numpy(all_gains(network.variant, batch.boards)).to(device)
        worth = (gains + outputs.q.detach()) / temperature
        target = worth.masked_fill(filled.unsqueeze(1), MASKED_LOGIT).softmax(dim=2)
        weight = left / left.sum()
    empty = (~filled).sum(dim=1, keepdim=True)
    with torch.no_grad():
        entropy = -(log_policy.exp() * log_policy).sum(dim=2)
        entropy_of_target = -torch.special.xlogy(target, target).sum(dim=2)
    return Losses(
        value_loss=error,
        # The targets of the other placements are values: no luck is in them.
        value_floor=torch.from_numpy(batch.floor).sum() / looked_at.sum().cpu(),
        lesson_loss=lesson,
        policy_loss=(-(target * log_policy).sum(dim=2) * weight).sum(),
        policy_floor=(entropy_of_target * weight).sum(),
        departure=((empty.float().log() - entropy) * weight).sum(),
    )


@dataclass(frozen=True)
class StepReport:
    """What the watchdog looks at after a step."""

    losses: Losses
    gradient_norm: float


class Learner:
    """A network in training, its optimisers, and the running average of its weights.

    The average plays, is evaluated and is exported: it is steadier than the weights themselves.
    """

    def __init__(
        self, network: PolicyValueNetwork, config: LearningConfig, precision: torch.dtype
    ) -> None:
        self.network, self.config, self.precision = network, config, precision
        self.average = copy.deepcopy(network).requires_grad_(False).eval()
        self.optimizers = optimizers_of(network, config, precision)

    def set_rate(self, progress: float) -> None:
        """The learning rate at `progress`, from 0 to 1 over the stage: a short rise, half a cosine.

        Without the rise a network that begins with trained weights lost most of what it knew in its
        first round: Adam's first steps are all of full size, whatever the gradient (docs/log.md).
        """
        rate = self.config.rate * 0.5 * (1.0 + math.cos(math.pi * progress))
        rate *= min(1.0, progress / RISE)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = rate

    def step(self, batch: Samples) -> StepReport:
        """One optimiser step on `batch`, whose loss is the mean of its parts'."""
        parts = batch.parts(BATCH_PART)
        found = each_part(self._judged, parts)
        shares = [len(part) / len(batch) for part in parts]
        gradients = _mean([gradient for _, gradient in found], shares)
        for parameter, gradient in zip(self.network.parameters(), gradients, strict=True):
            parameter.grad = gradient
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip)
        for optimizer in self.optimizers.values():
            optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.average.parameters()),
                list(self.network.parameters()),
                self.config.average_rate,
            )
        return StepReport(Losses(*_mean([of_part for of_part, _ in found], shares)), float(norm))

    def _judged(self, part: Samples) -> tuple[Losses, tuple[Tensor, ...]]:
        """The losses of a part of a batch, and the gradient of their total by parameter."""
        device = next(self.network.parameters()).device
        boards = torch.from_numpy(part.boards).to(device)
        enabled = self.precision == torch.bfloat16
        # Autocast's cache of cast weights is one for all threads, and whoever leaves first empties
        # it: a weight that is used twice would be cast once or twice as it happens.
        with torch.autocast(device.type, torch.bfloat16, enabled, cache_enabled=False):
            outputs = self.network(boards)
        found = losses(self.network, outputs, part, self.config.temperature)
        gradients = torch.autograd.grad(
            found.total(self.config.policy_weight),
            list(self.network.parameters()),
            materialize_grads=True,  # a weight that is not used has a gradient of 0
        )
        return Losses(*(loss.detach() for loss in found)), gradients


def optimizers_of(
    network: PolicyValueNetwork, config: LearningConfig, precision: torch.dtype
) -> dict[str, Optimizer]:
    """What makes the steps, by its name in a checkpoint; every parameter is in one of them.

    With `muon` that is for the matrices of the trunk's blocks. What reads the board, what gives the
    answers and what is no matrix stays with Adam, at the same rate (Jordan et al. 2024).
    `precision` is that of its products. Raises `UsageError` where the blocks have none.
    """
    rate, decay = config.rate, config.weight_decay
    of_muon: list[Tensor] = []
    if config.optimizer == "muon":
        blocks: nn.Module = network.trunk.blocks  # type: ignore[assignment]
        of_muon = [module.weight for module in blocks.modules() if isinstance(module, nn.Linear)]
        if not of_muon:
            raise UsageError(
                "learning.optimizer=muon needs matrices in the blocks of the trunk, dense or "
                f"lines, and {network.config.trunk} has none: take adamw"
            )
    taken: set[Tensor] = set(of_muon)
    of_adam = [parameter for parameter in network.parameters() if parameter not in taken]
    optimizers: dict[str, Optimizer] = {
        "adamw": torch.optim.AdamW(of_adam, lr=rate, weight_decay=decay, fused=True)
    }
    if of_muon:
        optimizers["muon"] = Muon(of_muon, lr=rate, weight_decay=decay, precision=precision)
    return optimizers


def _mean(of_parts: Sequence[Sequence[Tensor]], shares: Sequence[float]) -> list[Tensor]:
    """Tensor by tensor the mean of what was found for each part, by the parts' shares."""
    mean = list(torch._foreach_mul(list(of_parts[0]), shares[0]))
    for tensors, share in zip(of_parts[1:], shares[1:], strict=True):
        torch._foreach_add_(mean, list(tensors), alpha=share)
    return mean


def choose_precision(name: str) -> torch.dtype:
    """The dtype of matrix products; `auto` is bfloat16 where the processor multiplies in it."""
    if name == "auto":
        return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]
