"""The one way to a verified model file: every check passes, or nothing is written."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from azx.export.audit import Audit, audit
from azx.export.emit import contract_faults, contract_outputs, emit
from azx.export.isolation import separate_copy
from azx.export.parity import compare
from azx.export.positions import Positions, game_positions, parity_positions
from azx.export.statistics import ParameterFacts
from azx.runtime.contract import OUTPUTS
from azx.runtime.errors import CheckFailed
from azx.runtime.files import whole_file
from azx.runtime.golden import Golden, encode_golden
from azx.runtime.modelfile import ModelCard, seal
from azx.runtime.variant import Variant
from azx.runtime.verify import Check, verify_model

#: Boards that the audit trains its copy on, and boards that travel with the model.
AUDIT_BOARDS = 64
GOLDEN_BOARDS = 12

#: Packages whose versions say what made a file.
MAKERS = ("torch", "onnx", "onnxscript", "onnxruntime")


@dataclass
class GateReport:
    """What the gate checked, in order."""

    checks: list[Check] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether no check has failed."""
        return all(check.passed for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """All checks with their figures."""
        return {"passed": self.passed, "checks": [check.to_json() for check in self.checks]}

    def lines(self) -> list[str]:
        """A plain table: a line for each check."""
        width = max((len(check.name) for check in self.checks), default=0)
        return [
            f"{'ok    ' if check.passed else 'FAILED'}  {check.name:<{width}}  {check.says}"
            for check in self.checks
        ]


class GateRefused(CheckFailed):
    """A network that did not pass the gate; `report` holds every check up to there."""

    def __init__(self, message: str, report: GateReport) -> None:
        """Carry `report` beside the message for the terminal."""
        super().__init__(message)
        self.report = report


def export_model(
    module: nn.Module,
    variant: Variant,
    out: Path,
    *,
    network: dict[str, Any],
    training: dict[str, Any],
    made_by: dict[str, str],
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> GateReport:
    """Check `module` and write it to `out` as a verified model file.

    The checks: an audit of its parameters and gradients; the graph follows the contract; torch and
    the graph agree; the finished file passes `azx.runtime.verify`. `network`, `training` and
    `made_by` go into the file's card, the last with the versions of what exported it. `progress`
    is told what is being done.

    Raises `GateRefused`, a `CheckFailed` with the report, at the first stage with a failure, and
    `UsageError` where the module cannot be copied or run, or `out` cannot be written. In either
    case nothing is written, and a file that was at `out` is as it was. `module` never changes.
    """
    tell = progress or (lambda _: None)
    report = GateReport()
    copy = separate_copy(module).cpu()
    positions = parity_positions(variant, seed)

    tell("auditing parameters and gradients")
    spread = np.linspace(0, len(positions.boards) - 1, AUDIT_BOARDS).astype(int)
    boards = torch.from_numpy(positions.boards[spread])
    audited = audit(copy, (boards,), seed=seed)
    _require(report, [_audit_check(audited)], out)

    tell("exporting to ONNX")
    try:
        graph = emit(copy, variant)
    except CheckFailed as error:
        _require(report, [Check("graph", False, str(error))], out)
        raise
    _require(report, [_graph_check(graph, variant)], out)

    tell(f"comparing torch and onnxruntime on {len(positions.boards)} boards")
    _require(report, compare(copy, graph, variant, positions), out)

    tell("writing and verifying the file")
    card = ModelCard(
        variant=variant,
        verified=True,
        network=network,
        training=training,
        parameters=[_recorded(facts) for facts in audited.parameters],
        gate=report.to_json(),
        golden=encode_golden(_golden(copy, game_positions(variant, 4, seed))),
        made_by={**made_by, **{name: importlib.metadata.version(name) for name in MAKERS}},
    )
    with whole_file(out) as temporary:
        temporary.write_bytes(seal(graph, card))
        _require(report, verify_model(temporary, provider="cpu"), out)
    return report


def _require(report: GateReport, checks: list[Check], out: Path) -> None:
    """Add `checks` to the report, and stop where one of them failed."""
    report.checks += checks
    failed = [check for check in checks if not check.passed]
    if failed:
        text = "\n".join(f"  {check.name}: {check.says}" for check in failed)
        raise GateRefused(
            f"the export gate refuses this network, {out} not written:\n{text}", report
        )


def _audit_check(audited: Audit) -> Check:
    failures = [f for f in audited.findings if f.severity == "fail"]
    warnings = [f for f in audited.findings if f.severity == "warn"]
    figures = {
        "parameters": len(audited.parameters),
        "findings": [asdict(finding) for finding in failures + warnings],
    }
    if failures:
        text = "; ".join(f"{f.path}: {f.what}; {f.mend}" for f in failures[:2])
        more = f"; and {len(failures) - 2} more" if len(failures) > 2 else ""
        return Check("audit", False, text + more, figures)
    says = f"no failure in {len(audited.parameters)} parameters and the outputs"
    if warnings:
        says += f"; {len(warnings)} warnings, the first: {warnings[0].path}: {warnings[0].what}"
    return Check("audit", True, says, figures)


def _graph_check(graph: bytes, variant: Variant) -> Check:
    faults = contract_faults(graph, variant)
    figures = {"bytes": len(graph)}
    if faults:
        return Check("graph", False, "; ".join(faults), figures)
    return Check("graph", True, f"follows the contract; {len(graph)} bytes, any batch", figures)


def _recorded(facts: ParameterFacts) -> dict[str, Any]:
    return {
        "name": facts.path,
        "shape": list(facts.shape),
        "mean": facts.mean,
        "std": facts.std,
    }


def _golden(module: nn.Module, positions: Positions) -> Golden:
    """`GOLDEN_BOARDS` boards from the empty to the full one, and what torch says of them."""
    chosen = np.linspace(0, len(positions.boards) - 1, GOLDEN_BOARDS).astype(int)
    boards = positions.boards[chosen]
    with torch.no_grad():
        outputs = contract_outputs(module.eval(), torch.from_numpy(boards))
    return Golden(boards, {name: outputs[name].numpy() for name in OUTPUTS if name in outputs})
