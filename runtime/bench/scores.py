"""Other people's scores on the same orders."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from azx.runtime.errors import RecordError
from azx.runtime.files import read_bytes


def read_scores(path: Path, games: int) -> dict[str, NDArray[np.float64]]:
    """By player, float64 [N]: a CSV with a column for each player and a row for each order.

    Raises `RecordError` where it is anything else, or has fewer rows than `games`.
    """
    rows = list(csv.reader(read_bytes(path, RecordError).decode(errors="replace").splitlines()))
    if len(rows) <= games:
        raise RecordError(f"{path} has {max(0, len(rows) - 1)} scores, there are {games} orders")
    names = [name.strip() for name in rows[0]]
    if "" in names or len(set(names)) != len(names):
        raise RecordError(
            f"{path}: every column needs the name of a player and no two the same, found {names}; "
            "a column that numbers the rows has to go"
        )
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(names):
            raise RecordError(
                f"{path}, line {number}: found {len(row)} values, expected {len(names)}, one for "
                "each player"
            )
    try:
        table = np.array([[float(cell) for cell in row] for row in rows[1:]])
    except ValueError as error:
        raise RecordError(f"{path} is no table of scores with a row of names: {error}") from error
    if not np.isfinite(table).all():
        raise RecordError(f"{path} has a score that is no number: every player needs one a row")
    for name, column in zip(names, table.T, strict=True):
        if len(column) > 1 and (np.diff(column) == 1.0).all():
            raise RecordError(
                f"{path}: column {name!r} numbers the rows, it is no player's: drop it"
            )
    return dict(zip(names, table.T, strict=True))
