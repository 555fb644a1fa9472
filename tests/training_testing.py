"""What the tests of the trainer share: a small run, a small network, a silent reporter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from azx.runtime.variant import Variant
from azx.trainer.config import TrainConfig, load_config
from azx.trainer.initialise import initialise
from azx.trainer.network import NetworkConfig, PolicyValueNetwork

SMALL = load_config(
    "mini",
    [
        "rounds=4",
        "network.width=32",
        "network.groups=4",
        "selfplay.games_per_round=64",
        "selfplay.candidates=2",
        "selfplay.other_tiles=2",
        "learning.batch_size=64",
        "learning.precision=float32",
        "evaluation.every=2",
        "evaluation.games=40",
    ],
)


class Silent:
    """A reporter that keeps the metrics."""

    def __init__(self) -> None:
        self.metrics: list[dict] = []

    def begins(self, done: int, of: int) -> None: ...

    def passed(self, found: object) -> None: ...

    def step(self, what: str, done: int, of: int) -> None: ...

    def round(self, metrics: dict, config: TrainConfig) -> None:
        self.metrics.append(metrics)


#: The widths' groups that a trunk of each kind is tried with.
GROUPS = {"dense": 4, "lines": 1, "conv": 4}


def network_of(variant: Variant, trunk: str = "dense", width: int = 32) -> PolicyValueNetwork:
    network = PolicyValueNetwork(variant, NetworkConfig(trunk, width, 1, GROUPS[trunk]))
    initialise(network, 0, network.heads)
    return network.eval()


def zero_every_vector(network: nn.Module) -> None:
    """The bug: 'the biases' by their shape."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter.zero_()


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """So many threads for torch, and as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
