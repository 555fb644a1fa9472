"""A move chosen by playing it out: games to their end by the network, less the luck of their draws.

Playing out improves on the policy that plays: Tesauro and Galperin 1996, "On-line policy
improvement using Monte-Carlo search". How a game is played out, and why:
`azx.runtime.playout`. All candidates get the same draws, each time as many again, and those that
are clearly behind get no more: a race, Maron and Moore 1997, "The racing algorithm". A move that is
clear early costs little, and a close one uses the budget up (docs/log.md).

Letters: G decisions   C cells   R games played out
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Event
from typing import NamedTuple

import numpy as np
from numba import uint64
from numpy.typing import NDArray

from azx.runtime.compiled import compiled
from azx.runtime.errors import UsageError
from azx.runtime.evaluator import Evaluator, has_q
from azx.runtime.lanes import in_lanes
from azx.runtime.playout import play_out
from azx.runtime.rules import EMPTY, every_placement, half_turn, placement_gains, what_is_left
from azx.runtime.search.endgame import exact_values
from azx.runtime.seeds import mix, uniform

#: Points by which gain + value is wrong of a cell, beside others of its board: on the empty board,
#: and at most, from where so much is filled. Of the champion, by games played out (docs/log.md).
VALUE_ERROR_AT_FIRST, VALUE_ERROR, FILLED = 0.2, 1.3, 1 / 3

#: All cells of a board are wrong together besides, by so many such errors: of the champion by 1.6
#: points, for its values are off by 3.84 points² and the difference of two cells by 2.54, each by
#: half of that (docs/log.md).
TOGETHER_WRONG = 1.25

#: Cells that are played out: so many of the highest gain + value, so many such errors behind the
#: best at most.
MOST_CANDIDATES, BEHIND = 8, 3.0

#: Games that a candidate is played out at first: a quarter of the budget in all, within these
#: bounds. Fewer do not tell how far they spread, so small budgets have fewer candidates: as many as
#: could be halved until one is left.
LEAST_EACH, FIRST_EACH = 4, 16

#: A candidate is out that is so many standard deviations behind the best: those of two that have
#: nothing in common, though they have the draws.
CLEARLY = 1.5

#: The largest budget, a day a move.
MOST_ROLLOUTS = 10_000_000

#: After the placement to be chosen, boards with so few empty cells are worth what perfect play
#: makes of them: 9 milliseconds each with five.
EXACT_AFTER_THE_MOVE = 5

#: Games played out at a time: with second thoughts some 1,000 boards, of which the network is at
#: its fastest and its answers stay in the cache.
AT_ONCE = 768

#: Boards at a time that are worked out exactly: some tenths of a second at most.
EXACT_AT_ONCE = 32

#: Rollouts of decisions that are judged together: some 100 bytes each.
TOGETHER = 1 << 20

#: Keeps these draws apart from all else that comes from a game's key.
STREAM = 0x632BE59BD9B4E019


@dataclass(frozen=True)
class Rollouts:
    """How much a move may cost."""

    count: int  # games played out, over all candidates

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MOST_ROLLOUTS:
            raise UsageError(
                f"a move has from 1 to {MOST_ROLLOUTS:,} rollouts, found {self.count:,}"
            )

    def __str__(self) -> str:
        """As in `rollouts:200`."""
        return str(self.count)

    @property
    def described(self) -> str:
        """For people: what a move may cost at most."""
        return f"{self.count} rollouts a move"

    @property
    def least(self) -> Rollouts:
        """The smallest with which games are played out, to get ready with."""
        return Rollouts(4 * LEAST_EACH)


class Worth(NamedTuple):
    """What is known of the cells of G decisions."""

    points: NDArray[np.float64]  # [G, C] gain + points to come; -inf on filled cells
    rollouts: NDArray[np.int64]  # [G, C] games that were played out after each, not its image


class RolloutPlayer:
    """Lays a tile where it is worth most by the network's value and by games played out."""

    def __init__(self, evaluator: Evaluator, budget: Rollouts) -> None:
        """`UsageError` where the network has no q, which says what luck is."""
        if not has_q(evaluator):
            raise UsageError(
                "rollouts need a network with the output q, which says what luck is: play this one "
                "with a search or one ply"
            )
        self.variant, self.evaluator, self.budget = evaluator.variant, evaluator, budget
        self.name = f"rollouts:{budget}"

    def choose(
        self, boards: NDArray[np.int8], tiles: NDArray[np.int8], keys: NDArray[np.uint64]
    ) -> NDArray[np.int8]:
        """The cell that is worth most."""
        return self.worth(boards, tiles, keys).points.argmax(axis=1).astype(np.int8)

    def worth(
        self, boards: NDArray[np.int8], tiles: NDArray[np.int8], keys: NDArray[np.uint64]
    ) -> Worth:
        """Judge every cell for `tiles` [G] on `boards` int8 [G, C] in the games of `keys` [G]."""
        size = max(1, TOGETHER // self.budget.count)
        found = [
            self._judged(boards[first : first + size], tiles[first : first + size],
                         keys[first : first + size])
            for first in range(0, max(1, len(boards)), size)
        ]  # fmt: skip
        return Worth(*(np.concatenate(column) for column in zip(*found, strict=True)))

    def _judged(
        self, boards: NDArray[np.int8], tiles: NDArray[np.int8], keys: NDArray[np.uint64]
    ) -> Worth:
        tally = _Tally(foreseen(self.evaluator, boards, tiles), boards, self.budget.count)
        while len((rows := tally.next_rows()).game):
            tally.add(rows, played_out(self.evaluator, boards, tiles, keys, rows))
            tally.drop_the_beaten()
        return Worth(tally.worth(), tally.played)


class Rows(NamedTuple):
    """R games to be played out."""

    game: NDArray[np.int64]  # [R] which decision
    cell: NDArray[np.int8]  # [R] the placement that they go on from
    deal: NDArray[np.int64]  # [R] the number of its draws


def played_out(
    evaluator: Evaluator,
    boards: NDArray[np.int8],
    tiles: NDArray[np.int8],
    keys: NDArray[np.uint64],
    rows: Rows,
) -> NDArray[np.float64]:
    """float64 [R]: gain + points that followed, less the draws' luck, of the games of `rows`.

    They lay `tiles` [G] on `boards` int8 [G, C]. Deals of one number after one decision are the
    same, and come from its key, `keys` uint64 [G].
    """
    board, laid = boards[rows.game], tiles[rows.game]
    points = placement_gains(evaluator.variant, board, laid, rows.cell).astype(np.float64)
    draws = np.empty_like(board)
    _deal(keys, board, laid, rows.game, rows.deal, evaluator.variant.tiles, draws)
    board[np.arange(len(board)), rows.cell] = laid
    stop = Event()

    def play(part: NDArray[np.int64]) -> None:
        made = np.zeros(len(part))
        play_out(evaluator, board[part], draws[part], made, stop)
        points[part] += made

    size = min(AT_ONCE, -(-len(board) // evaluator.lanes))  # something to do for every lane
    in_lanes(evaluator.lanes, play, _alike((board == EMPTY).sum(axis=1), size), stop)
    return points


def _alike(numbers: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    """The places [P] of equal `numbers`, at most `size` at a time."""
    for number in np.unique(numbers):
        places = np.flatnonzero(numbers == number)
        for first in range(0, len(places), size):
            yield places[first : first + size]


@compiled
def _deal(keys, boards, tiles, game, deal, kinds, draws):  # type: ignore[no-untyped-def]
    """Into `draws` [R, C] what comes after `tiles` [R]: the same for all cells of a decision.

    Deals are by lot, but as many one after another as tiles are left have each of them once in
    every turn, as in a Latin hypercube (McKay, Beckman and Conover 1979). Of the variance of their
    mean that takes nothing away in the first turns, a quarter a little later and half in the end
    (docs/log.md).
    """
    deck, offset = np.empty(kinds, dtype=np.int8), np.empty(kinds, dtype=np.int8)
    for i in range(boards.shape[0]):
        empty, unused = what_is_left(boards[i], kinds)
        left = 0
        for t in range(kinds):
            if (unused >> t) & 1 and t != tiles[i]:
                deck[left], offset[left] = t, left
                left += 1
        key = mix(mix(keys[game[i]] ^ uint64(STREAM), uint64(empty)), uint64(deal[i] // left))
        for k in range(left - 1):
            j = k + int(uniform(key, k) * (left - k))
            deck[k], deck[j] = deck[j], deck[k]
            j = k + int(uniform(key, kinds + k) * (left - k))
            offset[k], offset[j] = offset[j], offset[k]
        for k in range(empty - 1):
            draws[i, k] = deck[(deal[i] + offset[k]) % left]


def foreseen(
    evaluator: Evaluator, boards: NDArray[np.int8], tiles: NDArray[np.int8]
) -> NDArray[np.float64]:
    """float64 [G, C]: gain + value of each of `tiles` [G] there; exact where few cells are left."""
    laid = every_placement(evaluator.variant, boards, tiles)
    points = laid.gain.astype(np.float64)
    empty = (laid.after == EMPTY).sum(axis=1)
    few = empty <= EXACT_AFTER_THE_MOVE
    points[~few] += evaluator.evaluate(laid.after[~few]).value

    def work_out(part: NDArray[np.int64]) -> None:
        points[part] += exact_values(evaluator.variant, laid.after[part])

    exact = np.flatnonzero(few)
    parts = (exact[places] for places in _alike(empty[exact], EXACT_AT_ONCE))
    in_lanes(evaluator.lanes, work_out, parts, Event())
    worth = np.full(boards.shape, -np.inf)
    worth[laid.game, laid.cell] = points
    return worth


def value_error(boards: NDArray[np.int8]) -> NDArray[np.float64]:
    """float64 [G]: the deviation of gain + value of a cell of `boards` [G, C], in points."""
    filled = np.minimum(1.0, (boards != EMPTY).mean(axis=1) / FILLED)
    return VALUE_ERROR_AT_FIRST + (VALUE_ERROR - VALUE_ERROR_AT_FIRST) * filled


def within_reach(
    foreseen: NDArray[np.float64], error: NDArray[np.float64], most: NDArray[np.int64] | int
) -> NDArray[np.bool_]:
    """bool [G, C]: the cells that may be the best, `most` [G, 1] of each decision.

    Those of the highest `foreseen` [G, C], at most `BEHIND` times `error` [G, 1] behind the first.
    """
    rank = np.argsort(np.argsort(-foreseen, axis=1, kind="stable"), axis=1, kind="stable")
    return (rank < most) & (foreseen >= foreseen.max(axis=1, keepdims=True) - BEHIND * error)


def _most_candidates(count: int) -> int:
    """How many can be told apart with so many rollouts; 1 where there is nothing to tell by."""
    most = MOST_CANDIDATES
    while most > 1 and most * math.ceil(math.log2(most)) * LEAST_EACH > count:
        most -= 1
    return most


class _Tally:
    """What is known of each cell of G decisions, and which of them are still played out."""

    def __init__(self, foreseen: NDArray[np.float64], boards: NDArray[np.int8], count: int) -> None:
        """`foreseen` [G, C] as by the function; at most `count` rollouts are to come.

        They are fewer the less the values are wrong: early games spread most and tell least.
        """
        alike = (boards == half_turn(boards)).all(axis=1, keepdims=True)
        #: [G, C] Cells that are another one's image: what holds for that one holds for them.
        self.image = alike & (np.arange(boards.shape[1]) > boards.shape[1] // 2)
        self.foreseen = foreseen = np.where(self.image, -np.inf, foreseen)
        self.error = value_error(boards)[:, None]  # [G, 1]
        self.count = (count * self.error[:, 0] / VALUE_ERROR + 1e-9).astype(np.int64)  # [G]
        self.played = np.zeros(foreseen.shape, dtype=np.int64)
        self.total = np.zeros(foreseen.shape)
        self.squares = np.zeros(foreseen.shape)
        undecided = (boards == EMPTY).sum(axis=1) - 1 > EXACT_AFTER_THE_MOVE
        most = np.array([_most_candidates(its_count) for its_count in self.count.tolist()])
        self.candidate = within_reach(foreseen, self.error, most[:, None]) & undecided[:, None]

    def next_rows(self) -> Rows:
        """What is played out next: none where one candidate is left, or the budget is used up."""
        left = self.candidate.sum(axis=1)
        so_far = self.played.max(axis=1)  # those that are left have been played out alike
        opening = np.clip(self.count // np.maximum(1, 4 * left), LEAST_EACH, FIRST_EACH)
        affordable = (self.count - self.played.sum(axis=1)) // np.maximum(1, left)
        each = np.minimum(np.where(so_far, so_far, opening), affordable)
        each[(left < 2) | (affordable < LEAST_EACH)] = 0
        game, cell = np.nonzero(self.candidate)
        times = each[game]
        first_deal = self.played[game, cell] + times - np.cumsum(times)
        rows = np.repeat(np.arange(len(game)), times)
        deal = np.arange(len(rows)) + first_deal[rows]
        return Rows(game[rows], cell[rows].astype(np.int8), deal)

    def add(self, rows: Rows, points: NDArray[np.float64]) -> None:
        """What `rows` made, `points` [R]."""
        at = rows.game, rows.cell
        np.add.at(self.played, at, 1)  # one after another, so the sums are the same in any batch
        np.add.at(self.total, at, points)
        np.add.at(self.squares, at, points**2)

    def drop_the_beaten(self) -> None:
        """Play out no more what is clearly behind the best candidate."""
        worth = np.where(self.candidate, self.worth(), -np.inf)
        best = worth.argmax(axis=1)[:, None]
        variance = 1 / self._precision()
        apart = np.sqrt(variance + np.take_along_axis(variance, best, 1))
        self.candidate &= worth >= np.take_along_axis(worth, best, 1) - CLEARLY * apart

    def worth(self) -> NDArray[np.float64]:
        """float64 [G, C]: the mean that is to be expected of each cell.

        What is foreseen, moved by what the board's cells seem to be off by together, is the mean of
        a normal distribution of deviation `error`, and the rollouts are measurements, each with
        their common variance: the mean of both by precision.
        """
        expected = self.foreseen + self._off_together()
        weighed = expected / self.error**2 + self.total / self._variance()
        worth = np.where(self.played, weighed / self._precision(), expected)
        return np.where(self.image, worth[:, ::-1], worth)

    def _off_together(self) -> NDArray[np.float64]:
        """float64 [G, 1]: the mean that is to be expected of what all cells are wrong by together.

        Each cell that was played out says something of it, with its own error and its spread.
        """
        played = np.maximum(self.played, 1)
        off = np.where(self.played, self.total / played - self.foreseen, 0.0)
        precision = np.where(self.played, 1 / (self.error**2 + self._variance() / played), 0.0)
        known = 1 / (TOGETHER_WRONG * self.error) ** 2 + precision.sum(axis=1, keepdims=True)
        return (precision * off).sum(axis=1, keepdims=True) / known

    def _precision(self) -> NDArray[np.float64]:
        """float64 [G, C]: one over the variance of what is to be expected."""
        return 1 / self.error**2 + self.played / self._variance()

    def _variance(self) -> NDArray[np.float64]:
        """float64 [G, 1]: of the rollouts of one cell, as if their deals were not even."""
        played = np.maximum(self.played, 1)
        spread = (self.squares - self.total**2 / played).sum(axis=1)
        freedom = np.maximum(self.played - 1, 0).sum(axis=1)
        return np.maximum(spread / np.maximum(freedom, 1), 1e-6)[:, None]
