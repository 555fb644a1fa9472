"""Games on disk: the tiles as they were drawn and the cells they were laid on.

A game of `standard` is 38 bytes, plus what was learnt from each of its moves where a player kept
that. Orders are plain `.npy` files, int8 [N, C].
"""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass, replace
from operator import index
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import MAGIC_PREFIX
from numpy.typing import NDArray

from azx.runtime.errors import RecordError, UsageError
from azx.runtime.files import read_bytes, whole_file
from azx.runtime.rules import placement_gains
from azx.runtime.variant import STANDARD, VARIANTS, Variant, variant_from_json

#: A move in a text: the cell, then the tile's numbers on the three axes. Longer numbers are none of
#: any board's, and Python refuses to read the longest.
NUMBER = r"(\d{1,9})"
MOVE = re.compile(rf"{NUMBER}\s*,\s*\[\s*{NUMBER}\s*,\s*{NUMBER}\s*,\s*{NUMBER}\s*\]")


@dataclass(frozen=True)
class Games:
    """N finished games."""

    variant: Variant
    orders: NDArray[np.int8]  # [N, C] the tiles in the order of their drawing
    cells: NDArray[np.int8]  # [N, C] where each was laid
    #: [N, C, C] how likely each cell was to be chosen, where a record says so: it is learnt from.
    policy: NDArray[np.floating] | None = None

    def __len__(self) -> int:
        return len(self.orders)

    def part(self, rows: slice) -> Games:
        """The games of these rows."""
        return Games(
            self.variant,
            self.orders[rows],
            self.cells[rows],
            None if self.policy is None else self.policy[rows],
        )

    def boards(self) -> NDArray[np.int8]:
        """int8 [N, C + 1, C]: the board before each move, then the full one."""
        games, turns = self.orders.shape
        boards = np.full((games, turns + 1, turns), -1, dtype=np.int8)
        rows = np.arange(games)
        for turn in range(turns):
            boards[:, turn + 1] = boards[:, turn]
            boards[rows, turn + 1, self.cells[:, turn]] = self.orders[:, turn]
        return boards

    def gains(self) -> NDArray[np.int32]:
        """int32 [N, C]: the points that each move won."""
        games, turns = self.orders.shape
        before = self.boards()[:, :-1].reshape(-1, turns)
        gains = placement_gains(self.variant, before, self.orders.ravel(), self.cells.ravel())
        return gains.reshape(games, turns)

    def scores(self) -> NDArray[np.int32]:
        """int32 [N]."""
        return self.gains().sum(axis=1, dtype=np.int32)


def check_orders(variant: Variant, orders: NDArray[Any], where: str) -> NDArray[np.int8]:
    """`orders` as int8 [N, C], or `RecordError` with the first row that is no order."""
    if orders.ndim != 2 or orders.shape[1] != variant.cells or orders.dtype.kind not in "iu":
        raise RecordError(
            f"{where}: orders of {variant.name} are integers [games, {variant.cells}], "
            f"found {orders.dtype} {list(orders.shape)}"
        )
    if not len(orders):
        raise RecordError(f"{where}: no orders in it")
    outside = np.flatnonzero(((orders < 0) | (orders >= variant.tiles)).any(axis=1))
    if outside.size:
        raise RecordError(
            f"{where}: row {outside[0]} has an id outside 0 to {variant.tiles - 1}: "
            f"{orders[outside[0]].tolist()}"
        )
    in_turn = np.sort(orders, axis=1)
    twice = np.flatnonzero((in_turn[:, 1:] == in_turn[:, :-1]).any(axis=1))
    if twice.size:
        raise RecordError(
            f"{where}: row {twice[0]} draws a tile twice: {orders[twice[0]].tolist()}"
        )
    return np.ascontiguousarray(orders, dtype=np.int8)


def check_games(games: Games, where: str) -> Games:
    """The games, orders and cells as int8; `RecordError` with the first that breaks the rules."""
    orders = check_orders(games.variant, games.orders, where)
    cells, size = games.cells, games.variant.cells
    if cells.shape != orders.shape or cells.dtype.kind not in "iu":
        raise RecordError(
            f"{where}: cells are integers {list(orders.shape)}, "
            f"found {cells.dtype} {list(cells.shape)}"
        )
    wrong = np.flatnonzero((np.sort(cells, axis=1) != np.arange(size)).any(axis=1))
    if wrong.size:
        raise RecordError(
            f"{where}: game {wrong[0]} does not fill each of the {size} cells once: "
            f"{cells[wrong[0]].tolist()}"
        )
    policy, shape = games.policy, (len(games), size, size)
    if policy is not None and (
        policy.dtype.kind != "f" or policy.shape != shape or not np.isfinite(policy).all()
    ):
        raise RecordError(f"{where}: policy must be finite and {list(shape)}")
    return replace(games, orders=orders, cells=np.ascontiguousarray(cells, dtype=np.int8))


def _load_array(path: Path, data: bytes) -> NDArray[Any]:
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except Exception as error:  # damaged bytes make numpy raise whatever its parsers meet
        raise RecordError(f"{path} is not a .npy file of numbers: {error}") from error
    if not isinstance(array, np.ndarray):
        raise RecordError(f"{path} holds several arrays; orders are one .npy array")
    return array


def read_orders(path: Path, variant: Variant) -> NDArray[np.int8]:
    """int8 [N, C] from a `.npy` file, or from a record of games (the tiles as drawn there)."""
    path = Path(path)
    data = read_bytes(path, RecordError)
    if path.suffix == ".npy" or data.startswith(MAGIC_PREFIX):
        return check_orders(variant, _load_array(path, data), str(path))
    games = _games_of(path, data)
    if games.variant != variant:
        raise RecordError(f"{path} holds games of {games.variant.name}, wanted {variant.name}")
    return games.orders


def write_games(path: Path, games: Games) -> None:
    """Write a record `.npz`, whole or not at all."""
    if Path(path).suffix != ".npz":
        raise UsageError(f"{path}: a record is a .npz file")
    arrays = {
        "variant": np.frombuffer(json.dumps(games.variant.to_json()).encode(), dtype=np.uint8),
        "orders": games.orders,
        "cells": games.cells,
        **({} if games.policy is None else {"policy": games.policy}),
    }
    with whole_file(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]


def read_games(path: Path) -> Games:
    """Read a record: this project's `.npz`, a `.json` list of games with their `moves`, or text.

    A text has a line `cell, [a, b, c]` for each move and an empty line between games.
    """
    path = Path(path)
    return _games_of(path, read_bytes(path, RecordError))


def _games_of(path: Path, data: bytes) -> Games:
    if path.suffix.lower() == ".json":
        return _games_from_json(path, data)
    if path.suffix.lower() != ".npz":
        return _games_from_text(path, data)
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        variant = variant_from_json(json.loads(arrays["variant"].tobytes()))
        games = Games(variant, arrays["orders"], arrays["cells"], arrays.get("policy"))
    except UsageError as error:
        raise RecordError(f"{path}: {error}") from error
    except Exception as error:  # as above, and from the archive and its compression
        raise RecordError(f"{path} is not a record of games (.npz): {error}") from error
    return check_games(games, str(path))


def _games_from_json(path: Path, data: bytes) -> Games:
    """Games listed as `{"moves": [[cell, [numbers on the three axes]], ...], "score": n}`."""
    try:
        listed = json.loads(data)
        if not isinstance(listed, list):
            raise RecordError(
                f"{path}: expected a list of games, found {data[:40].decode(errors='replace')!r}; "
                "`azx play --record` writes games"
            )
        tile_of = STANDARD.tile_of
        moves = [game["moves"] for game in listed]
        cells = np.array([[index(cell) for cell, _ in game] for game in moves], dtype=np.int8)
        orders = np.array([[tile_of[tuple(n)] for _, n in game] for game in moves], dtype=np.int8)
        claimed = [game.get("score") for game in listed]
    except (
        ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError
    ) as error:  # fmt: skip
        raise RecordError(
            f'{path}: expected a list of {{"moves": [[cell, [a, b, c]], ...]}}, '
            f"failed with {type(error).__name__}: {error}"
        ) from error
    games = check_games(Games(STANDARD, orders, cells), str(path))
    for game, (score, claim) in enumerate(zip(games.scores(), claimed, strict=True)):
        if claim is not None and claim != score:
            raise RecordError(f"{path}: game {game} says {claim} points, its moves give {score}")
    return games


def _games_from_text(path: Path, data: bytes) -> Games:
    """Games as lines `cell, [a, b, c]`; the count of a game's moves tells the variant."""
    try:
        lines = data.decode("utf-8-sig").splitlines()  # as some editors save a text
    except UnicodeDecodeError:
        raise RecordError(f"{path} is neither a record (.npz, .json) nor a text") from None
    games: list[list[tuple[int, ...]]] = [[]]
    for number, line in enumerate(lines, start=1):
        move = MOVE.fullmatch(line.strip())
        if move is not None:
            games[-1].append(tuple(int(digits) for digits in move.groups()))
        elif not line.strip():
            games.append([])
        else:
            raise RecordError(
                f"{path}, line {number}: expected a move `cell, [a, b, c]` or an empty line "
                f"between games, found {line.strip()[:40]!r}"
            )
    games = [game for game in games if game]
    if not games:
        raise RecordError(f"{path}: no moves in it; a line of a game is `cell, [a, b, c]`")
    variant = _variant_of_lengths(path, [len(game) for game in games])
    for game, moves in enumerate(games):
        for turn, (cell, *numbers) in enumerate(moves, start=1):
            if tuple(numbers) not in variant.tile_of or cell >= variant.cells:
                raise RecordError(
                    f"{path}: game {game}, turn {turn}: {variant.name} has no tile {numbers} or no "
                    f"cell {cell}; the tiles' numbers are {variant.values}, the cells 0 to "
                    f"{variant.cells - 1}"
                )
    cells = np.array([[move[0] for move in moves] for moves in games], dtype=np.int8)
    orders = [[variant.tile_of[move[1:]] for move in moves] for moves in games]
    return check_games(Games(variant, np.array(orders, dtype=np.int8), cells), str(path))


def _variant_of_lengths(path: Path, lengths: list[int]) -> Variant:
    """The variant whose games are as long as these, or `RecordError` with the first that is not."""
    by_length = {variant.cells: variant for variant in VARIANTS.values()}
    variant = by_length.get(lengths[0], STANDARD)
    odd = [game for game, length in enumerate(lengths) if length != variant.cells]
    if odd:
        whole = " or ".join(f"{v.cells} ({v.name})" for v in VARIANTS.values())
        raise RecordError(
            f"{path}: game {odd[0]} has {lengths[odd[0]]} moves, a whole game has {whole}"
        )
    return variant
