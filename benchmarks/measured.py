"""Where and with what a figure was measured."""

from __future__ import annotations

import subprocess
from pathlib import Path

from azx.runtime.bench.machine import machine


def this_commit() -> str:
    """The commit of the working tree, `-dirty` where it has changes; 'unknown' outside of git."""
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
    )
    return said.stdout.strip() or "unknown"


def measured_here() -> dict[str, str]:
    """What a figure keeps of its origin."""
    return {"commit": this_commit(), "processor": str(machine()["processor"])}
