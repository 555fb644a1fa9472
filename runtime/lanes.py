"""Work in several threads at once: compiled code, onnxruntime and torch let go of the GIL."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from threading import Event
from typing import TypeVar

Part = TypeVar("Part")
Found = TypeVar("Found")


def in_lanes(
    lanes: int,
    work: Callable[[Part], Found],
    parts: Iterable[Part],
    stop: Event,
    before: Callable[[], object] | None = None,
) -> list[Found]:
    """What `work` finds of each of `parts`, in their order, by `lanes` threads.

    `before` is called first in each of them. Where a part fails, and where the user interrupts,
    what still waits is not begun and `stop` is set, which work that takes long should look at.
    """
    with ThreadPoolExecutor(lanes, initializer=before) as threads:
        begun: list[Future[Found]] = []
        try:
            begun += [threads.submit(work, part) for part in parts]
            for done in as_completed(begun):
                done.result()
        finally:
            stop.set()
            threads.shutdown(wait=False, cancel_futures=True)
    return [done.result() for done in begun]
