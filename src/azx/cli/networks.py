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

    from azx.export.inputs import Batch, InputSpec

TargetArgument = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="A run's folder, a checkpoint's .json, or package.module:factory for any network.",
    ),
]
InputOption = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        metavar="NAME=TYPE[AXES]",
        show_default=False,
        help="An input of a factory's network, like x=float32[batch,16,5,5]; repeatable.",
    ),
]
InputsOption = Annotated[
    Path | None,
    typer.Option(
        "--inputs",
        metavar="FILE.NPZ",
        show_default=False,
        help="Real inputs of a factory's network, arrays by name, a row for each example.",
    ),
]


@dataclass(frozen=True)
class Network:
    """A network in torch and what is known of it, as it goes into a model file's card.

    `variant` is the board that it plays on; None where its inputs were given, and then `specs` are
    those, and `batch` real rows of them, where there are any.
    """

    module: nn.Module
    variant: Variant | None
    shape: dict[str, Any]
    training: dict[str, Any]
    specs: tuple[InputSpec, ...] = ()
    batch: Batch | None = None


def find_network(target: str, inputs: list[str] | None = None, file: Path | None = None) -> Network:
    """Load `target`; needs torch. Raises `RunError` or `UsageError` where it is none."""
    if inputs and file:
        raise UsageError("--input and --inputs both say what goes in: leave one of them out")
    if not Path(target).exists():
        if ":" in target:
            return _from_factory(target, inputs or [], file)
        raise UsageError(
            f"{target}: no such run or checkpoint; give a run's folder, a checkpoint's .json, or "
            "package.module:factory for a network of your own"
        )
    if inputs or file:
        raise UsageError(f"{target} is a run, which takes boards: leave --input and --inputs out")
    from azx.trainer.checkpoint import load_network

    loaded = load_network(Path(target))
    config = loaded.config.to_json()
    return Network(
        loaded.network,
        loaded.network.variant,
        dataclasses.asdict(loaded.config.network),
        {**loaded.info, "config": config},
    )


def _from_factory(target: str, inputs: list[str], file: Path | None) -> Network:
    from azx.export.inputs import parse_input, read_inputs
    from azx.export.target import resolve

    module = resolve(target)
    shape = {"factory": target, "type": type(module).__name__}
    if file is not None:
        specs, batch = read_inputs(file)
        return Network(module, None, shape, {}, tuple(specs), batch)
    if inputs:
        return Network(module, None, shape, {}, tuple(map(parse_input, inputs)))
    variant = getattr(module, "variant", STANDARD)
    if not isinstance(variant, Variant):
        variant = STANDARD
    return Network(module, variant, shape, {})
