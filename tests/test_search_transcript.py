"""A small search, written out so that a person can follow it: `golden/search.txt`.

To write it anew after a change that is meant, run this file's test with AZX_WRITE_GOLDEN=1.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from made_up import MICRO, HashEvaluator

from azx.runtime.search import ROOTS, Budget, Search
from azx.runtime.search.tree import CLOSED, NONE, ROOT
from azx.runtime.seeds import game_keys

GOLDEN = Path(__file__).parent / "golden" / "search.txt"

#: Three tiles lie; four cells are empty, so that some lines end on a full board.
BOARD = np.array([0, -1, -1, 5, -1, -1, 6], dtype=np.int8)
TILE = 3


def _transcript(root: str) -> Iterator[str]:
    budget = Budget(8, root=root, exact_cells=1)
    search = Search(HashEvaluator(MICRO, seed=5), 1, budget)
    tile = np.array([TILE], dtype=np.int8)
    found = search.run(BOARD[None], tile, game_keys(1, 1))
    yield f"root by {root}, {budget.simulations} simulations"
    yield f"board {_cells(BOARD)}, drawn {_tile(TILE)}"
    yield ""
    yield from _decision(search, search.trees.tile["decision"][0, ROOT, TILE], "")
    yield ""
    yield f"chosen: cell {found.cells[0]}"
    shares = ", ".join(f"cell {c} {found.policy[0, c]:.2f}" for c in np.flatnonzero(BOARD < 0))
    yield f"policy: {shares}"


def _tile(tile: int) -> str:
    return "-".join(map(str, MICRO.tile_values[tile].tolist()))


def _cells(board: np.ndarray) -> str:
    return " ".join("....." if tile < 0 else _tile(int(tile)) for tile in board)


def _decision(search: Search, d: int, indent: str) -> Iterator[str]:
    """A decision, its edges, and the draws below those that were tried."""
    t = search.trees
    decision = t.decision[0, d]
    yield f"{indent}{_tile(decision['tile'])}: worth {decision['value']:.2f}"
    for edge in t.edge[0, d, : decision["edges"]]:
        yield (
            f"{indent}  cell {edge['cell']}: prior {edge['prior']:.2f}, {edge['visits']} visits, "
            f"worth {edge['value']:.2f}, of that {edge['gain']} at once"
        )
        if edge["child"] != NONE:
            yield from _chance(search, edge["child"], f"{indent}    ")


def _chance(search: Search, n: int, indent: str) -> Iterator[str]:
    """An afterstate and the draws that were looked at."""
    t = search.trees
    chance = t.chance[0, n]
    how = "exactly" if chance["state"] == CLOSED else f"over {chance['left']} tiles"
    yield f"{indent}then {chance['value']:.2f} to come, {how}"
    if chance["state"] == CLOSED:
        return
    for tile in range(MICRO.tiles):
        if (chance["unused"] >> tile) & 1 and t.tile["decision"][0, n, tile] != NONE:
            yield from _decision(search, t.tile["decision"][0, n, tile], f"{indent}  ")


def test_the_search_is_the_one_written_down() -> None:
    found = "\n\n\n".join("\n".join(_transcript(root)) for root in ROOTS) + "\n"
    if os.environ.get("AZX_WRITE_GOLDEN"):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(found)
        pytest.skip(f"written: {GOLDEN}")
    assert found == GOLDEN.read_text()
