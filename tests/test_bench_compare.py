"""`azx bench compare`: like is compared with like, all else refused; data with known answers."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from bench_testing import result, timing

from azx.runtime.bench.compare import compare
from azx.runtime.errors import UsageError

STEADY = [1000.0, 1001.0] * 5


def test_a_slow_down_is_told_from_noise() -> None:
    rng = np.random.default_rng(4)
    rounds = {name: rng.normal(mean, 10, 10).tolist() for name, mean in
              (("8", 1000), ("64", 5000), ("8 slower", 900), ("64 again", 5000))}  # fmt: skip
    before = result([timing(64, rounds["64"]), timing(8, rounds["8"])])
    after = result([timing(8, rounds["8 slower"]), timing(64, rounds["64 again"])])
    large, small = compare(before, after)  # in the order of the first
    assert (large.what, small.what) == (
        "boards/s, net, cpu, 2 threads, batch 64", "boards/s, net, cpu, 2 threads, batch 8",
    )  # fmt: skip
    assert small.change == pytest.approx(-0.1, abs=0.02)
    assert small.is_worse_by(0.05)
    assert not small.is_worse_by(0.15)
    assert not large.exceeds_noise


def test_the_gate_of_noise_hides_no_tenth() -> None:
    """A slow-down of 10% in rounds that scatter by 5% is found in at least 19 of 20 cases."""
    rng = np.random.default_rng(5)
    found = 0
    for _ in range(100):
        before, after = (
            result([timing(8, rng.normal(mean, 50, 10).tolist())]) for mean in (1000, 900)
        )
        found += compare(before, after)[0].exceeds_noise
    assert found >= 95


def test_nothing_is_found_in_nothing() -> None:
    rng = np.random.default_rng(6)
    alarms = 0
    for _ in range(100):
        before, after = (result([timing(8, rng.normal(1000, 50, 10).tolist())]) for _ in range(2))
        alarms += compare(before, after)[0].exceeds_noise
    assert alarms <= 10


def test_scores_are_compared_in_pairs() -> None:
    rng = np.random.default_rng(5)
    scores = rng.normal(160.0, 25.0, 1000)
    worse = (scores - 2.0 + rng.normal(0.0, 4.0, 1000)).tolist()
    before, after = result([], scores.tolist()), result([], worse)
    (change,) = compare(before, after)
    assert change.what == "points, policy"
    assert change.exceeds_noise
    assert change.change == pytest.approx(-2.0 / 160.0, abs=0.003)
    other_orders = copy.deepcopy(after)
    other_orders["strength"]["orders"]["sha256"] = "y"
    (unpaired,) = compare(before, other_orders)
    assert not unpaired.exceeds_noise


def test_early_stopping_leaves_pairs() -> None:
    """One result ended after 300 of the same 1,000 orders: its games are compared in pairs."""
    rng = np.random.default_rng(7)
    scores = rng.normal(160.0, 25.0, 1000)
    before, after = result([], scores.tolist()), result([], (scores[:300] - 2.0).tolist())
    (change,) = compare(before, after)
    assert change.exceeds_noise
    assert change.change * np.mean(scores[:300]) == pytest.approx(-2.0)


def test_threads_and_providers_are_kept_apart() -> None:
    before = result([timing(8, STEADY, threads=1), timing(8, STEADY, threads=2)])
    after = result([timing(8, STEADY, provider="cuda"), timing(8, STEADY, threads=2)])
    assert [c.what for c in compare(before, after)] == ["boards/s, net, cpu, 2 threads, batch 8"]


def test_one_network_may_have_another_name() -> None:
    before, after = result([timing(8, STEADY)]), result([timing(8, STEADY, engine="new")])
    after["models"][0]["name"] = "new"
    assert len(compare(before, after)) == 1
    after["models"].append({"name": "net2", "variant": "standard"})
    with pytest.raises(UsageError, match=r"no figure in common.*batch 8.*, new, cpu"):
        compare(before, after)


def searched(model: str) -> dict[str, Any]:
    """As much of a result of `azx bench search` and `selfplay` as comparing reads."""
    played = {"model": model, "provider": "cpu", "threads": 2, "root": "puct"}
    row = {"games": 4, "simulations": 50, "seconds": [0.5, 0.5]}
    rows = [{**row, "evaluator": name, "simulated": [90, 91]} for name in ("network", "uniform")]
    made = result([])
    made["models"][0]["name"] = model
    made["search"] = {**played, "rows": rows}
    made["selfplay"] = {**played, "rows": [{**row, "workers": 1}]}
    return made


def test_searches_of_different_networks_are_not_compared() -> None:
    before, after = searched("net"), searched("new")
    where = "cpu, 2 threads, 4 games, 50 puct"
    assert [change.what for change in compare(before, after)] == [
        f"simulations/s, network net, {where}",
        f"simulations/s, uniform, {where}",
        f"self-play games/s, net, {where}, workers: 1",
    ]  # one network each: two states of the same
    after["models"].append({"name": "net2", "variant": "standard"})
    assert [change.what for change in compare(before, after)] == [
        f"simulations/s, uniform, {where}"
    ]


def test_different_boards_are_refused() -> None:
    before, after = result([timing(8, STEADY)]), result([timing(8, STEADY)])
    after["models"][0]["variant"] = "mini"
    with pytest.raises(UsageError, match="different boards, standard and mini"):
        compare(before, after)


def test_times_of_different_machines_are_not_compared() -> None:
    before, after = (result([timing(8, STEADY)], [150.0, 160.0]) for _ in range(2))
    after["machine"]["processor"] = "b"
    with pytest.raises(UsageError, match="processor is 'a' and 'b'"):
        compare(before, after)
    assert len(compare(before, after, across_machines=True)) == 2
    for made in (before, after):
        made["inference"]["rows"] = []
    assert [c.what for c in compare(before, after)] == ["points, policy"]
