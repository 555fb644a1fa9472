"""Options that several commands have, said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from azx.runtime.search import ROOTS

#: Seeds of games are at most this.
LARGEST_SEED = 2**63 - 1

ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model",
        metavar="NET.ONNX",
        show_default="the one shipped with azx",
        help="The network's file, or the name of one that comes with azx: standard, "
        "standard-small, mini.",
    ),
]
VariantOption = Annotated[
    str | None,
    typer.Option(
        "--variant",
        metavar="NAME",
        show_default="the model's, else standard",
        help="The board: standard or mini.",
    ),
]
ProviderOption = Annotated[
    str,
    typer.Option(
        "--provider",
        metavar="NAME",
        help="What onnxruntime runs on: cpu, cuda, or auto for cuda where it works.",
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        metavar="N",
        show_default="every core this process may use",
        help="Threads of onnxruntime.",
    ),
]
RootOption = Annotated[
    str,
    typer.Option(
        "--root",
        metavar="NAME",
        help="How the search shares its simulations out at the root: " + " or ".join(ROOTS) + ".",
    ),
]
UnverifiedOption = Annotated[
    bool,
    typer.Option(
        "--allow-unverified", help="Open a model that the export gate refused, at your own risk."
    ),
]
