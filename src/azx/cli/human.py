"""One game in which a person lays the tiles and the network comments."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from azx.cli.board import beside, draw_board, tile_name
from azx.cli.show import Game, Keep, Strategy, chosen, to_come
from azx.cli.terminal import busy, counted, counting, say
from azx.runtime.players import Player, SearchPlayer, one_ply_worth, searched_worth
from azx.runtime.rollouts import RolloutPlayer
from azx.runtime.rules import EMPTY

#: The rules in a line, for who has never played.
HINT = (
    "A tile's first number counts in its column, the second in the line rising to the right,\n"
    "the third in the line falling to the right: a full line of one number pays number x length."
)


def play_against(
    console: Console,
    strategy: Strategy,
    order: NDArray[np.int8],
    key: NDArray[np.uint64],
    keep: Keep,
) -> None:
    """A person plays `order` int8 [C]; the game goes to `keep` if it is not left before its end."""
    player = strategy.player()
    game = Game(strategy.variant)
    say(console, HINT, "")
    for tile in order.tolist():
        _show_position(console, strategy, game, tile)
        with busy("the network thinks"):
            best, worth = judged(strategy, player, game.board, tile, key)
        cell = _ask(console, game, best, worth)
        if cell is None:
            laid, won = counted(len(game.cells), "tile"), counted(game.score, "point")
            say(console, f"left after {laid} with {won}; a game that is left is not recorded")
            return
        _comment(console, cell, best, worth)
        game.lay(tile, cell)
        if game.gain:
            say(console, f"{counted(game.gain, 'point')}: {', '.join(game.won)}")
        say(console, "")
    say(console, *beside(draw_board(game.variant, game.board), []), "")
    keep(game.record())  # the network may take its time
    own = _own_game(strategy, order, key)
    say(console, f"your score {game.score}; the network on the same tiles: {own.score}")


def _own_game(strategy: Strategy, order: NDArray[np.int8], key: NDArray[np.uint64]) -> Game:
    """The network's game of `order` int8 [C], with a progress bar: each move may take its time."""
    player, game = strategy.player(), Game(strategy.variant)
    with counting("the network plays the same tiles", len(order)) as count:
        for tile in order.tolist():
            game.lay(tile, chosen(player, game.board, tile, key))
            count(1)
    return game


def _show_position(console: Console, strategy: Strategy, game: Game, tile: int) -> None:
    foreseen = game.score + to_come(strategy.evaluator, game.board)
    words = [
        f"turn      {len(game.tiles) + 1} of {game.variant.cells}",
        f"drawn     {tile_name(game.variant, tile)}",
        f"score     {game.score}",
        f"foreseen  {foreseen:.1f} in the end",
    ]
    say(console, *beside(draw_board(game.variant, game.board, numbered=True), words))


def _ask(console: Console, game: Game, best: int, worth: dict[int, float]) -> int | None:
    """The cell that the person names (the network's is `best`); None where they leave.

    `worth` is in points still to come, by cell.
    """
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
            in_the_end = game.score + worth[best]
            say(console, f"the network: cell {best}, {in_the_end:.1f} points in the end")
        elif answer.isdecimal() and int(answer) in empty:
            return int(answer)
        else:
            free = ", ".join(map(str, empty))
            say(console, f"{answer!r} is no empty cell; there are: {free}")


def _comment(console: Console, cell: int, best: int, worth: dict[int, float]) -> None:
    """What the network would have done, and the difference by its own estimate."""
    if best == cell:
        say(console, "the network would have done the same")
        return
    say(
        console,
        f"the network: cell {best}; by its estimate yours is worth "
        f"{worth[cell] - worth[best]:+.1f} points against that",
    )


def judged(
    strategy: Strategy,
    player: Player,
    board: NDArray[np.int8],
    tile: int,
    key: NDArray[np.uint64],
) -> tuple[int, dict[int, float]]:
    """Where `player` lays `tile` on one board int8 [C], and gain + points to come of each cell.

    A search is asked once for both. A cell that it did not look at counts with the network's q;
    where there is no q, and without a search, with gain + value of the board after it. So does one
    that no rollouts went on from, less what they found the whole board to be off by.
    """
    boards, tiles = board[None], np.array([tile], dtype=np.int8)
    if isinstance(player, RolloutPlayer):
        worth = player.worth(boards, tiles, key).points[0]
        empty = np.flatnonzero(board == EMPTY)
        return int(worth.argmax()), {int(cell): float(worth[cell]) for cell in empty}
    if isinstance(player, SearchPlayer):
        found = player.search(boards, tiles, key)
        best = int(found.cells[0])
        points = searched_worth(strategy.evaluator, found, boards, tiles)[0]
    else:
        best = chosen(player, board, tile, key)
        points = one_ply_worth(strategy.evaluator, boards, tiles)[0]
    return best, {int(cell): float(points[cell]) for cell in np.flatnonzero(board == EMPTY)}
