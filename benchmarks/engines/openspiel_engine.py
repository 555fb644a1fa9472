"""OpenSpiel: its search in C++, on this game told in Python and on a game of its own.

OpenSpiel is imported only where it is used: it may be absent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from azx.runtime import rules
from azx.runtime.bench.search import positions
from azx.runtime.search import Budget
from azx.runtime.variant import STANDARD
from engines.common import Engine, measured

#: Weight of exploration in OpenSpiel's UCT, in points: it does not scale values itself.
UCT_POINTS = 20.0

#: OpenSpiel's trees, far more than 200 simulations need.
MEGABYTES = 1000

#: Rollouts a simulation, of which the cost of none is worked out.
FEW_ROLLOUTS, MORE_ROLLOUTS = 1, 4

#: One player, a card drawn from those left and one of 19 laid each turn: branching as in this game.
CARD_GAME = (
    "turn_based_simultaneous_game(game=goofspiel("
    "num_cards=19,players=1,points_order=random,returns_type=total_points))"
)

#: Positions that OpenSpiel, which searches one after the other, goes round in.
ROUNDABOUT = 60


class Position:
    """A state of this game for OpenSpiel: board, tile, and how often it was copied."""

    def __init__(self) -> None:
        self.board = np.full(STANDARD.cells, rules.EMPTY, dtype=np.int8)
        self.cells = list(range(STANDARD.cells))  # empty
        self.left = list(range(STANDARD.tiles))  # not drawn
        self.tile: int | None = None
        self.copies = 0

    def __deepcopy__(self, memo: object) -> Position:
        other = Position.__new__(Position)
        other.board, other.cells, other.left = self.board.copy(), self.cells[:], self.left[:]
        other.tile, other.copies = self.tile, self.copies + 1
        return other

    @property
    def over(self) -> bool:
        """The board is full, or this is the copy of a copy.

        OpenSpiel's search walks down a copy of the root, and its evaluator plays on in a copy of
        that. Here the evaluator finds that game to be over, with the points won so far: as
        if it had said that none are to come.
        """
        return not self.cells or self.copies > 1

    def draw(self, tile: int) -> None:
        """See the next tile."""
        self.tile = tile
        self.left.remove(tile)

    def place(self, cell: int) -> None:
        """Lay the tile that was drawn."""
        assert self.tile is not None
        self.board[cell] = self.tile
        self.cells.remove(cell)
        self.tile = None


def openspiel_game() -> Any:
    """This game as OpenSpiel's: explicit chance, a single player, points at the end."""
    import pyspiel

    class Game(pyspiel.Game):  # type: ignore[misc]
        def __init__(self, params: Any = None) -> None:
            super().__init__(_game_type(), _game_info(), params or {})

        def new_initial_state(self) -> State:
            return State(self)

    class State(pyspiel.State):  # type: ignore[misc]
        def __init__(self, game: Game) -> None:
            super().__init__(game)
            self.position = Position()

        def current_player(self) -> int:
            if self.position.over:
                return pyspiel.PlayerId.TERMINAL
            return pyspiel.PlayerId.CHANCE if self.position.tile is None else 0

        def is_terminal(self) -> bool:
            return self.position.over

        def chance_outcomes(self) -> list[tuple[int, float]]:
            chance = 1 / len(self.position.left)
            return [(tile, chance) for tile in self.position.left]

        def _legal_actions(self, player: int) -> list[int]:
            return self.position.cells

        def _apply_action(self, action: int) -> None:
            if self.position.tile is None:
                self.position.draw(action)
            else:
                self.position.place(action)

        def _action_to_string(self, player: int, action: int) -> str:
            return f"cell {action}" if player == 0 else f"tile {action}"

        def returns(self) -> list[float]:
            return [float(rules.scores(STANDARD, self.position.board[None])[0])]

        def __str__(self) -> str:
            return f"{self.position.board.tolist()} {self.position.tile}"

    return Game()


def _game_type() -> Any:
    from pyspiel import GameType

    return GameType(
        short_name="python_take_it_easy",
        long_name="Take It Easy",
        dynamics=GameType.Dynamics.SEQUENTIAL,
        chance_mode=GameType.ChanceMode.EXPLICIT_STOCHASTIC,
        information=GameType.Information.PERFECT_INFORMATION,
        utility=GameType.Utility.GENERAL_SUM,
        reward_model=GameType.RewardModel.TERMINAL,
        max_num_players=1,
        min_num_players=1,
        provides_information_state_string=False,
        provides_information_state_tensor=False,
        provides_observation_string=False,
        provides_observation_tensor=False,
    )


def _game_info() -> Any:
    import pyspiel

    return pyspiel.GameInfo(
        num_distinct_actions=STANDARD.cells,
        max_chance_outcomes=STANDARD.tiles,
        num_players=1,
        min_utility=0.0,
        max_utility=307.0,
        max_game_length=STANDARD.cells,
    )


def openspiel_states(game: Any, boards: NDArray[np.int8], tiles: NDArray[np.int8]) -> list[Any]:
    """Decisions, boards [N, C] and tiles [N] just drawn, as states of `openspiel_game`."""
    states = []
    for board, tile in zip(boards, tiles, strict=True):
        state = game.new_initial_state()
        for cell in np.flatnonzero(board >= 0):
            state.apply_action(int(board[cell]))
            state.apply_action(int(cell))
        state.apply_action(int(tile))
        states.append(state)
    return states


def card_states(game: Any, boards: NDArray[np.int8]) -> list[Any]:
    """States of `CARD_GAME` with as many cards left as these boards [N, C] have empty cells."""
    rng = np.random.default_rng(0)
    states = []
    for board in boards:
        state = game.new_initial_state()
        for _ in range(2 * int((board >= 0).sum()) + 1):  # a draw and a card, and the last draw
            state.apply_action(int(rng.choice(state.legal_actions())))
        states.append(state)
    return states


def openspiel_search(
    game: Any, states: list[Any], simulations: int, rollouts: int
) -> Callable[[], int]:
    """A search of the next state in turn, which tells how many simulations it made."""
    import pyspiel

    evaluator = pyspiel.RandomRolloutEvaluator(rollouts, 0)
    bot = pyspiel.MCTSBot(game, evaluator, UCT_POINTS, simulations, MEGABYTES, False, 0, False)
    turns: Iterator[Any] = cycle(states)
    return lambda: bot.mcts_search(next(turns)).explore_count


def rate_without_rollouts(few: Callable[[], int], more: Callable[[], int], seconds: float) -> float:
    """Simulations a second if rollouts cost nothing, from `FEW_ROLLOUTS` and `MORE_ROLLOUTS`.

    A simulation costs tree + rollouts × r. The searches take turns; seconds are the processor's,
    as a small difference is wanted. NaN where the noise is larger than that.
    """
    spent, made = np.zeros(2), np.zeros(2)
    while spent.sum() < seconds:
        for which, search in enumerate((few, more)):
            began = time.process_time()
            made[which] += search()
            spent[which] += time.process_time() - began
    with_few, with_more = spent / made
    one = (with_more - with_few) / (MORE_ROLLOUTS - FEW_ROLLOUTS)
    tree = with_few - FEW_ROLLOUTS * one
    return 1 / tree if tree > 0 else float("nan")


def openspiel_engines(games: int, budget: Budget) -> list[Engine]:
    """OpenSpiel's C++ search: on this game, and on one of its own, whose rules are C++ too."""
    import pyspiel

    boards, tiles = positions(STANDARD, ROUNDABOUT, budget.exact_cells)
    ours, theirs = openspiel_game(), pyspiel.load_game(CARD_GAME)
    this_game = openspiel_search(
        ours, openspiel_states(ours, boards, tiles), budget.simulations, FEW_ROLLOUTS
    )
    cards = card_states(theirs, boards)
    few, more = (
        openspiel_search(theirs, cards, budget.simulations, rollouts)
        for rollouts in (FEW_ROLLOUTS, MORE_ROLLOUTS)
    )
    another = "another game, a hint only: goofspiel for one, whose draws and cards branch alike"
    one_node = "a simulation makes one node, a chance node or a decision"
    return [
        Engine(
            "OpenSpiel MCTSBot, this game",
            1,
            "this game, explicit chance, evaluated as no points to come: its rollouts end at once",
            "its tree is C++, but the rules run in Python and are most of the time; chance is as "
            "drawn, no mean over all tiles; one game "
            f"after the other; {one_node}",
            lambda seconds: measured(this_game, seconds),
        ),
        Engine(
            "OpenSpiel MCTSBot, goofspiel, 1 rollout",
            1,
            "19 cards to lay and 19 to be drawn, fewer each turn; tree and rules in C++",
            f"{another}; each simulation plays one random game to its end, as the package has no "
            f"evaluator without and takes none from Python; {one_node}",
            lambda seconds: measured(few, seconds),
        ),
        Engine(
            "OpenSpiel MCTSBot, goofspiel, rollouts taken off",
            1,
            "as above",
            f"as above, but worked out from {FEW_ROLLOUTS} and {MORE_ROLLOUTS} rollouts: a small "
            "difference of large figures, in processor seconds",
            lambda seconds: rate_without_rollouts(few, more, seconds),
        ),
    ]
