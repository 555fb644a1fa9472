"""What holds for every player, and for every evaluator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from conftest import ExactEvaluator, random_boards
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import MICRO, HashEvaluator

from azx.runtime.contract import MASKED_LOGIT
from azx.runtime.evaluator import Evaluator, UniformEvaluator
from azx.runtime.play import play_games
from azx.runtime.players import (
    GreedyPlayer,
    OnePlyPlayer,
    Player,
    PolicyPlayer,
    RandomPlayer,
    SearchPlayer,
)
from azx.runtime.rules import scores
from azx.runtime.search import Budget
from azx.runtime.seeds import draw_orders, game_keys
from azx.runtime.solver import Solution
from azx.runtime.variant import MINI, STANDARD, Variant

MakePlayer = Callable[[Variant], Player]
PLAYERS: dict[str, MakePlayer] = {
    "random": RandomPlayer,
    "greedy": GreedyPlayer,
    "policy": lambda v: PolicyPlayer(HashEvaluator(v)),
    "one-ply": lambda v: OnePlyPlayer(HashEvaluator(v)),
    "search": lambda v: SearchPlayer(HashEvaluator(v), Budget(48)),
    "gumbel": lambda v: SearchPlayer(HashEvaluator(v), Budget(40, root="gumbel")),
    "one simulation": lambda v: SearchPlayer(HashEvaluator(v), Budget(1)),
    "search without q": lambda v: SearchPlayer(_WithoutQ(HashEvaluator(v)), Budget(40)),
    "in lanes": lambda v: SearchPlayer(_InLanes(v), Budget(40)),
}


class _InLanes(HashEvaluator):
    """One that three threads ask at once."""

    lanes = 3


class _WithoutQ:
    """An evaluator that has only what the contract requires."""

    lanes = 1

    def __init__(self, inner: Evaluator) -> None:
        self.inner, self.variant = inner, inner.variant

    def evaluate(self, boards):  # type: ignore[no-untyped-def]
        """Without q."""
        return self.inner.evaluate(boards)._replace(q=None)


@pytest.fixture(params=PLAYERS)
def make_player(request: pytest.FixtureRequest) -> MakePlayer:
    return PLAYERS[request.param]


@pytest.mark.parametrize("variant", [MICRO, MINI, STANDARD], ids=lambda v: v.name)
def test_games_are_legal_and_scored_by_the_rules(make_player: MakePlayer, variant: Variant) -> None:
    keys = game_keys(1, 6)
    games = play_games(make_player(variant), draw_orders(variant, keys), keys)
    assert (np.sort(games.cells, axis=1) == np.arange(variant.cells)).all()
    assert (games.scores() == scores(variant, games.boards()[:, -1])).all()


@given(seed=st.integers(0, 2**40), batch=st.integers(1, 9))
@settings(max_examples=8, deadline=None)
@pytest.mark.parametrize("name", PLAYERS)
def test_the_same_games_in_any_batch(name: str, seed: int, batch: int) -> None:
    keys = game_keys(seed, 9)
    orders = draw_orders(MINI, keys)
    together = play_games(PLAYERS[name](MINI), orders, keys, batch=9)
    apart = play_games(PLAYERS[name](MINI), orders, keys, batch=batch)
    assert (together.cells == apart.cells).all()


@given(seed=st.integers(0, 2**40), turn=st.integers(1, MINI.cells - 1))
@settings(max_examples=8, deadline=None)
@pytest.mark.parametrize("name", PLAYERS)
def test_no_player_sees_the_coming_draws(name: str, seed: int, turn: int) -> None:
    keys = game_keys(seed, 5)
    orders = draw_orders(MINI, keys)
    others = orders.copy()
    for row, order in enumerate(orders):
        unseen = np.setdiff1d(np.arange(MINI.tiles), order[:turn]).astype(np.int8)
        shuffled = np.random.default_rng([seed, row]).permutation(unseen)
        others[row, turn:] = shuffled[: MINI.cells - turn]
    cells = play_games(PLAYERS[name](MINI), orders, keys).cells
    other_cells = play_games(PLAYERS[name](MINI), others, keys).cells
    assert (cells[:, :turn] == other_cells[:, :turn]).all()


def test_a_player_with_no_games_to_play(make_player: MakePlayer) -> None:
    nothing = np.zeros(0, dtype=np.int8)
    cells = make_player(MINI).choose(MINI.empty_boards(0), nothing, game_keys(0, 0))
    assert cells.shape == (0,)


@pytest.mark.parametrize("kind", ["uniform", "hash", "exact"])
def test_evaluators_follow_the_contract(kind: str, micro_solution: Solution) -> None:
    evaluator: Evaluator = {
        "uniform": UniformEvaluator(MICRO),
        "hash": HashEvaluator(MICRO),
        "exact": ExactEvaluator(micro_solution),
    }[kind]
    boards = random_boards(MICRO, 24, seed=2)
    for count in (0, 1, 2, 24):
        answer = evaluator.evaluate(boards[:count])
        shape = (count, MICRO.tiles, MICRO.cells)
        assert answer.policy_logits.shape == shape
        assert answer.policy_logits.dtype == answer.value.dtype == np.float32
        assert answer.value.shape == (count,)
        assert answer.q is not None
        assert answer.q.shape == shape
    whole = evaluator.evaluate(boards)
    for row in range(0, 24, 5):
        one = evaluator.evaluate(boards[row : row + 1])
        assert (one.policy_logits[0] == whole.policy_logits[row]).all()
        assert one.value[0] == whole.value[row]
    full = (boards >= 0).all(axis=1)
    assert full.any()
    assert (whole.value[full] == 0).all()
    if kind == "hash":
        filled = np.broadcast_to((boards >= 0)[:, None], whole.policy_logits.shape)
        assert (whole.policy_logits[filled] == MASKED_LOGIT).all()
