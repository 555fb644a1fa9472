"""`azx review`: one game turn by turn, many in a table, the page and the JSON, bad input."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from cli_testing import good, refused, run

from azx.runtime.onnx_evaluator import open_model
from azx.runtime.play import play_games
from azx.runtime.players import GreedyPlayer
from azx.runtime.records import Games, write_games
from azx.runtime.review import one_ply_judge, review_games, rollout_judge, search_judge
from azx.runtime.seeds import draw_orders, game_keys
from azx.runtime.variant import MINI

GAME = """\
1, [9, 6, 3]
4, [1, 6, 3]
0, [9, 2, 3]
6, [5, 6, 4]
5, [5, 6, 3]
2, [1, 2, 3]
3, [1, 2, 4]
"""

#: The review of that game by the made-up model, after its heading.
TRANSCRIPT = r"""
turn   drawn   cell   best   gain   given away   luck   error   foreseen
────────────────────────────────────────────────────────────────────────
   1   9 6 3      1      2      0          2.8   +2.2    +8.4       29.6
   2   1 6 3      4             6                -1.6    +9.7       37.7
   3   9 2 3      0            18                +8.3    +8.9       54.9
   4   5 6 4      6            12                +3.1    +8.2       66.2
   5   5 6 3      5            10                +5.3   +11.4       82.9
   6   1 2 3      2            10                -0.9   -19.0       63.0
   7   1 2 4      3             3                -4.0    +0.0       59.0

foreseen at the start     21.8
luck of the draws        +12.4
points given away         -2.8
errors of judgement      +27.6
score                     59.0
score without luck        46.6

luckiest draw    turn 3, 9 2 3: +8.3 points
unluckiest draw  turn 7, 1 2 4: -4.0 points

         _______
 _______/   2   \_______    turn      1 of 7
/   0   \_______/   5   \   drawn     9 6 3
\_______/   3   \_______/   laid on   1
/   1   \_______/   6   \   better    2
\_______/   4   \_______/   away      2.8 points
        \_______/
"""


@pytest.fixture
def game(tmp_path: Path) -> Path:
    path = tmp_path / "game.txt"
    path.write_text(GAME)
    return path


@pytest.fixture
def record(tmp_path: Path) -> tuple[Path, Games]:
    keys = game_keys(3, 5)
    games = play_games(GreedyPlayer(MINI), draw_orders(MINI, keys), keys)
    write_games(tmp_path / "five.npz", games)
    return tmp_path / "five.npz", games


def test_a_reviewed_game_reads_like_this(mini: Path, game: Path) -> None:
    shown = good(run("review", game, "--model", mini))
    heading, transcript = shown.split("\n", 1)
    assert heading.startswith(f"{game}, judged by one ply of {mini} (")
    assert transcript == TRANSCRIPT


def test_many_games_are_a_table_and_their_means(mini: Path, record: tuple[Path, Games]) -> None:
    path, games = record
    judged = review_games(games, one_ply_judge(open_model(mini)))
    shown = good(run("review", path, "--model", mini))
    for number, score in enumerate(games.scores()):
        luck = judged.luck[number].sum()
        assert re.search(rf"^ +{number} +{score} +{re.escape(f'{luck:+.1f}')} ", shown, re.M)
    assert "5 games, means with 95% intervals" in shown
    assert f"score          {games.scores().mean():.2f} ± " in shown
    assert f"without luck   {judged.without_luck.mean():.2f} ± " in shown
    assert f"turn by turn: azx review {path} --game N" in shown
    assert max(map(len, shown.splitlines()[1:-1])) <= 80


def test_one_game_of_many(mini: Path, record: tuple[Path, Games], tmp_path: Path) -> None:
    path, games = record
    out = tmp_path / "review.json"
    shown = good(run("review", path, "--model", mini, "--game", 3, "--json", out))
    assert re.search(rf"^score +{games.scores()[3]}\.0$", shown, re.MULTILINE)
    assert [listed["game"] for listed in json.loads(out.read_text())["games"]] == [3]
    refused(run("review", path, "--model", mini, "--game", 5), "has 5 games", "found --game 5")


def test_the_json_holds_every_figure(
    mini: Path, record: tuple[Path, Games], tmp_path: Path
) -> None:
    path, games = record
    out = tmp_path / "sub" / "review.json"
    good(run("review", path, "--model", mini, "--simulations", 2, "--json", out))
    found = json.loads(out.read_text())
    judged = review_games(games, search_judge(open_model(mini), 2))
    assert (found["variant"], found["judge"]) == ("mini", "2 simulations")
    assert found["model"]["path"] == str(mini)
    for number, listed in enumerate(found["games"]):
        total = (
            listed["foreseen_at_the_start"]
            + listed["luck"]
            - listed["given_away"]
            + listed["errors"]
        )
        assert total == pytest.approx(listed["score"])
        assert listed["score"] == games.scores()[number]
        assert listed["without_luck"] == pytest.approx(listed["score"] - listed["luck"])
        assert listed["turning_points"] == [turn + 1 for turn in judged.turning_points(number)]
        for name, of in (("luck", judged.luck), ("given_away", judged.mistakes)):
            assert [move[name] for move in listed["moves"]] == pytest.approx(of[number].tolist())
        assert [move["cell"] for move in listed["moves"]] == games.cells[number].tolist()
        assert listed["moves"][-1]["foreseen"] == listed["score"]


def test_judged_by_rollouts(mini: Path, record: tuple[Path, Games], tmp_path: Path) -> None:
    path, games = record
    out = tmp_path / "review.json"
    good(run("review", path, "--model", mini, "--rollouts", 20, "--json", out))
    found = json.loads(out.read_text())
    judged = review_games(games, rollout_judge(open_model(mini), 20))
    assert found["judge"] == "at most 20 rollouts"
    assert [listed["luck"] for listed in found["games"]] == pytest.approx(
        judged.luck.sum(axis=1).tolist()
    )
    both = ("--rollouts", 20, "--simulations", 2)
    refused(run("review", path, "--model", mini, *both), "--rollouts is a judge of its own")


class Page(HTMLParser):
    """Checks that tags close in turn, and keeps what the tests ask for."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.counts: dict[str, int] = {}
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.outside += [v for k, v in attrs if k in ("src", "href") and v and v[0] != "#"]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_else(
    mini: Path, record: tuple[Path, Games], tmp_path: Path
) -> None:
    path, games = record
    out = tmp_path / "<games>.html"
    named = tmp_path / "<b>.npz"
    path.rename(named)
    shown = good(run("review", named, "--model", mini, "--html", out))
    assert f"written    {out}" in shown
    text = out.read_text()
    page = Page()
    page.feed(text)
    judged = review_games(games, one_ply_judge(open_model(mini)))
    points = sum(len(judged.turning_points(number)) for number in range(5))
    assert points > 0
    assert page.open == []
    assert page.outside == []
    assert page.counts["section"] == 5
    assert page.counts["figure"] == points
    assert page.counts["svg"] == points + 5
    assert page.counts["polygon"] == points * (MINI.cells + 2), "each board and its two outlines"
    assert "<b>" not in text
    assert "&lt;b&gt;.npz" in text
    for needed in ("prefers-color-scheme: dark", "@media print", 'name="viewport"', "utf-8"):
        assert needed in text
    assert f"{judged.without_luck[4]:.1f}" in text


def test_bad_input_is_refused(mini: Path, standard: Path, game: Path, tmp_path: Path) -> None:
    asked = ("--model", mini)
    refused(run("review", tmp_path / "none.npz", *asked), "none.npz: no such file")
    refused(run("review", tmp_path, *asked), "is a folder")
    refused(run("review", game, "--model", standard), "plays standard (19 cells")
    refused(run("review", game, "--model", tmp_path / "none.onnx"), "no such file")
    refused(run("review", game, *asked, "--html", tmp_path), "is a folder")
    refused(run("review", game, *asked, "--json", game / "x" / "y.json"), "cannot write")
    bad = tmp_path / "bad.txt"
    for text, said in (
        ("", "no moves in it"),
        (GAME.replace("0,", "1,"), "does not fill each of the 7 cells once"),
        (GAME.replace("[9, 2, 3]", "[9, 9, 3]"), "game 0, turn 3: mini has no tile [9, 9, 3]"),
        (GAME.replace("0, [", "0: ["), "bad.txt, line 3: expected a move `cell, [a, b, c]`"),
        (GAME[:-13], "game 0 has 6 moves, a whole game has"),
    ):
        bad.write_text(text)
        refused(run("review", bad, *asked), said)
    (tmp_path / "bad.npz").write_bytes(b"PK")
    refused(run("review", tmp_path / "bad.npz", *asked), "is not a record of games")
    (tmp_path / "bad.json").write_text("{")
    refused(run("review", tmp_path / "bad.json", *asked), "expected a list")


def test_a_page_of_too_many_games_is_refused_before_the_work(mini: Path, tmp_path: Path) -> None:
    orders = np.tile(np.arange(7, dtype=np.int8), (201, 1))
    write_games(tmp_path / "many.npz", Games(MINI, orders, orders))
    asked = run("review", tmp_path / "many.npz", "--model", mini, "--html", tmp_path / "p.html")
    refused(asked, "has 201 games, --html takes at most 200", "--game")
