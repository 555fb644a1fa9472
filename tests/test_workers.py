"""Games by several processes: the same games, whatever happens to the processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from cli_testing import ENVIRONMENT
from made_up import MICRO
from numpy.typing import NDArray
from worker_testing import KEYS, ORDERS, Faulty, Fragile, broken, searcher

from azx.runtime.errors import ModelError, WorkerError
from azx.runtime.play import play_games
from azx.runtime.players import Player, RandomPlayer
from azx.runtime.workers import play_in_workers, workers_needed


def _play(make: Callable[[], Player], workers: int) -> tuple[NDArray[np.int8], int, list[str]]:
    """The cells, the games that progress came to, the warnings."""
    told: list[int] = []
    warnings: list[str] = []
    cells = np.full_like(ORDERS, -1)
    parts = play_in_workers(make, workers, ORDERS, KEYS, told.append, warnings.append, batch=3)
    for part, chosen in parts:
        cells[part] = chosen
    return cells, sum(told), warnings


@pytest.mark.parametrize("workers", [1, 3])
def test_the_same_games_for_any_number_of_workers(workers: int) -> None:
    cells, told, warnings = _play(searcher, workers)
    assert (cells == play_games(searcher(), ORDERS, KEYS).cells).all()
    assert (told, warnings) == (10, [])


def test_a_dead_worker_is_named_and_its_games_are_played_again(tmp_path: Path) -> None:
    cells, told, warnings = _play(partial(Fragile, tmp_path, 1), 2)
    assert (cells == play_games(RandomPlayer(MICRO), ORDERS, KEYS).cells).all()
    assert told == 10
    (warning,) = warnings
    assert warning.startswith("worker 0 (process ")
    assert warning.endswith("was killed by signal 9; games 0 to 2 are played again")


def test_games_that_kill_every_worker_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="games 0 to 2 were the end of 3 processes"):
        _play(partial(Fragile, tmp_path, 100), 2)


def test_an_error_in_a_worker_is_raised_here() -> None:
    with pytest.raises(ModelError, match=r"net\.onnx is no model"):
        _play(broken, 2)


def test_an_error_in_a_player_is_named_and_not_played_again(tmp_path: Path) -> None:
    said = (
        r"worker \d failed at games \d to \d: ValueError: no such cell \(worker_testing\.py, line"
    )
    with pytest.raises(WorkerError, match=said):
        _play(partial(Faulty, tmp_path), 2)
    assert len(list(tmp_path.iterdir())) <= 2


def test_a_process_that_cannot_start_leaves_ctrl_c_as_it_was() -> None:
    heard = signal.getsignal(signal.SIGINT)
    with pytest.raises(Exception, match="lambda"):
        _play(lambda: RandomPlayer(MICRO), 1)  # which cannot be sent to another process
    assert signal.getsignal(signal.SIGINT) is heard


ENDLESS = """
import sys
from functools import partial
from pathlib import Path
sys.path[:0] = [{tests!r}]
from worker_testing import KEYS, ORDERS, Sleeper
from azx.runtime.workers import play_in_workers

if __name__ == "__main__":
    list(play_in_workers(partial(Sleeper, Path({folder!r})), 2, ORDERS, KEYS, print, print))
"""


def test_workers_whose_parent_is_killed_end_in_silence(tmp_path: Path) -> None:
    script, folder = tmp_path / "endless.py", tmp_path / "started"
    folder.mkdir()
    script.write_text(ENDLESS.format(tests=str(Path(__file__).parent), folder=str(folder)))
    environment = {**ENVIRONMENT, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, script],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while len(list(folder.iterdir())) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.5)
    process.kill()
    _, said = process.communicate(timeout=60)  # the pipe closes when the last worker has ended
    assert "Traceback" not in said


def test_workers_with_nothing_to_do_are_not_counted() -> None:
    assert [workers_needed(games, 8) for games in (1, 8, 9, 5_000)] == [1, 8, 5, 8]
    assert workers_needed(9, 8, batch=1) == 8


def test_nobody_is_left_behind() -> None:
    parts = play_in_workers(searcher, 2, ORDERS, KEYS, lambda _: None, print, batch=2)
    next(iter(parts))
    children = _children()
    assert len(children) >= 2
    parts.close()  # type: ignore[attr-defined]
    deadline = time.monotonic() + 5
    while _children() & children and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _children() & children


def _children() -> set[int]:
    """Processes of this one that run, the helper of multiprocessing aside."""
    found = set()
    for line in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split():
        command = Path(f"/proc/{line}/cmdline").read_bytes()
        if b"spawn_main" in command:
            found.add(int(line))
    return found
