"""The commands of `azx bench` on a small network."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import signal
import time
import warnings
from collections.abc import Iterator
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest
import torch
from bench_testing import SCHEMA
from cli_testing import REPOSITORY, good, refused, run
from made_up import HashEvaluator

from azx.export.inputs import Batch
from azx.export.precision import Precision, converted
from azx.runtime import sessions
from azx.runtime.bench import clock
from azx.runtime.bench.inference import onnx_engine
from azx.runtime.bench.layout import RESULT
from azx.runtime.bench.processes import Helper, together
from azx.runtime.bench.result import read_result
from azx.runtime.bench.time_spent import Watched, ask_rules_again, rules_seconds
from azx.runtime.contract import BOARD
from azx.runtime.errors import RecordError, WorkerError
from azx.runtime.modelfile import ModelCard, read_model, seal
from azx.runtime.models import shipped_model
from azx.runtime.onnx_evaluator import OnnxEvaluator
from azx.runtime.rules import all_gains
from azx.runtime.search import Budget, Search, room
from azx.runtime.search.tree import OPEN, bytes_per_node
from azx.runtime.seeds import draw_orders, game_keys
from azx.runtime.sessions import session_of, working_providers
from azx.runtime.variant import MINI
from azx.runtime.verify import sample_boards

SMALL = ("--batches", "4,1,4", "--seconds", 0.02)


@pytest.fixture(scope="module")
def everything(mini: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result with all sections, of next to no work."""
    folder = tmp_path_factory.mktemp("parts")
    few = ("--games", 2, "--simulations", 3, "--seconds", 0.001)
    commands: dict[str, tuple[object, ...]] = {
        "inference": SMALL,
        "search": few,
        "selfplay": few,
        "strength": ("--games", 10, "--player", "policy", "--player", "mcts:2"),
    }
    whole: dict[str, Any] = {}
    for name, options in commands.items():
        path = folder / f"{name}.json"
        good(run("bench", name, "--model", mini, "--threads", 1, *options, "--json", path))
        whole |= json.loads(path.read_text())
    path = folder / "whole.json"
    path.write_text(json.dumps(whole))
    return path


def test_inference_measures_every_network_and_thread_in_turns(mini: Path, tmp_path: Path) -> None:
    path, other = tmp_path / "speed.json", tmp_path / "other.onnx"
    shutil.copy(mini, other)
    shown = good(
        run("bench", "inference", "--model", mini, "--model", other, "--threads", "1,2", *SMALL,
            "--json", path)
    )  # fmt: skip
    found = json.loads(path.read_text())
    jsonschema.validate(found, SCHEMA)
    rows, engines = found["inference"]["rows"], found["inference"]["engines"]
    assert [(row["engine"], row["threads"], row["batch"]) for row in rows] == [
        (name, threads, batch)
        for name in ("mini", "other") for threads in (1, 2) for batch in (1, 4)
    ]  # fmt: skip
    for row in rows:
        assert row["p50_seconds"] <= row["p90_seconds"] <= row["p99_seconds"]
        rate = row["boards_per_second"]
        assert rate["low"] <= rate["median"] <= rate["high"]
    for engine in engines:
        assert engine["provider"] == "cpu"
        assert sum(engine["node_providers"].values()) > 10
        assert 1e5 < engine["memory_bytes"] < 1e9
    assert found["config"]["threads_alone"] == [1, 2]
    for words in ("batch to use", "memory, MB", "first ms", "CPUExecutionProvider", "2 threads"):
        assert words in shown
    assert all(len(line) <= 80 for line in shown.splitlines() if line.startswith("  "))


def test_what_has_got_slower_fails(everything: Path, tmp_path: Path) -> None:
    alike = good(run("bench", "compare", everything, everything, "--fail-over", "0%"))
    assert re.search(r"^0 better, 0 worse, \d+ within noise$", alike, re.MULTILINE)
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    made = json.loads(everything.read_text())
    for path, seconds in ((before, 0.01), (after, 0.02)):
        for row in made["inference"]["rows"]:
            row["rounds"] = [[seconds * (1 + n / 1000)] for n in range(10)]
        path.write_text(json.dumps(made))
    refused(
        run("bench", "compare", before, after, "--fail-over", "5%"),
        "worse by more than 5%: boards/s, mini, cpu, 1 thread, batch 1 by 50.0%", code=1,
    )  # fmt: skip
    faster = good(run("bench", "compare", after, before, "--fail-over", "5%"))
    assert re.search(r"^[1-9]\d* better, 0 worse, ", faster, re.MULTILINE)


@pytest.mark.parametrize(("command", "simulations"), [("search", "9"), ("selfplay", "8,9")])
def test_searches_whose_trees_do_not_fit_together_are_refused(
    command: str, simulations: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the two would have room alone, and they stay in memory beside one another."""
    monkeypatch.setattr(room, "memory_limit", lambda: 2 * 30 * bytes_per_node(MINI))
    refused(
        run("bench", command, "--model", "mini", "--games", 2, "--simulations", simulations),
        "2 games in step with 9 simulations and what is searched beside them need",
    )


class _Timed:
    """A session whose calls take `seconds` by a clock of its own, and as much more by chance."""

    now = 0.0

    def __init__(self, session: Any, seconds: float, chance: np.random.Generator) -> None:
        self.session, self.seconds, self.chance = session, seconds, chance

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)

    def run(self, *asked: Any) -> Any:
        _Timed.now += self.seconds * (1 + self.chance.exponential(0.2))
        return self.session.run(*asked)


def test_a_planted_tenth_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the commands, by a clock that is made up, so that no machine can be too busy."""
    monkeypatch.setattr(clock, "time", SimpleNamespace(perf_counter=lambda: _Timed.now))

    def measured(seconds: float, seed: int) -> Path:
        chance = np.random.default_rng(seed)  # of all rounds, each of which opens the model

        def timed_session(*asked: Any) -> tuple[str, Any]:
            used, session = session_of(*asked)
            return used, _Timed(session, seconds, chance)

        monkeypatch.setattr("azx.runtime.onnx_evaluator.session_of", timed_session)
        path = tmp_path / f"{seed}.json"
        good(run("bench", "inference", "--model", "mini", "--threads", 1, "--batches", 16,
                 "--seconds", 2, "--json", path))  # fmt: skip
        return path

    before, again, slower = measured(0.010, 1), measured(0.010, 2), measured(0.011, 3)
    good(run("bench", "compare", before, again, "--fail-over", "2%"))
    refused(
        run("bench", "compare", before, slower, "--fail-over", "2%"),
        "worse by more than 2%: boards/s, mini, cpu, 1 thread, batch 16", code=1,
    )  # fmt: skip


def test_every_provider_is_measured_that_a_session_really_gets(
    mini: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = mini.read_bytes()
    monkeypatch.setattr(sessions, "present_providers", lambda: ["cpu", "cuda"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # onnxruntime's own: it was not built with it
        assert working_providers(model) == ["cpu"]
        assert working_providers(b"no model") == ["cpu", "cuda"], "told where it is opened"
    monkeypatch.setattr(sessions, "provider_of", lambda session: session)
    monkeypatch.setattr(sessions, "open_session", lambda model, name: name)
    assert working_providers(model) == ["cpu", "cuda"]


def test_a_call_of_the_network_alone_has_all_threads(
    mini: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Players have a thread for each lane, and one thread a call: that is not what is measured."""
    threads = []

    class Kept(OnnxEvaluator):
        def __init__(self, *asked: Any) -> None:
            super().__init__(*asked)
            threads.append(self.session.get_session_options().intra_op_num_threads)

    monkeypatch.setattr("azx.runtime.bench.inference.OnnxEvaluator", Kept)
    onnx_engine("net", read_model(mini), "cpu", 3).open()
    assert threads == [3]


def test_float32_fp16_and_int8_side_by_side(tmp_path: Path) -> None:
    model = onnx.load(shipped_model("mini"))
    del model.metadata_props[:]
    graph = model.SerializeToString()
    rows = Batch({BOARD: torch.from_numpy(sample_boards(MINI, 500))}, {BOARD: 0})
    for precision in ("float32", "fp16", "int8"):
        smaller = graph if precision == "float32" else converted(graph, Precision(precision), rows)
        card = ModelCard(MINI, verified=True, precision=precision)
        (tmp_path / f"{precision}.onnx").write_bytes(seal(smaller, card))
    models = [part for path in sorted(tmp_path.glob("*.onnx")) for part in ("--model", path)]
    path = tmp_path / "speed.json"
    shown = good(run("bench", "inference", *models, "--threads", 1, *SMALL, "--json", path))
    found = json.loads(path.read_text())
    jsonschema.validate(found, SCHEMA)
    bytes_of = {model["precision"]: model["bytes"] for model in found["models"]}
    assert bytes_of["int8"] < bytes_of["fp16"] < bytes_of["float32"]
    assert {engine["engine"] for engine in found["inference"]["engines"]} == set(bytes_of)
    for precision in bytes_of:
        assert f"parameters in {precision}" in shown


def test_search_and_selfplay(mini: Path, tmp_path: Path) -> None:
    path = tmp_path / "search.json"
    few = ("--games", "2,5", "--simulations", "3", "--seconds", 0.001)
    shown = good(run("bench", "search", "--model", mini, *few, "--json", path))
    assert "where the time goes" in shown
    found = json.loads(path.read_text())
    jsonschema.validate(found, SCHEMA)
    assert [(r["evaluator"], r["games"]) for r in found["search"]["rows"]] == [
        ("network", 2), ("uniform", 2), ("network", 5), ("uniform", 5),
    ]  # fmt: skip
    assert found["config"] == {**found["config"], "games": [2, 5], "simulations": [3],
                               "root": "puct"}  # fmt: skip
    few = ("--games", "2,5", "--simulations", 3, "--workers", "1,2", "--seconds", 0.001)
    played = good(run("bench", "selfplay", "--model", mini, *few, "--json", path))
    assert "of ceiling" in played
    found = json.loads(path.read_text())
    jsonschema.validate(found, SCHEMA)
    rows = found["selfplay"]["rows"]
    assert [(r["workers"], r["games"]) for r in rows] == [(1, 2), (1, 5), (2, 2), (2, 5)]
    for row in rows:
        assert len(row["seconds"]) == len(row["ceiling_boards_per_second"]) >= 8
        assert 0 < row["shares"]["network"] < 1
        assert 0 < row["shares"]["rules"] < row["shares"]["trees"]
    page = tmp_path / "page.html"
    good(run("bench", "report", path, "--out", page))
    for figure in ("games a second by workers", "games a second by games in step"):
        assert f"<figcaption>{figure}</figcaption>" in page.read_text()


def test_what_happens_in_another_process_is_told_here() -> None:
    with Helper() as helper:
        assert together([helper], max, 3, 5) == [5]
        helper.ask(int, "x")
        with pytest.raises(ValueError, match="invalid literal"):
            helper.answer()
        helper.ask(time.sleep, 0)
        assert helper.answer() is None  # an error was not the end of it
        helper.ask(os._exit, 3)
        with pytest.raises(WorkerError, match="ended: 3"):
            helper.answer()


def test_a_helper_that_cannot_start_leaves_ctrl_c_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(process: SpawnProcess) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(SpawnProcess, "start", fail)
    heard = signal.getsignal(signal.SIGINT)
    with pytest.raises(OSError, match="no more processes"):
        Helper()
    assert signal.getsignal(signal.SIGINT) is heard


def test_rules_are_asked_again_what_the_search_asked() -> None:
    """The bare loop goes over every judged board and every edge, and finds the search's gains."""
    orders, keys = draw_orders(MINI, game_keys(0, 3)), game_keys(0, 3)
    search = Search(Watched(HashEvaluator(MINI)), 3, Budget(40))
    boards = MINI.empty_boards(3)
    boards[:, :2] = orders[:, :2]
    search.run(boards, np.ascontiguousarray(orders[:, 2]), keys)
    trees, expected = search.trees, 0
    gains = np.zeros((MINI.tiles, MINI.cells), dtype=np.float32)
    for g in range(3):
        nodes = slice(0, trees.tree[g]["chances"])
        judged = trees.board[g, nodes][trees.chance[g, nodes]["state"] == OPEN]
        assert len(judged) > 1
        gains += all_gains(MINI, judged).sum(axis=0)
        for d in range(trees.tree[g]["decisions"]):
            edges = trees.edge[g, d, : trees.decision[g, d]["edges"]]
            expected += int(edges["gain"].sum())
    scratch = np.zeros_like(gains)
    assert ask_rules_again(search.tables, trees, scratch) == expected > 0
    np.testing.assert_array_equal(scratch, gains)
    assert gains.any()
    assert 0 < rules_seconds(search) < 1


def test_what_is_no_result_is_refused(mini: Path, tmp_path: Path) -> None:
    broken, other = tmp_path / "broken.json", tmp_path / "other.json"
    broken.write_text("{")
    other.write_text('{"schema": "else"}')
    refused(run("bench", "compare", broken, other), "is no JSON")
    broken.write_text("[" * 100_000)
    refused(run("bench", "compare", broken, other), "is no JSON")
    refused(run("bench", "compare", other, other), "its schema is 'else', not 'azx-bench/2'")
    refused(run("bench", "compare", tmp_path / "none.json", other), "no such file")
    refused(run("bench", "compare", other), "two results or more, found 1")
    refused(run("bench", "compare", other, other, "--fail-over", "much"), "takes a percentage")
    refused(run("bench", "report", other, "--out", tmp_path / "x.pdf"), ".html or .md")
    for option in ("--batches", "--threads"):
        for numbers in ("", "0", "1,x", "1;2", "99999999"):
            refused(
                run("bench", "inference", "--model", mini, option, numbers),
                f"{option} takes numbers",
            )


def _missing(layout: Any, found: Any) -> Iterator[Any]:
    """`found` again and again, each time without one thing that `layout` asks for."""
    if isinstance(layout, list) and found:
        for less in _missing(layout[0], found[0]):
            yield [less, *found[1:]]
    if not isinstance(layout, dict):
        return
    for key, part in layout.items():
        name = key.removesuffix("?")
        if key == name:
            yield {other: value for other, value in found.items() if other != name}
        for less in _missing(part, found[name]):
            yield {**found, name: less}


def test_the_schema_and_what_is_read_are_one(everything: Path, tmp_path: Path) -> None:
    """Whatever a result lacks, the schema and the reader both refuse it, in one line."""
    whole = json.loads(everything.read_text())
    jsonschema.validate(whole, SCHEMA)
    assert read_result(everything) == whole
    validator = jsonschema.Draft202012Validator(SCHEMA)
    path, cases = tmp_path / "less.json", 0
    for less in _missing(RESULT, whole):
        cases += 1
        assert not validator.is_valid(less)
        path.write_text(json.dumps(less))
        with pytest.raises(RecordError):
            read_result(path)
    assert cases > 80
    nothing = copy.deepcopy(whole)
    nothing["models"] = []
    wrong = copy.deepcopy(whole)
    wrong["inference"]["rows"][0]["batch"] = "four"
    for made, says in ((nothing, "models is empty"), (wrong, "inference.rows[0].batch is str")):
        assert not validator.is_valid(made)
        path.write_text(json.dumps(made))
        refused(run("bench", "compare", path, path), says)
        refused(run("bench", "report", path, "--out", tmp_path / "x.md"), says)


@pytest.mark.parametrize(
    ("section", "change", "says"),
    [
        ("inference", {"rounds": []}, "inference.rows[0] has fewer than 2 rounds"),
        ("inference", {"rounds": [[0.1], []]}, "inference.rows[0].rounds has a number that is not"),
        ("inference", {"rounds": [[0.1], [0.0]]}, "inference.rows[0].rounds has a number"),
        ("inference", {"batch": 0}, "inference.rows[0].batch has a number"),
        ("search", {"simulated": [0, 5], "seconds": [0.1, 0.1]}, "simulated has a number"),
        ("search", {"simulated": [5, 5]}, "or not as many simulated as seconds"),
        ("selfplay", {"seconds": [0.1]}, "selfplay.rows[0] has fewer than 2 rounds"),
        ("selfplay", {"games": 0}, "selfplay.rows[0].games has a number"),
        ("strength", {"scores": [], "without_luck": []}, "strength.entrants[0] has no scores"),
        ("strength", {"without_luck": [1.0]}, "luck is not out of all"),
    ],
)
def test_samples_that_no_rate_can_be_made_of(
    section: str, change: dict[str, Any], says: str, everything: Path, tmp_path: Path
) -> None:
    made = json.loads(everything.read_text())
    made[section]["entrants" if section == "strength" else "rows"][0].update(change)
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(made))
    refused(run("bench", "compare", path, path), says)


def test_the_workflow_in_the_docs_is_one() -> None:
    """It says when it runs, and every command in it is one that azx has."""
    yaml = pytest.importorskip("yaml")
    text = (REPOSITORY / "docs/bench.md").read_text().partition("```yaml\n")[2].partition("```")[0]
    workflow = yaml.load(text, yaml.BaseLoader)
    assert set(workflow) == {"name", "on", "jobs"}
    assert "pull_request" in workflow["on"]
    (job,) = workflow["jobs"].values()
    assert job["runs-on"]
    commands = [step["run"].split() for step in job["steps"] if "run" in step]
    for command in commands:
        if command[0] == "azx":
            good(run(*command[1:3], "--help"))
    assert ["azx", "bench", "compare"] in [command[:3] for command in commands]
