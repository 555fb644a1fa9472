"""A round of games, or a batch of samples, in parts that several threads take at once.

Compiled code and torch let go of the GIL, and parts share nothing: two threads with a part each are
faster than one whose network has two (docs/log.md). The parts are the same however many threads
there are, and so is what comes of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from functools import partial
from threading import Event, Lock
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from azx.trainer.selfplay import Progress, Round

#: Games or samples of a part: enough for the network to be at its fastest. 1,024 of them are four
#: parts, so more than four threads do not help there.
PART = 256

Row = TypeVar("Row", bound=np.generic)
Part = TypeVar("Part")
Found = TypeVar("Found")
PlayPart = Callable[[NDArray[np.uint64], Progress], Round]


class _Stopped(Exception):
    """Another part failed, or the user interrupted: this one need not go on."""


@contextmanager
def _threads_for(parts: int) -> Iterator[ThreadPoolExecutor]:
    """As many threads as torch has, but no more than `parts`; torch has one in each of them."""
    threads = torch.get_num_threads()
    # Torch also keeps the number for threads that it has not seen yet, hence it is put back.
    one_thread = partial(torch.set_num_threads, 1)
    try:
        with ThreadPoolExecutor(min(threads, parts), initializer=one_thread) as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)


def parts_of(rows: NDArray[Row]) -> list[NDArray[Row]]:
    """`rows` in their order, `PART` at a time; views, no copies."""
    return [rows[first : first + PART] for first in range(0, len(rows), PART)]


def each_part(work: Callable[[Part], Found], parts: Sequence[Part]) -> list[Found]:
    """What `work` finds of each of `parts`, in their order, in as many threads as torch has."""
    with _threads_for(len(parts)) as pool:
        return list(pool.map(work, parts))


def play_in_parts(play: PlayPart, keys: NDArray[np.uint64], progress: Progress | None) -> Round:
    """`play` the games of `keys` [G], in as many threads as torch has.

    `progress(turns, of)` counts the turns of all parts; it is called from their threads, one call
    at a time. Where a part fails, and on Ctrl-C, the others end with the turn they are at.
    """
    parts = parts_of(keys)
    done, lock, stop = 0, Lock(), Event()

    def turn_played(turn: int, turns: int) -> None:
        nonlocal done
        if stop.is_set():
            raise _Stopped
        with lock:
            done += 1
            if progress is not None:
                progress(done, turns * len(parts))

    with _threads_for(len(parts)) as pool:
        playing = [pool.submit(play, part, turn_played) for part in parts]
        try:
            for played in as_completed(playing):
                played.result()
        finally:
            stop.set()
    return Round.joined([played.result() for played in playing])
