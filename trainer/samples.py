"""What is learnt from: positions with their placement and the points that came after.

Letters: M samples   T tiles   C cells
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from azx.runtime.rules import half_turn
from azx.trainer.selfplay import Round

#: Fields that are None without a search, and without a lesson.
MAY_LACK = ("policy", "lesson")


@dataclass(frozen=True)
class Samples:
    """M decisions."""

    boards: NDArray[np.int8]  # [M, C] before the placement
    tiles: NDArray[np.int8]  # [M] drawn
    cells: NDArray[np.int8]  # [M] where it was laid
    after: NDArray[np.float32]  # [M] points to come after the placement: the target of q
    other_tiles: NDArray[np.int8]  # [M, K] the tiles of further placements on the board
    others: NDArray[np.int8]  # [M, K] their cells, -1 where there is no such placement
    others_after: NDArray[np.float32]  # [M, K] their targets of q
    floor: NDArray[np.float32]  # [M] variance of `after` that is the draws' luck, points²
    #: [M, C] where a better player would lay the tile; None: the network's own q decides, for all
    #: next tiles at once.
    policy: NDArray[np.float32] | None
    #: [M, T, C] q before the placement as whoever played says it; None: it is not learnt from.
    lesson: NDArray[np.float16] | None

    def __len__(self) -> int:
        return len(self.boards)

    def take(self, rows: NDArray[np.int64], turned: NDArray[np.bool_]) -> Samples:
        """The samples of these rows, those marked `turned` by the half turn."""
        last = self.boards.shape[1] - 1
        boards, cells, others = self.boards[rows], self.cells[rows], self.others[rows]
        policy = None
        if self.policy is not None:
            policy = self.policy[rows]
            policy = np.where(turned[:, None], policy[:, ::-1], policy)
        lesson = None
        if self.lesson is not None:
            lesson = self.lesson[rows]
            lesson[turned] = lesson[turned][:, :, ::-1]
        return Samples(
            np.where(turned[:, None], half_turn(boards), boards),
            self.tiles[rows],
            np.where(turned, last - cells, cells).astype(np.int8),
            self.after[rows],
            self.other_tiles[rows],
            np.where(turned[:, None] & (others >= 0), last - others, others).astype(np.int8),
            self.others_after[rows],
            self.floor[rows],
            policy,
            lesson,
        )

    def parts(self, size: int) -> list[Samples]:
        """The samples in their order, `size` at a time; views, no copies."""
        columns = [getattr(self, f.name) for f in fields(self)]

        def cut(column: Any, first: int) -> Any:
            return None if column is None else column[first : first + size]

        return [
            Samples(*(cut(column, first) for column in columns))
            for first in range(0, len(self), size)
        ]


def lambda_returns(played: Round, lam: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Points to come from each afterstate [G, C + 1], bootstrapped, and their luck's variance.

    G(k) = V(k) + lam (correction(k) + G(k+1) - V(k+1)), the lambda-return (Sutton 1988) written by
    its corrections. It ends where the game went on clearly otherwise (Watkins 1989), for what came
    then says nothing of how well the player would have done. A correction that compares what
    followed with what was foreseen for the tiles that were looked at has no luck of the draw in it,
    and the same mean as one that compares with the mean over all tiles: a control variate, which
    lets corrections from many turns ahead come back without their noise. Where luck is in them its
    variance adds up, F(k) = lam² (luck(k) + F(k + 1)), to the floor under any squared error.
    """
    values = played.values
    returns, floor = values.copy(), np.zeros_like(values)
    for k in range(values.shape[1] - 2, -1, -1):
        later = played.followed[:, k] * (returns[:, k + 1] - values[:, k + 1])
        returns[:, k] += lam * (played.correction[:, k] + later)
        floor[:, k] = lam**2 * played.followed[:, k] * (played.luck[:, k] + floor[:, k + 1])
    return returns, floor


def samples_of(played: Round, lam: float) -> Samples:
    """Every decision of a round of games but the last, where there is one cell and no more to come.

    The placement that was chosen is worth its return. By what the values of its turn are off in the
    mean, those of the others that were looked at are off too: else only one of them all would hear
    of what later turns have found, and a placement would have one target where it is chosen and
    another where it is looked at beside. The q that was kept is the lesson.
    """
    returns, floor = lambda_returns(played, lam)
    off = (returns - played.values)[:, 1:].mean(axis=0)  # [C]
    games, cells = played.games.orders.shape

    def decisions(of_turns: NDArray[Any]) -> NDArray[Any]:
        return of_turns[:, : cells - 1].reshape(games * (cells - 1), *of_turns.shape[2:])

    return Samples(
        decisions(played.games.boards()),
        decisions(played.games.orders),
        decisions(played.games.cells),
        decisions(returns[:, 1:]),
        decisions(played.other_tiles),
        decisions(played.others),
        decisions(played.others_after + off[:, None]),
        decisions(floor[:, 1:]),
        None if played.policy is None else decisions(played.policy),
        None if played.q is None else decisions(played.q),
    )


class Replay:
    """The samples of the last rounds; older ones carry targets that have been overtaken."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        self._kept: list[Samples] = []

    def add(self, samples: Samples) -> None:
        """Remember a round, forgetting the oldest."""
        self._kept = [*self._kept, samples][-self.rounds :]

    def all(self) -> Samples:
        """All that is remembered, oldest first."""
        parts = [[getattr(kept, f.name) for kept in self._kept] for f in fields(Samples)]
        return Samples(*(None if column[0] is None else np.concatenate(column) for column in parts))  # type: ignore[arg-type]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """For a checkpoint: every array, named by round and field."""
        return {
            f"{age}.{f.name}": getattr(kept, f.name)
            for age, kept in enumerate(self._kept)
            for f in fields(Samples)
            if getattr(kept, f.name) is not None
        }

    def from_arrays(self, arrays: dict[str, NDArray[Any]]) -> None:
        """The inverse of `to_arrays`; `KeyError` where an array is missing."""
        ages = sorted({int(name.partition(".")[0]) for name in arrays})
        names = [f.name for f in fields(Samples)]
        self._kept = []
        for age in ages:
            told = {name: arrays[f"{age}.{name}"] for name in names if name not in MAY_LACK}
            perhaps = {name: arrays.get(f"{age}.{name}") for name in MAY_LACK}
            self._kept.append(Samples(**told, **perhaps))  # type: ignore[arg-type]
