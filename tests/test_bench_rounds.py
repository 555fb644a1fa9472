"""Samples in rounds: intervals, noise, turns, and what is made of them; data with known answers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from bench_testing import timing
from numpy.typing import NDArray

from azx.runtime.bench.inference import BatchTiming, recommended_batch
from azx.runtime.bench.rounds import ROUNDS, in_turns, median_of, noise_of, ratio_of
from azx.runtime.bench.search import SearchRound, SearchTiming, positions
from azx.runtime.bench.selfplay import SelfPlayRound, SelfPlayTiming
from azx.runtime.rules import tiles_left
from azx.runtime.variant import MINI, STANDARD, Variant

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]

#: Rounds as they come, each with the median 100: even, skewed, with now and then a slow one.
ROUNDS_OF: dict[str, Draw] = {
    "even": lambda rng, n: rng.normal(100.0, 5.0, n),
    "skewed": lambda rng, n: 100.0 * 2**0.05 * np.exp(-rng.exponential(0.05, n)),
    "slow ones": lambda rng, n: np.where(
        rng.random(n) < 0.2, rng.choice([80.0, 120.0], n), rng.normal(100.0, 1.0, n)
    ),
}


@pytest.mark.parametrize("kind", ROUNDS_OF)
def test_intervals_of_medians_hold_what_they_promise(kind: str) -> None:
    """95% intervals hold the true median in 91% to 98% of 400 experiments: from 8 rounds on."""
    rng = np.random.default_rng(0)
    for rounds in (8, ROUNDS):
        found = [median_of(ROUNDS_OF[kind](rng, rounds)) for _ in range(400)]
        assert all(each.low <= each.median <= each.high for each in found)
        held = sum(each.low <= 100.0 <= each.high for each in found)
        assert 0.91 <= held / 400 <= 0.98, f"{held} of 400 with {rounds} rounds"


def test_three_rounds_are_too_few() -> None:
    rng = np.random.default_rng(1)
    found = [median_of(rng.normal(100.0, 5.0, 3)) for _ in range(400)]
    assert sum(each.low <= 100.0 <= each.high for each in found) / 400 < 0.90


def test_one_slow_round_makes_no_interval_wide() -> None:
    steady = [99.0, 99.5, 100.0, 100.0, 100.5, 101.0, 99.8, 100.2, 100.1]
    found, with_slow = median_of([*steady, 99.9]), median_of([*steady, 50.0])
    assert with_slow.high - with_slow.low < 3 * (found.high - found.low)


def test_ratios_find_a_tenth_and_nothing_in_nothing() -> None:
    rng = np.random.default_rng(1)
    wrong, missed = 0, 0
    for _ in range(200):
        a, same, slower = (rng.normal(mean, 2.0, 10) for mean in (100.0, 100.0, 90.0))
        alike, apart = ratio_of(a, same), ratio_of(a, slower)
        wrong += not alike.low <= 1.0 <= alike.high
        missed += apart.low <= 1.0 <= apart.high
    assert wrong <= 20
    assert missed == 0


def test_noise_is_how_far_two_measurements_are_apart() -> None:
    """The mean distance of two medians of 10 rounds, known from 2,000 pairs of them."""
    rng = np.random.default_rng(2)
    pairs = rng.normal(100.0, 5.0, (2000, 2, 10))
    one, two = np.median(pairs, axis=2).T
    apart = float(np.abs(two / one - 1.0).mean())
    told = float(np.mean([noise_of(rounds) for rounds in pairs[:100, 0]]))
    assert told == pytest.approx(apart, rel=0.2)
    assert noise_of([7.0] * 6) == 0.0


def test_noise_does_not_depend_on_the_order_of_rounds() -> None:
    """Even and odd rounds of this are 10% apart, which says nothing of other halves."""
    alternating = [110.0, 100.0] * 5
    assert noise_of(alternating) == pytest.approx(noise_of(sorted(alternating)), rel=0.1)
    assert noise_of(alternating) < 0.08


def test_everything_has_its_turn_in_every_round() -> None:
    calls: list[str] = []
    measures = {name: lambda name=name: calls.append(name) or len(calls) for name in "abc"}
    assert in_turns(measures, 2) == {"a": [1, 4], "b": [2, 5], "c": [3, 6]}
    assert "".join(calls) == "abcabc"


def test_the_recommended_batch_is_the_smallest_that_is_nearly_the_fastest() -> None:
    rates = {1: 100.0, 8: 700.0, 32: 950.0, 64: 1000.0, 128: 990.0}
    timings = [timing(batch, [rate] * 5) for batch, rate in rates.items()]
    assert recommended_batch(timings) == 32
    assert timings[0].boards_per_second.median == pytest.approx(100.0)
    rounds = (np.arange(1.0, 51.0), np.arange(51.0, 102.0))
    latency = BatchTiming("net", "cpu", 1, 1, 1.0, rounds)
    assert [latency.percentile(p) for p in (50, 95, 99)] == [51.0, 96.0, 100.0]


def test_rates_and_shares_of_a_search() -> None:
    rounds = [SearchRound(20, 10, 1.0, 1.2), SearchRound(60, 20, 3.0, 2.8)]
    search = SearchTiming("network", 4, 10, 2, 100, 0.01, rounds)
    assert search.rates.tolist() == [20.0, 20.0]
    shares = search.shares  # of 2 lanes for 4 seconds
    assert shares.network == pytest.approx(4.0 / 8)
    assert shares.rules == pytest.approx(30 * 0.01 / 8)
    assert shares.network + shares.rules + shares.trees == pytest.approx(1.0)


@pytest.mark.parametrize("variant", [MINI, STANDARD], ids=lambda variant: variant.name)
@pytest.mark.parametrize("games", [1, 256])
def test_there_is_a_position_to_search_for_every_game(variant: Variant, games: int) -> None:
    boards, tiles = positions(variant, games, 3)
    assert len(boards) == len(tiles) == games
    assert ((boards < 0).sum(axis=1) > 4).all()
    assert tiles_left(variant, boards)[np.arange(games), tiles].all()


def test_rates_and_shares_of_whole_games() -> None:
    rounds = [SelfPlayRound(80, 1.0, 3.0, 100.0), SelfPlayRound(120, 1.0, 3.4, 150.0)]
    played = SelfPlayTiming(2, 5, 10, 8, 2, 0.004, rounds)
    assert played.rates.tolist() == [10.0, 10.0]  # 2 workers of 5 games each
    assert played.shares_of_ceiling.tolist() == [0.8, 0.8]
    assert played.shares.network == pytest.approx(6.4 / 8)  # 2 workers, 2 lanes, 2 seconds
    assert played.shares.rules == pytest.approx(0.8 / 8)
