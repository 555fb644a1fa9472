"""`azx solve`, `verify`, `bench`, `doctor` and `export`."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from cli_testing import good, made_up_graph, refused, run
from conftest import MICRO

import azx
from azx.runtime.bench import BatchTiming, SearchTiming, recommended_batch
from azx.runtime.modelfile import read_model, seal
from azx.runtime.onnx_evaluator import open_model
from azx.runtime.variant import MINI

# solve, verify, bench


def test_solve(monkeypatch: pytest.MonkeyPatch) -> None:
    refused(run("solve", "--variant", "standard"), "afterstates", "--variant mini")
    monkeypatch.setattr("azx.cli.solve.variant_named", lambda name: MICRO)
    shown = good(run("solve"))
    assert "micro: perfect play scores " in shown
    assert re.search(r"\n[\d,]+ afterstates", shown)


def test_verify_shows_every_check(mini: Path) -> None:
    shown = good(run("verify", mini))
    for check in ("file", "contract", "verdict", "golden value", "batches", "parameters"):
        assert re.search(rf"^ok +{check} ", shown, re.MULTILINE)
    assert "FAILED" not in shown


def test_verify_fails_with_1_where_a_check_does(mini: Path, tmp_path: Path) -> None:
    card = read_model(mini).card
    path = tmp_path / "other.onnx"
    path.write_bytes(seal(made_up_graph(MINI, 0.5), card))
    result = run("verify", path)
    refused(result, "fails 2 of 9 checks: golden policy_logits", code=1)
    assert re.search(r"^FAILED +golden value", result.stdout, re.MULTILINE)


BENCH = ("--batches", "4,1,4", "--seconds", 0.001, "--simulations", 3, "--games", 5)


def test_bench_measures_the_network_and_the_search(mini: Path, tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    shown = good(run("bench", "--model", mini, "--threads", 1, *BENCH, "--json", path))
    found = json.loads(path.read_text())
    assert [row["batch"] for row in found["inference"]] == [1, 4]
    for row in found["inference"]:
        assert len(row["seconds"]) >= 5
        assert row["p50_seconds"] <= row["p95_seconds"] <= row["p99_seconds"]
        assert row["first_run_seconds"] > 0
        rate = row["batch"] * len(row["seconds"]) / sum(row["seconds"])
        assert row["boards_per_second"] == pytest.approx(rate)
    assert found["recommended_batch"] in (1, 4)
    assert found["search"]["ceiling"]["batch"] == 5
    network, uniform = found["search"]["runs"]
    assert (network["evaluator"], uniform["evaluator"]) == ("network", "uniform")
    for runs in (network, uniform):
        done = 5 * 3 * len(runs["seconds"]) / sum(runs["seconds"])
        assert runs["simulations_per_second"] == pytest.approx(done)
        # Each game asks for its root, and at most once for each simulation.
        assert done / 3 < runs["boards_per_second"] <= 1.001 * done * 4 / 3
    assert found["provider"] == "cpu"
    assert found["threads"] == 1
    assert found["model"]["sha256"][:12] in shown
    for words in (found["machine"]["processor"], "onnxruntime", "recommended batch", "first ms"):
        assert words in shown
    assert max(map(len, shown.splitlines()[4:-1])) <= 80


def test_bench_has_a_command_for_each(mini: Path) -> None:
    alone = good(run("bench", "inference", "--model", mini, *BENCH[:4]))
    assert "recommended batch" in alone
    assert "simulations" not in alone
    under = good(run("bench", "search", "--model", mini, *BENCH[2:]))
    assert "simulations/s" in under
    assert "recommended batch" not in under


def test_bench_refuses_odd_sizes_and_misplaced_options(mini: Path) -> None:
    for batches in ("", "0", "1,x", "1;2", "99999999"):
        refused(run("bench", "--model", mini, "--batches", batches), "--batches takes numbers")
    misplaced = run("bench", "--model", mini, "inference")
    refused(misplaced, "azx bench inference --model ...")


def test_the_recommended_batch_is_the_smallest_that_is_nearly_the_fastest() -> None:
    rates = {1: 100.0, 8: 700.0, 32: 950.0, 64: 1000.0, 128: 990.0}
    timings = [BatchTiming(b, 1.0, np.array([b / rate] * 5)) for b, rate in rates.items()]
    assert recommended_batch(timings) == 32
    assert timings[0].boards_per_second == pytest.approx(100.0)
    latency = BatchTiming(1, 1.0, np.arange(1.0, 102.0))
    assert [latency.percentile(p) for p in (50, 95, 99)] == [51.0, 96.0, 100.0]
    search = SearchTiming("network", 4, 10, 30, np.array([1.0, 3.0]))
    assert (search.simulations_per_second, search.boards_per_second) == (20.0, 7.5)


# doctor and export


NETWORKS = """
import torch
from azx.runtime.variant import MINI
from azx.trainer.initialise import initialise
from azx.trainer.network import NetworkConfig, PolicyValueNetwork

def healthy():
    network = PolicyValueNetwork(MINI, NetworkConfig(width=16, groups=4))
    initialise(network, 0, network.heads)
    return network

def dead():
    network = healthy()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() == 1:
                parameter.zero_()
    return network

def another_thing():
    return torch.nn.Linear(3, 4)
"""


@pytest.fixture
def networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module with factories, in the current folder."""
    (tmp_path / "factories_for_the_cli.py").write_text(NETWORKS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "factories_for_the_cli", raising=False)
    return "factories_for_the_cli"


def test_doctor_tells_the_living_from_the_dead(networks: str) -> None:
    alive = good(run("doctor", f"{networks}:healthy"))
    assert "is alive: 13 parameters" in alive
    assert re.search(r"trunk.norm.weight +GroupNorm +16 +1 +0 +0", alive)
    dead = run("doctor", f"{networks}:dead")
    refused(dead, "is not healthy", code=1)
    assert re.search(r"^fail +trunk\.blocks\.0\.norm1\.weight", dead.stdout, re.MULTILINE)
    refused(run("doctor", f"{networks}:another_thing"), "cannot", "Linear")
    refused(run("doctor", f"{networks}:nobody"), "has no 'nobody'")
    refused(run("doctor", "runs/none"), "no such run or checkpoint", "package.module:factory")


def test_export_lets_the_living_out_and_nothing_else(networks: str, tmp_path: Path) -> None:
    out = tmp_path / "net.onnx"
    refusal = run("export", f"{networks}:dead", "--out", out)
    refused(refusal, "the export gate refuses this network", "not written", code=1)
    assert re.search(r"^FAILED +audit", refusal.stdout, re.MULTILINE)
    assert not out.exists()
    (tmp_path / "file").write_text("")
    refused(run("export", "any:thing", "--out", tmp_path / "file" / "net.onnx"), "cannot write")


def test_a_run_goes_from_checkpoint_to_a_played_game(networks: str, tmp_path: Path) -> None:
    from azx.trainer.checkpoint import save_best
    from azx.trainer.config import TrainConfig
    from azx.trainer.network import NetworkConfig, PolicyValueNetwork

    shape = NetworkConfig(width=16, groups=4)
    config = TrainConfig(variant="mini", network=shape)
    network = PolicyValueNetwork(MINI, shape)
    folder, out = tmp_path / "run", tmp_path / "net.onnx"
    save_best(folder, config, {"round": 7, "games": 70}, network)
    assert "is alive" in good(run("doctor", folder))
    assert "is alive" in good(run("doctor", folder / "best.json"))
    shown = good(run("export", folder, "--out", out))
    assert re.search(r"^ok +audit", shown, re.MULTILINE)
    assert f"written    {out}, mini" in shown
    card = open_model(out).model.card
    assert (card.training["round"], card.training["games"]) == (7, 70)
    assert card.training["config"] == config.to_json()
    assert card.network["width"] == 16
    assert card.made_by["azx"] == azx.__version__
    assert card.made_by["commit"]
    good(run("verify", out))
    good(run("play", "--model", out, "--simulations", 2))
    (folder / "best.json").write_text("{}")
    refused(run("doctor", folder), "best.json is not a readable checkpoint")
