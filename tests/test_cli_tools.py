"""`azx solve`, `verify` and `bench`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from cli_testing import good, made_up_graph, refused, run
from conftest import MICRO

from azx.runtime.bench.engine import SearchTiming, SelfPlayTiming
from azx.runtime.bench.inference import BatchTiming, recommended_batch
from azx.runtime.modelfile import read_model, seal
from azx.runtime.variant import MINI


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
    network, uniform = found["search"]
    assert (network["evaluator"], uniform["evaluator"]) == ("network", "uniform")
    for runs in (network, uniform):
        assert runs["boards_per_second"] > 0
        assert runs["bytes_per_node"] > 100
    assert found["provider"] == "cpu"
    assert found["threads"] == 1
    assert found["model"]["sha256"][:12] in shown
    for words in (found["machine"]["processor"], "onnxruntime", "recommended batch", "first ms"):
        assert words in shown
    assert max(map(len, shown.splitlines()[4:-1])) <= 80


def test_bench_has_a_command_for_each(mini: Path, tmp_path: Path) -> None:
    alone = good(run("bench", "inference", "--model", mini, *BENCH[:4]))
    assert "recommended batch" in alone
    assert "simulations" not in alone
    under = good(run("bench", "search", "--model", mini, *BENCH[2:]))
    assert "simulations/s" in under
    assert "recommended batch" not in under
    path = tmp_path / "selfplay.json"
    played = good(run("bench", "selfplay", "--model", mini, *BENCH[2:], "--json", path))
    assert "of the network alone" in played
    found = json.loads(path.read_text())["selfplay"]
    assert found["batch"] >= 1
    assert len(found["ceiling_boards_per_second"]) == len(found["seconds"]) + 1 >= 4
    assert 0 < found["network_share"] <= 1


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


def test_rates_and_shares_are_what_they_say() -> None:
    search = SearchTiming("network", 4, 10, 80, 30, 100, np.array([1.0, 3.0]))
    assert (search.simulations_per_second, search.boards_per_second) == (20.0, 7.5)
    played = SelfPlayTiming(
        games=5,
        simulations=10,
        batch=8,
        lanes=2,
        asked=np.array([80, 120]),
        seconds=np.array([1.0, 1.0]),
        network_seconds=np.array([1.5, 1.7]),
        ceiling=np.array([100.0, 100.0, 200.0]),
    )
    assert (played.boards_per_second, played.games_per_second) == (100.0, 5.0)
    np.testing.assert_allclose(played.shares, [0.8, 0.8])
    assert played.network_share == pytest.approx(0.8)
