"""`azx doctor`: is a network alive?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich.table import Table
from rich.text import Text

from azx.cli.boundary import need_training_packages
from azx.cli.networks import TargetArgument, find_network
from azx.cli.terminal import busy, counted, say, stdout, table
from azx.runtime.errors import CheckFailed

if TYPE_CHECKING:
    from azx.export.audit import Finding
    from azx.export.statistics import ParameterFacts

STYLES = {"fail": "bold red", "warn": "yellow", "note": "none"}


def doctor(target: TargetArgument) -> None:
    """Find out whether a network is alive.

    Shows the statistics of every parameter, and whether training reaches it.
    Exit code 1 where something in it is dead or broken.

    \b
    Examples:
      azx doctor runs/mine
      azx doctor package.module:factory
    """
    need_training_packages()
    with busy("loading torch") as tell:
        import torch

        from azx.export.audit import audit
        from azx.export.gate import AUDIT_BOARDS
        from azx.export.positions import parity_positions

        network = find_network(target)
        tell("training a copy for a few steps")
        boards = parity_positions(network.variant).boards
        spread = np.linspace(0, len(boards) - 1, AUDIT_BOARDS).astype(int)
        found = audit(network.module, (torch.from_numpy(boards[spread]),))

    console = stdout()
    console.print(_parameter_table(found.parameters))
    say(console, "")
    if found.findings:
        console.print(_finding_table(found.findings))
        say(console, "")
    failures = sum(finding.severity == "fail" for finding in found.findings)
    if failures:
        raise CheckFailed(f"{target} is not healthy: failures in the table above: {failures}")
    say(console, f"{target} is alive: {counted(len(found.parameters), 'parameter')}, no failures")


def _parameter_table(parameters: Sequence[ParameterFacts]) -> Table:
    """A row for each parameter; `wakes` is the first step of training that moves it."""
    rows = table("parameter", "of", "shape", "mean", "std", "wakes", right=("mean", "std", "wakes"))
    for facts in parameters:
        rows.add_row(
            Text(facts.path),
            facts.owner,
            "x".join(map(str, facts.shape)),
            _short(facts.mean),
            _short(facts.std),
            "never" if facts.wakes is None else str(facts.wakes),
        )
    return rows


def _finding_table(findings: Sequence[Finding]) -> Table:
    rows = table("", "where", "what, and what to do")
    for finding in findings:
        rows.add_row(
            Text(finding.severity, STYLES[finding.severity]),
            Text(finding.path),
            Text("; ".join(filter(None, (finding.what, finding.mend)))),
        )
    return rows


def _short(number: float | None) -> str:
    return "none" if number is None else f"{number:.3g}"
