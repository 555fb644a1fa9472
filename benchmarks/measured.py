"""Where and with what a figure was measured."""

from __future__ import annotations

from azx.cli.export import commit
from azx.runtime.bench.machine import machine


def this_commit() -> str:
    """The commit of the checkout, short, with `-dirty` where files differ from it."""
    name, dash, state = commit().partition("-")
    return name[:7] + dash + state


def measured_here() -> dict[str, str]:
    """What a figure keeps of its origin."""
    return {"commit": this_commit(), "processor": str(machine()["processor"])}
