"""Runs that begin with the weights of another: what fits, and what they must not play again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_testing import SMALL, Silent

from azx.runtime.errors import UsageError
from azx.trainer.checkpoint import load_network
from azx.trainer.config import load_config
from azx.trainer.train import train

CHECKPOINTS = Path(__file__).resolve().parents[1] / "checkpoints"


def test_a_run_begins_from_another(tmp_path: Path) -> None:
    train(SMALL, tmp_path / "first", Silent())
    still = replace(SMALL.learning, rate=1e-9, weight_decay=0.0)
    taken = replace(SMALL, rounds=1, seed=SMALL.seed + 1, learning=still)
    train(taken, tmp_path / "second", Silent(), begin_from=tmp_path / "first")
    first, second = (load_network(tmp_path / run) for run in ("first", "second"))
    for name, tensor in first.network.state_dict().items():
        torch.testing.assert_close(second.network.state_dict()[name], tensor)
    assert second.info["begun_from"]["round"] == first.info["round"]
    wider = replace(SMALL, network=replace(SMALL.network, width=64))
    deeper = replace(wider, network=replace(wider.network, blocks=2))
    for config in (wider, deeper):  # to be deeper is no fault
        with pytest.raises(UsageError, match=r"another shape: --set network\.width=32 fits it"):
            train(config, tmp_path / "third", Silent(), begin_from=tmp_path / "first")
    regrouped = replace(SMALL, network=replace(SMALL.network, groups=8))
    with pytest.raises(UsageError, match=r"another shape: --set network\.groups=4 fits it"):
        train(regrouped, tmp_path / "third", Silent(), begin_from=tmp_path / "first")
    for half_turn in (False, True):
        standard = replace(
            SMALL, variant="standard", network=replace(SMALL.network, half_turn=half_turn)
        )
        with pytest.raises(UsageError, match=r"begin from plays mini.*--set variant=mini"):
            train(standard, tmp_path / "third", Silent(), begin_from=tmp_path / "first")


def test_a_run_does_not_begin_with_the_deals_that_its_weights_have_been_through(
    tmp_path: Path,
) -> None:
    seed = SMALL.seed
    stages = replace(SMALL, rounds=1, then=(replace(SMALL, seed=seed + 5),))
    train(stages, tmp_path / "first", Silent(), stop=lambda: True)  # nothing of seed + 5
    second = replace(SMALL, rounds=1, seed=seed + 5)
    train(second, tmp_path / "second", Silent(), begin_from=tmp_path / "first")
    for run, of_stages, says in (
        ("first", [0], rf"of seed {seed} already; for other games --set seed={seed + 1}$"),
        ("second", [5], rf"of seed {seed + 5} already; for other games --set seed={seed + 6}$"),
        ("second", [0, 1], rf"of seed {seed} already; for other games --set seed={seed + 6}$"),
        ("second", [1, 0], rf"of seed {seed} already.*give the later stages seeds from {seed + 6}"),
        ("second", [5, 0], rf"{seed + 5}, {seed}.*seed={seed + 6}, and later.*from {seed + 7} on"),
    ):
        first, *later = (replace(SMALL, seed=seed + more) for more in of_stages)
        again = replace(first, then=tuple(later))
        with pytest.raises(UsageError, match=says):
            train(again, tmp_path / "third", Silent(), begin_from=tmp_path / run)
    assert not (tmp_path / "third").exists()


def test_training_goes_on_from_the_champion(tmp_path: Path) -> None:
    """Its heads have grown to many times what they began with, which is no fault of theirs."""

    class Enough(Exception):
        pass

    class AtTheFirstStep(Silent):
        def passed(self, found: object) -> None:
            raise Enough

    onwards, champion = CHECKPOINTS / "onwards.toml", CHECKPOINTS / "champion.json"
    with pytest.raises(Enough):
        train(load_config(str(onwards), []), tmp_path, AtTheFirstStep(), begin_from=champion)
