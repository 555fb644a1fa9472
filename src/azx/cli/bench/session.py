"""Models that are open, what was measured of them, and the file that this goes to at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from azx.cli.bench import show
from azx.cli.terminal import busy, check_writable, counting, say, stdout
from azx.runtime.bench.engine import time_search, time_selfplay
from azx.runtime.bench.inference import (
    Boards,
    node_providers,
    onnx_engine,
    recommended_batch,
    time_batches,
)
from azx.runtime.bench.result import new_result, resident_bytes
from azx.runtime.bench.strength import Entrant, play_all, player_named, strength_section
from azx.runtime.errors import UsageError
from azx.runtime.evaluator import UniformEvaluator
from azx.runtime.files import write_json
from azx.runtime.models import named_model, shipped_model
from azx.runtime.onnx_evaluator import OnnxEvaluator, open_model
from azx.runtime.search import Budget
from azx.runtime.variant import STANDARD, variant_named

LARGEST = 65536

Engine = Callable[[Boards], object]

ModelsOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--model",
        metavar="NET.ONNX",
        show_default="the one shipped with azx",
        help="A network's file, or the name of one that comes with azx; repeatable.",
    ),
]
JsonOption = Annotated[
    Path | None,
    typer.Option(
        "--json",
        metavar="FILE.JSON",
        show_default=False,
        help="Write the result with every raw sample, for compare and report.",
    ),
]
SecondsOption = Annotated[
    float,
    typer.Option("--seconds", min=0.0, max=3600.0, metavar="S", help="Least time for each row."),
]


def sizes(option: str, text: str, largest: int = LARGEST) -> list[int]:
    """The numbers in `1,2,4`, each once and rising; `UsageError` names the option."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= largest for part in parts):
        raise UsageError(
            f"{option} takes numbers from 1 to {largest}, such as 1,8,64; found {text!r}"
        )
    return sorted({int(part) for part in parts})


class Session:
    """Opens models, measures them, prints tables, and writes one document when it is left."""

    def __init__(
        self,
        models: Sequence[Path],
        variant: str | None,
        provider: str,
        threads: int | None,
        allow_unverified: bool,
        json: Path | None,
        many_games: bool = False,
        **config: Any,
    ) -> None:
        check_writable(json)
        known = variant_named(variant) if variant is not None else None
        paths = [named_model(model) for model in models]
        paths = paths or [shipped_model((known or STANDARD).name)]
        self.engines: dict[str, OnnxEvaluator] = {}
        for path in paths:
            with busy(f"loading {path}"):
                opened = open_model(path, known, provider, threads, allow_unverified, many_games)
            known = opened.variant
            name = path.stem if path.stem not in self.engines else str(path)
            if name in self.engines:
                raise UsageError(f"{path} is given twice")
            self.engines[name] = opened
        self.console = stdout()
        self.json = json
        self.result = new_result(
            self.engines, {"provider": provider, "threads": threads, "seed": 0, **config}
        )

    @property
    def first(self) -> OnnxEvaluator:
        """The first model."""
        return next(iter(self.engines.values()))

    def __enter__(self) -> Session:
        say(self.console, *show.head(self.result))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self.json is not None:
            write_json(self.json, self.result)
            say(self.console, f"written    {self.json}")

    def inference(
        self, batches: Sequence[int], seconds: float, more: dict[str, Engine] | None = None
    ) -> None:
        """Measure and print every network alone, in turns, and `more` engines beside them."""
        engines: dict[str, Engine] = {n: onnx_engine(e) for n, e in self.engines.items()}
        engines |= more or {}
        with busy("the network alone") as tell:
            timings = time_batches(engines, self.first.variant, batches, seconds, tell=tell)
            ran_on = {name: node_providers(engine) for name, engine in self.engines.items()}
        best = {
            name: recommended_batch([t for t in timings if t.engine == name]) for name in engines
        }
        self.result["inference"] = {
            "rows": [timing.to_json() for timing in timings],
            "recommended_batch": best,
            "node_providers": ran_on,
            "resident_bytes": resident_bytes(),
        }
        show.inference(self.console, timings, best, ran_on)

    def search(self, games: Sequence[int], simulations: Sequence[int], root: str, s: float) -> None:
        """Measure and print the search by games in step and simulations, with and without a net."""
        nothing = UniformEvaluator(self.first.variant)
        rows = []
        with busy("the search") as tell:
            for count in games:
                for budget in (Budget(n, root=root) for n in simulations):
                    tell(f"the search, {count} games, {budget.simulations} simulations")
                    rows.append(time_search("network", self.first, count, budget, s))
                    rows.append(time_search("uniform", nothing, count, budget, s))
        self.result["search"] = {"threads": self.first.threads, "rows": [r.to_json() for r in rows]}
        show.search(self.console, rows, self.first.threads)

    def selfplay(self, games: int, budget: Budget, seconds: float) -> None:
        """Measure and print whole games, beside the network alone."""
        with busy(f"whole games, {games} in step"):
            timing = time_selfplay(self.first, games, budget, seconds)
        self.result["selfplay"] = timing.to_json()
        show.selfplay(self.console, timing)

    def strength(
        self, players: Sequence[str], orders: Any, until: float | None, others: dict[str, Any]
    ) -> None:
        """Let every player of every model play `orders`; print scores and differences."""
        entrants = []
        for name, evaluator in self.engines.items():
            for player in players:
                if player in ("random", "greedy"):
                    continue
                label = player if len(self.engines) == 1 else f"{name} {player}"
                entrants.append(Entrant(label, player_named(player, evaluator.variant, evaluator)))
        for player in players:
            if player in ("random", "greedy"):
                entrants.append(Entrant(player, player_named(player, self.first.variant, None)))
        judge = self.first if "q" in self.first.outputs else None
        with counting("games", len(orders)) as count:
            ended = play_all(entrants, orders, judge, until, count)
        section = strength_section(entrants, orders, ended, others)
        self.result["strength"] = section
        show.strength(self.console, section)
