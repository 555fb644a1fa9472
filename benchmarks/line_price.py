"""A price for knowing the draws: what a player who sees the future pays, linear in theta.

A player who knows the whole order scores more than any honest one. Brown, Smith and Sun (Operations
Research 2010) charge it for what it knows. After t tiles, with the (t + 1)-th about to be drawn, a
line that can still pay n, with k of its tiles laid, costs

    theta[line length, k, axis, n, t] x ([the tile drawn shows n] - share of n among the tiles left)

and the price of a game is the sum over all turns, lines and numbers n that a line is open to.

**Its mean is zero for an honest player.** What the line looks like after t tiles depends on the
draws and placements so far, and so, for a player that does not know the future, is fixed before the
draw. Given all that, the tile drawn is uniform over the tiles left, and the bracket has mean zero.
Each term has mean zero given the past, hence the sum has mean zero. This holds for any theta, and
for placements at random too.

**So it bounds perfect play from above.** The perfect player is honest: its expected score is its
expected score minus price, at most the expectation of the largest score minus price over all
arrangements of the known order. Any theta is valid; theta = 0 gives the perfect-information bound.
The bound is convex in theta, so it is fitted by descent on orders of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import permutations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from azx.runtime.compiled import compiled
from azx.runtime.rules import tiles_left
from azx.runtime.seeds import draw_orders, game_keys, mix, uniform
from azx.runtime.variant import AXES, Variant

#: Largest count of numbers on an axis; numbers an axis does not have cost nothing.
NUMBERS = 3

#: Temperatures of the annealing, in points: the best of seven pairs tried on 12 orders.
HOT, COLD = 8.0, 4.0

#: Of Adam's steps in the fit, from which they fall to 0.
RATE = 0.6

#: Arrangements at random for each order in the fit.
AT_RANDOM = 64

#: Turns at which theta is free, as shares of the game; between them it is interpolated.
KNOTS = (0.0, 0.25, 0.5, 0.75, 1.0)

#: From a variant, an order int8 [C], its prices and a key: an arrangement and its worth.
Finder = Callable[
    [Variant, NDArray[np.int8], NDArray[np.float64], np.uint64], tuple[NDArray[np.int64], float]
]

#: Boards of more cells are not enumerated: 8! arrangements take a blink, 19! the age of the world.
MOST_ENUMERATED = 8


class Board(NamedTuple):
    """What compiled code needs: lines and, for each cell, its lines."""

    line_cells: NDArray[np.int32]  # [L, longest] padded with -1
    line_length: NDArray[np.int32]  # [L]
    line_axis: NDArray[np.int32]  # [L]
    cell_lines: NDArray[np.int32]  # [C, A]
    numbers: NDArray[np.int32]  # [A, NUMBERS] the numbers, 0 where an axis has fewer


def board_of(variant: Variant) -> Board:
    """The tables of a variant."""
    tables = variant.tables
    numbers = np.zeros((AXES, NUMBERS), dtype=np.int32)
    for axis, values in enumerate(variant.values):
        numbers[axis, : len(values)] = values
    return Board(
        tables.line_cells, tables.line_length, tables.line_axis, tables.cell_lines, numbers
    )


def theta_shape(variant: Variant) -> tuple[int, ...]:
    """[length, k, A, NUMBERS, turn]: length and k up to the longest line's, turns from 0 to C."""
    longest = 2 * variant.radius + 1
    return longest + 1, longest + 1, AXES, NUMBERS, variant.cells + 1


def surprises(variant: Variant, orders: NDArray[np.int8]) -> NDArray[np.float64]:
    """float64 [N, A, NUMBERS, C + 1]: at turn t, [the tile drawn shows n] - the share of n left.

    Turn 0 is left out (0 throughout): an empty board is the same whatever one knows.
    """
    games, cells = orders.shape
    found = np.zeros((games, AXES, NUMBERS, cells + 1))
    digits = np.eye(NUMBERS)[variant.tile_digits]  # [T, A, NUMBERS]
    boards = np.full((games, cells), -1, dtype=np.int8)
    for turn in range(cells):
        if turn:
            left = tiles_left(variant, boards)
            share = np.einsum("nt,tad->nad", left, digits) / left.sum(axis=1)[:, None, None]
            found[..., turn] = digits[orders[:, turn]] - share
        boards[:, turn] = orders[:, turn]
    return found


def prices_until(theta: NDArray[np.floating], surprise: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64, as theta: what a line pays from turn 1 to turn t inclusive, for one order."""
    return np.cumsum(theta * surprise, axis=-1)


@compiled
def _line_worth(board, digits, prices, turn_of, line, turns):  # type: ignore[no-untyped-def]
    """Points minus price of one line when cell c is filled at turn `turn_of[c]`."""
    length = board.line_length[line]
    axis = board.line_axis[line]
    for i in range(length):  # the turns in which its cells are filled, in order
        turn = turn_of[board.line_cells[line, i]]
        j = i
        while j > 0 and turns[j - 1] > turn:
            turns[j] = turns[j - 1]
            j -= 1
        turns[j] = turn
    worth = 0.0
    for n in range(NUMBERS):
        worth -= prices[length, 0, axis, n, turns[0]]
    n = digits[turns[0], axis]
    for k in range(1, length):
        worth -= prices[length, k, axis, n, turns[k]] - prices[length, k, axis, n, turns[k - 1]]
        if digits[turns[k], axis] != n:
            return worth
    return worth + board.numbers[axis, n] * length


@compiled
def _total(board, digits, prices, turn_of, turns):  # type: ignore[no-untyped-def]
    worth = 0.0
    for line in range(board.line_length.shape[0]):
        worth += _line_worth(board, digits, prices, turn_of, line, turns)
    return worth


@compiled
def _totals(board, digits, prices, arrangements, out):  # type: ignore[no-untyped-def]
    turns = np.zeros(board.line_cells.shape[1], dtype=np.int64)
    for i in range(arrangements.shape[0]):
        out[i] = _total(board, digits, prices, arrangements[i], turns)


@compiled
def _near(board, digits, prices, turn_of, a, b, turns):  # type: ignore[no-untyped-def]
    """The worth of the lines through cells a or b, each once."""
    worth = 0.0
    for axis in range(3):
        first, second = board.cell_lines[a, axis], board.cell_lines[b, axis]
        worth += _line_worth(board, digits, prices, turn_of, first, turns)
        if second != first:
            worth += _line_worth(board, digits, prices, turn_of, second, turns)
    return worth


@compiled
def _anneal(board, digits, prices, key, steps, hot, cold, best):  # type: ignore[no-untyped-def]
    """Write to `best` [C] the turns of a good arrangement, by swaps; returns its worth."""
    cells = best.shape[0]
    turns = np.zeros(board.line_cells.shape[1], dtype=np.int64)
    turn_of = np.arange(cells)
    now = _total(board, digits, prices, turn_of, turns)
    record = now
    best[:] = turn_of
    for step in range(steps):
        heat = hot * (cold / hot) ** (step / steps)
        a = int(uniform(mix(key, step), 0) * cells)
        b = int(uniform(mix(key, step), 1) * (cells - 1))
        b += b >= a
        before = _near(board, digits, prices, turn_of, a, b, turns)
        turn_of[a], turn_of[b] = turn_of[b], turn_of[a]
        change = _near(board, digits, prices, turn_of, a, b, turns) - before
        if change >= 0 or uniform(mix(key, step), 2) < np.exp(change / heat):
            now += change
            if now > record:
                record = now
                best[:] = turn_of
        else:
            turn_of[a], turn_of[b] = turn_of[b], turn_of[a]
    return record


@compiled
def _add_gradient(board, digits, surprise, turn_of, weight, out):  # type: ignore[no-untyped-def]
    """Add to `out` (as theta) `weight` x the price's derivative for one arrangement."""
    turns = np.zeros(board.line_cells.shape[1], dtype=np.int64)
    for line in range(board.line_length.shape[0]):
        length = board.line_length[line]
        axis = board.line_axis[line]
        for i in range(length):
            turns[i] = turn_of[board.line_cells[line, i]]
        turns[:length] = np.sort(turns[:length])
        for n in range(NUMBERS):
            for t in range(1, turns[0] + 1):
                out[length, 0, axis, n, t] += weight * surprise[axis, n, t]
        n = digits[turns[0], axis]
        for k in range(1, length):
            for t in range(turns[k - 1] + 1, turns[k] + 1):
                out[length, k, axis, n, t] += weight * surprise[axis, n, t]
            if digits[turns[k], axis] != n:
                break


def worths_of(
    variant: Variant,
    order: NDArray[np.int8],
    prices: NDArray[np.float64],
    arrangements: NDArray[np.int64],
) -> NDArray[np.float64]:
    """float64 [N]: score minus price of `arrangements` int64 [N, C], cell to turn."""
    out = np.empty(len(arrangements))
    _totals(board_of(variant), variant.tile_digits[order], prices, arrangements, out)
    return out


def annealed(
    variant: Variant,
    order: NDArray[np.int8],
    prices: NDArray[np.float64],
    key: np.uint64,
    steps: int = 60_000,
) -> tuple[NDArray[np.int64], float]:
    """An arrangement int64 [C] (cell to turn) near the best, and its score minus price.

    Simulated annealing: a lower bound of the largest, good enough to fit theta by.
    """
    best = np.zeros(variant.cells, dtype=np.int64)
    digits = variant.tile_digits[order]
    worth = _anneal(board_of(variant), digits, prices, key, steps, HOT, COLD, best)
    return best, float(worth)


def enumerated(
    variant: Variant,
    order: NDArray[np.int8],
    prices: NDArray[np.float64],
    key: np.uint64 | None = None,
) -> tuple[NDArray[np.int64], float]:
    """The best arrangement int64 [C] (cell to turn) of a small board and its score minus price.

    By looking at all of them, 5,040 on seven cells; nothing is drawn from `key`.
    """
    everything = _arrangements(variant.cells)
    worths = worths_of(variant, order, prices, everything)
    best = int(worths.argmax())
    return everything[best], float(worths[best])


@cache
def _arrangements(cells: int) -> NDArray[np.int64]:
    """int64 [C!, C]: every bijection of cells to turns."""
    if cells > MOST_ENUMERATED:
        raise ValueError(f"{cells} cells have too many arrangements to look at each")
    return np.array(list(permutations(range(cells))), dtype=np.int64)


def _price_gradient(
    variant: Variant,
    order: NDArray[np.int8],
    surprise: NDArray[np.float64],
    arrangements: NDArray[np.int64],
) -> NDArray[np.float64]:
    """As theta: the derivative of the mean price of `arrangements` int64 [N, C]."""
    out = np.zeros(theta_shape(variant))
    board, digits = board_of(variant), variant.tile_digits[order]
    for turn_of in arrangements:
        _add_gradient(board, digits, surprise, turn_of, 1 / len(arrangements), out)
    return out


def interpolation(variant: Variant) -> NDArray[np.float64]:
    """float64 [knots, C + 1]: the weight of each knot at each turn; 0 at turn 0."""
    turns = np.arange(variant.cells + 1)
    knots = 1 + np.array(KNOTS) * (variant.cells - 2)
    weights = np.stack([np.interp(turns, knots, row) for row in np.eye(len(KNOTS))])
    weights[:, 0] = 0.0
    return weights


def fit_theta(
    variant: Variant,
    seed: int,
    find: Finder,
    rounds: int = 200,
    batch: int = 32,
    progress: Callable[[float], None] = lambda bound: None,
) -> NDArray[np.float64]:
    """A theta under which the bound is low, by Adam on `rounds` batches of orders of `seed`.

    `find` gives the arrangement that pays best. What arrangements at random pay for the same order
    is taken off the gradient: its mean is zero, and most of the noise goes with it. The result is
    the mean over the second half of the rounds; `progress(bound)` is told each batch's mean.
    """
    weights = interpolation(variant)
    free = np.zeros((*theta_shape(variant)[:-1], len(KNOTS)))
    mean, square, total = np.zeros_like(free), np.zeros_like(free), np.zeros_like(free)
    for done in range(rounds):
        theta = free @ weights
        slope, bound = _slope(variant, theta, game_keys(seed, batch, first=done * batch), find)
        gradient = slope @ weights.T
        mean += 0.1 * (gradient - mean)
        square += 0.02 * (gradient**2 - square)
        spread = np.sqrt(square / (1 - 0.98 ** (done + 1))) + 1e-8
        free -= RATE * (1 - done / rounds) * mean / (1 - 0.9 ** (done + 1)) / spread
        if done >= rounds // 2:
            total += free
        progress(bound)
    return (total / (rounds - rounds // 2)) @ weights


def _slope(
    variant: Variant, theta: NDArray[np.float64], keys: NDArray[np.uint64], find: Finder
) -> tuple[NDArray[np.float64], float]:
    """The bound's derivative by theta, and the bound, as means over the orders of `keys`."""
    orders = draw_orders(variant, keys)
    slope, bound = np.zeros_like(theta), 0.0
    for key, order, surprise in zip(keys, orders, surprises(variant, orders), strict=True):
        best, worth = find(variant, order, prices_until(theta, surprise), key)
        rng = np.random.default_rng(int(key))
        at_random = rng.permuted(np.tile(np.arange(variant.cells), (AT_RANDOM, 1)), axis=1)
        slope += _price_gradient(variant, order, surprise, at_random)
        slope -= _price_gradient(variant, order, surprise, best[None])
        bound += worth
    return slope / len(keys), bound / len(keys)
