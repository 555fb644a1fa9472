"""A player of a stranger: onnxruntime, numpy, the rules as a text. None of this project's code.

It reads `models/standard.onnx` by the contract alone, plays gain + value over the empty cells, and
must score what `azx play --one-ply` scores on the same orders.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from conftest import REPOSITORY
from numpy.typing import NDArray

MODEL = REPOSITORY / "models" / "standard.onnx"
GAMES = 60

LINES = {
    0: [(0, 1, 2), (3, 4, 5, 6), (7, 8, 9, 10, 11), (12, 13, 14, 15), (16, 17, 18)],
    1: [(0, 3, 7), (1, 4, 8, 12), (2, 5, 9, 13, 16), (6, 10, 14, 17), (11, 15, 18)],
    2: [(7, 12, 16), (3, 8, 13, 17), (0, 4, 9, 14, 18), (1, 5, 10, 15), (2, 6, 11)],
}
NUMBERS = np.array([(a, b, c) for a in (1, 5, 9) for b in (2, 6, 7) for c in (3, 4, 8)])


def scores(boards: NDArray[np.int8]) -> NDArray[np.int64]:
    """[B]: the sum over all complete lines."""
    total = np.zeros(len(boards), dtype=np.int64)
    for axis, lines in LINES.items():
        shown = np.where(boards >= 0, NUMBERS[boards, axis], 0)
        for line in lines:
            on_line = shown[:, list(line)]
            complete = (on_line[:, :1] == on_line).all(axis=1)
            total += complete * on_line[:, 0] * len(line)
    return total


def play(orders: NDArray[np.int8]) -> NDArray[np.int64]:
    """[G]: the scores of gain + value."""
    session = onnxruntime.InferenceSession(MODEL, providers=["CPUExecutionProvider"])
    boards = np.full(orders.shape, -1, dtype=np.int8)
    for tiles in orders.T:
        games, cells = np.nonzero(boards < 0)
        after = boards[games]
        after[np.arange(len(after)), cells] = tiles[games]
        value = np.concatenate(
            [session.run(["value"], {"board": part})[0] for part in np.array_split(after, 8)]
        )
        worth = np.full(boards.shape, -np.inf, dtype=np.float32)
        worth[games, cells] = scores(after) - scores(boards)[games] + value
        boards[np.arange(len(boards)), worth.argmax(axis=1)] = tiles
    return scores(boards)


def test_a_stranger_scores_the_same(shared: Path, tmp_path: Path) -> None:
    if not MODEL.exists():
        pytest.fail(f"no shipped network at {MODEL}")
    orders = np.load(shared / "data" / "eval_orders.npy")[:GAMES]
    command = [
        sys.executable, "-m", "azx", "play", "--model", MODEL, "--one-ply", "--simulations", "0",
        "--orders", shared / "data" / "eval_orders.npy", "--games", str(GAMES),
        "--report", tmp_path / "r.json",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src")}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    report = json.loads((tmp_path / "r.json").read_text())
    theirs = play(orders)
    assert report["scores"] == theirs.tolist()
    assert report["mean"] == pytest.approx(theirs.mean())
