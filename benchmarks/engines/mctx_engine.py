"""mctx: the rules in JAX, for B games at once.

JAX and mctx are imported only where they are used: they may be absent, and read the environment
when they are imported.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from azx.runtime import rules
from azx.runtime.bench.search import positions
from azx.runtime.search import Budget
from azx.runtime.variant import AXES, STANDARD
from engines.common import Engine, measured

#: Games in step whose trees stay in a processor's cache: mctx is faster on them than on many.
FEW_GAMES = 32


def jax_start(boards: Any, tiles: Any) -> dict[str, Any]:
    """What a decision of mctx holds: `board` int8 [B, C], `tile` int32 [B]."""
    import jax.numpy as jnp

    return {"board": jnp.asarray(boards, jnp.int8), "tile": jnp.asarray(tiles, jnp.int32)}


def jax_place(state: dict[str, Any], cell: Any) -> dict[str, Any]:
    """The afterstate of laying the tile on `cell` [B]: `board`, and `gain` float32 [B]."""
    import jax.numpy as jnp

    tables = STANDARD.tables
    tile_values = jnp.asarray(tables.tile_values)
    here = jnp.arange(STANDARD.cells) == cell[:, None]
    board = jnp.where(here, state["tile"][:, None].astype(jnp.int8), state["board"])
    lines = jnp.asarray(tables.cell_lines)[cell]  # [B, A]
    cells = jnp.asarray(tables.line_cells)[lines]  # [B, A, longest]
    on_line = jnp.take_along_axis(board[:, None, :], jnp.maximum(cells, 0), axis=2)
    shown = tile_values[jnp.maximum(on_line, 0), jnp.arange(AXES)[:, None]]
    number = tile_values[state["tile"]]  # [B, A]
    alike = (on_line >= 0) & (shown == number[:, :, None])
    pays = (alike | (cells < 0)).all(axis=2)
    points = jnp.where(pays, number * jnp.asarray(tables.line_length)[lines], 0).sum(axis=1)
    over = (state["board"] >= 0).all(axis=1)  # mctx goes on below a full board
    return {"board": board, "gain": jnp.where(over, 0, points).astype(jnp.float32)}


def jax_tiles_left(board: Any) -> Any:
    """bool [B, T]: the tiles that may be drawn next."""
    import jax.numpy as jnp

    return ~(board[:, :, None] == jnp.arange(STANDARD.tiles)).any(axis=1)


def _logits(possible: Any) -> Any:
    import jax.numpy as jnp

    return jnp.where(possible, 0.0, jnp.finfo(jnp.float32).min)


def _mctx_place(params: Any, key: Any, cell: Any, state: Any) -> tuple[Any, Any]:
    """A decision's answer, as mctx wants it: what may be drawn, no points to come."""
    import mctx

    after = jax_place(state, cell)
    answer = mctx.DecisionRecurrentFnOutput(
        chance_logits=_logits(jax_tiles_left(after["board"])), afterstate_value=after["gain"]
    )
    return answer, after


def _mctx_draw(params: Any, key: Any, tile: Any, after: Any) -> tuple[Any, Any]:
    """A draw's answer, as mctx wants it: the gain of the placement before, and the empty cells."""
    import jax.numpy as jnp
    import mctx

    state = jax_start(after["board"], tile)
    goes_on = (after["board"] < 0).any(axis=1).astype(jnp.float32)
    answer = mctx.ChanceRecurrentFnOutput(
        action_logits=_logits(after["board"] < 0),
        value=jnp.zeros_like(after["gain"]),
        reward=after["gain"],
        discount=goes_on,
    )
    return answer, state


def mctx_search(simulations: int) -> Callable[[Any, dict[str, Any]], Any]:
    """Compiled: the action weights [B, C] of a search of these states with a random key."""
    import jax
    import jax.numpy as jnp
    import mctx

    def search(key: Any, state: dict[str, Any]) -> Any:
        filled = state["board"] >= 0
        root = mctx.RootFnOutput(
            prior_logits=_logits(~filled), value=jnp.zeros(len(filled)), embedding=state
        )
        return mctx.stochastic_muzero_policy(
            None, key, root, _mctx_place, _mctx_draw, simulations, filled, dirichlet_fraction=0.0
        ).action_weights

    return jax.jit(search)


def check_jax_rules(count: int, seed: int) -> None:
    """AssertionError unless gains, boards and tiles left are as this project's, at random."""
    rng = np.random.default_rng(seed)
    boards, tiles = positions(STANDARD, count, exact_cells=-1)
    cells = np.where(rules.legal_cells(boards), rng.random(boards.shape), -1.0).argmax(axis=1)
    after = jax_place(jax_start(boards, tiles), cells)
    gains = rules.placement_gains(STANDARD, boards, tiles, cells.astype(np.int8))
    boards[np.arange(len(boards)), cells] = tiles
    assert (np.asarray(after["gain"]) == gains).all(), "the rules in JAX pay other gains"
    assert (np.asarray(after["board"]) == boards).all(), "the rules in JAX lay tiles elsewhere"
    left = np.asarray(jax_tiles_left(after["board"]))
    assert (left == rules.tiles_left(STANDARD, boards)).all(), "the rules in JAX draw other tiles"


def mctx_engines(games: int, budget: Budget) -> list[Engine]:
    """mctx on the CPU, with few games and with as many as this project's search has."""
    check_jax_rules(2000, seed=0)
    return [mctx_engine(batch, budget) for batch in sorted({min(FEW_GAMES, games), games})]


def mctx_engine(games: int, budget: Budget) -> Engine:
    """mctx on the CPU, compiled before it is measured."""
    import jax

    search = mctx_search(budget.simulations)
    state = jax_start(*positions(STANDARD, games, budget.exact_cells))
    keys = (jax.random.key(number) for number in range(sys.maxsize))
    search(next(keys), state).block_until_ready()  # compiles

    def run() -> int:
        search(next(keys), state).block_until_ready()
        return games * budget.simulations

    return Engine(
        f"mctx, stochastic_muzero_policy, {games:,} games",
        games,
        "this game, rules compiled by XLA, many games in step, no network; compile time is left "
        "out",
        "a simulation makes one node, a chance node or a decision: two of them make what one of "
        "azx makes; nothing is worked out exactly",
        lambda seconds: measured(run, seconds),
    )
