"""Players for the tests of workers, whose processes find them by this name: without torch."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
from made_up import MICRO, HashEvaluator
from numpy.typing import NDArray

from azx.runtime.errors import ModelError
from azx.runtime.players import Player, RandomPlayer, SearchPlayer
from azx.runtime.search import Budget
from azx.runtime.seeds import draw_orders, game_keys

KEYS = game_keys(8, 10)
ORDERS = draw_orders(MICRO, KEYS)


class Fragile(RandomPlayer):
    """One whose process is killed in the middle of a game, `lives` times at most."""

    def __init__(self, folder: Path, lives: int) -> None:
        super().__init__(MICRO)
        self.folder, self.lives = folder, lives

    def choose(
        self, boards: NDArray[np.int8], tiles: NDArray[np.int8], keys: NDArray[np.uint64]
    ) -> NDArray[np.int8]:
        deaths = len(list(self.folder.iterdir()))
        if (boards >= 0).sum() > 0 and deaths < self.lives and keys[0] == KEYS[0]:
            (self.folder / str(deaths)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().choose(boards, tiles, keys)


class Counted(RandomPlayer):
    """One that leaves a file for each process that it is made in."""

    def __init__(self, folder: Path) -> None:
        super().__init__(MICRO)
        (folder / str(os.getpid())).touch()


class Faulty(Counted):
    """One with an error in it."""

    def choose(
        self, boards: NDArray[np.int8], tiles: NDArray[np.int8], keys: NDArray[np.uint64]
    ) -> NDArray[np.int8]:
        raise ValueError("no such cell")


class Sleeper(Counted):
    """One that says that it plays, and takes its time."""

    def choose(
        self, boards: NDArray[np.int8], tiles: NDArray[np.int8], keys: NDArray[np.uint64]
    ) -> NDArray[np.int8]:
        time.sleep(0.2)
        return super().choose(boards, tiles, keys)


def broken() -> Player:
    """One that cannot be made."""
    raise ModelError("net.onnx is no model")


def searcher() -> Player:
    """One that searches."""
    return SearchPlayer(HashEvaluator(MICRO), Budget(6))
