"""The one place where errors become lines on stderr and exit codes."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable
from functools import wraps
from importlib.util import find_spec
from typing import Annotated, Any

import typer

from azx.cli.stopping import Terminated
from azx.runtime.errors import AzxError, UsageError

#: An error is at most this many lines; what there is more to say belongs into a command's output.
MOST_LINES = 3

#: What a shell expects of a process that Ctrl-C ended, and of one that SIGTERM did.
INTERRUPTED, TERMINATED = 130, 143

UNEXPECTED = 2

TRAINING_PACKAGES = ("torch", "onnx", "onnxscript", "safetensors", "tensorboard")

DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """`command` with every error turned into a short message and an exit code, and `--debug`.

    An `AzxError` gives its own exit code, Ctrl-C 130 (with the interrupt's own words, where it has
    some), SIGTERM 143 where a command heeds it, anything else 2.
    """
    signature = inspect.signature(command, eval_str=True)
    takes_context = "context" in signature.parameters

    @wraps(command)
    def wrapped(**given: Any) -> None:
        context: typer.Context = given["context"]
        debug = _debug(context)
        del given["debug"]
        if not takes_context:
            del given["context"]
        try:
            command(**given)
        except typer.Exit:
            raise
        except AzxError as error:
            _tell(str(error), debug)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt as interrupt:
            sys.stderr.write(f"interrupted{': ' if interrupt.args else ''}{interrupt}\n")
            terminated = isinstance(interrupt, Terminated)
            raise typer.Exit(TERMINATED if terminated else INTERRUPTED) from None
        except Exception as error:
            first = (str(error).strip().splitlines() or ["no message"])[0]
            hint = "" if debug else "; --debug shows where"
            _tell(f"unexpected {type(error).__name__}: {first}{hint}", debug)
            raise typer.Exit(UNEXPECTED) from None

    parameters = dict(signature.parameters)
    for name, annotation, default in (
        ("context", typer.Context, inspect.Parameter.empty),
        ("debug", DebugOption, False),
    ):
        if name not in parameters:
            parameters[name] = inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
            )
    wrapped.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=list(parameters.values())
    )
    return wrapped


def _debug(context: typer.Context) -> bool:
    """Whether `--debug` was given, before the command or after it."""
    level: Any = context
    while level is not None:
        if level.params.get("debug"):
            return True
        level = level.parent
    return False


def _tell(message: str, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    lines = [line for line in message.splitlines() if line.strip()][:MOST_LINES]
    sys.stderr.write("error: " + "\n".join(lines) + "\n")


def need_training_packages() -> None:
    """`UsageError` where torch or another package that only training needs is not installed."""
    missing = [name for name in TRAINING_PACKAGES if find_spec(name) is None]
    if missing:
        raise UsageError(
            "this command needs the training packages: pip install torch==2.13.0 '.[train]' in "
            f"azx's folder (not found: {', '.join(missing)})"
        )
