"""Tables that look the same in the terminal, in Markdown and in HTML."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from azx.export.auditing import Audit
from azx.export.gate import GateReport

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem }
table { border-collapse: collapse; margin-bottom: 2rem }
th, td { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top }
th { border-bottom: 1px solid #888 }
td.number { text-align: right; font-variant-numeric: tabular-nums }
.fail, .FAILED { color: #b00; font-weight: bold } .warn { color: #a60 } .ok { color: #080 }
@media (prefers-color-scheme: dark) { body { background: #111; color: #ddd } }
"""


@dataclass(frozen=True)
class Section:
    """A table with a title; the columns named in `numbers` are set to the right."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    numbers: frozenset[str] = frozenset()
    legend: str = ""  # what its columns say, below it


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
        ),
        Section(
            "looked odd, and is not",
            ("where", "what", "verdict"),
            [(s.path, s.what, s.verdict) for s in found.suspicions],
        ),
        _parameters(found),
        Section(
            "layers in the order of execution",
            ("layer", "of", "spread", "rows differ", "gain"),
            [
                (
                    layer.path,
                    layer.kind,
                    _figure(layer.spread),
                    {True: "yes", False: "no", None: ""}[layer.varies],
                    _figure(layer.gain),
                )
                for layer in found.layers.layers
            ],
            frozenset({"spread", "gain"}),
            "spread: standard deviation of the output; rows differ: whether different inputs give "
            "different outputs; gain: of a norm, how far its units get from their own means",
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
            frozenset(values[3:]),
        ),
        Section(
            "gradients and updates by step, root mean squares",
            ("parameter", *steps),
            [
                (path, *(_figure(size) for s in told for size in (s.gradient, s.update)))
                for path, told in moves.items()
                if len(told) == len(kept)
            ],
            frozenset(steps),
        ),
        Section(
            "activations in the order of execution",
            ("where", "function", "units", "idle", "saturated"),
            [
                (a.path, a.function, str(a.units), _figure(a.idle), _figure(a.saturated))
                for a in found.layers.activations
            ],
            frozenset({"units", "idle", "saturated"}),
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
        frozenset(columns[3:]),
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
    sections.append(
        Section("differences by family of inputs", columns, rows, frozenset(columns[2:]))
    )
    mutants = [each for check in report.checks for each in check.figures.get("each", [])]
    sections.append(
        Section(
            "faults put into copies of the graph",
            ("", "fault", "by"),
            [("ok" if m["caught"] else "FAILED", m["what"], m["by"]) for m in mutants],
        )
    )
    made_by = report.about.get("made_by", {})
    about = [(name, version) for name, version in made_by.items()]
    about += [(n, str(report.about[n])) for n in ("opset", "graph_sha256") if n in report.about]
    sections.append(Section("made by", ("what", "which"), about))
    return [section for section in sections if section.rows]


def _figure(number: float | None) -> str:
    return "" if number is None else f"{number:.2g}"


def as_html(title: str, verdict: str, sections: Sequence[Section]) -> str:
    """A page that needs nothing but itself."""
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>",
        f"<style>{STYLE}</style><h1>{html.escape(title)}</h1><p>{html.escape(verdict)}</p>",
    ]
    for section in sections:
        parts.append(f"<h2>{html.escape(section.title)}</h2><table><tr>")
        parts += [f"<th>{html.escape(column)}</th>" for column in section.columns]
        parts.append("</tr>")
        for row in section.rows:
            cells = (
                f'<td class="{_kind(section, column, cell)}">{html.escape(cell)}</td>'
                for column, cell in zip(section.columns, row, strict=True)
            )
            parts.append(f"<tr>{''.join(cells)}</tr>")
        parts.append("</table>")
        if section.legend:
            parts.append(f"<p>{html.escape(section.legend)}</p>")
    return "\n".join(parts) + "\n"


def _kind(section: Section, column: str, cell: str) -> str:
    if column in section.numbers:
        return "number"
    return cell if not column and cell in ("fail", "warn", "ok", "FAILED") else ""


def as_markdown(title: str, verdict: str, sections: Sequence[Section]) -> str:
    """The same as Markdown."""
    lines = [f"# {title}", "", verdict]
    for section in sections:
        lines += ["", f"## {section.title}", "", _row(section.columns)]
        lines.append(_row(["--:" if c in section.numbers else "---" for c in section.columns]))
        lines += [_row(row) for row in section.rows]
        lines += ["", section.legend] if section.legend else []
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    escaped = [cell.replace("|", "\\|").replace("\n", " ") for cell in cells]
    return f"| {' | '.join(escaped)} |"
