"""What audit and gate found as tables, whoever shows them: a terminal, a page or Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from azx.export.auditing import Audit
from azx.export.gate import GateReport


@dataclass(frozen=True)
class Section:
    """A table with a title; the first `words` columns hold words, the others figures."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    words: int
    legend: str = ""  # what its columns say


def audit_sections(found: Audit) -> list[Section]:
    """What an audit found: findings, settled suspicions, parameters, layers by depth."""
    sections = [
        Section(
            "findings",
            ("", "where", "what, and what to do"),
            [
                (f.severity, f.path, "; ".join(part for part in (f.what, f.mend) if part))
                for f in found.findings
            ],
            words=3,
        ),
        Section(
            "looked odd, and is not",
            ("where", "what", "verdict"),
            [(s.path, s.what, s.verdict) for s in found.suspicions],
            words=3,
        ),
        _parameters(found),
        Section(
            "layers in the order of execution",
            ("layer", "of", "rows differ", "spread", "gain"),
            [
                (
                    layer.path,
                    layer.kind,
                    {True: "yes", False: "no", None: ""}[layer.varies],
                    _figure(layer.spread),
                    _figure(layer.gain),
                )
                for layer in found.layers.layers
            ],
            3,
            "rows differ: whether different inputs give different outputs; spread: standard "
            "deviation of the output; gain: of a norm, how far its units get from their own means",
        ),
    ]
    return [section for section in sections if section.rows]


def figure_sections(found: Audit) -> list[Section]:
    """The rest of the figures, which a page has room for: values, training steps, dependence."""
    values = (
        "parameter",
        "role",
        "dtype",
        "mean",
        "std",
        "expected",
        "min",
        "max",
        "zeros",
        "copies",
    )
    kept = dict.fromkeys((0, 1, found.life.steps if found.life else 1))
    steps = tuple(f"{what} at {step}" for step in kept for what in ("gradient", "update"))
    moves = found.life.moves if found.life else {}
    sections = [
        Section(
            "values of the parameters",
            values,
            [
                (
                    f.path,
                    str(f.role),
                    f.dtype,
                    *map(_figure, (f.mean, f.std, f.expected_std, f.min, f.max, f.zeros)),
                    str(f.duplicates),
                )
                for f in found.parameters
            ],
            words=3,
        ),
        Section(
            "gradients and updates by step, root mean squares",
            ("parameter", *steps),
            [
                (path, *(_figure(size) for s in told for size in (s.gradient, s.update)))
                for path, told in moves.items()
                if len(told) == len(kept)
            ],
            words=1,
        ),
        Section(
            "activations in the order of execution",
            ("where", "function", "units", "idle", "saturated"),
            [
                (a.path, a.function, str(a.units), _figure(a.idle), _figure(a.saturated))
                for a in found.layers.activations
            ],
            2,
            "idle: share of units that are cut off in every row; saturated: share of the output "
            "that is at an end of the function",
        ),
        Section(
            "does the output depend on the input?",
            ("output", "input", "depends"),
            [
                (output, name, "yes" if depends else "no")
                for name, outputs in found.depends.items()
                for output, depends in outputs.items()
            ],
            words=3,
        ),
    ]
    return [section for section in sections if section.rows]


def _parameters(found: Audit) -> Section:
    """A row for each parameter."""
    columns = ("parameter", "of", "shape", "mean", "std", "grad", "wakes")
    rows = []
    for facts in found.parameters:
        steps = found.life.moves.get(facts.path, []) if found.life else []
        wakes = found.wakes(facts.path)
        rows.append(
            (
                facts.path,
                facts.owner,
                "x".join(map(str, facts.shape)),
                _figure(facts.mean),
                _figure(facts.std),
                _figure(steps[0].gradient if steps else None),
                "frozen" if not facts.trainable else "never" if wakes is None else str(wakes),
            )
        )
    return Section(
        "parameters",
        columns,
        rows,
        3,
        "grad: root mean square of its gradient before the first step; wakes: the first step of "
        "training with a gradient that is not 0",
    )


def gate_sections(report: GateReport) -> list[Section]:
    """What the gate found: its checks, each output by family, the mutants, what made the file."""
    sections = [
        Section(
            "checks",
            ("", "check", "found"),
            [("ok" if c.passed else "FAILED", c.name, c.says) for c in report.checks],
            words=3,
        )
    ]
    columns = ("output", "inputs", "worst", "relative", "median", "99%", "allowed")
    rows = [
        (
            check.name.removeprefix("parity "),
            family,
            *(_figure(told[key]) for key in ("worst", "relative", "median", "p99", "bound")),
        )
        for check in report.checks
        for family, told in check.figures.get("families", {}).items()
    ]
    sections.append(Section("differences by family of inputs", columns, rows, words=2))
    mutants = [each for check in report.checks for each in check.figures.get("each", [])]
    sections.append(
        Section(
            "faults put into copies of the graph",
            ("", "fault", "by"),
            [("ok" if m["caught"] else "FAILED", m["what"], m["by"]) for m in mutants],
            words=3,
        )
    )
    made_by = report.about.get("made_by", {})
    about = [(name, version) for name, version in made_by.items()]
    about += [(n, str(report.about[n])) for n in ("opset", "graph_sha256") if n in report.about]
    sections.append(Section("made by", ("what", "which"), about, words=2))
    return [section for section in sections if section.rows]


def _figure(number: float | None) -> str:
    return "" if number is None else f"{number:.2g}"
