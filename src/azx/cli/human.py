"""One game in which a person lays the tiles and the network comments."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from azx.cli.board import beside, draw_board, tile_name
from azx.cli.show import Game, Strategy, chosen, to_come
from azx.cli.terminal import counted, say
from azx.runtime.onnx_evaluator import OnnxEvaluator
from azx.runtime.play import play_games
from azx.runtime.players import one_ply_worth
from azx.runtime.records import Games
from azx.runtime.rules import EMPTY


def play_against(
    console: Console, strategy: Strategy, order: NDArray[np.int8], key: NDArray[np.uint64]
) -> Games | None:
    """A person plays `order` int8 [C]; the game, or None where it was left before its end."""
    player = strategy.player()
    game = Game(strategy.variant)
    for tile in order.tolist():
        _show_position(console, strategy, game, tile)
        best = chosen(player, game.board, tile, key)
        cell = _ask(console, strategy, game, tile, best)
        if cell is None:
            laid, won = counted(len(game.cells), "tile"), counted(game.score, "point")
            say(console, f"left after {laid} with {won}")
            return None
        _comment(console, strategy, game, tile, cell, best)
        game.lay(tile, cell)
        if game.gain:
            say(console, f"{counted(game.gain, 'point')}: {', '.join(game.won)}")
        say(console, "")
    say(console, *beside(draw_board(game.variant, game.board), []), "")
    own = play_games(strategy.player(), order[None], key).scores()[0]
    say(console, f"your score {game.score}; the network on the same tiles: {own}")
    return game.record()


def _show_position(console: Console, strategy: Strategy, game: Game, tile: int) -> None:
    foreseen = game.score + to_come(strategy.evaluator, game.board)
    words = [
        f"turn      {len(game.tiles) + 1} of {game.variant.cells}",
        f"drawn     {tile_name(game.variant, tile)}",
        f"score     {game.score}",
        f"foreseen  {foreseen:.1f} in the end",
    ]
    say(console, *beside(draw_board(game.variant, game.board, numbered=True), words))


def _ask(
    console: Console,
    strategy: Strategy,
    game: Game,
    tile: int,
    best: int,
) -> int | None:
    """The cell that the person names (the network's is `best`); None where they leave."""
    empty = np.flatnonzero(game.board == EMPTY).tolist()
    while True:
        try:
            answer = console.input("cell (h: what the network would do, q: leave) ").strip().lower()
        except EOFError:
            say(console, "")
            return None
        if answer == "q":
            return None
        if answer == "h":
            worth = game.score + estimates(strategy.evaluator, game.board, tile)[best]
            say(console, f"the network: cell {best}, {worth:.1f} points in the end")
        elif answer.isdecimal() and int(answer) in empty:
            return int(answer)
        else:
            free = ", ".join(map(str, empty))
            say(console, f"{answer!r} is no empty cell; there are: {free}")


def _comment(
    console: Console,
    strategy: Strategy,
    game: Game,
    tile: int,
    cell: int,
    best: int,
) -> None:
    """What the network would have done, and the difference by its own estimate."""
    if best == cell:
        say(console, "the network would have done the same")
        return
    worth = estimates(strategy.evaluator, game.board, tile)
    say(
        console,
        f"the network: cell {best}; by its estimate yours is worth "
        f"{worth[cell] - worth[best]:+.1f} points against that",
    )


def estimates(evaluator: OnnxEvaluator, board: NDArray[np.int8], tile: int) -> dict[int, float]:
    """Gain + points foreseen after laying `tile` on each empty cell of one board int8 [C]."""
    worth = one_ply_worth(evaluator, board[None], np.array([tile], dtype=np.int8))[0]
    return {int(cell): float(worth[cell]) for cell in np.flatnonzero(board == EMPTY)}
