"""From `package.module:name` to the network that a factory makes, or to a function."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from azx.runtime.errors import UsageError, first_line


def resolve(target: str) -> nn.Module:
    """Call the factory that `target` names, without arguments, and give the module it returns.

    Raises `UsageError` for each way in which this can go wrong.
    """
    factory = _named(target, "a network is given as package.module:factory")
    if isinstance(factory, nn.Module) or not callable(factory):
        raise UsageError(
            f"{target} is a {type(factory).__name__}, expected a function or class that makes the "
            "network when called without arguments"
        )
    try:
        network = factory()
    except (Exception, SystemExit) as error:  # the stranger's code runs here
        raise UsageError(
            f"{target}() fails, called without arguments: {first_line(error)}"
        ) from error
    if not isinstance(network, nn.Module):
        raise UsageError(f"{target}() gives a {type(network).__name__}, expected a torch.nn.Module")
    return network


def resolve_loss(target: str) -> Callable[[Any], Any]:
    """The function that `target` names, which makes a scalar of what a forward returns."""
    loss = _named(target, "a loss is given as package.module:function")
    if not callable(loss):
        raise UsageError(f"{target} is a {type(loss).__name__}, expected a function of the outputs")
    return loss


def resolve_optimizer(target: str, module: nn.Module) -> torch.optim.Optimizer:
    """What the function that `target` names makes of `module`: the optimizer that trains it."""
    make = _named(target, "an optimizer is given as package.module:function")
    if not callable(make):
        raise UsageError(f"{target} is a {type(make).__name__}, expected a function of the network")
    try:
        optimizer = make(module)
    except (Exception, SystemExit) as error:  # the stranger's code again
        raise UsageError(f"{target}(network) fails: {first_line(error)}") from error
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise UsageError(
            f"{target}(network) gives a {type(optimizer).__name__}, expected a "
            "torch.optim.Optimizer"
        )
    return optimizer


def _named(target: str, expected: str) -> Any:
    """What `target` names. The current directory is importable, and stays so: more may be loaded
    while a module runs.
    """
    place, colon, name = target.partition(":")
    if not colon or not name.isidentifier() or not all(p.isidentifier() for p in place.split(".")):
        raise UsageError(f"{expected}, found {target!r}")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{place}.".startswith(f"{error.name}."):
            raise UsageError(
                f"{place} was found, but it imports {error.name}: no such module"
            ) from (error)
        raise UsageError(
            f"no module {place!r}, neither installed nor under {here}: run azx from the folder "
            "that holds it"
        ) from error
    except (Exception, SystemExit) as error:  # and here
        raise UsageError(
            f"{place} was found, but importing it fails: {first_line(error)}"
        ) from error
    if not hasattr(module, name):
        there = ", ".join(sorted(n for n in vars(module) if not n.startswith("_"))[:12])
        raise UsageError(f"{place} has no {name!r}; it has: {there or 'nothing'}")
    return getattr(module, name)
