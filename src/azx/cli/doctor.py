"""`azx doctor`: is a network alive?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from azx.cli.boundary import need_training_packages
from azx.cli.networks import (
    InputOption,
    InputsOption,
    LossOption,
    MeantOption,
    Network,
    TargetArgument,
    advice_on_inputs,
    declared,
    find_network,
)
from azx.cli.reports.page import of_sections, write_report
from azx.cli.terminal import busy, check_writable, counted, say, section_table, show_table, stdout
from azx.runtime.errors import CheckFailed
from azx.runtime.files import write_json

if TYPE_CHECKING:
    from azx.export.inputs import Batch


def doctor(
    target: TargetArgument,
    input_: InputOption = None,
    inputs: InputsOption = None,
    loss: LossOption = None,
    optimizer: Annotated[
        str | None,
        typer.Option(
            metavar="PACKAGE.MODULE:FUNCTION",
            show_default=False,
            help="Makes the optimizer of the network: are all its parameters in it?",
        ),
    ] = None,
    meant: MeantOption = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 for warnings too.")] = False,
    json: Annotated[
        Path | None,
        typer.Option(metavar="FILE.JSON", show_default=False, help="Write all that was found."),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE.HTML", show_default=False, help="Write the tables as a page."),
    ] = None,
) -> None:
    """Find out whether a network is alive.

    Shows the figures of every parameter and layer, and trains copies for a few steps: what stays
    dead fails. Of --inputs it looks at 16 rows at most, spread over the file. Nothing of the
    network is changed. Exit code 1 where something failed.

    \b
    Examples:
      azx doctor runs/mine
      azx doctor package.module:factory --input "x=float32[batch,16,5,5]"
      azx doctor mine:encoder --input "ids=int64[batch,12]<1000" --html page.html
      azx doctor mine:net --inputs rows.npz --loss mine:loss --strict
      azx doctor mine:net --inputs rows.npz --optimizer mine:optimizer
      azx doctor mine:net --inputs rows.npz --meant "gate.weight=opens later"
    """
    need_training_packages()
    reasons = declared(meant)
    check_writable(json, html, read=(inputs, Path(target)))
    with busy("loading torch") as tell:
        from azx.export import audit
        from azx.export.report import audit_sections, figure_sections
        from azx.export.target import resolve_loss, resolve_optimizer

        network = find_network(target, input_, inputs)
        objective = resolve_loss(loss) if loss else None
        trainer = resolve_optimizer(optimizer, network.module) if optimizer else None
        tell("training copies for a few steps")
        with advice_on_inputs(network):
            rows = _rows(network)
            found = audit(network.module, rows, objective, optimizer=trainer, meant=reasons)

    problems = found.problems(strict)
    verdict = (
        f"{target} is not healthy: {counted(len(problems), 'problem')} in its findings"
        if problems
        else f"{target} is alive: {counted(len(found.parameters), 'parameter')}, no failures"
    )
    sections = audit_sections(found)
    if json is not None:
        write_json(json, {"target": target, **found.to_json()})
    if html is not None:
        told = [*sections, *figure_sections(found)]
        write_report(html, of_sections(f"azx doctor {target}", verdict, told))
    console = stdout()
    for section in reversed(sections):  # the findings last, where one looks
        show_table(console, section_table(section))
        say(console, "")
    say(console, *(f"written    {path}" for path in (json, html) if path is not None))
    if problems:
        raise CheckFailed(verdict)
    say(console, verdict)


def _rows(network: Network) -> Batch:
    """The gate's: boards of games, its own rows, or rows drawn for its inputs."""
    from azx.export.families import audit_rows, board_families, input_families

    if network.variant is not None:
        return audit_rows(network.module, network.variant, board_families(network.variant))
    families = input_families(network.specs, network.batch)
    return audit_rows(network.module, network.specs, families)
