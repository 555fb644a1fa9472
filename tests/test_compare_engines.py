"""The comparison of engines: the rules told once more for peers, and what it does without them."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from conftest import REPOSITORY
from made_up import check_boards

from azx.runtime import rules
from azx.runtime.bench.search import positions
from azx.runtime.search import Budget
from azx.runtime.variant import STANDARD


@pytest.fixture(scope="module", autouse=True)
def benchmarks() -> Iterator[None]:
    """The folder of the command, where the command finds its engines."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(REPOSITORY / "benchmarks")
        yield


@pytest.fixture(scope="module")
def compare() -> ModuleType:
    """The command, as a module."""
    return importlib.import_module("compare_engines")


@pytest.fixture(scope="module")
def mctx_engine() -> ModuleType:
    """The peer in JAX."""
    return importlib.import_module("engines.mctx_engine")


@pytest.fixture(scope="module")
def openspiel_engine() -> ModuleType:
    """The peer in C++."""
    return importlib.import_module("engines.openspiel_engine")


def test_positions_need_a_search_and_draw_a_tile_that_is_left() -> None:
    budget = Budget(200)
    boards, tiles = positions(STANDARD, 100, budget.exact_cells)
    check_boards(STANDARD, boards)
    assert len(boards) == 100
    assert rules.legal_cells(boards).sum(axis=1).min() > budget.exact_cells + 1
    assert rules.tiles_left(STANDARD, boards)[np.arange(100), tiles].all()


def test_the_evaluators_copy_of_a_position_is_over(openspiel_engine: ModuleType) -> None:
    position = openspiel_engine.Position()
    position.draw(26)
    walked = copy.deepcopy(position)
    walked.place(3)
    assert not walked.over
    assert copy.deepcopy(walked).over
    assert position.board.max() == rules.EMPTY  # the copy is one


def test_a_peer_that_is_absent_is_skipped_with_the_reason(
    compare: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = ({"no-such-package": "no_such_module"}, compare.openspiel_engines)
    monkeypatch.setattr(compare, "ENGINES", [compare.ENGINES[0], absent])
    engines, versions = compare.prepared(2, Budget(4))
    assert [engine.name for engine in engines] == ["azx"]
    assert versions == {}
    said = capsys.readouterr().err
    assert "no_such_module" in said
    assert "pip install no-such-package" in said


def test_the_report_compares_medians(compare: ModuleType) -> None:
    engines = [
        compare.Engine(name, 1, "this", "that", lambda seconds: seconds) for name in ("azx", "peer")
    ]
    rates = {"azx": [90.0, 100.0, 500.0], "peer": [40.0, 60.0, 50.0]}
    lines = compare.report(engines, rates, Budget(200))
    assert "| peer | 1 | 50 | 40 to 60 | 2.00 times |" in lines


def test_the_cost_of_rollouts_is_taken_off(
    openspiel_engine: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(openspiel_engine.time, "process_time", lambda: clock[0])

    def costs(rollouts: int) -> Any:
        def search() -> int:
            clock[0] += 10 * (0.25 + 2.0 * rollouts)
            return 10

        return search

    few, more = costs(openspiel_engine.FEW_ROLLOUTS), costs(openspiel_engine.MORE_ROLLOUTS)
    assert openspiel_engine.rate_without_rollouts(few, more, 1000.0) == pytest.approx(1 / 0.25)


def test_the_rules_in_jax_are_the_rules(mctx_engine: ModuleType) -> None:
    pytest.importorskip("jax", reason="jax is not installed: pip install jax")
    mctx_engine.check_jax_rules(500, seed=1)


def test_openspiel_plays_by_the_rules(openspiel_engine: ModuleType) -> None:
    pytest.importorskip("pyspiel", reason="OpenSpiel is not installed: pip install open_spiel")
    rng = np.random.default_rng(2)
    state = openspiel_engine.openspiel_game().new_initial_state()
    board = STANDARD.empty_boards(1)
    while not state.is_terminal():
        left = np.flatnonzero(rules.tiles_left(STANDARD, board)[0])
        assert [tile for tile, _ in state.chance_outcomes()] == left.tolist()
        tile = int(rng.choice(left))
        state.apply_action(tile)
        cells = np.flatnonzero(rules.legal_cells(board)[0])
        assert state.legal_actions() == cells.tolist()
        cell = int(rng.choice(cells))
        state.apply_action(cell)
        board[0, cell] = tile
    assert state.returns() == [rules.scores(STANDARD, board)[0]]


def test_openspiel_judges_by_the_points_so_far(openspiel_engine: ModuleType) -> None:
    pytest.importorskip("pyspiel", reason="OpenSpiel is not installed: pip install open_spiel")
    import pyspiel

    boards, tiles = positions(STANDARD, 60, Budget(1).exact_cells)
    game = openspiel_engine.openspiel_game()
    states = openspiel_engine.openspiel_states(game, boards, tiles)
    for state, board, tile in zip(states, boards, tiles, strict=True):
        cells = np.flatnonzero(board < 0)
        evaluator = pyspiel.RandomRolloutEvaluator(1, 0)
        # One simulation for the root and one for each cell.
        bot = pyspiel.MCTSBot(game, evaluator, 1.0, 1 + len(cells), 10, False, 0, False)
        for child in bot.mcts_search(state).children:
            after = board.copy()
            after[child.action] = tile
            assert child.explore_count == 1
            assert child.total_reward == rules.scores(STANDARD, after[None])[0]
