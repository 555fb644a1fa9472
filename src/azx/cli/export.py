"""`azx export`: through the gate, into a verified model file."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import azx
from azx.cli.boundary import need_training_packages
from azx.cli.networks import (
    InputOption,
    InputsOption,
    LossOption,
    MeantOption,
    TargetArgument,
    advice_on_inputs,
    declared,
    find_network,
)
from azx.cli.reports.page import MARKDOWN, PAGE, of_sections, write_report
from azx.cli.terminal import busy, check_table, check_writable, say, show_table, stderr, stdout
from azx.runtime.errors import CheckFailed, UsageError
from azx.runtime.files import write_json

if TYPE_CHECKING:
    from azx.export.gate import GateReport

REPORTS = (".json", MARKDOWN, PAGE)


def export(
    target: TargetArgument,
    out: Annotated[
        Path, typer.Option("--out", metavar="NET.ONNX", help="Where to write the model file.")
    ],
    input_: InputOption = None,
    inputs: InputsOption = None,
    loss: LossOption = None,
    meant: MeantOption = None,
    opset: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            show_default="20, the fastest on onnxruntime's CPU",
            help="The version of ONNX's operators, 18 to 23.",
        ),
    ] = None,
    compact: Annotated[
        bool,
        typer.Option(
            "--compact",
            help="Weights kept in float16: half the size, the same speed; judged by play too.",
        ),
    ] = False,
    fp16: Annotated[
        bool,
        typer.Option("--fp16", help="Layers in float16: half the size; judged by play too."),
    ] = False,
    int8: Annotated[
        bool,
        typer.Option(
            "--int8",
            help="Layers in int8: two fifths to a quarter of the size, faster on a CPU; "
            "judged by play too.",
        ),
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Write the file though checks fail, stamped UNVERIFIED.",
        ),
    ] = False,
    report: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            show_default=False,
            help="Write every check with its figures, as .json, .md or .html; repeatable.",
        ),
    ] = None,
) -> None:
    """Export a network as a verified ONNX file.

    Every check must pass, or nothing is written and the exit code is 1.

    \b
    Examples:
      azx export runs/mine --out net.onnx
      azx export runs/mine --int8 --out small.onnx
      azx export mine:network --input "x=float32[batch,16,5,5]" --out net.onnx
      azx export mine:net --inputs rows.npz --out net.onnx --report gate.html
      azx export mine:net --inputs rows.npz --meant "gate.weight=opens later" --out net.onnx
    """
    need_training_packages()
    chosen = [name for name, on in (("compact", compact), ("fp16", fp16), ("int8", int8)) if on]
    if len(chosen) > 1:
        raise UsageError(f"a file is in one precision, found --{' and --'.join(chosen)}")
    reports, reasons = report or [], declared(meant)
    for path in reports:
        if path.suffix not in REPORTS:
            raise UsageError(f"--report writes {', '.join(REPORTS)}, found {path}")
    if out.suffix != ".onnx":
        raise UsageError(f"--out writes a .onnx file, found {out}")
    check_writable(out, *reports, read=(inputs, Path(target)))
    with busy("loading torch") as tell:
        from azx.export.emit import OPSET
        from azx.export.gate import GateRefused, export_model
        from azx.export.precision import Precision
        from azx.export.target import resolve_loss

        network = find_network(target, input_, inputs)
        objective = resolve_loss(loss) if loss else None
        try:
            with advice_on_inputs(network):
                found = export_model(
                    network.module,
                    network.variant or network.specs,
                    out,
                    given=network.batch,
                    loss=objective,
                    meant=reasons,
                    network=network.shape,
                    training=network.training,
                    made_by={"azx": azx.__version__, "commit": commit()},
                    opset=OPSET if opset is None else opset,
                    precision=Precision(chosen[0]) if chosen else Precision.FLOAT32,
                    force=force,
                    progress=tell,
                )
            refusal = ""
        except GateRefused as error:
            found = error.report
            refusal = str(error).splitlines()[0].rstrip(":")

    verdict = refusal or f"{target} {'passed' if found.passed else 'did NOT pass'} the export gate"
    for path in reports:
        _write_report(path, target, verdict, found)
    console = stdout()
    show_table(console, check_table(found.checks))
    say(console, "", *(f"written    {path}" for path in reports))
    if refusal:
        raise CheckFailed(refusal)
    stamp = "" if found.passed else ", stamped UNVERIFIED"
    kind = network.variant.name if network.variant else network.shape["type"]
    say(console, f"written    {out}, {kind}, {out.stat().st_size:,} bytes{stamp}")
    if not found.passed:
        opens = "; azx play opens this only with --allow-unverified" if network.variant else ""
        say(stderr(), f"warning: checks failed{opens}")


def _write_report(path: Path, target: str, verdict: str, found: GateReport) -> None:
    from azx.export.report import gate_sections

    if path.suffix == ".json":
        write_json(path, {"target": target, "verdict": verdict, **found.to_json()})
    else:
        write_report(path, of_sections(f"azx export {target}", verdict, gate_sections(found)))


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
