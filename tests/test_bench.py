"""`azx bench`: the arithmetic on made-up data, and the commands on a small network."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from cli_testing import good, refused, run

from azx.cli.reports.bench import bench_report
from azx.cli.reports.page import Report, Section, Table, as_html
from azx.runtime.bench.compare import compare
from azx.runtime.bench.engine import SearchTiming, SelfPlayTiming
from azx.runtime.bench.inference import BatchTiming, onnx_engine, recommended_batch, time_batches
from azx.runtime.bench.rounds import median_of, noise_of, ratio_of
from azx.runtime.bench.strength import Entrant, orders_hash, pair, play_all, settled
from azx.runtime.errors import UsageError
from azx.runtime.onnx_evaluator import open_model
from azx.runtime.players import GreedyPlayer, RandomPlayer
from azx.runtime.seeds import draw_orders, game_keys
from azx.runtime.variant import MINI

SCHEMA = json.loads((Path(__file__).parents[1] / "docs/bench-schema.json").read_text())
SMALL = ("--batches", "4,1,4", "--seconds", 0.02)


def timing(batch: int, rates: list[float], engine: str = "net") -> BatchTiming:
    """Rounds of two runs each at these rates."""
    return BatchTiming(engine, batch, 1.0, tuple(np.full(2, batch / rate) for rate in rates))


# Arithmetic


def test_intervals_of_medians_hold_what_they_promise() -> None:
    """95% intervals from ten rounds hold the true median in 90% to 99% of 400 experiments."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        found = median_of(rng.normal(100.0, 5.0, 10))
        assert found.low <= found.median <= found.high
        held += found.low <= 100.0 <= found.high
    assert 0.90 <= held / 400 <= 0.99


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


def test_noise_is_even_rounds_against_odd_ones() -> None:
    assert noise_of([110.0, 100.0] * 5) == pytest.approx(0.1)
    assert noise_of([7.0] * 6) == 0.0
    assert noise_of([7.0]) == float("inf")


def test_the_recommended_batch_is_the_smallest_that_is_nearly_the_fastest() -> None:
    rates = {1: 100.0, 8: 700.0, 32: 950.0, 64: 1000.0, 128: 990.0}
    timings = [timing(batch, [rate] * 5) for batch, rate in rates.items()]
    assert recommended_batch(timings) == 32
    assert timings[0].boards_per_second.median == pytest.approx(100.0)
    latency = BatchTiming("net", 1, 1.0, (np.arange(1.0, 51.0), np.arange(51.0, 102.0)))
    assert [latency.percentile(p) for p in (50, 95, 99)] == [51.0, 96.0, 100.0]


def test_rates_and_shares_are_what_they_say() -> None:
    search = SearchTiming("network", 4, 10, np.array([20, 60]), 30, 100, np.array([1.0, 3.0]))
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


def entrant(scores: list[float]) -> Entrant:
    return Entrant("made up", GreedyPlayer(MINI), scores=scores)


def test_early_stopping_goes_by_widths_alone() -> None:
    rng = np.random.default_rng(2)
    luck = rng.normal(150.0, 25.0, 1000)
    first, near = entrant(luck.tolist()), entrant((luck + rng.normal(1.0, 3.0, 1000)).tolist())
    assert pair(first, near).mean == pytest.approx(1.0, abs=0.3)
    assert settled([first, near], until=0.5)  # 1.96 x 3 / sqrt(1000) = 0.19
    assert not settled([first, near], until=0.1)
    assert not settled([first], until=0.5)  # the mean alone: 1.96 x 25 / sqrt(1000) = 1.5
    assert settled([first], until=2.0)
    few = [entrant(made.scores[:150]) for made in (first, near)]
    assert not settled(few, until=100.0)  # too few to trust a width


def test_it_plays_until_the_question_is_settled() -> None:
    orders = draw_orders(MINI, game_keys(3, 2000))
    entrants = [Entrant("random", RandomPlayer(MINI)), Entrant("greedy", GreedyPlayer(MINI))]
    ended = play_all(entrants, orders, None, until=1.5)
    played = len(entrants[0].scores)
    assert ended == f"settled to 1.5 points after {played} games"
    assert 200 <= played < 2000
    assert pair(*entrants).half_width <= 1.5 < np.std(entrants[0].scores)
    assert pair(*entrants).ci95[0] > 5


# Comparing


def result(rates: dict[int, list[float]], scores: list[float] | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {
        "machine": {"processor": "a", "cores_available": 2, "system": "Linux"},
        "inference": {"rows": [timing(batch, r).to_json() for batch, r in rates.items()]},
    }
    if scores is not None:
        made["strength"] = {
            "orders": {"games": len(scores), "sha256": "x"},
            "entrants": [{"name": "policy", "scores": scores, "without_luck": []}],
        }
    return made


def test_a_slow_down_is_told_from_noise() -> None:
    rng = np.random.default_rng(4)
    before = result({8: rng.normal(1000, 10, 10).tolist(), 64: rng.normal(5000, 50, 10).tolist()})
    after = result({8: rng.normal(900, 10, 10).tolist(), 64: rng.normal(5000, 50, 10).tolist()})
    small, large = sorted(compare(before, after), key=lambda change: change.what[-1], reverse=True)
    assert small.change == pytest.approx(-0.1, abs=0.02)
    assert small.is_worse_by(0.05)
    assert not small.is_worse_by(0.15)
    assert not large.exceeds_noise


def test_scores_are_compared_in_pairs() -> None:
    rng = np.random.default_rng(5)
    scores = rng.normal(160.0, 25.0, 1000)
    worse = (scores - 2.0 + rng.normal(0.0, 4.0, 1000)).tolist()
    before, after = result({8: [1.0] * 5}, scores.tolist()), result({8: [1.0] * 5}, worse)
    change = next(c for c in compare(before, after) if c.what == "points, policy")
    assert change.exceeds_noise
    assert change.change == pytest.approx(-2.0 / 160.0, abs=0.003)
    other_orders = copy.deepcopy(after)
    other_orders["strength"]["orders"]["sha256"] = "y"
    unpaired = next(c for c in compare(before, other_orders) if c.what == "points, policy")
    assert not unpaired.exceeds_noise


def test_times_of_different_machines_are_not_compared() -> None:
    before, after = result({8: [1.0] * 5}), result({8: [1.0] * 5})
    after["machine"]["processor"] = "b"
    with pytest.raises(UsageError, match="processor is 'a' and 'b'"):
        compare(before, after)
    assert compare(before, after, across_machines=True)
    del before["inference"], after["inference"]
    with pytest.raises(UsageError, match="no figure in common"):
        compare(before, after)


class _Slow:
    """A session that takes a share longer."""

    def __init__(self, session: Any, share: float) -> None:
        self.session, self.share = session, share

    def run(self, *asked: Any) -> Any:
        start = time.perf_counter()
        found = self.session.run(*asked)
        until = time.perf_counter() + self.share * (time.perf_counter() - start)
        while time.perf_counter() < until:
            pass
        return found


def test_a_planted_slow_down_is_found(mini: Path) -> None:
    """Measured for real, so the fault is a large one: a busy machine must not fail this test."""
    quick, slow = (open_model(mini, threads=1) for _ in range(2))
    slow.session = _Slow(slow.session, 1.0)
    engines = {"a": onnx_engine(quick), "b": onnx_engine(slow)}
    timings = {t.engine: t for t in time_batches(engines, MINI, [64], 0.4)}
    ratio = ratio_of(timings["a"].rates, timings["b"].rates)
    assert ratio.high < 0.85


# The commands


def test_inference_measures_every_network_in_turns(mini: Path, tmp_path: Path) -> None:
    path, other = tmp_path / "speed.json", tmp_path / "other.onnx"
    shutil.copy(mini, other)
    shown = good(
        run("bench", "inference", "--model", mini, "--model", other, "--threads", 1, *SMALL,
            "--json", path)
    )  # fmt: skip
    found = json.loads(path.read_text())
    jsonschema.validate(found, SCHEMA)
    assert [(row["engine"], row["batch"]) for row in found["inference"]["rows"]] == [
        ("mini", 1), ("mini", 4), ("other", 1), ("other", 4),
    ]  # fmt: skip
    for row in found["inference"]["rows"]:
        assert row["p50_seconds"] <= row["p90_seconds"] <= row["p99_seconds"]
        rate = row["boards_per_second"]
        assert rate["low"] <= rate["median"] <= rate["high"]
    assert sum(found["inference"]["node_providers"]["mini"].values()) > 10
    for words in ("recommended batch", "first ms", "CPUExecutionProvider", "onnxruntime"):
        assert words in shown
    assert max(map(len, shown.splitlines()[8:-1])) <= 90
    good(run("bench", "compare", path, path, "--fail-over", "0%"))
    slower = copy.deepcopy(found)
    for row in slower["inference"]["rows"]:
        row["rounds"] = [[2 * seconds for seconds in runs] for runs in row["rounds"]]
    (tmp_path / "slower.json").write_text(json.dumps(slower))
    refused(
        run("bench", "compare", path, tmp_path / "slower.json", "--fail-over", "5%"),
        "worse by more than 5%: boards/s", code=1,
    )  # fmt: skip


def test_search_and_selfplay(mini: Path, tmp_path: Path) -> None:
    path = tmp_path / "search.json"
    few = ("--games", "2,5", "--simulations", "3", "--seconds", 0.001)
    shown = good(run("bench", "search", "--model", mini, *few, "--json", path))
    assert "simulations/s" in shown
    found = json.loads(path.read_text())
    jsonschema.validate(found, SCHEMA)
    assert [(r["evaluator"], r["games"]) for r in found["search"]["rows"]] == [
        ("network", 2), ("uniform", 2), ("network", 5), ("uniform", 5),
    ]  # fmt: skip
    few = ("--games", 5, "--simulations", 3, "--seconds", 0.001)
    played = good(run("bench", "selfplay", "--model", mini, *few, "--json", path))
    assert "of the network alone" in played
    found = json.loads(path.read_text())
    jsonschema.validate(found, SCHEMA)
    play = found["selfplay"]
    assert len(play["ceiling_boards_per_second"]) == len(play["seconds"]) + 1 >= 4
    assert 0 < play["network_share"] <= 1


def test_strength_beside_others(mini: Path, tmp_path: Path) -> None:
    orders = draw_orders(MINI, game_keys(8, 250))
    np.save(tmp_path / "orders.npy", orders)
    scores = tmp_path / "scores.csv"
    scores.write_text("them,me\n" + "30,40\n" * 250)
    path = tmp_path / "strength.json"
    shown = good(
        run("bench", "strength", "--model", mini, "--player", "one-ply", "--player", "mcts:4",
            "--player", "greedy", "--orders", tmp_path / "orders.npy", "--against", scores,
            "--json", path)
    )  # fmt: skip
    found = json.loads(path.read_text())
    jsonschema.validate(found, SCHEMA)
    section = found["strength"]
    assert section["orders"] == {"games": 250, "sha256": orders_hash(orders)}
    means = {e["name"]: e["mean"]["mean"] for e in section["entrants"]}
    assert list(means) == ["one-ply", "mcts:4", "greedy"]
    against = {(a["name"], a["other"]): a["mean"] for a in section["against"]}
    assert against["greedy", "them"] == pytest.approx(means["greedy"] - 30)
    assert "strength on 250 orders; all 250 games were played" in shown


def test_all_makes_one_result_and_its_reports(mini: Path, tmp_path: Path) -> None:
    json_file, page, words = (tmp_path / f"all.{kind}" for kind in ("json", "html", "md"))
    good(run("bench", "all", "--model", mini, "--json", json_file, "--report", page,
             "--report", words))  # fmt: skip
    found = json.loads(json_file.read_text())
    jsonschema.validate(found, SCHEMA)
    assert {"inference", "search", "selfplay", "strength"} <= set(found)
    best = found["strength"]["entrants"][1]["mean_without_luck"]["mean"]
    for text in (page.read_text(), words.read_text()):
        assert f"{best:.2f}" in text
        assert "How fast alone" in text
    self_contained(page.read_text())
    again = tmp_path / "again.html"
    good(run("bench", "report", json_file, "--out", again))
    assert again.read_text() == page.read_text()
    in_a_browser(page, tmp_path)


def test_what_is_no_result_is_refused(mini: Path, tmp_path: Path) -> None:
    broken, other = tmp_path / "broken.json", tmp_path / "other.json"
    broken.write_text("{")
    other.write_text('{"schema": "else"}')
    refused(run("bench", "compare", broken, other), "is no JSON")
    refused(run("bench", "compare", other, other), "its schema is 'else', not 'azx-bench/1'")
    refused(run("bench", "compare", tmp_path / "none.json", other), "no such file")
    refused(run("bench", "compare", other), "two results or more, found 1")
    refused(run("bench", "compare", other, other, "--fail-over", "much"), "takes a percentage")
    refused(run("bench", "report", other, "--out", tmp_path / "x.pdf"), ".html or .md")
    for batches in ("", "0", "1,x", "1;2", "99999999"):
        refused(
            run("bench", "inference", "--model", mini, "--batches", batches),
            "--batches takes numbers",
        )
    refused(run("bench", "strength", "--model", mini, "--player", "best"), "no player 'best'")
    refused(run("bench", "strength", "--model", mini, "--against", other), "needs the --orders")
    short = tmp_path / "short.csv"
    short.write_text("a\n1\n")
    np.save(tmp_path / "orders.npy", draw_orders(MINI, game_keys(8, 5)))
    refused(
        run("bench", "strength", "--model", mini, "--orders", tmp_path / "orders.npy",
            "--against", short),
        "has 1 scores, there are 5 orders",
    )  # fmt: skip


# Pages


class _Balance(HTMLParser):
    """Every tag that is opened is closed, in order."""

    EMPTY = frozenset({"meta", "path", "use", "br", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.EMPTY:
            assert self.open.pop() == tag


def self_contained(page: str) -> None:
    parser = _Balance()
    parser.feed(page)
    assert parser.open == []
    assert not re.search(r"(src|href)=[\"']?(https?:)?//|url\(http|@import", page)
    assert page.count("<svg") >= 3


def in_a_browser(page: Path, folder: Path) -> None:
    """Two widths, photographed; nothing sticks out to the side."""
    browser = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
    if browser is None:
        pytest.skip("no browser is installed: apt install chromium")
    probe = folder / "probe.html"
    script = "<script>document.title = document.documentElement.scrollWidth</script></body>"
    probe.write_text(page.read_text().replace("</body>", script))
    for width in (1280, 500):  # headless Chromium makes no narrower window
        photo = folder / f"{width}.png"
        command = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--hide-scrollbars", f"--user-data-dir={folder / str(width)}",
            f"--window-size={width},2000",
        ]  # fmt: skip
        subprocess.run(
            [*command, f"--screenshot={photo}", page.as_uri()],
            check=True, capture_output=True, timeout=60,
        )  # fmt: skip
        assert photo.stat().st_size > 20_000
        dom = subprocess.run(
            [*command, "--dump-dom", probe.as_uri()],
            check=True, capture_output=True, text=True, timeout=60,
        ).stdout  # fmt: skip
        title = re.search(r"<title>(\d+)</title>", dom)
        assert title
        assert int(title[1]) <= width


def test_names_in_a_page_are_no_markup() -> None:
    nasty = "<script>alert(1)</script>"
    report = Report(
        nasty, nasty, [(nasty, nasty)], [Section(nasty, nasty, (), [Table([nasty], [[nasty]])])]
    )
    assert nasty not in as_html(report)


def test_a_report_leaves_out_what_was_not_measured() -> None:
    made = {
        "created": "2026-01-01", "command": ["azx"], "machine": {"processor": "p",
        "cores_available": 1, "onnxruntime": "1"},
        "models": [{"name": "n", "variant": "mini", "precision": "float32", "parameters": 1,
        "bytes": 1, "verified": False, "provider": "cpu", "threads": 1, "sha256": "0" * 64}],
    }  # fmt: skip
    report = bench_report(made, with_figures=True)
    assert [section.title for section in report.sections] == ["What was measured"]
    assert ("UNVERIFIED", "by the export gate") in report.cards
