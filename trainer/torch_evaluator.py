"""A network in torch as an evaluator, for self-play and for evaluation while training."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from azx.runtime.evaluator import Evaluation
from azx.trainer.network import PolicyValueNetwork

#: Boards in one forward: larger ones fall out of the processor's cache.
LARGEST_BATCH = 1024


class TorchEvaluator:
    """Judges boards by a network, as it is at the time of the call."""

    lanes = 1

    def __init__(self, network: PolicyValueNetwork, precision: torch.dtype = torch.float32) -> None:
        self.network, self.variant, self.precision = network, network.variant, precision

    def evaluate(self, boards: NDArray[np.int8]) -> Evaluation:
        """Judge `boards` int8 [B, C]."""
        tiles, cells = self.variant.tiles, self.variant.cells
        logits = np.empty((len(boards), tiles, cells), dtype=np.float32)
        value, q = np.empty(len(boards), dtype=np.float32), np.empty_like(logits)
        bfloat16 = self.precision == torch.bfloat16
        device = next(self.network.parameters()).device
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            for start in range(0, len(boards), LARGEST_BATCH):
                part = slice(start, start + LARGEST_BATCH)
                answer = self.network(torch.from_numpy(boards[part]).to(device))
                logits[part] = answer.policy_logits.cpu().numpy()
                value[part], q[part] = answer.value.cpu().numpy(), answer.q.cpu().numpy()
        return Evaluation(logits, value, q)
