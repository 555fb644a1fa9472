"""Initialisation by the type of the module, never by the shape or the name of a tensor.

The bug this project comes from zeroed "the biases" by zeroing every one-dimensional tensor, and
GroupNorm's weight is one. So each kind of layer has its row here, and a parameter that no row
covers is an error rather than a guess.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, nn

from azx.runtime.errors import UsageError
from azx.trainer.lines import Step, VectorGroupNorm

#: The heads begin small, so that the policy begins near uniform and the points near 0.
HEAD_SCALE = 0.1

#: So do the steps that blocks add: after each, most of what is known is what was known before.
STEP_SCALE = 0.2

#: Free parameters (positions, tokens, scales of one's own) begin as small noise.
FREE_SPREAD = 0.02

Rule = Callable[[nn.Module, Generator], None]


def _spread_by_fan_in(module: nn.Module, generator: Generator, gain: float) -> None:
    assert isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d))
    fan_in = module.weight[0].numel()
    module.weight.normal_(0.0, gain / math.sqrt(fan_in), generator=generator)
    if module.bias is not None:
        module.bias.zero_()


def _layer(module: nn.Module, generator: Generator) -> None:
    # sqrt(2): the gain of a rectifier (He et al. 2015); LeakyReLU's differs by 5e-5.
    _spread_by_fan_in(module, generator, math.sqrt(2.0))


def _head(module: nn.Module, generator: Generator) -> None:
    _spread_by_fan_in(module, generator, HEAD_SCALE)


def _step(module: nn.Module, generator: Generator) -> None:
    _spread_by_fan_in(module, generator, STEP_SCALE)


def _norm(module: nn.Module, generator: Generator) -> None:
    assert isinstance(module, (nn.GroupNorm, nn.LayerNorm))
    if module.weight is not None:
        module.weight.fill_(1.0)
    if module.bias is not None:
        module.bias.zero_()


def _embedding(module: nn.Module, generator: Generator) -> None:
    assert isinstance(module, nn.Embedding)
    module.weight.normal_(0.0, 1.0, generator=generator)


def _free(module: nn.Module, generator: Generator) -> None:
    assert isinstance(module, (nn.ParameterList, nn.ParameterDict))
    for parameter in module.parameters(recurse=False):
        parameter.normal_(0.0, FREE_SPREAD, generator=generator)


#: One row for each kind of layer that owns parameters.
RULES: dict[type[nn.Module], Rule] = {
    nn.Linear: _layer,
    Step: _step,
    nn.Conv1d: _layer,
    nn.Conv2d: _layer,
    nn.Conv3d: _layer,
    nn.GroupNorm: _norm,
    VectorGroupNorm: _norm,
    nn.LayerNorm: _norm,
    nn.Embedding: _embedding,
    nn.ParameterList: _free,
    nn.ParameterDict: _free,
}


def initialise(network: nn.Module, seed: int, heads: nn.Module | None = None) -> None:
    """Set every parameter of `network` in place, from `seed` alone.

    Layers inside `heads` are kept small. Raises `UsageError` for a parameter that no row of `RULES`
    covers, an `nn.Parameter` held directly by a module of one's own included: free parameters are
    kept in an `nn.ParameterList` or `nn.ParameterDict`, whose row says how they begin.
    """
    generator = Generator().manual_seed(seed)
    small = set(heads.modules()) if heads is not None else set()
    with torch.no_grad():
        for path, module in network.named_modules():
            owned = [name for name, _ in module.named_parameters(recurse=False)]
            if not owned:
                continue
            rule = RULES.get(type(module))
            if rule is None:
                raise UsageError(
                    f"no rule initialises {type(module).__name__} at {path or 'the top'!r} "
                    f"({', '.join(owned)}): add a row to azx.trainer.initialise.RULES"
                )
            (_head if rule is _layer and module in small else rule)(module, generator)
