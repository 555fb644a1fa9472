"""Cards and the page of figures: what they take over from what was measured before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from how_strong import ladder_rows, ladder_rungs
from model_cards import figures_of_before, rows, strength


def _figure(mean: float, spread: float) -> dict[str, Any]:
    scores = mean + spread * np.tile([-1.0, 1.0], 200)
    measured = {"commit": "abc1234", "processor": "a core"}
    return strength(scores, scores, 100.0, {"peer": np.full(500, 160)}, measured)


@pytest.fixture
def card(tmp_path: Path) -> Path:
    figures = {name: _figure(mean, 10) for name, mean in (("policy", 161.0), ("one-ply", 162.0))}
    figures["rollouts:400"] = _figure(163.5, 20)
    file = tmp_path / "standard.json"
    file.write_text(json.dumps({"sha256": "1234", "figures": figures}))
    return file


def test_a_card_keeps_what_is_known_of_the_same_model(card: Path) -> None:
    assert list(figures_of_before(card, "1234", [])) == ["policy", "one-ply", "rollouts:400"]
    assert list(figures_of_before(card, "1234", ["rollouts:400"])) == ["policy", "one-ply"]
    assert figures_of_before(card, "of another", []) == {}
    assert figures_of_before(card.with_name("none.json"), "1234", []) == {}


def test_a_figure_says_where_it_was_measured(card: Path) -> None:
    figures = figures_of_before(card, "1234", [])
    assert rows(figures)[2].endswith("peer +1.00 (+0.02 to +1.98) | `abc1234`, a core |")
    del figures["policy"]["measured"]  # as on cards of before
    assert rows(figures)[2].endswith("(+0.02 to +1.98) |  |")


def test_the_page_has_the_rungs_of_the_card(card: Path) -> None:
    rungs = ladder_rungs(card, "1234", 19)
    assert ladder_rows(rungs)[2:] == [
        "| one-ply | 400 | 162.00 ± 0.98 |  | 13.2 | `abc1234`, a core |",
        "| rollouts:400 | 400 | 163.50 ± 1.97 | +1.50 ± 2.20 | 13.2 | `abc1234`, a core |",
    ]
    with pytest.raises(SystemExit, match="of another model, 1234: write it anew first"):
        ladder_rungs(card, "4321", 19)
