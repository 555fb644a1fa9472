"""Games played by several processes, the same games whatever their number.

A game's randomness comes from its own key, so it does not matter who plays it. A process that dies
is named, another takes its place, and the games it was at are played again. An error in a player
would only come again: it ends the games.
"""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from azx.runtime.errors import AzxError, WorkerError
from azx.runtime.play import BATCH, Progress, parts, play_part
from azx.runtime.players import Player

#: Where the same games have been the end of so many processes, it is no accident.
MOST_DEATHS = 3

#: New processes rather than forks: neither onnxruntime nor compiled code survives a fork.
SPAWN = multiprocessing.get_context("spawn")


def play_in_workers(
    make_player: Callable[[], Player],
    workers: int,
    orders: NDArray[np.int8],
    keys: NDArray[np.uint64],
    progress: Progress,
    warn: Callable[[str], None],
    batch: int = BATCH,
) -> Iterator[tuple[slice, NDArray[np.int8]]]:
    """Play `orders` int8 [N, C] in `workers` processes: the finished games, and their cells.

    `make_player` goes to the processes, so it must be one that pickles; each plays up to `batch`
    games in step. `warn` is told of processes that died. An `AzxError` in a process is raised here;
    `WorkerError` where games cannot be played: another error in a process, or one death too many.
    """
    waiting = deque(_shares(len(orders), workers, batch))
    deaths = dict.fromkeys(map(_name_of, waiting), 0)
    staff: list[_Worker] = []
    try:
        for number in range(min(workers, len(waiting))):
            staff.append(_Worker(number, make_player))
        while waiting or any(worker.part is not None for worker in staff):
            for worker in staff:
                if worker.part is None and waiting:
                    worker.begin(waiting.popleft(), orders, keys)
            for ready in wait([worker.pipe for worker in staff if worker.part is not None]):
                worker = next(worker for worker in staff if worker.pipe is ready)
                part = worker.part
                assert part is not None
                try:
                    kind, content = worker.pipe.recv()
                except (EOFError, OSError):
                    progress(-worker.told)
                    deaths[_name_of(part)] += 1
                    warn(worker.obituary())
                    if deaths[_name_of(part)] == MOST_DEATHS:
                        raise WorkerError(
                            f"games {_name_of(part)} were the end of {MOST_DEATHS} processes: "
                            "is there enough memory? Fewer --workers need less"
                        ) from None
                    waiting.appendleft(part)
                    staff[staff.index(worker)] = _Worker(worker.number, make_player)
                    continue
                if kind == "failed":
                    raise content
                if kind == "broken":
                    raise WorkerError(
                        f"worker {worker.number} failed at games {_name_of(part)}: {content}"
                    )
                if kind == "progress":
                    worker.told += content
                    progress(content)
                else:
                    worker.part = None
                    yield part, content
    finally:
        for worker in staff:
            worker.stop()


def workers_needed(games: int, workers: int, batch: int = BATCH) -> int:
    """How many of `workers` processes have something to do with so many games."""
    return min(workers, len(_shares(games, workers, batch)))


def _shares(games: int, workers: int, batch: int) -> list[slice]:
    """The parts that are given out: up to `batch` games, and some for each worker."""
    return parts(games, max(1, min(batch, -(-games // workers))))


def _name_of(part: slice) -> str:
    return f"{part.start} to {part.stop - 1}"


def start_process(
    target: Callable[..., None], *given: object
) -> tuple[SpawnProcess, Connection[Any, Any]]:
    """A process that runs `target(pipe, *given)`, and the other end of its pipe.

    It ends with this process. All of `given` must be something that pickles.
    """
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=target, args=(theirs, *given), daemon=True)
    # Ctrl-C is for the process that asked: those it starts are born deaf to it.
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, heard)
        theirs.close()
    return process, ours


class _Worker:
    """A process, and the games it is at."""

    def __init__(self, number: int, make_player: Callable[[], Player]) -> None:
        self.number = number
        self.part: slice | None = None
        self.told = 0
        self.process, self.pipe = start_process(_work, make_player)

    def begin(self, part: slice, orders: NDArray[np.int8], keys: NDArray[np.uint64]) -> None:
        """Have these games played."""
        self.part, self.told = part, 0
        with suppress(OSError):  # a process that died already is found when its pipe is read
            self.pipe.send(_Task(orders[part], keys[part]))

    def obituary(self) -> str:
        """How the process ended, and what becomes of its games."""
        self.process.join()
        code = self.process.exitcode
        how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended: {code}"
        assert self.part is not None
        return (
            f"worker {self.number} (process {self.process.pid}) {how}; "
            f"games {_name_of(self.part)} are played again"
        )

    def stop(self) -> None:
        """End the process at once."""
        self.process.terminate()
        self.process.join()
        self.pipe.close()


@dataclass(frozen=True)
class _Task:
    orders: NDArray[np.int8]
    keys: NDArray[np.uint64]


def _work(pipe: Connection[Any, Any], make_player: Callable[[], Player]) -> None:
    """What a process does: play what comes through the pipe until it is ended."""
    with suppress(OSError):  # where nobody is at the other end any more, nobody can be told
        try:
            player = make_player()
            while True:
                task: _Task = pipe.recv()
                cells = play_part(
                    player, task.orders, task.keys, lambda games: pipe.send(("progress", games))
                )
                pipe.send(("done", cells))
        except AzxError as error:
            pipe.send(("failed", error))
        except Exception as error:
            pipe.send(("broken", _description(error)))


def _description(error: Exception) -> str:
    """What went wrong, and where, in one line."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(where.filename).name}, line {where.lineno})"
