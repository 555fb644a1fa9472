"""Games played by the network against the draw, with what was learnt from each position."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numba import uint64
from numpy.typing import NDArray

from azx.runtime.compiled import compiled
from azx.runtime.evaluator import Evaluator
from azx.runtime.records import Games
from azx.runtime.rules import placement_gains, tiles_left
from azx.runtime.search import Budget, Search
from azx.runtime.seeds import draw_orders, mix, uniform
from azx.trainer.foresight import (
    EXACT_CELLS,
    Foresight,
    by_the_policy,
    look_ahead,
    look_on_other_tiles,
    q_of,
    value_of,
    worth_of,
)

#: A candidate less than so many points behind the best, taken for the sake of noise, is as good to
#: go on from: what comes after says as much of how wrong values are. Worse ones lead to boards that
#: nobody knows.
NEARLY = 2.0

#: Told of every turn that all games have made.
TurnPlayed = Callable[[], None]


@dataclass(frozen=True)
class Round:
    """G games of C turns. Afterstate k is the board after k placements; k = C is the full one."""

    games: Games
    values: NDArray[np.float32]  # [G, C + 1] foreseen at each afterstate; 0 at the full board
    #: [G, C] by how much a turn showed its value to be too low: the points that it made and left,
    #: minus those foreseen, for the tiles that were looked at where that is known.
    correction: NDArray[np.float32]
    luck: NDArray[np.float32]  # [G, C] variance of `correction` that is the draw's, points²
    followed: NDArray[np.bool_]  # [G, C] the game went on as `correction` says, or nearly so
    other_tiles: NDArray[np.int8]  # [G, C, K] the tiles of placements that were looked at besides
    others: NDArray[np.int8]  # [G, C, K] their cells, -1 where there was no such placement
    others_after: NDArray[np.float32]  # [G, C, K] the points to come after them
    policy: NDArray[np.float32] | None  # [G, C, C] the search's improved policy, where one searched
    q: NDArray[np.float16] | None  # [G, C, T, C] before each placement, where it is kept

    @classmethod
    def empty(
        cls, games: Games, others: int, policy: NDArray[np.float32] | None, keep_q: bool
    ) -> Round:
        """Room for what is found in `games`, `others` further placements a decision."""
        count, size = games.orders.shape
        return cls(
            games,
            values=np.zeros((count, size + 1), dtype=np.float32),
            correction=np.zeros((count, size), dtype=np.float32),
            luck=np.zeros((count, size), dtype=np.float32),
            followed=np.ones((count, size), dtype=np.bool_),
            other_tiles=np.zeros((count, size, others), dtype=np.int8),
            others=np.full((count, size, others), -1, dtype=np.int8),
            others_after=np.zeros((count, size, others), dtype=np.float32),
            policy=policy,
            q=np.empty((count, size, games.variant.tiles, size), np.float16) if keep_q else None,
        )

    @classmethod
    def joined(cls, parts: Sequence[Round]) -> Round:
        """The games of all `parts`, in their order."""
        joined: dict[str, Any] = {}
        for name in (f.name for f in fields(cls) if f.name != "games"):
            columns = [getattr(part, name) for part in parts]
            joined[name] = None if columns[0] is None else np.concatenate(columns)
        orders = np.concatenate([part.games.orders for part in parts])
        cells = np.concatenate([part.games.cells for part in parts])
        return cls(Games(parts[0].games.variant, orders, cells), **joined)


@dataclass(frozen=True)
class Exploration:
    """How far self-play strays from what it thinks best."""

    share: float  # of placements that are uniform over the empty cells
    noise: float  # points of Gumbel noise on the others


@compiled
def _prefer(boards, keys, worth, share, noise, preference, explored):  # type: ignore[no-untyped-def]
    """`worth` [G, C] with Gumbel noise; chance for a `share` of the games. -inf where filled."""
    games, size = boards.shape
    for g in range(games):
        placed = 0
        for c in range(size):
            placed += boards[g, c] >= 0
        key = mix(keys[g], uint64(placed))
        explored[g] = uniform(key, 0) < share
        for c in range(size):
            preference[g, c] = -np.inf
            if boards[g, c] >= 0:
                continue
            u = uniform(key, c + 1)
            if explored[g]:
                preference[g, c] = u
            else:
                preference[g, c] = worth[g, c] - noise * np.log(-np.log(u + 1e-12) + 1e-12)


def play_round(
    evaluator: Evaluator,
    keys: NDArray[np.uint64],
    exploration: Exploration,
    candidates: int,
    other_tiles: int,
    by_lot: int = 0,
    keep_q: bool = False,
    turn_played: TurnPlayed | None = None,
) -> Round:
    """Play a game for each of `keys` [G].

    One forward a board judges all next tiles: cells by gain + q, and the board by the exact mean
    over the next tiles of the best gain + q. The `candidates` best cells of each decision, noise
    included, are laid and looked at, one of them being the best without noise, and the best of them
    by gain + value is chosen; with 1 it is the best by gain + q, noise included. Every one of them
    says what q should have been; so does the best cell of each of `other_tiles` tiles that did not
    come, for most of what q says is of such. The last `by_lot` of these tiles lie on any empty cell
    instead. What it says of all placements is kept where `keep_q`.

    What the value should have been is said by the best cells without noise: by how much q was too
    low there, the mean over the drawn tile and the others, which spreads less than that of the
    drawn one alone, and by what another candidate had above the best cell of the drawn tile.
    """
    variant = evaluator.variant
    orders = draw_orders(variant, keys)
    games, size = orders.shape
    boards = variant.empty_boards(games)
    rows = np.arange(games)
    to_play = Games(variant, orders, np.empty_like(orders))
    round_ = Round.empty(to_play, candidates - 1 + other_tiles, None, keep_q)
    preference = np.empty((games, size), dtype=np.float32)
    explored = np.empty(games, dtype=np.bool_)
    ahead = look_ahead(evaluator, boards)
    for k in range(size):
        tiles = np.ascontiguousarray(orders[:, k])
        round_.values[:, k] = ahead.value
        if round_.q is not None:
            round_.q[:, k] = ahead.q
        off = np.zeros((games, 0), dtype=np.float32)
        worth = worth_of(evaluator, boards, tiles, ahead)
        _prefer(boards, keys, worth, exploration.share, exploration.noise, preference, explored)
        if other_tiles > 0 and k < size - 1:  # after the last placement nothing is to come
            off = _look_at_other_tiles(
                evaluator, round_, k, boards, ahead, keys, other_tiles, by_lot
            )
        looked_at = min(candidates, size - k)
        cells = np.argsort(-preference, axis=1, kind="stable")[:, :looked_at].astype(np.int8)
        # What was foreseen is the best without noise. Unless that is looked at too, what is found
        # says how much the noise cost, and values would learn that.
        foreseen = worth.argmax(axis=1).astype(np.int8)
        seen = (cells == foreseen[:, None]).any(axis=1) & ~explored
        if looked_at > 1:
            cells[:, -1] = np.where(seen | explored, cells[:, -1], foreseen)
            seen = ~explored
        after = _laid(boards, tiles[:, None], cells)
        ahead = look_ahead(evaluator, after)
        points = ahead.value.reshape(games, looked_at)
        gains = placement_gains(
            variant,
            np.repeat(boards, looked_at, axis=0),
            np.repeat(tiles, looked_at),
            cells.ravel(),
        ).reshape(games, looked_at)
        # The noise that a cell was preferred with stays with it.
        at = cells.astype(np.int64)
        noise = np.take_along_axis(preference, at, 1) - np.take_along_axis(worth, at, 1)
        found = gains + points
        best = np.where(explored, 0, (found + noise).argmax(axis=1))
        most = found.max(axis=1)
        round_.followed[:, k] = seen & (most - found[rows, best] < NEARLY)
        if size - k > EXACT_CELLS:  # from there on the values are exact as they are
            of_foreseen = found[rows, (cells == foreseen[:, None]).argmax(axis=1)]
            own = np.where(seen, of_foreseen - worth.max(axis=1), 0.0)
            mean_off = (own + off.sum(axis=1)) / np.maximum(1, seen + off.shape[1])
            round_.correction[:, k] = mean_off + np.where(seen, most - of_foreseen, 0.0)
        rest = np.argsort(np.arange(looked_at) == best[:, None], axis=1, kind="stable")[:, :-1]
        round_.games.cells[:, k] = cells[rows, best]
        round_.other_tiles[:, k, : looked_at - 1] = tiles[:, None]
        round_.others[:, k, : looked_at - 1] = np.take_along_axis(cells, rest, 1)
        round_.others_after[:, k, : looked_at - 1] = np.take_along_axis(points, rest, 1)
        chosen = rows * looked_at + best
        boards = np.ascontiguousarray(after[chosen])
        ahead = type(ahead)(*(part[chosen] for part in ahead))
        if turn_played is not None:
            turn_played()
    return round_


def _laid(
    boards: NDArray[np.int8], tiles: NDArray[np.int8], cells: NDArray[np.int8]
) -> NDArray[np.int8]:
    """int8 [G x K, C]: each of `boards` [G, C] once for every cell of its row in `cells` [G, K].

    On it lies that row's tile in `tiles`, [G, K] or [G, 1].
    """
    after = np.repeat(boards[:, None], cells.shape[1], axis=1)
    np.put_along_axis(after, cells[:, :, None].astype(np.int64), tiles[:, :, None], axis=2)
    return after.reshape(-1, boards.shape[1])


def _look_at_other_tiles(
    evaluator: Evaluator,
    round_: Round,
    turn: int,
    boards: NDArray[np.int8],
    ahead: Foresight,
    keys: NDArray[np.uint64],
    count: int,
    by_lot: int,
) -> NDArray[np.float32]:
    """Note what placements of `count` other tiles promise, at the end of the turn's others.

    Returns by how much q was too low at the best cells, [G, count - by_lot].
    """
    drawn = np.ascontiguousarray(round_.games.orders[:, turn])
    tiles, cells = look_on_other_tiles(evaluator, boards, drawn, ahead, keys, count, by_lot)
    round_.other_tiles[:, turn, -count:] = tiles
    round_.others[:, turn, -count:] = cells
    value = value_of(evaluator, _laid(boards, tiles, cells)).reshape(-1, count)
    round_.others_after[:, turn, -count:] = value
    rows, best = np.arange(len(boards))[:, None], slice(count - by_lot)
    return value[:, best] - ahead.q[rows, tiles[:, best], cells[:, best]]


def search_round(
    evaluator: Evaluator,
    keys: NDArray[np.uint64],
    share: float,
    simulations: int,
    keep_q: bool = False,
    turn_played: TurnPlayed | None = None,
) -> Round:
    """The same with a tree searched for every placement, a `share` of which are made at random.

    The tree says what the afterstate before the draw is worth, and what a better policy is. Where
    `keep_q`, what the network alone says of all placements is kept too.
    """
    variant = evaluator.variant
    orders = draw_orders(variant, keys)
    games, size = orders.shape
    boards = variant.empty_boards(games)
    policy = np.zeros((games, size, size), dtype=np.float32)
    round_ = Round.empty(Games(variant, orders, np.empty_like(orders)), 0, policy, keep_q)
    preference, worth = np.empty((games, size), dtype=np.float32), np.zeros((games, size))
    explored = np.empty(games, dtype=np.bool_)
    search = Search(evaluator, games, Budget(simulations))
    rows = np.arange(games)
    for k in range(size):
        tiles = np.ascontiguousarray(orders[:, k])
        found = search.run(boards, tiles, keys)
        round_.values[:, k], round_.luck[:, k], policy[:, k] = (
            found.outlook,
            found.luck,
            found.policy,
        )
        if round_.q is not None:
            round_.q[:, k] = q_of(evaluator.evaluate(boards))
        _prefer(boards, keys, worth, share, 0.0, preference, explored)
        round_.followed[:, k] = ~explored
        cells = np.where(explored, preference.argmax(axis=1), found.cells).astype(np.int8)
        round_.games.cells[:, k] = cells
        boards[rows, cells] = tiles
        if turn_played is not None:
            turn_played()
    round_.correction[:] = np.where(round_.followed, whole_corrections(round_), 0.0)
    return round_


def whole_corrections(played: Round) -> NDArray[np.float32]:
    """The corrections [G, C] of `played` with the draws' luck left in, where it is not known."""
    return played.games.gains() + np.diff(played.values, axis=1)


def judge(evaluator: Evaluator, games: Games) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What the network foresees in games that were played: values [G, C + 1] and luck [G, C].

    As in `Round`, but by the policy's mean of gain + q instead of the best: recorded games show
    what their own moves are worth, and q of the other cells was never taught. While q is rough its
    own errors pass for luck, so the variance comes down to the truth from above.
    """
    variant = games.variant
    count, size = games.orders.shape
    boards = games.boards()
    values = np.zeros((count, size + 1), dtype=np.float32)
    luck = np.empty((count, size), dtype=np.float32)
    for k in range(size):
        before = np.ascontiguousarray(boards[:, k])
        by_tile, values[:, k] = by_the_policy(evaluator, before)
        chance = tiles_left(variant, before) / (variant.tiles - k)
        luck[:, k] = (chance * (by_tile - values[:, k, None]) ** 2).sum(axis=1)
    return values, luck
