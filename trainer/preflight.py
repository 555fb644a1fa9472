"""Before the first step: is the network alive, and can it learn one batch from what it sees?"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from azx.export import Audit, audit
from azx.export.positions import game_positions
from azx.runtime.contract import MASKED_LOGIT
from azx.runtime.errors import CheckFailed
from azx.runtime.rules import tiles_left
from azx.trainer.network import PolicyValueNetwork

BATCH = 64
STEPS = 60
RATE = 2e-3
#: The network must get below this share of the loss of the best answer that ignores the board.
SHARE = 0.8


@dataclass(frozen=True)
class Preflight:
    """What was found; cross-entropies in nats."""

    audit: Audit
    ignoring: float  # the best answer that is the same for every board
    learnt: float  # what the network came to on the same batch


def preflight(network: PolicyValueNetwork, seed: int, trained: bool = False) -> Preflight:
    """Audit `network` and let a copy of it learn one batch; `CheckFailed` where either fails.

    Of a `trained` one the audit's warnings are let go: its weights may well have grown.
    """
    boards = game_positions(network.variant, games=16, seed=seed).boards
    boards = np.random.default_rng(seed).permutation(boards)
    found = audit(network, (torch.from_numpy(boards[:BATCH]),), seed=seed)
    # Warnings are of what others may have meant, and here nobody does: one of them is the original
    # bug in a network of cells and lines, which wakes up in two steps and learns the batch below.
    problems = found.problems(strict=not trained)
    if problems:
        first = problems[0]
        raise CheckFailed(
            f"the network is not fit to train: {first.path}: {first.what} ({len(problems)} such); "
            f"{first.mend}"
        )
    learnt, ignoring = learn_one_batch(network, boards, seed)
    if not learnt < SHARE * ignoring:
        raise CheckFailed(
            f"in {STEPS} steps on one batch the policy loss came to {learnt:.3f}, and an answer "
            f"that ignores the board reaches {ignoring:.3f}: the network does not use what it "
            "sees"
        )
    return Preflight(found, ignoring, learnt)


def learn_one_batch(
    network: PolicyValueNetwork, boards: NDArray[np.int8], seed: int
) -> tuple[float, float]:
    """Policy losses on made-up moves: of a copy after `STEPS` steps, and of the best constant.

    Each of `boards` with a choice gets a tile that may come and a random empty cell; there is no
    rule in that, so only looking at the board can tell the answers apart.
    """
    rng = np.random.default_rng(seed)
    boards = boards[(boards < 0).sum(axis=1) > 1][:BATCH]
    random = rng.random(boards.shape)
    cells = torch.from_numpy(np.where(boards < 0, random, -1.0).argmax(axis=1))
    tiles = torch.from_numpy(tiles_left(network.variant, boards).argmax(axis=1))
    filled = torch.from_numpy(boards >= 0)
    inputs, rows = torch.from_numpy(boards), torch.arange(len(boards))
    student = copy.deepcopy(network).requires_grad_(True)
    optimizer = torch.optim.Adam(student.parameters(), lr=RATE)
    loss = torch.tensor(0.0)
    for _ in range(STEPS):
        loss = cross_entropy(student(inputs).policy_logits[rows, tiles], cells)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item(), _best_constant(tiles, cells, filled, network.variant.tiles)


def _best_constant(tiles: Tensor, cells: Tensor, filled: Tensor, kinds: int) -> float:
    """The least loss of logits [T, C] that are the same for every board (convex, so found)."""
    logits = torch.zeros(kinds, filled.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        return cross_entropy(logits[tiles].masked_fill(filled, MASKED_LOGIT), cells)

    def closure() -> float:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value.item()

    optimizer.step(closure)
    return loss().item()
