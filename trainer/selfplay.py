"""Games played by the network against the draw, with what was learnt from each position."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numba import njit, uint64
from numpy.typing import NDArray

from azx.runtime.rules import add_board_gains, placement_gains
from azx.runtime.seeds import draw_orders, mix, uniform
from azx.runtime.variant import Variant
from azx.trainer.network import PolicyValueNetwork


@dataclass(frozen=True)
class Round:
    """G games of C turns. Afterstate k is the board after k placements; k = C is the full one."""

    orders: NDArray[np.int8]  # [G, C]
    cells: NDArray[np.int8]  # [G, C]
    gains: NDArray[np.int32]  # [G, C] points won by each placement
    values: NDArray[np.float32]  # [G, C + 1] foreseen at each afterstate; 0 at the full board
    explored: NDArray[np.bool_]  # [G, C] placements made at random rather than by judgement

    @property
    def scores(self) -> NDArray[np.int32]:
        """int32 [G]."""
        return self.gains.sum(axis=1, dtype=np.int32)


@njit(cache=True, nogil=True)
def _expect_and_choose(  # type: ignore[no-untyped-def]
    tables, boards, tiles, keys, q, explore, noise, values, cells, explored
):
    """The mean over all next tiles of the best placement, and a choice for the tile drawn."""
    games, size = boards.shape
    kinds = q.shape[1]
    worth = np.empty((kinds, size), dtype=np.float32)
    left = np.empty(kinds, dtype=np.bool_)
    for g in range(games):
        board = boards[g]
        left[:] = True
        empty = 0
        for c in range(size):
            if board[c] >= 0:
                left[board[c]] = False
            else:
                empty += 1
        worth[:] = 0.0
        add_board_gains(tables, board, worth)
        total = 0.0
        count = 0
        for t in range(kinds):
            if not left[t]:
                continue
            best = np.float32(-1e9)
            for c in range(size):
                if board[c] < 0:
                    # After the last placement there are no points to come, whatever q says.
                    if empty > 1:
                        worth[t, c] += q[g, t, c]
                    best = max(best, worth[t, c])
            total += best
            count += 1
        values[g] = total / count
        turn = uint64(size - empty)
        key = mix(keys[g], turn)
        explored[g] = uniform(key, 0) < explore
        chosen = -1
        best_worth = -1e30
        for c in range(size):
            if board[c] < 0:
                u = uniform(key, c + 1)
                if explored[g]:
                    score = u
                else:
                    gumbel = -np.log(-np.log(u + 1e-12) + 1e-12)
                    score = worth[tiles[g], c] + noise * gumbel
                if score > best_worth:
                    best_worth = score
                    chosen = c
        cells[g] = chosen


@torch.no_grad()
def play_round(
    network: PolicyValueNetwork,
    variant: Variant,
    keys: NDArray[np.uint64],
    explore: float,
    noise: float,
) -> Round:
    """Play a game for each of `keys` [G], by gain + q of one forward a turn.

    A share `explore` of the placements is uniform over the empty cells; the others carry Gumbel
    noise of `noise` points. The value of an afterstate is the exact mean over the next tiles of the
    best gain + q.
    """
    games, size = len(keys), variant.cells
    orders = draw_orders(variant, keys)
    boards = variant.empty_boards(games)
    cells = np.empty((games, size), dtype=np.int8)
    gains = np.empty((games, size), dtype=np.int32)
    values = np.zeros((games, size + 1), dtype=np.float32)
    explored = np.zeros((games, size), dtype=np.bool_)
    rows = np.arange(games)
    chosen = np.empty(games, dtype=np.int8)
    foreseen = np.empty(games, dtype=np.float32)
    random = np.empty(games, dtype=np.bool_)
    for turn in range(size):
        q = network(torch.from_numpy(boards)).q.float().numpy()
        _expect_and_choose(
            variant.tables, boards, orders[:, turn], keys, q, explore, noise, foreseen, chosen,
            random,
        )  # fmt: skip
        values[:, turn], cells[:, turn], explored[:, turn] = foreseen, chosen, random
        gains[:, turn] = placement_gains(variant, boards, orders[:, turn].copy(), chosen)
        boards[rows, chosen] = orders[:, turn]
    return Round(orders, cells, gains, values, explored)


def lambda_returns(played: Round, lam: float) -> NDArray[np.float32]:
    """float32 [G, C + 1]: points to come from each afterstate, bootstrapped (Sutton 1988).

    G(k) = (1 - lam) V(k) + lam (gain(k) + G(k + 1)), with lam = 0 where placement k was made at
    random: its points say nothing of how well the player would have done.
    """
    turns = played.gains.shape[1]
    returns = np.zeros_like(played.values)
    for k in range(turns - 1, -1, -1):
        share = np.where(played.explored[:, k], 0.0, lam).astype(np.float32)
        ahead = played.gains[:, k] + returns[:, k + 1]
        returns[:, k] = (1 - share) * played.values[:, k] + share * ahead
    return returns
