"""Look at a module without a trace: its mode, its tensors and all random numbers stay."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from azx.runtime.errors import UsageError, first_line

Module = TypeVar("Module", bound=nn.Module)


@contextmanager
def random_numbers_kept(seed: int) -> Iterator[None]:
    """Run with torch's, numpy's and Python's generators seeded, and put them back as they were."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002 - what a stranger's forward may draw from
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


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


def in_single(tensor: Tensor) -> Tensor:
    """float16 and bfloat16 as float32, in which small steps are not lost; others as they are."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def let_learn(copy: nn.Module) -> None:
    """Where nothing in `copy` is trainable, as in a network loaded to be used, make all of it so.

    Only gradients tell its dead parameters from the live ones.
    """
    real = [p for p in copy.parameters() if p.is_floating_point()]
    if not any(p.requires_grad for p in real):
        for parameter in real:
            parameter.requires_grad_(True)


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
