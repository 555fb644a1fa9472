"""Models, what was measured of them, and the file that this goes to at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import typer

from azx.cli.bench import show
from azx.cli.export import commit
from azx.cli.reports.speed import inference_section, search_section, selfplay_section
from azx.cli.reports.strength import BASELINES
from azx.cli.reports.strength import strength_section as shown_strength
from azx.cli.terminal import busy, check_writable, counting, say, stdout
from azx.runtime.bench.inference import Engine, onnx_engine, recommended_batch, time_batches
from azx.runtime.bench.layout import SECTIONS
from azx.runtime.bench.memory import memory_of
from azx.runtime.bench.providers import node_providers
from azx.runtime.bench.result import new_result
from azx.runtime.bench.search import SearchCase, time_searches
from azx.runtime.bench.selfplay import SelfPlayCase, time_selfplay
from azx.runtime.bench.strength import Entrant, play_all, player_named, strength_section
from azx.runtime.errors import UsageError
from azx.runtime.evaluator import Evaluator, UniformEvaluator, has_q
from azx.runtime.files import exists, write_json
from azx.runtime.modelfile import ModelFile, read_model
from azx.runtime.models import model_file
from azx.runtime.onnx_evaluator import OnnxEvaluator, open_model
from azx.runtime.resources import available_cores
from azx.runtime.search import Budget
from azx.runtime.search.room import check_room
from azx.runtime.sessions import PROVIDERS, working_providers
from azx.runtime.variant import STANDARD, Variant, variant_named
from azx.runtime.verify import sample_boards

LARGEST = 65536

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
ProvidersOption = Annotated[
    str | None,
    typer.Option(
        "--provider",
        metavar="NAME",
        show_default="every one that works here",
        help="What onnxruntime runs on: cpu or cuda.",
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
    """Reads models, measures them, prints tables, and writes one document when it is left.

    `provider` and `threads` are those of players; networks alone are given theirs one by one.
    """

    def __init__(
        self,
        models: Sequence[Path],
        variant: str | None,
        provider: str,
        threads: int | None,
        allow_unverified: bool,
        json: Path | None,
        reports: Sequence[Path] = (),
        read: Sequence[Path | None] = (),
        **config: Any,
    ) -> None:
        """`reports` are written by others and `read` is read: neither may be `json`, or a model."""
        known = variant_named(variant) if variant is not None else None
        variant_name = (known or STANDARD).name
        paths = [model_file(model, variant_name) for model in models]
        paths = paths or [model_file(None, variant_name)]
        check_writable(json, *reports, read=(*paths, *read))
        self.models: dict[str, ModelFile] = {}
        for path in paths:
            model = read_model(path, known, allow_unverified)
            known = model.card.variant
            name = path.stem if path.stem not in self.models else str(path)
            if name in self.models:
                raise UsageError(f"{path} is given twice")
            self.models[name] = model
        self.provider, self.threads = provider, threads or available_cores()
        self.allow_unverified = allow_unverified
        self.console = stdout()
        self.json = json
        self.result = new_result(
            self.models, {"provider": provider, "threads": threads, "seed": 0, **config}, commit()
        )

    def __enter__(self) -> Session:
        say(self.console, *show.head(self.result))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write what was measured; of an interrupted command too, where that replaces nothing."""
        if self.json is None:
            return
        if kind is None or (any(s in self.result for s in SECTIONS) and not exists(self.json)):
            write_json(self.json, self.result)
            say(self.console, f"written    {self.json}")

    @property
    def variant(self) -> Variant:
        """The board that all models are of."""
        return next(iter(self.models.values())).card.variant

    @cached_property
    def players(self) -> dict[str, OnnxEvaluator]:
        """Every model, opened for many games in step."""
        with busy("loading networks"):
            return {
                name: OnnxEvaluator(model, self.provider, self.threads, many_games=True)
                for name, model in self.models.items()
            }

    @property
    def _first(self) -> tuple[str, OnnxEvaluator]:
        return next(iter(self.players.items()))

    def _loader(
        self, name: str, provider: str, threads: int, many_games: bool
    ) -> Callable[[], OnnxEvaluator]:
        """What opens a model in another process."""
        path, allowed = self.models[name].path, self.allow_unverified
        return partial(open_model, path, None, provider, threads, allowed, many_games)

    def _networks(
        self, provider: str | None, threads: Sequence[int]
    ) -> Iterator[tuple[str, str, int]]:
        """Name, provider and threads: every model on every provider by every number of threads."""
        if provider not in (None, *PROVIDERS):
            raise UsageError(f"no provider {provider!r}; there are: {', '.join(PROVIDERS)}")
        for name, model in self.models.items():
            for where in [provider] if provider else working_providers(model.data):
                # A GPU does not work faster for more threads of the processor.
                for count in threads if where == "cpu" else threads[-1:]:
                    yield name, where, count

    def inference(
        self,
        batches: Sequence[int],
        seconds: float,
        provider: str | None,
        threads: Sequence[int],
        more: Sequence[Engine] = (),
    ) -> None:
        """Measure and print every network alone, in turns, and `more` engines beside them.

        `provider` None is every one that works here.
        """
        networks = list(self._networks(provider, threads))
        engines = [onnx_engine(n, self.models[n], where, count) for n, where, count in networks]
        engines += more
        with busy("the network alone") as tell:
            timings = time_batches(engines, self.variant, batches, seconds, tell=tell)
            tell("the networks' memory")
            boards = sample_boards(self.variant, batches[-1])
            known = {
                (name, where, count): {
                    "memory_bytes": memory_of(self._loader(name, where, count, False), boards),
                    "node_providers": node_providers(self.models[name], where),
                }
                for name, where, count in networks
            }
        described = []
        for engine in engines:
            key = (engine.name, engine.provider, engine.threads)
            own = [t for t in timings if (t.engine, t.provider, t.threads) == key]
            described.append(
                {
                    "engine": engine.name,
                    "provider": engine.provider,
                    "threads": engine.threads,
                    "recommended_batch": recommended_batch(own),
                    **known.get(key, {"memory_bytes": None, "node_providers": {}}),
                }
            )
        rows = [timing.to_json() for timing in timings]
        self.result["inference"] = {"engines": described, "rows": rows}
        show.section(self.console, inference_section(self.result["inference"]))

    def search(
        self, games: Sequence[int], simulations: Sequence[int], root: str, seconds: float
    ) -> None:
        """Measure and print the search by games in step and simulations, with and without a net."""
        _, network = self._first
        evaluators: dict[str, Evaluator] = {
            "network": network,
            "uniform": UniformEvaluator(self.variant),
        }
        cases = [
            SearchCase(name, evaluator, count, Budget(number, root=root))
            for count, number in product(games, simulations)
            for name, evaluator in evaluators.items()
        ]
        # The trees of all cases stay in memory beside one another.
        check_room(self.variant, *((case.games, case.budget.simulations) for case in cases))
        with busy("the search") as tell:
            timings = time_searches(cases, seconds, tell=tell)
        rows = [timing.to_json() for timing in timings]
        self.result["search"] = {**self._played_by(root), "rows": rows}
        show.section(self.console, search_section(self.result["search"]))

    def selfplay(
        self,
        workers: Sequence[int],
        games: Sequence[int],
        simulations: Sequence[int],
        root: str,
        seconds: float,
    ) -> None:
        """Measure and print whole games by all of these, beside the network alone."""
        name, network = self._first
        cases = [
            SelfPlayCase(processes, count, Budget(number, root=root))
            for processes, count, number in product(workers, games, simulations)
        ]
        # All processes keep the trees of all their cases.
        together = ((case.workers * case.games, case.budget.simulations) for case in cases)
        check_room(self.variant, *together)

        def load(processes: int) -> Callable[[], OnnxEvaluator]:
            share = max(1, self.threads // processes)
            return self._loader(name, network.provider_used, share, True)

        with busy("whole games") as tell:
            timings = time_selfplay(load, cases, seconds, tell=tell)
        rows = [timing.to_json() for timing in timings]
        self.result["selfplay"] = {**self._played_by(root), "rows": rows}
        show.section(self.console, selfplay_section(self.result["selfplay"]))

    def _played_by(self, root: str) -> dict[str, Any]:
        name, network = self._first
        return {
            "model": name,
            "provider": network.provider_used,
            "threads": network.threads,
            "root": root,
        }

    def strength(
        self, rules: Sequence[str], orders: Any, until: float | None, others: dict[str, Any]
    ) -> None:
        """Let every player of every model play `orders`; print scores and differences."""
        if len(set(rules)) != len(rules):
            raise UsageError(f"a player is given twice: {', '.join(rules)}")
        entrants = []
        for name, evaluator in self.players.items():
            for rule in rules:
                if rule not in BASELINES:
                    player = player_named(rule, evaluator.variant, evaluator)
                    label = rule if len(self.players) == 1 else f"{name} {rule}"
                    entrants.append(Entrant(label, player, name, rule))
        for rule in rules:
            if rule in BASELINES:
                player = player_named(rule, self.variant, None)
                entrants.append(Entrant(rule, player, None, rule))
        _, first = self._first
        judge = first if has_q(first) else None

        def keep(ended: str) -> None:
            self.result["strength"] = {
                "provider": first.provider_used,
                "threads": first.threads,
                **strength_section(entrants, orders, ended, others),
            }

        try:
            with counting("games", len(orders)) as count:
                keep(play_all(entrants, orders, judge, until, count))
        except KeyboardInterrupt:
            if games := len(entrants[0].scores):
                keep(f"interrupted after {games} games")
            raise
        show.section(self.console, shown_strength(self.result["strength"]))
