"""A round of games in parts that several threads play at once.

Compiled code and torch let go of the GIL, and whole games share nothing: two threads that play a
part each are nearly twice as fast as one whose network has two (docs/log.md). The parts are the
same however many threads there are, and so are the games.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray

from azx.trainer.selfplay import Progress, Round

#: Games of a part: enough for the network's batches, and a round has some parts for each thread.
PART = 256

PlayPart = Callable[[NDArray[np.uint64], Progress | None], Round]


def play_in_parts(play: PlayPart, keys: NDArray[np.uint64], progress: Progress | None) -> Round:
    """`play` the games of `keys` [G], in as many threads as torch has; `progress(turns, of)`."""
    parts = [keys[first : first + PART] for first in range(0, len(keys), PART)]
    done, lock = 0, Lock()

    def turn_played(turn: int, turns: int) -> None:
        nonlocal done
        with lock:
            done += 1
            if progress is not None:
                progress(done, turns * len(parts))

    # A thread of its own for each part: their networks need no others.
    one_thread = partial(torch.set_num_threads, 1)
    with ThreadPoolExecutor(torch.get_num_threads(), initializer=one_thread) as threads:
        return Round.joined(list(threads.map(lambda part: play(part, turn_played), parts)))
