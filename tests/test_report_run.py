"""`azx report`: a training run as a page, finished or not, with weights that fit or not."""

from __future__ import annotations

import fcntl
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from browser import WIDTHS, browser, photographed
from cli_testing import good, refused, run

from azx.cli import report as command
from azx.cli.reports.run import is_training

FEW = ("network.width=16", "network.groups=4", "selfplay.games_per_round=32", "rounds=4",
       "evaluation.every=2", "evaluation.games=20")  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four rounds."""
    folder = tmp_path_factory.mktemp("run") / "run"
    sets = [part for field in FEW for part in ("--set", field)]
    run("train", "--preset", "mini", "--run", folder, "--threads", 1, *sets)
    return folder


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


@contextmanager
def somebody_trains(folder: Path) -> Iterator[None]:
    """Hold the lock as `azx train` does."""
    with (folder / "lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def test_a_run_as_a_page(copied: Path, tmp_path: Path) -> None:
    good(run("report", copied))
    page = (copied / "report.html").read_text()
    for words in ("round 4 of 4", "one ply", "trunk.stem.weight", "Games", 'class="board"'):
        assert words in page
    assert page.count("<svg") >= 8
    assert "refresh" not in page
    words = tmp_path / "run.md"
    good(run("report", copied, "--out", words))
    assert "| 4 | 128 |" in words.read_text()


@pytest.mark.parametrize(
    ("name", "written", "says"),
    [
        ("metrics.jsonl", b"{\n", "metrics.jsonl is no list of rounds"),
        ("metrics.jsonl", b"\xff\xfe\n", "metrics.jsonl is no list of rounds"),
        ("metrics.jsonl", b'{"round": 1}\n', "lacks"),
        ("config.json", b'{"variant": ', "config.json is no config of a run"),
        ("config.json", b"{}", "lacks 'network': the run is of another version of azx, or broken"),
    ],
)
def test_a_run_that_cannot_be_read(copied: Path, name: str, written: bytes, says: str) -> None:
    (copied / name).write_bytes(written)
    refused(run("report", copied), says)


def test_losses_that_some_runs_have(copied: Path) -> None:
    """On games held out, where they are recorded; of the lesson, where there is one."""
    metrics = copied / "metrics.jsonl"
    rounds = [json.loads(line) for line in metrics.read_text().splitlines()]
    good(run("report", copied))
    page = (copied / "report.html").read_text()
    assert "held out" not in page
    assert "all placements" not in page
    rounds[1] |= {"held_out_value_loss": 71.25, "held_out_policy_loss": 1.5, "one_ply": 999.0}
    rounds[3] |= {"lesson_loss": 3.5}
    metrics.write_text("".join(json.dumps(row) + "\n" for row in rounds))
    good(run("report", copied))
    page = (copied / "report.html").read_text()
    assert "held out: value 71.25 points², policy 1.500 nats" in page
    assert "all placements" in page
    cards = page[: page.index("How strong")]
    assert f"{rounds[3]['one_ply']:.2f} ±" in cards
    assert "999" not in cards


def test_following_ends_when_nobody_trains(copied: Path) -> None:
    """Stopped at round 2 of 4, or dead: there is nobody, so there is nothing to wait for."""
    metrics = copied / "metrics.jsonl"
    metrics.write_text("".join(metrics.read_text().splitlines(keepends=True)[:2]))
    shown = good(run("report", copied, "--follow"))
    assert shown.count("round 2") == 1
    assert 'http-equiv="refresh"' not in (copied / "report.html").read_text()


def test_following_waits_for_the_first_round_and_for_the_last(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No round, one, all of them, nobody there: three pages, and the last is not read again."""
    metrics, lines = copied / "metrics.jsonl", []
    lines = metrics.read_text().splitlines(keepends=True)
    metrics.unlink()
    pages: list[str | None] = []
    with somebody_trains(copied):
        assert is_training(copied)
        ended = threading.Event()
        monkeypatch.setattr(command, "AGAIN", 20)

        def later(seconds: float) -> None:
            page = copied / "report.html"
            pages.append(page.read_text() if page.exists() else None)
            metrics.write_text("".join(lines[: 4 if len(pages) > 1 else 1]))
            if len(pages) > 2:
                ended.set()

        monkeypatch.setattr(command.time, "sleep", later)
        monkeypatch.setattr(
            "azx.cli.reports.run.is_training",
            lambda folder: is_training(folder) and not ended.is_set(),
        )
        shown = good(run("report", copied, "--follow"))
    assert not is_training(copied)
    assert pages[0] is None
    for page in pages[1:]:
        assert page is not None
        assert 'http-equiv="refresh" content="20"' in page
    assert shown.count("written") == 3
    last = (copied / "report.html").read_text()
    assert "round 4 of 4" in last
    assert 'http-equiv="refresh"' not in last


def test_nothing_to_report(tmp_path: Path) -> None:
    refused(run("report", tmp_path), "is no run of `azx train`")
    refused(run("report", tmp_path, "--follow"), "is no run of `azx train`")


def test_weights_that_do_not_fit_cost_only_the_games(copied: Path) -> None:
    best = json.loads((copied / "best.json").read_text())
    best["config"]["network"]["width"] = 32
    (copied / "best.json").write_text(json.dumps(best))
    good(run("report", copied))
    page = (copied / "report.html").read_text()
    assert "None are shown" in page
    assert "do not fit the network of its config" in page
    assert "What is left to learn" in page
    assert 'class="board"' not in page


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_in_a_browser(trained: Path, width: int, tmp_path: Path) -> None:
    browser()
    page = tmp_path / "run.html"
    good(run("report", trained, "--out", page))
    found = photographed(page, width, tmp_path)
    assert found["width"] <= width
    assert found["smallest"] >= 8
    assert found["said"] == "ascending"
