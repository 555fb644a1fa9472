"""The network: its contract, what it sees of a board, its symmetry, how it begins and grows."""

from __future__ import annotations

from dataclasses import replace
from math import comb

import numpy as np
import pytest
import torch
from conftest import random_boards
from torch import nn
from training_testing import GROUPS, network_of

from azx.runtime import rules
from azx.runtime.contract import MASKED_LOGIT
from azx.runtime.errors import UsageError
from azx.runtime.variant import MINI, STANDARD, Variant
from azx.trainer.encoding import BoardEncoding
from azx.trainer.growth import grow
from azx.trainer.initialise import initialise
from azx.trainer.lines import Incidence, Step, VectorGroupNorm
from azx.trainer.network import NetworkConfig, PolicyValueNetwork


@pytest.mark.parametrize("trunk", list(GROUPS))
@pytest.mark.parametrize("variant", [MINI, STANDARD], ids=lambda v: v.name)
def test_the_network_follows_the_contract(trunk: str, variant: Variant) -> None:
    boards = random_boards(variant, 3 * (variant.cells + 1), seed=1)
    with torch.inference_mode():
        network = network_of(variant, trunk)
        logits, value, q = network(torch.from_numpy(boards))
        gains = network.encoding(torch.from_numpy(boards)).gains
    assert logits.shape == q.shape == (len(boards), variant.tiles, variant.cells)
    assert logits.dtype == value.dtype == q.dtype == torch.float32
    assert (gains.numpy() == rules.all_gains(variant, boards)).all()
    filled = torch.from_numpy(boards >= 0)
    assert (logits.transpose(1, 2)[filled] == MASKED_LOGIT).all()
    assert (logits.transpose(1, 2)[~filled] > -100).all()
    empty = (boards < 0).sum(axis=1)
    assert (value[empty == 0] == 0).all()
    assert (q[empty <= 1] == 0).all()
    # One cell left: whatever tile comes goes there, so the value is the mean of the gains.
    left = rules.tiles_left(variant, boards)
    for row in np.flatnonzero(empty == 1):
        cell = int(np.flatnonzero(boards[row] < 0)[0])
        expected = gains[row, left[row], cell].mean()
        assert value[row] == pytest.approx(float(expected), abs=1e-4)


def test_every_trunk_looks_at_the_whole_board() -> None:
    board = random_boards(STANDARD, 11, seed=3)[10:]
    for trunk in GROUPS:
        network = network_of(STANDARD, trunk)
        before = network(torch.from_numpy(board)).q
        for cell in np.flatnonzero(board[0] >= 0):
            other = board.copy()
            other[0, cell] = -1
            assert not torch.equal(before, network(torch.from_numpy(other)).q)


def test_a_parameter_without_a_rule_is_an_error() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))

    with pytest.raises(UsageError, match=r"no rule initialises Own at '0' \(scale\)"):
        initialise(nn.Sequential(Own()), 0)


def test_the_table_covers_embeddings_and_free_parameters() -> None:
    free = nn.ParameterList([torch.zeros(50, 40), torch.zeros(2000)])
    network = nn.ModuleList([free, nn.Embedding(30, 100), nn.LayerNorm(8), nn.Conv1d(3, 4, 3)])
    initialise(network, 1)
    assert float(free[0].detach().std()) == pytest.approx(0.02, rel=0.1)
    assert float(free[1].detach().std()) == pytest.approx(0.02, rel=0.1)
    assert float(network[1].weight.detach().std()) == pytest.approx(1.0, rel=0.1)
    assert (network[2].weight == 1).all()


@pytest.mark.parametrize("trunk", list(GROUPS))
def test_every_kind_of_layer_has_its_spread(trunk: str) -> None:
    network = PolicyValueNetwork(STANDARD, NetworkConfig(trunk, 128, 2, GROUPS[trunk]))
    initialise(network, 7, network.heads)
    heads = set(network.heads.modules())
    for module in network.modules():
        if isinstance(module, (nn.GroupNorm,)):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()
        elif isinstance(module, (nn.Linear, nn.Conv2d)):
            gain = 0.1 if module in heads else 0.2 if isinstance(module, Step) else np.sqrt(2)
            expected = gain / np.sqrt(module.weight[0].numel())
            assert float(module.weight.detach().std()) == pytest.approx(expected, rel=0.1)
            assert module.bias is None or bool((module.bias == 0).all())
    again = PolicyValueNetwork(STANDARD, NetworkConfig(trunk, 128, 2, GROUPS[trunk]))
    initialise(again, 7, again.heads)
    for a, b in zip(network.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("variant", [MINI, STANDARD], ids=lambda v: v.name)
def test_chances_and_prospects_are_what_counting_says(variant: Variant) -> None:
    boards = random_boards(variant, 2 * (variant.cells + 1), seed=5)
    encoding = BoardEncoding(variant)
    features = encoding(torch.from_numpy(boards))
    for row, board in enumerate(boards):
        left = np.flatnonzero(rules.tiles_left(variant, board[None])[0])
        draws = int((board < 0).sum())
        alive, chances = {}, {}
        for line, cells in enumerate(variant.lines):
            axis = int(variant.tables.line_axis[line])
            lying = [variant.tile_digits[board[c], axis] for c in cells if board[c] >= 0]
            wanted = len(cells) - len(lying)
            for digit in range(len(variant.values[axis])):
                alive[line, digit] = all(number == digit for number in lying)
                kind = int((variant.tile_digits[left, axis] == digit).sum())
                ways = sum(
                    comb(kind, n) * comb(len(left) - kind, draws - n)
                    for n in range(wanted, draws + 1)
                )
                expected = alive[line, digit] * ways / comb(len(left), draws)
                assert float(features.lines[row, 3, line, digit]) == pytest.approx(
                    expected, abs=1e-6
                )
                pays = variant.values[axis][digit] * len(cells)
                chances[line, digit] = expected
                promised = float(features.lines[row, 4, line, digit]) * encoding.dearest
                assert promised == pytest.approx(expected * pays, abs=1e-4)
        gains = rules.all_gains(variant, board[None])[0][left].sum(axis=0)
        for cell in np.flatnonzero(board < 0):
            suits = np.array(
                [
                    [
                        alive[line, int(variant.tile_digits[tile, axis])]
                        for axis, line in enumerate(variant.tables.cell_lines[cell])
                    ]
                    for tile in left
                ]
            )
            pairs = [(suits[:, [a, b]].all(axis=1)).sum() for a, b in ((0, 1), (0, 2), (1, 2))]
            expected = np.array([*pairs, suits.all(axis=1).sum()]) / variant.tiles
            np.testing.assert_allclose(features.prospects[row, :4, cell], expected, rtol=1e-6)
            told = features.suits[row, cell, left].numpy()
            kinds = [
                suits[:, list(axes)].all(axis=1) for axes in ((0, 1), (0, 2), (1, 2), (0, 1, 2))
            ]
            np.testing.assert_array_equal(told, np.stack(kinds, axis=1))
            for tile, promised in zip(left, features.promised[row, left, cell], strict=True):
                of_lines = [
                    chances[line, digit] * variant.values[axis][digit] * len(variant.lines[line])
                    for axis, line in enumerate(variant.tables.cell_lines[cell])
                    for digit in [int(variant.tile_digits[tile, axis])]
                ]
                assert float(promised) * encoding.dearest == pytest.approx(sum(of_lines), abs=1e-3)
            scale = encoding.dearest * encoding.widest
            assert float(features.prospects[row, 4, cell]) * scale == pytest.approx(gains[cell])
        filled, gone = torch.from_numpy(board >= 0), np.setdiff1d(np.arange(variant.tiles), left)
        assert not features.prospects[row][:, filled].any()
        assert not features.suits[row, filled].any()
        assert not features.suits[row][:, gone].any()
        assert not features.promised[row][:, filled].any()
        assert not features.promised[row, gone].any()
        wanted = features.suits[row, :, :, 3].sum(dim=0)
        torch.testing.assert_close(features.wanted[row] * encoding.longest, wanted)


def test_turned_features_are_those_of_the_turned_board() -> None:
    for variant in (MINI, STANDARD):
        encoding = BoardEncoding(variant)
        boards = torch.from_numpy(random_boards(variant, 40, seed=6))
        turned = encoding.turned(encoding(boards))
        for found, expected in zip(turned, encoding(boards.flip(1)), strict=True):
            torch.testing.assert_close(found, expected)


def two_views(blocks: int = 2) -> PolicyValueNetwork:
    network = PolicyValueNetwork(STANDARD, NetworkConfig("dense", 32, blocks, 4, half_turn=True))
    initialise(network, 3, network.heads)
    return network.eval()


def test_a_board_and_its_half_turn_are_judged_alike() -> None:
    boards = torch.from_numpy(random_boards(STANDARD, 40, seed=1))
    with torch.inference_mode():
        for network in (two_views(), two_views().train(), network_of(STANDARD, "lines")):
            here, there = network(boards), network(boards.flip(1))
            torch.testing.assert_close(there.q, here.q.flip(2))
            torch.testing.assert_close(there.policy_logits, here.policy_logits.flip(2))
            torch.testing.assert_close(there.value, here.value)
        plain = network_of(STANDARD)
        assert not torch.allclose(plain(boards.flip(1)).q, plain(boards).q.flip(2))
        small, lines = torch.from_numpy(random_boards(MINI, 40, seed=1)), network_of(MINI, "lines")
        torch.testing.assert_close(lines(small.flip(1)).q, lines(small).q.flip(2))


def test_the_views_are_mixed() -> None:
    """With two matrices that differ, unlike with one for both, each view tells of the other."""
    layer = two_views().get_submodule("trunk.blocks.0.linear1")
    x, turned = torch.randn(2, 3, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert not torch.allclose(layer(x, turned)[0], layer(x, 2 * turned)[0])
        layer.odd.load_state_dict(layer.even.state_dict())
        torch.testing.assert_close(layer(x, turned)[0], layer.even(x))


def test_a_grown_network_says_what_the_smaller_said() -> None:
    boards = torch.from_numpy(random_boards(STANDARD, 40, seed=2))
    plain, grown, deeper = network_of(STANDARD), two_views(1), two_views(3)
    grow(grown, plain)
    grow(deeper, grown)
    with torch.inference_mode():
        expected = 0.5 * (plain(boards).q + plain(boards.flip(1)).q.flip(2))
        torch.testing.assert_close(grown(boards).q, expected)
        # The activation after an empty block bends what is below zero a little further.
        torch.testing.assert_close(deeper(boards).q, expected, rtol=0.02, atol=0.2)
    with pytest.raises(UsageError, match=r"--set network\.width=32 fits it"):
        grow(PolicyValueNetwork(STANDARD, replace(plain.config, width=64)), plain)
    with pytest.raises(UsageError, match=r"--set network\.blocks=3 fits it"):
        grow(two_views(1), deeper)


@pytest.mark.parametrize("variant", [MINI, STANDARD], ids=lambda v: v.name)
def test_what_cells_and_lines_hear_is_from_their_own(variant: Variant) -> None:
    incidence = Incidence(variant)
    cells = torch.randn(variant.cells, 2, 3, generator=torch.Generator().manual_seed(3))
    lines = torch.randn(len(variant.lines), 2, 3, generator=torch.Generator().manual_seed(4))
    at_lines, at_cells = incidence.lines_from_cells(cells), incidence.cells_from_lines(lines)
    for line, on_it in enumerate(variant.lines):
        torch.testing.assert_close(at_lines[line], cells[list(on_it)].sum(dim=0))
    for cell in range(variant.cells):
        through = [line for line, on_it in enumerate(variant.lines) if cell in on_it]
        torch.testing.assert_close(at_cells[cell], lines[through].sum(dim=0))
    for axis, found in enumerate(incidence.axes_from_lines(lines)):
        own = [i for i in range(len(variant.lines)) if variant.tables.line_axis[i] == axis]
        torch.testing.assert_close(found, lines[own].mean(dim=0))
    torch.testing.assert_close(incidence.mean_of_cells(cells), cells.mean(dim=0))
    torch.testing.assert_close(incidence.mean_of_lines(lines), lines.mean(dim=0))


def test_a_norm_of_vectors_is_group_norm() -> None:
    ours = VectorGroupNorm(24)
    x, weight, bias = torch.randn(3, 24, 24, generator=torch.Generator().manual_seed(2))
    ours.load_state_dict({"weight": weight[0], "bias": bias[0]})
    torch.testing.assert_close(ours(x), nn.functional.group_norm(x, 1, ours.weight, ours.bias))


def test_more_blocks_of_lines_add_nothing_at_first() -> None:
    boards = torch.from_numpy(random_boards(STANDARD, 20, seed=2))
    smaller = network_of(STANDARD, "lines")
    deeper = PolicyValueNetwork(STANDARD, replace(smaller.config, blocks=2))
    grow(deeper, smaller)
    with torch.inference_mode():
        torch.testing.assert_close(deeper(boards).q, smaller(boards).q)


def test_lines_have_one_group() -> None:
    with pytest.raises(UsageError, match=r"groups is 4, .* set network"):
        NetworkConfig("lines", 32, 1, 4)


def test_two_views_need_the_dense_trunk() -> None:
    with pytest.raises(UsageError, match="half_turn needs the dense trunk"):
        NetworkConfig("conv", 32, 1, 4, half_turn=True)
