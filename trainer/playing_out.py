"""Games played to their end by the network: values learn from points that were made.

A value learnt from the boards that follow agrees with them, mistakes and all: boards that the
network cannot tell apart go on alike from turn to turn (docs/log.md). The end of a game knows
better, and less the luck of its draws it deviates by 5 points, not 26. So the value of each board
learns from what came after it, in games and in others that branch off where the policy doubted; q
learns the values of the boards that were looked at.

Letters: G games   R games under way, the branches after the games   C cells   M boards
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numba import uint64
from numpy.typing import NDArray

from azx.runtime.compiled import compiled
from azx.runtime.evaluator import Evaluator
from azx.runtime.playout import EXACT_AT_THE_END, Turn, play_turn
from azx.runtime.records import Games
from azx.runtime.rules import every_placement
from azx.runtime.search.endgame import exact_values
from azx.runtime.seeds import draw_orders, mix, uniform
from azx.trainer.samples import Samples
from azx.trainer.selfplay import Progress

#: Of the turns where the policy doubted and its thoughts are worth nearly the same, the share where
#: a branch goes on from the thought that was not followed. It makes half as many boards again.
BRANCHES = 0.3

#: Points between two thoughts that are worth nearly the same.
NEARLY = 3.0


class PlayedOut(NamedTuple):
    """G games and what each board of theirs and of their branches came to."""

    games: Games
    samples: Samples
    surprise: NDArray[np.float32]  # [M] by how much the outcome was above the value foreseen


class _Seen(NamedTuple):
    """M boards before a turn, which all have the same number of empty cells."""

    boards: NDArray[np.int8]  # [M, C]
    tiles: NDArray[np.int8]  # [M]
    cells: NDArray[np.int8]  # [M, 2] two thoughts; the second -1 where there is none
    after: NDArray[np.float32]  # [M, 2] the points to come after each
    foreseen: NDArray[np.float32]  # [M] points to come before the draw
    outcome: NDArray[np.float64]  # [M] what they were


def play_games_out(
    evaluator: Evaluator, keys: NDArray[np.uint64], progress: Progress | None = None
) -> PlayedOut:
    """Play a game for each of `keys` [G], with its branches; `progress(turn, turns)`.

    The policy plays as in `azx.runtime.playout`, exactly from `EXACT_AT_THE_END` empty cells on. A
    branch draws the tiles of the game that it left, so that the two differ by the placement.
    """
    variant, games = evaluator.variant, len(keys)
    orders = draw_orders(variant, keys)
    placed = np.empty_like(orders)
    exact_from = variant.cells - EXACT_AT_THE_END
    draws, boards, points = orders, variant.empty_boards(games), np.zeros(games)
    answer, at = evaluator.evaluate(boards), np.arange(games)
    seen: list[_Seen] = []
    for turn in range(exact_from):
        tiles = np.ascontiguousarray(draws[:, turn])
        played = play_turn(evaluator, boards, tiles, answer, at, EXACT_AT_THE_END)
        seen.append(_seen(boards, tiles, played, answer.value[at], points))
        placed[:, turn] = played.cells[played.chosen[:games]]
        points = points - played.luck + played.made[played.chosen]
        game, other = _branches(played, keys, turn)
        if turn == exact_from - 1:  # a branch would end where it begins
            game, other = game[:0], other[:0]
        points = np.concatenate((points, np.zeros(len(game))))
        draws, keys = np.concatenate((draws, draws[game])), _with_branches(keys, game, turn)
        answer, at = played.answer, np.concatenate((played.chosen, other))
        to_come = played.to_come[at]
        boards = np.ascontiguousarray(played.laid[at])
        if progress is not None:
            progress(turn + 1, variant.cells)
    ends = points + to_come  # exact by now
    seen = [board._replace(outcome=ends[: len(board.outcome)] - board.outcome) for board in seen]
    boards, to_come = boards[:games], to_come[:games]
    for turn in range(exact_from, variant.cells):
        tiles = np.ascontiguousarray(orders[:, turn])
        perfect = _perfect_turn(evaluator, boards, tiles, to_come)
        to_come = perfect.after[:, 0].astype(np.float64)
        placed[:, turn] = perfect.cells[:, 0]
        boards = boards.copy()
        boards[np.arange(games), placed[:, turn]] = tiles
        if turn < variant.cells - 1:  # nothing comes after the last placement
            seen.append(perfect)
        if progress is not None:
            progress(turn + 1, variant.cells)
    return _played_out(Games(variant, orders, placed), seen)


def _seen(
    boards: NDArray[np.int8],
    tiles: NDArray[np.int8],
    played: Turn,
    value: NDArray[np.float32],
    points: NDArray[np.float64],
) -> _Seen:
    """A turn of R games; its outcome is what was made so far, to be taken off the end."""
    count = len(boards)
    cells = np.full((count, 2), -1, dtype=np.int8)
    after = np.zeros((count, 2), dtype=np.float32)
    cells[:, 0], after[:, 0] = played.cells[:count], played.to_come[:count]
    cells[played.doubtful, 1] = played.cells[count:]
    after[played.doubtful, 1] = played.to_come[count:]
    return _Seen(boards, tiles, cells, after, value, points)


def _perfect_turn(
    evaluator: Evaluator,
    boards: NDArray[np.int8],
    tiles: NDArray[np.int8],
    values: NDArray[np.float64],
) -> _Seen:
    """A turn on boards whose exact `values` [G] are known: the best placement, and the next."""
    count = len(boards)
    laid = every_placement(evaluator.variant, boards, tiles)
    to_come = exact_values(evaluator.variant, laid.after)
    worth = (laid.gain + to_come).reshape(count, -1)
    best = np.argsort(-worth, axis=1, kind="stable")[:, :2]
    cells = np.full((count, 2), -1, dtype=np.int8)
    after = np.zeros((count, 2), dtype=np.float32)
    cells[:, : best.shape[1]] = np.take_along_axis(laid.cell.reshape(count, -1), best, 1)
    after[:, : best.shape[1]] = np.take_along_axis(to_come.reshape(count, -1), best, 1)
    return _Seen(boards, tiles, cells, after, values.astype(np.float32), values)


def _branches(
    played: Turn, keys: NDArray[np.uint64], turn: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The games that a branch leaves at this turn, and the rows of `played.laid` it takes."""
    count = len(played.chosen)
    second = count + np.arange(len(played.doubtful))
    worth = played.made + played.to_come
    nearly = np.abs(worth[second] - worth[played.doubtful]) < NEARLY
    lots = np.empty(count)
    _draw_lots(keys, turn, lots)
    left = np.flatnonzero(nearly & (lots[played.doubtful] < BRANCHES))
    game = played.doubtful[left]
    followed_second = played.chosen[game] != game
    return game, np.where(followed_second, game, second[left])


@compiled
def _draw_lots(keys, turn, lots):  # type: ignore[no-untyped-def]
    for g in range(keys.shape[0]):
        lots[g] = uniform(mix(keys[g], uint64(turn)), 0)


@compiled
def _branch_keys(keys, turn, out):  # type: ignore[no-untyped-def]
    for g in range(keys.shape[0]):
        out[g] = mix(mix(keys[g], uint64(turn)), 1)


def _with_branches(
    keys: NDArray[np.uint64], game: NDArray[np.int64], turn: int
) -> NDArray[np.uint64]:
    """The keys of the games under way, and those of the branches that leave `game` at `turn`."""
    branch = np.empty(len(game), dtype=np.uint64)
    _branch_keys(keys[game], turn, branch)
    return np.concatenate((keys, branch))


def _played_out(games: Games, seen: list[_Seen]) -> PlayedOut:
    """All boards that were seen, in the order of the turns."""
    boards, tiles, cells, after, foreseen, outcome = (
        np.concatenate(column) for column in zip(*seen, strict=True)
    )
    samples = Samples(
        boards,
        tiles,
        cells[:, 0],
        after[:, 0],
        np.where(cells[:, 1:] >= 0, tiles[:, None], 0).astype(np.int8),
        cells[:, 1:],
        after[:, 1:],
        floor=np.zeros(len(boards), dtype=np.float32),
        policy=None,
        lesson=None,
        outcome=outcome.astype(np.float32),
        trust=None,
    )
    return PlayedOut(games, samples, (outcome - foreseen).astype(np.float32))


def with_trust(parts: Sequence[PlayedOut]) -> tuple[Samples, Games]:
    """All parts as one. An outcome is trusted the less, the more they vary with so many cells."""
    games = Games.joined([part.games for part in parts])
    samples = Samples.joined([part.samples for part in parts])
    surprise = np.concatenate([part.surprise for part in parts]).astype(np.float64)
    empty = (samples.boards < 0).sum(axis=1)
    variance = np.bincount(empty, surprise**2) / np.maximum(np.bincount(empty), 1)
    trust = (1.0 / (1.0 + variance[empty])).astype(np.float32)
    return replace(samples, trust=trust), games
