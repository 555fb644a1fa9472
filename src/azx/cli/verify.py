"""`azx verify`: is a model file whole, and does it compute here what it did at export?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from azx.cli.options import ProviderOption, ThreadsOption
from azx.cli.terminal import busy, check_table, show_table, stdout
from azx.runtime.errors import CheckFailed
from azx.runtime.models import named_model
from azx.runtime.verify import verify_model


def verify(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="NET.ONNX",
            help="The model file, or the name of one that comes with azx: standard, "
            "standard-small, mini.",
        ),
    ],
    provider: ProviderOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Check a model file on this machine.

    Needs no PyTorch. Exit code 1 where a check fails.

    \b
    Examples:
      azx verify net.onnx
      azx verify standard
    """
    with busy(f"verifying {model}"):
        checks = verify_model(named_model(model), provider, threads)
    show_table(stdout(), check_table(checks))
    failed = [check.name for check in checks if not check.passed]
    if failed:
        raise CheckFailed(
            f"{model} fails {len(failed)} of {len(checks)} checks: {', '.join(failed)}"
        )
