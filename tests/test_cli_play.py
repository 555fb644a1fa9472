"""`azx play`: one game, a person's game, many games."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_testing import TRANSCRIPT, good, refused, run, told

import azx
from azx.cli.human import judged
from azx.cli.show import Strategy
from azx.runtime import models
from azx.runtime.errors import ModelError, UsageError
from azx.runtime.modelfile import read_model
from azx.runtime.onnx_evaluator import OnnxEvaluator, open_model
from azx.runtime.play import play_games, play_parts
from azx.runtime.players import network_player
from azx.runtime.records import read_games
from azx.runtime.rollouts import RolloutPlayer, Rollouts
from azx.runtime.search import Budget, Search, room
from azx.runtime.search.tree import bytes_per_node
from azx.runtime.seeds import draw_orders, game_keys
from azx.runtime.variant import MINI

# One game


def test_a_shown_game_reads_like_this(mini: Path) -> None:
    shown = good(run("play", "--model", mini, "--simulations", 0, "--seed", 6))
    heading, _, game = re.split(r"\n(\n)", shown, maxsplit=1)
    assert heading.splitlines()[0] == "mini, policy alone, seed 6"
    assert str(mini) in heading
    assert "on cpu" in heading
    assert "\n" + game == TRANSCRIPT


def test_a_shown_game_can_be_recorded_and_its_seed_repeats_it(mini: Path, tmp_path: Path) -> None:
    record = tmp_path / "one.npz"
    shown = good(run("play", "--model", mini, "--simulations", 4, "--record", record))
    seed = int(re.search(r"seed (\d+)", shown)[1])  # type: ignore[index]
    games = read_games(record)
    assert len(games) == 1
    assert f"score {games.scores()[0]}\n" in shown
    again = tmp_path / "again.npz"
    good(run("play", "--model", mini, "--simulations", 4, "--record", again, "--seed", seed))
    assert (read_games(again).cells == games.cells).all()


def test_without_a_seed_the_tiles_differ_from_game_to_game(mini: Path) -> None:
    shown = {good(run("play", "--model", mini, "--simulations", 0)) for _ in range(3)}
    assert len(shown) > 1


# A person's game


def test_a_person_plays_and_the_network_comments(mini: Path, tmp_path: Path) -> None:
    record = tmp_path / "mine.npz"
    answers = "h\n9\nnonsense\n6\n6\n5\n4\n3\n2\n1\n0\n"
    options = ("--human", "--simulations", 0, "--seed", 6, "--record", record)
    shown = good(run("play", "--model", mini, *options, given=answers))
    evaluator = open_model(mini)
    keys = game_keys(6, 1)
    order = draw_orders(MINI, keys)
    own = play_games(network_player(evaluator, None), order, keys)
    first = own.cells[0, 0]
    assert f"the network: cell {first}, " in shown
    assert "'9' is no empty cell; there are: 0, 1, 2, 3, 4, 5, 6" in shown
    assert "'nonsense' is no empty cell" in shown
    assert "'6' is no empty cell; there are: 0, 1, 2, 3, 4, 5" in shown
    assert "A tile's first number counts in its column" in shown
    assert "/   0   \\_______/   5   \\" in shown, "the empty cells show their numbers"
    games = read_games(record)
    assert games.cells[0].tolist() == [6, 5, 4, 3, 2, 1, 0]
    assert (games.orders == order).all()
    assert (
        f"your score {games.scores()[0]}; the network on the same tiles: {own.scores()[0]}\n"
        in (shown)
    )


def test_the_difference_is_that_of_gain_and_value(mini: Path) -> None:
    """On the empty board nothing pays: the difference is that of the two afterstates' values."""
    evaluator, keys = open_model(mini), game_keys(6, 1)
    tile = draw_orders(MINI, keys)[0, 0]
    best = play_games(network_player(evaluator, None), draw_orders(MINI, keys), keys).cells[0, 0]
    after = MINI.empty_boards(MINI.cells)
    after[np.arange(MINI.cells), np.arange(MINI.cells)] = tile
    value = evaluator.evaluate(after).value
    mine = next(cell for cell in range(MINI.cells) if value[cell] != value[best])
    options = ("--human", "--simulations", 0, "--seed", 6)
    shown = good(run("play", "--model", mini, *options, given=f"{mine}\nq\n"))
    assert f"yours is worth {value[mine] - value[best]:+.1f} points" in shown
    same = good(run("play", "--model", mini, *options, given=f"{best}\nq\n"))
    assert "the network would have done the same" in same


def test_an_estimate_is_the_gain_and_what_is_to_come(mini: Path) -> None:
    """Cell 1 closes a column of fives; everywhere else nothing is won."""
    strategy = Strategy(open_model(mini), None, True)
    board = MINI.empty_boards(1)[0]
    board[0] = MINI.tile_of[5, 2, 3]
    tile = MINI.tile_of[5, 6, 4]
    best, found = judged(strategy, strategy.player(), board, tile, game_keys(6, 1))
    assert sorted(found) == [1, 2, 3, 4, 5, 6]
    assert found[best] == max(found.values())
    for cell, worth in found.items():
        after = board.copy()
        after[cell] = tile
        gain = 10 if cell == 1 else 0
        assert worth == gain + strategy.evaluator.evaluate(after[None]).value[0]


def test_a_search_is_asked_once_for_its_choice_and_for_what_it_is_worth(mini: Path) -> None:
    evaluator = open_model(mini)
    keys = game_keys(6, 1)
    tile = draw_orders(MINI, keys)[:, 0].copy()
    found = Search(evaluator, 1, Budget(30)).run(MINI.empty_boards(1), tile, keys)
    values, best = found.values[0], int(found.cells[0])
    mine = int((values - np.where(np.arange(MINI.cells) == best, np.inf, 0)).argmax())
    options = ("--human", "--simulations", 30, "--seed", 6)
    shown = good(run("play", "--model", mini, *options, given=f"h\n{mine}\nq\n"))
    assert f"the network: cell {best}, {values[best]:.1f} points in the end" in shown
    difference = values[mine] - values[best]
    assert f"cell {best}; by its estimate yours is worth {difference:+.1f} points" in shown


def test_the_networks_game_is_the_one_it_plays_alone(mini: Path) -> None:
    options = ("--model", mini, "--simulations", 30, "--seed", 6)
    alone = good(run("play", *options)).splitlines()[-1]
    shown = good(run("play", *options, "--human", given="6\n5\n4\n3\n2\n1\n0\n"))
    assert alone.startswith("score ")
    assert shown.splitlines()[-1].endswith(f"the network on the same tiles: {alone.split()[1]}")


def test_a_person_plays_tiles_of_their_own(mini: Path, tmp_path: Path) -> None:
    orders, record = tmp_path / "orders.npy", tmp_path / "mine.npz"
    np.save(orders, draw_orders(MINI, game_keys(9, 2)))
    options = ("--human", "--orders", orders, "--simulations", 0, "--record", record)
    good(run("play", "--model", mini, *options, given="6\n5\n4\n3\n2\n1\n0\n"))
    assert (read_games(record).orders == np.load(orders)[:1]).all()


def test_a_persons_game_is_kept_whatever_becomes_of_the_networks(
    mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("azx.cli.human._own_game", interrupted)
    record = tmp_path / "mine.npz"
    options = ("--human", "--seed", 6, "--simulations", 0, "--record", record)
    left = run("play", "--model", mini, *options, given="6\n5\n4\n3\n2\n1\n0\n")
    assert left.exit_code == 130
    assert read_games(record).cells[0].tolist() == [6, 5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize("leaving", ["3\nq\n", "3\n"])
def test_a_person_may_leave(leaving: str, mini: Path, tmp_path: Path) -> None:
    record = tmp_path / "left.npz"
    options = ("--human", "--seed", 6, "--simulations", 0, "--record", record)
    shown = good(run("play", "--model", mini, *options, given=leaving))
    assert "left after 1 tile with 0 points" in shown
    assert not record.exists()


# Many games


def test_every_file_needs_a_name_of_its_own(mini: Path, tmp_path: Path) -> None:
    one = tmp_path / "one.npz"
    many = ("play", "--model", mini, "--games", 2, "--simulations", 0)
    refused(run(*many, "--record", one, "--report", one), "one.npz is named twice")
    assert not one.exists()
    good(run(*many, "--record", one))
    before = one.read_bytes()
    refused(run(*many, "--orders", one, "--record", one), "one.npz is named twice")
    refused(run("review", one, "--model", mini, "--json", one), "one.npz is named twice")
    net = tmp_path / "net.onnx"
    net.write_bytes(mini.read_bytes())
    own = ("--model", net)
    refused(run("play", *own, "--games", 2, "--report", net), "net.onnx is named twice")
    refused(run("review", one, *own, "--html", net), "net.onnx is named twice")
    refused(run("bench", "search", *own, "--json", net), "net.onnx is named twice")
    strength = ("bench", "strength", *own, "--orders", one)
    refused(run(*strength, "--json", one), "one.npz is named twice")
    page = tmp_path / "bench.md"
    both = ("--json", page, "--report", page)
    refused(run("bench", "all", *own, *both), "bench.md is named twice")
    assert net.read_bytes() == mini.read_bytes()
    refused(run(*many, "--seed", 2, "--record", one), "one.npz is there already", "remove it")
    assert one.read_bytes() == before


def test_a_shipped_model_is_not_written_over(
    mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it is named by its name, or by nobody."""
    monkeypatch.setattr(models, "MODELS", tmp_path)
    shipped, games = tmp_path / "mini.onnx", tmp_path / "games.npz"
    shipped.write_bytes(mini.read_bytes())
    good(run("play", "--model", "mini", "--games", 2, "--simulations", 0, "--record", games))
    for command in (
        ("play", "--variant", "mini", "--games", 2, "--report"),
        ("review", games, "--model", "mini", "--json"),
        ("review", games, "--html"),
        ("bench", "search", "--model", "mini", "--json"),
    ):
        refused(run(*command, shipped), "mini.onnx is named twice")
    assert shipped.read_bytes() == mini.read_bytes()


def full(path: Path, data: object) -> None:
    """A disk on which nothing can be written any more."""
    raise UsageError(f"cannot write {path}: no space left")


def test_a_full_disk_does_not_take_the_figures_too(
    mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("azx.cli.play.write_games", full)
    many = ("play", "--model", mini, "--games", 20, "--simulations", 0)
    done = run(*many, "--record", tmp_path / "games.npz")
    refused(done, "no space left")
    assert "mean" in done.stdout


def test_many_games_are_those_of_the_runtime(mini: Path, tmp_path: Path) -> None:
    report, record = tmp_path / "sub" / "scores.json", tmp_path / "games.npz"
    options = ("--simulations", 3, "--seed", 9, "--threads", 1, "--provider", "cpu")
    files = ("--report", report, "--record", record)
    shown = good(run("play", "--model", mini, "--games", 40, *options, *files))
    keys = game_keys(9, 40)
    evaluator = open_model(mini)
    games = play_games(network_player(evaluator, Budget(3)), draw_orders(MINI, keys), keys)
    scores = games.scores()
    found = json.loads(report.read_text())
    assert found["scores"] == scores.tolist()
    assert found["mean"] == pytest.approx(scores.mean())
    half = 2.0227 * scores.std(ddof=1) / 40**0.5
    assert found["ci95"] == pytest.approx([scores.mean() - half, scores.mean() + half], abs=1e-3)
    assert found["quantiles"]["min"] == scores.min()
    assert found["quantiles"]["50"] == np.median(scores)
    assert found["quantiles"]["95"] == np.quantile(scores, 0.95)
    assert found["quantiles"]["max"] == scores.max()
    assert found["games_per_second"] == pytest.approx(40 / found["seconds"])
    assert found["model"] == {"path": str(mini), "sha256": read_model(mini).sha256}
    fixed = {
        "games": 40, "variant": "mini", "player": "mcts:3", "simulations": 3, "provider": "cpu",
        "workers": 1, "threads": 1, "seed": 9, "orders": None, "azx": azx.__version__,
    }  # fmt: skip
    assert {name: found[name] for name in fixed} == fixed
    kept = read_games(record)
    assert (kept.cells == games.cells).all()
    assert (kept.orders == games.orders).all()
    assert f"mean       {scores.mean():.2f} points, 95% interval" in shown
    assert f"min {scores.min()}" in shown
    assert f"max {scores.max()}" in shown
    assert "ran on     cpu, 1 thread" in shown


def test_orders_from_a_file_give_the_games_of_the_same_draws(mini: Path, tmp_path: Path) -> None:
    orders, first, second = tmp_path / "orders.npy", tmp_path / "a.json", tmp_path / "b.json"
    np.save(orders, draw_orders(MINI, game_keys(4, 12)).astype(np.int64))
    common = ("play", "--model", mini, "--one-ply")
    good(run(*common, "--orders", orders, "--report", first))
    good(run(*common, "--games", 12, "--seed", 4, "--report", second))
    found = json.loads(first.read_text())
    assert found["scores"] == json.loads(second.read_text())["scores"]
    assert (found["player"], found["simulations"]) == ("one-ply", 0)
    assert found["orders"] == str(orders)
    good(run(*common, "--orders", orders, "--games", 5, "--report", second))
    assert json.loads(second.read_text())["scores"] == found["scores"][:5]


def test_a_single_game_has_no_interval(mini: Path, tmp_path: Path) -> None:
    report = tmp_path / "one.json"
    options = ("--games", 1, "--simulations", 0, "--report", report)
    shown = good(run("play", "--model", mini, *options))
    assert json.loads(report.read_text())["ci95"] is None
    assert "interval" not in shown


@pytest.mark.parametrize("recorded", [False, True])
def test_ctrl_c_leaves_whole_games(
    recorded: bool, mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(player: Any, orders: Any, keys: Any, progress: Any, batch: int) -> Any:
        yield slice(0, 3), play_games(player, orders[:3], keys[:3]).cells
        raise KeyboardInterrupt

    monkeypatch.setattr("azx.cli.games.play_parts", interrupted)
    report, record = tmp_path / "scores.json", tmp_path / "games.npz"
    options = ("--games", 8, "--report", report, "--simulations", 0)
    files = ("--record", record) if recorded else ()
    result = run("play", "--model", mini, *options, *files)
    assert result.exit_code == 130
    where = f"are in {record}" if recorded else "nothing was written"
    assert told(result) == f"interrupted: 3 of 8 games were finished, and {where}\n"
    assert not report.exists()
    assert record.exists() == recorded
    if recorded:
        assert len(read_games(record)) == 3


@pytest.mark.parametrize("recorded", [False, True])
def test_an_error_leaves_whole_games(
    recorded: bool, mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that fails in the second part: the first is kept, and the error is told."""
    monkeypatch.setattr("azx.cli.games.BATCH", 4)
    evaluate, asked = OnnxEvaluator.evaluate, [0]

    def failing(self: OnnxEvaluator, boards: Any) -> Any:
        if len(boards) == 4 and not (boards >= 0).any():
            asked[0] += 1
            if asked[0] == 2:
                raise ModelError("the network is gone")
        return evaluate(self, boards)

    monkeypatch.setattr(OnnxEvaluator, "evaluate", failing)
    record = tmp_path / "games.npz"
    files = ("--record", record) if recorded else ()
    result = run("play", "--model", mini, "--games", 8, "--simulations", 0, *files)
    assert result.exit_code == 2
    where = f"are in {record}" if recorded else "nothing was written"
    said = f"warning: 4 of 8 games were finished, and {where}\nerror: the network is gone\n"
    assert result.stderr.endswith(said)
    assert record.exists() == recorded
    if recorded:
        keys = game_keys(0, 8)
        games = play_games(network_player(open_model(mini), None), draw_orders(MINI, keys), keys)
        assert (read_games(record).cells == games.cells[:4]).all()


def test_fewer_games_in_step_where_memory_is_short(
    mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are the same games; only where there is no room for one is it an error."""
    record, small = tmp_path / "games.npz", tmp_path / "small.npz"
    options = ("play", "--model", mini, "--games", 9, "--simulations", 20)
    good(run(*options, "--record", record))
    most: list[int] = []

    def watched(*arguments: Any) -> Any:
        most.append(arguments[-1])
        return play_parts(*arguments)

    monkeypatch.setattr("azx.cli.games.play_parts", watched)
    node = bytes_per_node(MINI)
    monkeypatch.setattr(room, "memory_limit", lambda: 2 * 21 * 3 * node)
    good(run(*options, "--record", small))
    assert most == [3]
    assert (read_games(small).cells == read_games(record).cells).all()
    refused(run(*options, "--workers", 5), "5 games at once", "--simulations or --workers")


def test_time_is_a_budget_too(mini: Path, tmp_path: Path) -> None:
    report = tmp_path / "scores.json"
    options = ("--games", 2, "--seconds", 0.005, "--report", report)
    shown = good(run("play", "--model", mini, *options))
    assert "mcts:0.005s" in shown
    found = json.loads(report.read_text())
    assert (found["simulations"], found["seconds_a_move"]) == (None, 0.005)
    shown = good(run("play", "--model", mini, "--seconds", 0.005, "--root", "gumbel", "--seed", 1))
    assert shown.startswith("mini, 0.005 s a move, gumbel at the root, seed 1\n")


def test_rollouts_are_a_budget_too(mini: Path, tmp_path: Path) -> None:
    report, record, shared = (tmp_path / name for name in ("r.json", "one.npz", "two.npz"))
    options = ("play", "--model", mini, "--games", 5, "--rollouts", 12)
    shown = good(run(*options, "--report", report, "--record", record))
    assert "games      5 of mini, rollouts:12, seed 0" in shown
    found = json.loads(report.read_text())
    assert (found["rollouts"], found["simulations"], found["seconds_a_move"]) == (12, 0, None)
    keys = game_keys(0, 5)
    player = RolloutPlayer(open_model(mini), Rollouts(12))
    games = play_games(player, draw_orders(MINI, keys), keys)
    assert (read_games(record).cells == games.cells).all()
    good(run(*options, "--record", shared, "--workers", 2))
    assert (read_games(shared).cells == games.cells).all()


def test_rollouts_comment_on_a_persons_moves(mini: Path) -> None:
    keys = game_keys(6, 1)
    tile = draw_orders(MINI, keys)[:, 0].copy()
    found = RolloutPlayer(open_model(mini), Rollouts(12)).worth(MINI.empty_boards(1), tile, keys)
    best = int(found.points[0].argmax())
    options = ("--human", "--rollouts", 12, "--seed", 6)
    shown = good(run("play", "--model", mini, *options, given="h\nq\n"))
    assert shown.startswith("mini, 12 rollouts a move, seed 6\n")
    assert f"the network: cell {best}, {found.points[0, best]:.1f} points in the end" in shown


def test_workers_play_the_same_games(mini: Path, tmp_path: Path) -> None:
    """Those that would have nothing to do take no share of the threads."""
    one, two, report = tmp_path / "one.npz", tmp_path / "two.npz", tmp_path / "report.json"
    common = ("play", "--model", mini, "--games", 9, "--seed", 4, "--simulations", 6)
    good(run(*common, "--record", one))
    good(run(*common, "--record", two, "--workers", 2))
    assert (read_games(one).cells == read_games(two).cells).all()
    options = ("--games", 2, "--simulations", 0, "--workers", 6, "--threads", 4)
    shown = good(run("play", "--model", mini, *options, "--report", report))
    assert "ran on     cpu, 2 workers with 2 threads each" in shown
    found = json.loads(report.read_text())
    assert (found["workers"], found["threads"]) == (2, 2)


def test_a_report_that_cannot_be_written_costs_no_games(
    mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("azx.cli.play.write_json", full)
    record, report = tmp_path / "games.npz", tmp_path / "report.json"
    options = ("--games", 2, "--simulations", 0, "--record", record, "--report", report)
    refused(run("play", "--model", mini, *options), "no space left")
    assert len(read_games(record)) == 2


def test_a_network_by_the_name_it_is_shipped_under(tmp_path: Path) -> None:
    shown = good(run("play", "--model", "mini", "--games", 3, "--simulations", 0))
    assert "mini" in shown
    refused(run("play", "--model", "nobody"), "nobody: no such file")
