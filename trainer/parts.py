"""Games, or a batch of samples, in parts that several threads take at once.

Compiled code and torch let go of the GIL, and parts share nothing: two threads with a part each are
faster than one whose network has two (docs/log.md). The parts are the same however many threads
there are, and so is what comes of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from threading import Event, Lock
from typing import TypeVar

import torch

from azx.runtime.lanes import in_lanes
from azx.runtime.play import Progress

#: Games of a part: enough for the network to be at its fastest. 1,024 of them are four parts, so
#: more than four threads do not help there.
PART = 256

#: Samples of a part of a batch. With 256 a step is 5 to 15% faster in one thread, but then a batch
#: of 256 leaves all other threads idle (docs/log.md).
BATCH_PART = 128

Part = TypeVar("Part")
Found = TypeVar("Found")
#: Told how much is done, and of how much.
Overall = Callable[[int, int], None]


class _Stopped(Exception):
    """Another part failed, or the user interrupted: this one need not go on."""


def _in_threads(work: Callable[[Part], Found], parts: Sequence[Part], stop: Event) -> list[Found]:
    """In as many threads as torch has, but no more than parts; torch has one in each of them."""
    threads = torch.get_num_threads()
    try:
        lanes = min(threads, len(parts))
        return in_lanes(lanes, work, parts, stop, before=partial(torch.set_num_threads, 1))
    finally:
        # Torch also keeps the number for threads that it has not seen yet.
        torch.set_num_threads(threads)


def each_part(work: Callable[[Part], Found], parts: Sequence[Part]) -> list[Found]:
    """What `work` finds of each of `parts`, in their order, in as many threads as torch has."""
    return _in_threads(work, parts, Event())


def each_long_part(
    work: Callable[[Part, Progress], Found],
    parts: Sequence[Part],
    of: int,
    progress: Overall | None,
) -> list[Found]:
    """The same of work that takes seconds, and tells how far it came.

    `progress(done, of)` has the sum of what all parts tell; it is called from their threads, one
    call at a time. Where a part fails, and on Ctrl-C, the others end when they tell next, and those
    that wait do not begin.
    """
    done, lock, stop = 0, Lock(), Event()

    def told(more: int) -> None:
        nonlocal done
        if stop.is_set():
            raise _Stopped
        with lock:
            done += more
            if progress is not None:
                progress(done, of)

    def working(part: Part) -> Found:
        return work(part, told)

    return _in_threads(working, parts, stop)
