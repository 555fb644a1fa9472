"""The inputs on which two networks are compared."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_up import check_boards

from azx.export.families import board_families, input_families
from azx.export.inputs import Batch, parse_input
from azx.export.positions import game_positions, odd_positions, parity_positions
from azx.runtime.rules import scores
from azx.runtime.variant import MINI, STANDARD, Variant


@pytest.mark.parametrize("variant", [STANDARD, MINI], ids=lambda variant: variant.name)
def test_positions_cover_every_turn(variant: Variant) -> None:
    real = game_positions(variant, games=6, seed=2)
    check_boards(variant, real.boards)
    assert (np.bincount((real.boards >= 0).sum(axis=1)) == [6] * (variant.cells + 1)).all()
    assert len(np.unique(real.boards, axis=0)) == len(real.boards) - 5  # the empty one is shared
    assert (game_positions(variant, games=6, seed=2).boards == real.boards).all()
    other = game_positions(variant, games=6, seed=3)
    assert (np.sort(other.boards[-6:], axis=1) != np.sort(real.boards[-6:], axis=1)).any()
    full = game_positions(variant, games=400).boards[-400:]
    assert scores(variant, full[1::2]).mean() > 1.3 * scores(variant, full[::2]).mean()
    odd = odd_positions(variant)
    assert len(np.unique(odd.boards, axis=0)) == len(odd.boards) == len(set(odd.origins))
    assert (odd.boards.min(), odd.boards.max()) == (-1, variant.tiles - 1)
    every = parity_positions(variant)
    assert len(every.boards) == len(every.origins) > 512


def test_boards_of_games_and_odd_ones() -> None:
    families = board_families(MINI)
    assert families.names == ["games", "odd"]
    assert len(families.family) == families.batch.rows == len(families.origins)
    assert {families.family[row] for row in families.sample(10)} == {"games", "odd"}


def test_families_of_numbers() -> None:
    families = input_families([parse_input("x=float32[batch,4,3]")])
    assert families.names == ["normal", "constant", "zero", "one-hot", "tiny", "huge"]
    x = families.batch.tensors["x"]
    parts = {name: x[families.rows_of(name)].flatten(1) for name in families.names}
    assert (parts["zero"] == 0).all()
    assert (parts["one-hot"].sum(dim=1) == 1).all()
    assert (parts["constant"].std(dim=1) == 0).all()
    assert parts["tiny"].abs().max() < 0.1 < 10 < parts["huge"].abs().max()


def test_integers_stay_within_their_limits() -> None:
    specs = [parse_input("ids=int64[batch,5]<30"), parse_input("mask=bool[batch,5]")]
    families = input_families(specs)
    assert families.names == ["normal", "constant", "zero"]
    ids = families.batch.tensors["ids"]
    assert (int(ids.min()), int(ids.max())) == (0, 29)
    assert families.batch.tensors["mask"].dtype == torch.bool


def test_rows_are_where_the_input_says() -> None:
    families = input_families([parse_input("x=float32[5,batch,8]")])
    assert families.batch.tensors["x"].shape == (5, len(families.family), 8)
    assert families.take([0, 70]).tensors["x"].shape == (5, 2, 8)


def test_given_rows_come_first() -> None:
    given = Batch({"x": torch.arange(300.0).reshape(100, 3)}, {"x": 0})
    families = input_families([parse_input("x=float32[batch,3]")], given)
    rows = families.batch.tensors["x"][families.rows_of("given")]
    assert (len(rows), rows[0, 0], rows[-1, -1]) == (64, 0.0, 299.0)
