"""`azx export`: through the gate, into a verified model file."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Annotated

import typer

import azx
from azx.cli.boundary import need_training_packages
from azx.cli.networks import TargetArgument, find_network
from azx.cli.terminal import busy, check_table, check_writable, say, stdout
from azx.runtime.errors import CheckFailed


def export(
    target: TargetArgument,
    out: Annotated[
        Path, typer.Option("--out", metavar="NET.ONNX", help="Where to write the model file.")
    ],
) -> None:
    """Export a network as a verified ONNX file.

    Every check must pass, or nothing is written and the exit code is 1.

    \b
    Examples:
      azx export runs/mine --out net.onnx
      azx export package.module:factory --out net.onnx
    """
    need_training_packages()
    check_writable(out)
    with busy("loading torch") as tell:
        from azx.export.gate import GateRefused, export_model

        network = find_network(target)
        try:
            report = export_model(
                network.module,
                network.variant,
                out,
                network=network.shape,
                training=network.training,
                made_by={"azx": azx.__version__, "commit": commit()},
                progress=tell,
            )
            refusal = ""
        except GateRefused as error:
            report = error.report
            refusal = str(error).splitlines()[0].rstrip(":")

    console = stdout()
    console.print(check_table(report.checks))
    say(console, "")
    if refusal:
        raise CheckFailed(refusal)
    say(console, f"written    {out}, {network.variant.name}, {out.stat().st_size:,} bytes")


def commit() -> str:
    """The commit of the checkout that azx runs from, with `-dirty` where files differ from it.

    "unknown" where azx is installed, or git is not.
    """
    checkout = Path(azx.__file__).resolve().parents[2]
    if not (checkout / ".git").exists() or not (checkout / "runtime").is_dir():
        return "unknown"
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=checkout,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return found.stdout.strip()
