"""`azx bench`: how fast is a network here, how strong is it, and has that changed?"""

from __future__ import annotations

import typer

from azx.cli.bench.compare import compare
from azx.cli.bench.everything import everything
from azx.cli.bench.report import report
from azx.cli.bench.speed import inference, search, selfplay
from azx.cli.bench.strength import strength

HELP = """Measure speed and strength, and what has changed.

\b
Examples:
  azx bench all --report result.html
  azx bench inference --model net.onnx
  azx bench compare before.json after.json --fail-over 5%
"""

bench_app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help=HELP,
)
bench_app.command("all")(everything)
bench_app.command("inference")(inference)
bench_app.command("search")(search)
bench_app.command("selfplay")(selfplay)
bench_app.command("strength")(strength)
bench_app.command("compare")(compare)
bench_app.command("report")(report)
