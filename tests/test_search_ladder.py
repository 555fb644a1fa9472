"""The ladder of searches: a rung that is played in pieces is the rung."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up import MICRO, HashEvaluator
from search_ladder import begun, gained, play_rung, rung_in, rung_of

from azx.runtime.errors import UsageError
from azx.runtime.files import write_json
from azx.runtime.seeds import draw_orders, game_keys
from azx.runtime.stats import estimate

ORDERS = draw_orders(MICRO, game_keys(3, 24))


def _rung(name: str, *counts: int) -> dict[str, Any]:
    kept = rung_in({"rungs": {}}, name, max(counts))
    for count in counts:
        play_rung(HashEvaluator(MICRO), name, ORDERS[:count], kept, lambda: None)
    return kept


def test_more_games_go_on_with_those_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """12 games and then 24, where the parts are of 10."""
    monkeypatch.setattr("search_ladder.PART", 10)
    whole, extended = _rung("2", 24), _rung("2", 12, 24)
    assert len(whole["score"]) == 24
    for kind in ("score", "without_luck"):
        assert extended[kind] == whole[kind]
    assert len(set(whole["score"])) > 3, "the order of the games shows"
    assert len(set(whole["without_luck"])) > 3


def test_searches_are_judged_by_their_moves() -> None:
    assert _rung("2", 1)["judge"] == "moves:4+64"
    assert _rung("0", 1)["judge"] == "q"


def test_only_those_that_were_judged_alike_are_pairs() -> None:
    first = {"judge": "q", "score": [1, 5, 6], "without_luck": [1.0, 3.0, 5.0]}
    other = {"judge": "q", "score": [2, 6], "without_luck": [2.0, 4.0]}
    pairs = gained(other, first, "without_luck")
    assert (pairs.mean, pairs.half_width) == (1.0, 0.0)
    apart = gained({**other, "judge": "moves"}, first, "without_luck")
    alone = estimate([2.0, 4.0]), estimate([1.0, 3.0, 5.0])
    assert apart.mean == 0.0
    assert apart.half_width == pytest.approx(np.hypot(*(a.half_width for a in alone)))
    assert gained({**other, "judge": "moves"}, first, "score").half_width == 0.0, "same orders"


def test_a_file_goes_on_with_its_own_model_and_orders(tmp_path: Path) -> None:
    file = tmp_path / "ladder.json"
    found: dict[str, Any] = begun(file, "abc", ORDERS)
    found["rungs"]["0"] = {"score": [1], "without_luck": [1.5], "seconds": [0.1]}
    write_json(file, found)
    assert begun(file, "abc", ORDERS) == found
    with pytest.raises(UsageError, match="of another model: abc"):
        begun(file, "abd", ORDERS)
    with pytest.raises(UsageError, match="of other orders"):
        begun(file, "abc", np.roll(ORDERS, 1, axis=0))
    del found["orders_sha256"]
    write_json(file, found)
    with pytest.raises(UsageError, match="does not say of which"):
        begun(file, "abc", ORDERS)


@pytest.mark.parametrize("text", ["400", "r:10", "x4:10", "400:many", "400:0", "400:-5", "r0:5"])
def test_a_rung_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="a rung is like"):
        rung_of(text)


def test_a_rung_is_a_budget_and_games() -> None:
    assert rung_of("r400:20") == ("r400", 20)


def test_a_rung_goes_on_with_its_own_judge() -> None:
    found: dict[str, Any] = {"rungs": {}}
    assert rung_in(found, "r400", 9)["score"] == []
    assert rung_in(found, "r400", 9) is found["rungs"]["r400"]
    assert rung_in(found, "0", 9)["judge"] == "q"
    found["rungs"]["r400"] |= {"score": [160], "measured": {"commit": "abc1234"}}
    assert rung_in(found, "r400", 1)["score"] == [160], "nothing is missing"
    with pytest.raises(UsageError, match=r"rollouts:400 was begun at .*abc1234.*, this is"):
        rung_in(found, "r400", 2)
    del found["rungs"]["r400"]["judge"]  # as it was before there was a choice
    with pytest.raises(UsageError, match="rollouts:400 was judged by one ply, not by moves:4"):
        rung_in(found, "r400", 1)
