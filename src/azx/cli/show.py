"""One game, turn by turn, as the network plays it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from azx.cli.board import beside, complete_lines, draw_board, line_name, tile_name
from azx.cli.terminal import busy, say
from azx.runtime.onnx_evaluator import OnnxEvaluator
from azx.runtime.players import Player, network_player
from azx.runtime.records import Games
from azx.runtime.rollouts import Rollouts
from azx.runtime.rules import EMPTY, placement_gains
from azx.runtime.search import Budget
from azx.runtime.variant import Variant

#: What is done with a game as soon as it is whole.
Keep = Callable[[Games], None]


@dataclass(frozen=True)
class Strategy:
    """Who plays: a network, and how much it thinks about a move."""

    evaluator: OnnxEvaluator
    budget: Budget | Rollouts | None  # None plays without any
    one_ply: bool

    @property
    def variant(self) -> Variant:
        """The network's."""
        return self.evaluator.variant

    @property
    def described(self) -> str:
        """The way of playing, for people."""
        if self.budget is not None:
            return self.budget.described
        return "one ply" if self.one_ply else "policy alone"

    def player(self) -> Player:
        """A new player, without memories of another game."""
        return network_player(self.evaluator, self.budget, self.one_ply)


class Game:
    """A game under way: the board int8 [C], what was laid, the points so far."""

    def __init__(self, variant: Variant) -> None:
        """The empty board."""
        self.variant = variant
        self.board = variant.empty_boards(1)[0]
        self.tiles: list[int] = []
        self.cells: list[int] = []
        self.score = 0
        self.gain = 0  # of the last placement
        self.won: list[str] = []  # the lines it completed

    def lay(self, tile: int, cell: int) -> None:
        """Put `tile` on the empty `cell` and count its points."""
        before = set(complete_lines(self.variant, self.board))
        laid, where = np.array([tile], dtype=np.int8), np.array([cell], dtype=np.int8)
        self.gain = int(placement_gains(self.variant, self.board[None], laid, where)[0])
        self.board[cell] = tile
        self.tiles.append(tile)
        self.cells.append(cell)
        self.score += self.gain
        self.won = [
            line_name(self.variant, self.board, line)
            for line in complete_lines(self.variant, self.board)
            if line not in before
        ]

    def record(self) -> Games:
        """The finished game."""
        return Games(
            self.variant,
            np.array([self.tiles], dtype=np.int8),
            np.array([self.cells], dtype=np.int8),
        )


def to_come(evaluator: OnnxEvaluator, board: NDArray[np.int8]) -> float:
    """Points that the network foresees from one board int8 [C]."""
    return float(evaluator.evaluate(board[None]).value[0])


def chosen(player: Player, board: NDArray[np.int8], tile: int, key: NDArray[np.uint64]) -> int:
    """Where `player` lays `tile` on one board int8 [C] in the game of `key` [1]."""
    assert (board == EMPTY).any()
    return int(player.choose(board[None], np.array([tile], dtype=np.int8), key)[0])


def turn_words(game: Game, foreseen: float) -> list[str]:
    """What is said beside the board after a placement."""
    tile, cell, last = game.tiles[-1], game.cells[-1], len(game.tiles) == game.variant.cells
    words = [
        f"turn      {len(game.tiles)} of {game.variant.cells}",
        f"drawn     {tile_name(game.variant, tile)}",
        f"cell      {cell}",
        f"gain      {game.gain}",
        *(f"          {line}" for line in game.won),
        f"score     {game.score}",
    ]
    return words if last else [*words, f"foreseen  {game.score + foreseen:.1f} in the end"]


def show_game(
    console: Console,
    strategy: Strategy,
    order: NDArray[np.int8],
    key: NDArray[np.uint64],
    keep: Keep,
) -> None:
    """Play `order` int8 [C] and print the board after each turn; the whole game goes to `keep`."""
    player = strategy.player()
    game = Game(strategy.variant)
    for tile in order.tolist():
        with busy("thinking"):
            cell = chosen(player, game.board, tile, key)
        game.lay(tile, cell)
        words = turn_words(game, to_come(strategy.evaluator, game.board))
        say(console, *beside(draw_board(game.variant, game.board, game.cells[-1]), words), "")
    keep(game.record())
    say(console, f"score {game.score}")
