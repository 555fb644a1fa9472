"""What `doctor` and `export` are pointed at: a run, a checkpoint or a factory of networks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from azx.runtime.errors import UsageError
from azx.runtime.files import exists
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
        help="An input of a factory's network, like x=float32[batch,16,5,5], or "
        "ids=int64[batch,12]<1000 for integers below that, else 0 and 1; repeatable.",
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


LossOption = Annotated[
    str | None,
    typer.Option(
        "--loss",
        metavar="PACKAGE.MODULE:FUNCTION",
        show_default="a random projection of the outputs",
        help="Makes a scalar of what forward returns; where its least value is known, less that, "
        "so that it can come near 0.",
    ),
]
MeantOption = Annotated[
    list[str] | None,
    typer.Option(
        "--meant",
        metavar="PATH=REASON",
        show_default=False,
        help="A finding at this path is no fault, and why; repeatable.",
    ),
]


@dataclass(frozen=True)
class Network:
    """A network in torch and what is known of it, as it goes into a model file's card.

    `variant` is the board that it plays on; None where its inputs were given, and then `specs` are
    those, and `batch` real rows of them, where there are any. It is `guessed` that a network plays
    where it says nothing of a board and no inputs are given.
    """

    module: nn.Module
    variant: Variant | None
    shape: dict[str, Any]
    training: dict[str, Any]
    specs: tuple[InputSpec, ...] = ()
    batch: Batch | None = None
    guessed: bool = False


def find_network(target: str, inputs: list[str] | None = None, file: Path | None = None) -> Network:
    """Load `target`; needs torch. Raises `RunError` or `UsageError` where it is none."""
    if inputs and file:
        raise UsageError("--input and --inputs both say what goes in: leave one of them out")
    if not exists(Path(target)):
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
        specs = list(map(parse_input, inputs))
        names = [spec.name for spec in specs]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise UsageError(f"--input {twice}=... is given twice: leave one of them out")
        return Network(module, None, shape, {}, tuple(specs))
    variant = getattr(module, "variant", None)
    if isinstance(variant, Variant):
        return Network(module, variant, shape, {})
    return Network(module, STANDARD, shape, {}, guessed=True)


@contextmanager
def advice_on_inputs(network: Network) -> Iterator[None]:
    """Where wrong use may come of what goes into `network`, say so beside the error."""
    try:
        yield
    except UsageError as error:
        if network.guessed:
            raise UsageError(
                f'{error}; say what goes in with --input, as in --input "x=float32[batch,8]"'
            ) from error
        double = [spec.name for spec in network.specs if str(spec.dtype) == "torch.float64"]
        if double and network.batch is not None:
            raise UsageError(
                f"{error}; {', '.join(double)} in --inputs is float64: if the network is in "
                "float32, save it with .astype(numpy.float32)"
            ) from error
        raise


def declared(meant: list[str] | None) -> dict[str, str]:
    """The reasons of `--meant` by path; `UsageError` for what is not PATH=REASON."""
    pairs = {text: text.partition("=") for text in meant or []}
    for text, (path, _, reason) in pairs.items():
        if not path or not reason:
            raise UsageError(f"--meant is PATH=REASON, found {text!r}")
    return {path: reason for path, _, reason in pairs.values()}
