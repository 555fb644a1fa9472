"""`azx bench strength`: early stopping, pairs, and other people's scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from bench_testing import SCHEMA
from cli_testing import good, refused, run
from made_up import HashEvaluator

from azx.runtime.bench.scores import read_scores
from azx.runtime.bench.strength import (
    Entrant,
    orders_hash,
    pair,
    play_all,
    player_named,
    unsettled_by,
)
from azx.runtime.errors import RecordError
from azx.runtime.play import play_games
from azx.runtime.players import GreedyPlayer, Player, RandomPlayer
from azx.runtime.records import Games
from azx.runtime.search import room
from azx.runtime.search.tree import bytes_per_node
from azx.runtime.seeds import draw_orders, game_keys
from azx.runtime.variant import MINI


def entrant(scores: list[float]) -> Entrant:
    return Entrant("made up", GreedyPlayer(MINI), scores=scores)


def test_early_stopping_goes_by_widths_alone() -> None:
    rng = np.random.default_rng(2)
    luck = rng.normal(150.0, 25.0, 1000)
    first, near = entrant(luck.tolist()), entrant((luck + rng.normal(1.0, 3.0, 1000)).tolist())
    assert pair(first, near).mean == pytest.approx(1.0, abs=0.3)
    assert unsettled_by([first, near]) == pytest.approx(1.96 * 3 / np.sqrt(1000), rel=0.1)
    assert unsettled_by([first]) == pytest.approx(1.96 * 25 / np.sqrt(1000), rel=0.1)
    far = entrant((luck + rng.normal(1.0, 9.0, 1000)).tolist())
    assert unsettled_by([first, near, far]) == pytest.approx(1.96 * 9 / np.sqrt(1000), rel=0.1)


def test_it_plays_until_the_question_is_settled() -> None:
    orders = draw_orders(MINI, game_keys(3, 2000))
    entrants = [Entrant("random", RandomPlayer(MINI)), Entrant("greedy", GreedyPlayer(MINI))]
    ended = play_all(entrants, orders, None, until=1.5)
    played = len(entrants[0].scores)
    assert ended == f"settled to 1.5 points after {played} games"
    assert 200 <= played < 2000
    assert pair(*entrants).half_width <= 1.5 < np.std(entrants[0].scores)
    assert pair(*entrants).ci95[0] > 5


def test_it_says_what_is_not_settled() -> None:
    orders = draw_orders(MINI, game_keys(3, 300))
    entrants = [Entrant("random", RandomPlayer(MINI)), Entrant("greedy", GreedyPlayer(MINI))]
    ended = play_all(entrants, orders, None, until=0.01)
    assert ended == f"not settled: ± {unsettled_by(entrants):.2f} after all 300 games"
    few = [Entrant("random", RandomPlayer(MINI)), Entrant("greedy", GreedyPlayer(MINI))]
    assert play_all(few, orders[:150], None, until=100.0).startswith("not settled")


def test_the_trees_of_all_players_fit_in_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer games in step are the same games."""
    orders = draw_orders(MINI, game_keys(3, 100))

    def played() -> list[Entrant]:
        entrants = [
            Entrant(name, player_named(name, MINI, HashEvaluator(MINI)))
            for name in ("mcts:4", "mcts:9", "policy")
        ]
        play_all(entrants, orders, None)
        return entrants

    whole = played()
    monkeypatch.setattr(room, "memory_limit", lambda: 400 * bytes_per_node(MINI))
    apart = played()
    assert [entrant.scores for entrant in apart] == [entrant.scores for entrant in whole]
    assert apart[0].player._games == 20  # type: ignore[attr-defined]
    assert apart[1].player._games == 10  # type: ignore[attr-defined]


def test_interrupted_it_keeps_the_blocks_that_all_have_played(
    mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played = []

    def few(player: Player, *asked: Any, **more: Any) -> Games:
        if len(played) == 3:  # in the second block, after the first player's turn
            raise KeyboardInterrupt
        played.append(player.name)
        return play_games(player, *asked, **more)

    monkeypatch.setattr("azx.runtime.bench.strength.play_games", few)
    path = tmp_path / "strength.json"
    command = ("bench", "strength", "--model", mini, "--player", "policy", "--player", "greedy",
               "--games", 300, "--json", path)  # fmt: skip
    assert run(*command).exit_code == 130
    section = json.loads(path.read_text())["strength"]
    assert section["ended"] == "interrupted after 100 games"
    assert [len(entrant["scores"]) for entrant in section["entrants"]] == [100, 100]
    path.write_text("an older result")
    played.clear()
    assert run(*command).exit_code == 130
    assert path.read_text() == "an older result"


def test_strength_beside_others(mini: Path, tmp_path: Path) -> None:
    orders = draw_orders(MINI, game_keys(8, 250))
    np.save(tmp_path / "orders.npy", orders)
    scores = tmp_path / "scores.csv"
    scores.write_text("them,me\n" + "30,40\n" * 250)
    path = tmp_path / "strength.json"
    shown = good(
        run("bench", "strength", "--model", mini, "--player", "one-ply", "--player", "mcts:4",
            "--player", "rollouts:4", "--player", "greedy", "--orders", tmp_path / "orders.npy",
            "--against", scores, "--json", path)
    )  # fmt: skip
    found = json.loads(path.read_text())
    jsonschema.validate(found, SCHEMA)
    section = found["strength"]
    assert section["orders"] == {"offered": 250, "games": 250, "sha256": orders_hash(orders)}
    assert [(e["name"], e["model"], e["simulations"]) for e in section["entrants"]] == [
        ("one-ply", "mini", None), ("mcts:4", "mini", 4), ("rollouts:4", "mini", 4),
        ("greedy", None, None),
    ]  # fmt: skip
    means = {e["name"]: e["mean"]["mean"] for e in section["entrants"]}
    against = {(a["name"], a["other"]): a["mean"] for a in section["against"]}
    assert against["greedy", "them"] == pytest.approx(means["greedy"] - 30)
    assert "250 orders: all 250 games were played" in shown


def test_stopping_early_keeps_the_orders_that_were_offered(mini: Path, tmp_path: Path) -> None:
    paths = [tmp_path / "all.json", tmp_path / "some.json"]
    common = ("bench", "strength", "--model", mini, "--player", "policy", "--player", "greedy",
              "--games", 400)  # fmt: skip
    good(run(*common, "--json", paths[0]))
    good(run(*common, "--until", 50, "--json", paths[1]))
    whole, some = (json.loads(path.read_text())["strength"]["orders"] for path in paths)
    assert (whole["games"], some["games"]) == (400, 200)
    assert (whole["sha256"], whole["offered"]) == (some["sha256"], some["offered"])
    shown = good(run("bench", "compare", *paths))
    assert shown.count("+0.0% to +0.0%") == 2  # in pairs: the same games


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a\n1\n", "has 1 scores, there are 3 orders"),
        ("a,b\n1,2\n3\n4,5\n", "line 3: found 1 values, expected 2"),
        (",a\n0,9\n1,9\n2,8\n", "every column needs the name of a player"),
        ("a,a\n0,9\n1,9\n2,8\n", "no two the same"),
        ("game,a\n0,9\n1,9\n2,8\n", "column 'game' numbers the rows"),
        ("a\n9\nx\n8\n", "is no table of scores"),
        ("a\n9\nnan\n8\n", "a score that is no number"),
    ],
)
def test_what_is_no_table_of_scores(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(text)
    with pytest.raises(RecordError, match=says):
        read_scores(path, 3)


def test_wrong_use(mini: Path, tmp_path: Path) -> None:
    strength = ("bench", "strength", "--model", mini)
    refused(run(*strength, "--player", "best"), "no player 'best'")
    refused(run(*strength, "--player", "rollouts"), "no player 'rollouts'")
    refused(run(*strength, "--player", "rollouts:0"), "rollouts takes a number")
    refused(run(*strength, "--player", "mcts:5", "--player", "mcts:5"), "given twice")
    refused(run(*strength, "--against", tmp_path / "x.csv"), "needs the --orders")
    np.save(tmp_path / "two.npy", draw_orders(MINI, game_keys(8, 2)))
    asked = ("--orders", tmp_path / "two.npy", "--games", 3)
    refused(run(*strength, *asked), "has 2 orders, asked for were --games 3")
