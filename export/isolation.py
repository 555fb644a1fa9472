"""Look at a module without a trace: its mode, its tensors and torch's random numbers stay."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn

from azx.runtime.errors import UsageError, first_line

Module = TypeVar("Module", bound=nn.Module)


@contextmanager
def random_numbers_kept(seed: int) -> Iterator[None]:
    """Run with torch's generators seeded, and put them back as they were."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put `module` into eval mode, and each of its parts back into its own mode afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


@contextmanager
def watched_layers() -> Iterator[None]:
    """Let attention layers run layer by layer: their fused path calls no layer that can be seen."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def separate_copy(module: Module) -> Module:
    """A copy that shares nothing with `module`, in its mode and on its device, without gradients.

    Raises `UsageError` where it holds something that cannot be copied.
    """
    if any(nn.parameter.is_lazy(p) for p in (*module.parameters(), *module.buffers())):
        raise UsageError(
            f"{type(module).__name__} has lazy layers without weights yet: run it once on an input"
        )
    # Results of a computation kept as attributes (weight_norm keeps one) refuse to be copied.
    memo: dict[int, object] = {}
    for part in module.modules():
        for value in vars(part).values():
            if isinstance(value, Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
    try:
        with torch.inference_mode(False):
            return copy.deepcopy(module, memo)
    except Exception as error:  # whatever the parts of a stranger's module raise
        raise UsageError(
            f"{type(module).__name__} cannot be copied: {first_line(error)}"
        ) from error
