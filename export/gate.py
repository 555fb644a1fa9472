"""The one way to a verified model file: every check passes, or nothing is written."""

from __future__ import annotations

import hashlib
import importlib.metadata
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import nn

from azx.export.auditing import Audit, audit
from azx.export.emit import OPSET, OPSETS, Emitted, emit, graph_faults
from azx.export.families import Families, audit_rows, board_families, input_families, runnable
from azx.export.inputs import Batch, InputSpec, other_sizes
from azx.export.interface import (
    Interface,
    Named,
    PlaysTheGame,
    board_spec,
    contract_faults,
    interface_of,
)
from azx.export.isolation import let_learn, separate_copy
from azx.export.liveness import Loss
from azx.export.locate import first_departure
from azx.export.mutants import mutants_check
from azx.export.parity import compare
from azx.export.playing import own_boards, play_checks
from azx.export.precision import Precision, converted, loosened
from azx.export.reference import Reference, reference_of
from azx.export.statistics import ParameterFacts
from azx.runtime.contract import BOARD, OUTPUTS
from azx.runtime.errors import CheckFailed, ModelError, UsageError
from azx.runtime.files import whole_file
from azx.runtime.golden import Golden, encode_golden
from azx.runtime.modelfile import Card, ModelCard, seal
from azx.runtime.sessions import working_providers
from azx.runtime.variant import Variant
from azx.runtime.verify import Check, verify_model

#: So many rows travel with the model, or as many as take at most this many numbers.
GOLDEN_ROWS, GOLDEN_NUMBERS = 12, 200_000

#: Packages whose versions say what made a file.
MAKERS = ("torch", "onnx", "onnxscript", "onnxruntime")


@dataclass
class GateReport:
    """What the gate checked, in order, and what it was about."""

    checks: list[Check] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)  # interface, opset, versions, hashes

    @property
    def passed(self) -> bool:
        """Whether no check has failed."""
        return all(check.passed for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """All checks with their figures."""
        checks = [check.to_json() for check in self.checks]
        return {"passed": self.passed, **self.about, "checks": checks}


class GateRefused(CheckFailed):
    """A network that did not pass the gate; `report` holds every check up to there."""

    def __init__(self, message: str, report: GateReport) -> None:
        """Carry `report` beside the message for the terminal."""
        super().__init__(message)
        self.report = report


def export_model(
    module: nn.Module,
    takes: Variant | Sequence[InputSpec],
    out: Path,
    *,
    given: Batch | None = None,
    loss: Loss | None = None,
    meant: Mapping[str, str] | None = None,
    network: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
    made_by: dict[str, str] | None = None,
    opset: int = OPSET,
    precision: Precision = Precision.FLOAT32,
    force: bool = False,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> GateReport:
    """Check `module` and write it to `out` as a verified model file.

    `takes` says what goes in: the boards of a variant, for a network of the contract, or the inputs
    of any other, with rows `given` where real ones are to be had. The checks: an audit, with this
    `loss` and what is `meant`; the graph has the module's interface; torch and the saved file
    agree, in a fresh process without torch; faults put into copies of the graph are caught; the
    finished file passes `azx.runtime.verify`.
    Another `precision` than float32 is made from the graph that has passed, compared with torch
    within wider bounds, and judged by play. `network`, `training` and `made_by` go into the file's
    card, the last with the versions of what exported it. `progress` is told what is being done.

    Raises `GateRefused`, a `CheckFailed` with the report, at the first stage with a failure, and
    `UsageError` where the module cannot be copied or run, no input has a batch, onnxruntime lacks a
    type, or `out` cannot be written. In either case nothing is written, and a file that was at
    `out` is as it was. With `force` every stage is gone through, and what fails is written all the
    same, stamped UNVERIFIED. `module` never changes.
    """
    if opset not in OPSETS:
        raise UsageError(f"opset is {OPSETS[0]} to {OPSETS[-1]}, found {opset}")
    tell = progress or (lambda _: None)
    stages = _Stages(GateReport(), out, force)
    variant = takes if isinstance(takes, Variant) else None
    copy = separate_copy(module).cpu()
    let_learn(copy)
    left_out: list[Check] = []
    if isinstance(takes, Variant):
        named: Named = PlaysTheGame(copy, takes)
        specs: tuple[InputSpec, ...] = (board_spec(takes),)
        families = board_families(takes, seed)
    else:
        specs = tuple(takes)
        named = Named(copy, specs)
        families, left_out = runnable(named, input_families(specs, given, seed))
    interface = interface_of(named, specs, given)
    for spec in (*interface.inputs, *interface.outputs):
        if spec.dtype == "bfloat16":
            raise UsageError(
                f"{spec.name} is bfloat16, which numpy and so onnxruntime's callers do not have: "
                "let forward take and give float32, and convert inside"
            )
    stages.report.about = {
        "interface": interface.to_json(),
        "opset": opset,
        "precision": precision,
        "made_by": {**(made_by or {}), **_versions()},
    }

    tell("auditing parameters, layers and learning")
    audited = audit(copy, audit_rows(copy, takes, families), loss, meant=meant, seed=seed)
    stages.add([_audit_check(audited)])

    tell("exporting to ONNX")
    try:
        emitted = emit(named, specs, interface, opset, given)
    except CheckFailed as error:
        stages.refuse([Check("graph", False, str(error))])
    graph = emitted.graph
    stages.add([_graph_check(graph, interface, opset, variant), *left_out])

    tell(f"running torch on {families.batch.rows} rows, in float32 and float64")
    reference = reference_of(named, interface, families)
    providers = working_providers(graph)
    for provider in providers:
        tell(f"comparing with onnxruntime in a fresh process, on {provider}")
        stages.add(_parity(emitted, reference, provider, variant))
    for axis, sizes in other_sizes(specs):
        tell(f"comparing with {axis} of {sizes[axis]}")
        moved, _ = runnable(named, input_families(specs, None, seed, sizes))
        sized = reference_of(named, interface, moved)
        stages.add(_parity(emitted, sized, "cpu", None, f" at {axis} {sizes[axis]}"))

    if stages.report.passed:
        tell("putting faults into copies of the graph")
        stages.add([mutants_check(graph, reference, opset)])

    if precision != Precision.FLOAT32:
        tell(f"converting to {precision}")
        small = _smaller(emitted, precision, families, variant, stages)
        reference = loosened(reference, precision)
        for provider in providers:
            tell(f"comparing {precision} with torch, on {provider}")
            stages.add(_parity(small, reference, provider, variant, f" {precision}"))
        if variant is not None:
            tell(f"playing against float32 in {precision}")
            stages.add(play_checks(graph, small.graph, variant))
        graph = small.graph

    stages.report.about["graph_sha256"] = hashlib.sha256(graph).hexdigest()
    tell("writing and verifying the file")
    names = [name for name in reference.expected if variant is None or name in OUTPUTS]
    golden, bounds = _golden(reference, names, stages.report)
    general: dict[str, Any] = {
        "network": network or {},
        "precision": precision,
        "training": training or {},
        "interface": interface.to_json(),
        "parameters": [_recorded(facts) for facts in audited.parameters],
        "golden": encode_golden(golden),
        "bounds": bounds,
        "made_by": stages.report.about["made_by"],
    }
    with whole_file(out) as temporary:
        verified = stages.report.passed
        temporary.write_bytes(seal(graph, _card(variant, general, stages.report, verified)))
        stages.add(_verified(temporary, verified))
        if verified and not stages.report.passed:
            temporary.write_bytes(seal(graph, _card(variant, general, stages.report, False)))
    return stages.report


@dataclass
class _Stages:
    """The report as it grows; a failure ends it, or with `force` is only noted."""

    report: GateReport
    out: Path
    force: bool

    def add(self, checks: list[Check]) -> None:
        """Add `checks`, and refuse where one of them failed."""
        if self.force or all(check.passed for check in checks):
            self.report.checks += checks
        else:
            self.refuse(checks)

    def refuse(self, checks: list[Check]) -> NoReturn:
        """Add `checks` and raise `GateRefused`: no force makes a file out of nothing."""
        self.report.checks += checks
        failed = [check for check in self.report.checks if not check.passed]
        text = "\n".join(f"  {check.name}: {check.says}" for check in failed)
        raise GateRefused(
            f"the export gate refuses this network, {self.out} not written:\n{text}", self.report
        )


def _card(
    variant: Variant | None, general: dict[str, Any], report: GateReport, verified: bool
) -> Card:
    fields = {**general, "gate": report.to_json(), "verified": verified}
    return Card(**fields) if variant is None else ModelCard(variant, **fields)


def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in MAKERS}


def _audit_check(audited: Audit) -> Check:
    failures, warnings, notes = (
        [f for f in audited.findings if f.severity == severity]
        for severity in ("fail", "warn", "note")
    )
    figures = {
        "parameters": len(audited.parameters),
        "findings": [asdict(finding) for finding in audited.findings],
    }
    if failures:
        text = "; ".join(f"{f.path}: {f.what}; {f.mend}" for f in failures[:2])
        more = f"; and {len(failures) - 2} more" if len(failures) > 2 else ""
        return Check("audit", False, text + more, figures)
    says = f"no failure in {len(audited.parameters)} parameters and the outputs"
    if warnings:
        says += f"; {len(warnings)} warnings, the first: {warnings[0].path}: {warnings[0].what}"
    says += "".join(f"; {note.what}" for note in notes)
    return Check("audit", True, says, figures)


def _graph_check(graph: bytes, interface: Interface, opset: int, variant: Variant | None) -> Check:
    faults = contract_faults(interface, variant) if variant is not None else []
    faults += graph_faults(graph, interface, opset)
    figures = {"bytes": len(graph), "opset": opset}
    if faults:
        return Check("graph", False, "; ".join(faults), figures)
    says = f"names, order, types and axes are the module's; {len(graph)} bytes, opset {opset}"
    return Check("graph", True, says, figures)


def _parity(
    emitted: Emitted,
    reference: Reference,
    provider: str,
    variant: Variant | None,
    at: str = "",
) -> list[Check]:
    """The checks of the saved graph; where one fails, the node that departs first."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.onnx"
        path.write_bytes(emitted.graph)
        checks = compare(path, reference, provider, variant, at)
    if any(
        check.figures and not check.passed
        for check in checks
        if not check.name.startswith("best moves")
    ):
        checks.append(Check("where", False, first_departure(emitted, reference)))
    return checks


def _smaller(
    emitted: Emitted,
    precision: Precision,
    families: Families,
    variant: Variant | None,
    stages: _Stages,
) -> Emitted:
    """The graph in `precision`; calibrated on its own games, or on every other ordinary row.

    The rows between those are compared too, and show whether the ranges hold for others.
    """
    rows = families.take(families.rows_of(families.names[0])[::2])
    if variant is not None:
        rows = Batch({BOARD: torch.from_numpy(own_boards(emitted.graph, variant))}, {BOARD: 0})
    try:
        graph = converted(emitted.graph, precision, rows)
    except CheckFailed as error:
        stages.refuse([Check(f"convert {precision}", False, str(error))])
    share = len(graph) / len(emitted.graph)
    says = f"{len(graph)} bytes, {100 * share:.0f}% of float32's"
    stages.add([Check(f"convert {precision}", True, says, {"bytes": len(graph), "share": share})])
    return replace(emitted, graph=graph)


def _recorded(facts: ParameterFacts) -> dict[str, Any]:
    return {
        "name": facts.path,
        "shape": list(facts.shape),
        "mean": facts.mean,
        "std": facts.std,
    }


def _verified(path: Path, verified: bool) -> list[Check]:
    """The finished file's own checks; its verdict is this gate's business."""
    try:
        checks = verify_model(path, provider="cpu")
    except ModelError as error:
        return [Check("verify", False, str(error))]
    return checks if verified else [check for check in checks if check.name != "verdict"]


def _golden(
    reference: Reference, names: list[str], report: GateReport
) -> tuple[Golden, dict[str, list[float]]]:
    """Rows from the first to the last of the ordinary family, and the worst ones, with answers.

    Beside them the bound of each row, by output.
    """
    families = reference.families
    usual = families.rows_of(families.names[0])
    size = sum(array.size for array in reference.expected.values())
    size += sum(tensor.numel() for tensor in families.batch.tensors.values())
    count = max(2, min(GOLDEN_ROWS, GOLDEN_NUMBERS * families.batch.rows // size))
    chosen = {usual[at] for at in np.linspace(0, len(usual) - 1, count).astype(int)}
    worst = {check.figures["row"] for check in report.checks if "row" in check.figures}
    comparable = {
        family
        for family in families.names
        if all(by.get(family) is None or by[family].usable for by in reference.bounds.values())
    }
    rows = sorted(
        row
        for row in chosen | set(sorted(worst)[:count])
        if families.family[row] in comparable or row in chosen
    )
    inputs = {n: t.numpy() for n, t in families.take(rows).tensors.items()}
    outputs, bounds = {}, {}
    for name in names:
        array, axis = reference.expected[name], reference.interface.output_axes.get(name)
        outputs[name] = array if axis is None else array.take(rows, axis=axis)
        allowed = [reference.bounds[name][families.family[row]].allowed for row in rows]
        bounds[name] = allowed if axis is not None else [max(allowed)]
    return Golden(inputs, outputs), bounds
