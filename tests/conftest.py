"""What the tests share: the folder of reference data, boards of every kind, solved boards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cli_testing
import numpy as np
import pytest
import torch
from made_up import MICRO
from numpy.typing import NDArray

from azx.runtime.evaluator import Evaluation
from azx.runtime.rules import every_placement
from azx.runtime.search import ROOTS
from azx.runtime.solver import Solution, solve
from azx.runtime.variant import MINI, STANDARD, Variant

torch.set_num_threads(1)

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"

#: For what holds whichever way the root chooses.
ROOT_NAMES = pytest.mark.parametrize("root", ROOTS)


@pytest.fixture(autouse=True)
def one_thread_for_torch() -> Iterator[None]:
    """Small networks are fastest on one, and much so where tests share the cores.

    Commands in this process, which think it is theirs, take more.
    """
    yield
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The reference data beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"no reference data at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def micro_solution() -> Solution:
    """Perfect play on `MICRO`."""
    return solve(MICRO)


@pytest.fixture(scope="session")
def mini_solution() -> Solution:
    """Perfect play on `MINI`."""
    return solve(MINI)


class ExactEvaluator:
    """What a perfect network would say: the solver's values and q, and no policy at all."""

    lanes = 1

    def __init__(self, solution: Solution, with_q: bool = True) -> None:
        self.solution, self.variant, self.with_q = solution, solution.variant, with_q

    def evaluate(self, boards: NDArray[np.int8]) -> Evaluation:
        """Exact to float32."""
        variant = self.variant
        shape = (len(boards), variant.tiles, variant.cells)
        q = np.zeros(shape, dtype=np.float32)
        for tile in range(variant.tiles if self.with_q else 0):
            for cell in range(variant.cells):
                fits = (boards[:, cell] < 0) & ~(boards == tile).any(axis=1)
                after = boards[fits].copy()
                after[:, cell] = tile
                q[fits, tile, cell] = self.solution.value(after)
        value = self.solution.value(boards).astype(np.float32)
        return Evaluation(np.zeros(shape, dtype=np.float32), value, q if self.with_q else None)


class PerfectPolicy(ExactEvaluator):
    """The exact evaluator with the policy that goes with it."""

    def evaluate(self, boards: NDArray[np.int8]) -> Evaluation:
        """The best cells have the largest logits."""
        answer = super().evaluate(boards)
        assert answer.q is not None
        logits = np.full(answer.q.shape, -1e4, dtype=np.float32)
        for tile in range(self.variant.tiles):
            fits = ~(boards == tile).any(axis=1)
            laid = every_placement(
                self.variant, boards[fits], np.full(fits.sum(), tile, dtype=np.int8)
            )
            at = np.flatnonzero(fits)[laid.game], tile, laid.cell
            logits[at] = laid.gain + answer.q[at]
        return answer._replace(policy_logits=logits)


def random_boards(variant: Variant, count: int, seed: int) -> NDArray[np.int8]:
    """int8 [count, C]: boards with every number of tiles, laid at random."""
    rng = np.random.default_rng(seed)
    boards = variant.empty_boards(count)
    for row, board in enumerate(boards):
        placed = row % (variant.cells + 1)
        where = rng.permutation(variant.cells)[:placed]
        board[where] = rng.permutation(variant.tiles)[:placed]
    return boards


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the made-up models lie."""
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="session")
def mini(folder: Path) -> Path:
    """A made-up model of the small board."""
    return cli_testing.write_model(folder / "mini.onnx", MINI)


@pytest.fixture(scope="session")
def standard(folder: Path) -> Path:
    """A made-up model of the full board."""
    return cli_testing.write_model(folder / "standard.onnx", STANDARD)
