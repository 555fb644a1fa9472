"""What `doctor` and `export` are pointed at: a run, a checkpoint or a factory of networks."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from azx.runtime.errors import UsageError
from azx.runtime.variant import STANDARD, Variant

if TYPE_CHECKING:
    from torch import nn

TargetArgument = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="A run's folder, a checkpoint's .json, or package.module:factory for any network.",
    ),
]


@dataclass(frozen=True)
class Network:
    """A network in torch and what is known of it, as it goes into a model file's card."""

    module: nn.Module
    variant: Variant
    shape: dict[str, Any]
    training: dict[str, Any]


def find_network(target: str) -> Network:
    """Load `target`; needs torch. Raises `RunError` or `UsageError` where it is none."""
    if not Path(target).exists():
        if ":" in target:
            return _from_factory(target)
        raise UsageError(
            f"{target}: no such run or checkpoint; give a run's folder, a checkpoint's .json, or "
            "package.module:factory for a network of your own"
        )
    from azx.trainer.checkpoint import load_network

    loaded = load_network(Path(target))
    config = loaded.config.to_json()
    return Network(
        loaded.network,
        loaded.network.variant,
        dataclasses.asdict(loaded.config.network),
        {**loaded.info, "config": config},
    )


def _from_factory(target: str) -> Network:
    from azx.export.target import resolve

    module = resolve(target)
    variant = getattr(module, "variant", STANDARD)
    if not isinstance(variant, Variant):
        variant = STANDARD
    return Network(module, variant, {"factory": target, "type": type(module).__name__}, {})
