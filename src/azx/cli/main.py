"""`azx`: the commands, put together."""

from __future__ import annotations

from typing import Annotated

import typer

import azx
from azx.cli.bench import bench_app
from azx.cli.boundary import DebugOption, guarded
from azx.cli.doctor import doctor
from azx.cli.export import export
from azx.cli.play import play
from azx.cli.report import report
from azx.cli.review import review
from azx.cli.solve import solve
from azx.cli.terminal import show_warnings_in_a_line
from azx.cli.train import train
from azx.cli.verify import verify

app = typer.Typer(
    name="azx",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"azx {azx.__version__}")
        raise typer.Exit


@app.callback()
def azx_command(
    debug: DebugOption = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Take It Easy: train a network, prove it alive, export it to ONNX, play it without PyTorch.

    \b
    Exit codes: 0 good, 1 a check failed, 2 wrong use, unreadable input or an unexpected
    error, 130 interrupted, 143 ended by SIGTERM.

    \b
    Examples:
      azx play
      azx play --games 1000 --simulations 0
      azx verify net.onnx
    """


for command in (play, review, verify, solve, train, report, doctor, export):
    app.command()(guarded(command))
app.add_typer(bench_app, name="bench")


def run() -> None:
    """Run the command line of this process."""
    show_warnings_in_a_line()
    app(prog_name="azx")
