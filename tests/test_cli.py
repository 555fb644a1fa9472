"""The command line, with a made-up model: what it prints, what it writes, how it refuses."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import MICRO, REPOSITORY
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner, Result

import azx
from azx.cli.human import estimates
from azx.cli.main import app
from azx.runtime import models
from azx.runtime.bench import BatchTiming, SearchTiming, recommended_batch
from azx.runtime.contract import MASKED_LOGIT
from azx.runtime.errors import ModelError
from azx.runtime.golden import Golden, encode_golden
from azx.runtime.modelfile import ModelCard, read_model, seal
from azx.runtime.models import shipped_model
from azx.runtime.onnx_evaluator import open_model
from azx.runtime.play import play_games
from azx.runtime.players import network_player
from azx.runtime.records import read_games
from azx.runtime.seeds import draw_orders, game_keys
from azx.runtime.variant import MINI, STANDARD, Variant
from azx.runtime.verify import sample_boards

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.endswith("_COLOR")},
    "PYTHONPATH": str(REPOSITORY / "src"),
}


def made_up_graph(variant: Variant, fault: float = 0.0) -> bytes:
    """An ONNX model of matrices with small whole numbers, so exact everywhere; q and all.

    `fault` is added to a bias: NaN breaks every output.
    """
    cells, width = variant.cells, variant.tiles * variant.cells
    wave = np.arange((cells + 1) * width).reshape(cells + 1, width)
    policy, q = (wave * 7919 % 13).astype(np.float32), (wave * 104729 % 11).astype(np.float32)
    value = (np.arange(cells) % 3 / 4).astype(np.float32).reshape(cells, 1)
    constants = {
        "policy_weight": policy[1:],
        "policy_bias": policy[0] + np.float32(fault),
        "q_weight": q[1:],
        "q_bias": q[0],
        "value_weight": value,
        "value_bias": np.array([20.0 + fault], dtype=np.float32),
        "per_placement": np.array([-1, variant.tiles, cells], dtype=np.int64),
        "one": np.array([1], dtype=np.int64),
        "zero": np.array([0.0], dtype=np.float32),
        "single": np.array([1.0], dtype=np.float32),
        "masked": np.array([MASKED_LOGIT], dtype=np.float32),
    }
    nodes = [helper.make_node("Cast", ["board"], ["x"], to=TensorProto.FLOAT)]
    for name, shape in (("policy", "policy_seen"), ("q", "q_seen")):
        nodes += [
            helper.make_node("MatMul", ["x", f"{name}_weight"], [f"{name}_product"]),
            helper.make_node("Add", [f"{name}_product", f"{name}_bias"], [f"{name}_flat"]),
            helper.make_node("Reshape", [f"{name}_flat", "per_placement"], [shape]),
        ]
    nodes += [
        helper.make_node("MatMul", ["x", "value_weight"], ["value_product"]),
        helper.make_node("Add", ["value_product", "value_bias"], ["value_column"]),
        helper.make_node("Squeeze", ["value_column", "one"], ["value_seen"]),
        # The contract's ends: filled cells masked, nothing to come after the last placement.
        helper.make_node("Less", ["x", "zero"], ["is_empty"]),
        helper.make_node("Cast", ["is_empty"], ["empty"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["empty", "one"], ["left"], keepdims=1),
        helper.make_node("Greater", ["left", "zero"], ["any_left"]),
        helper.make_node("Greater", ["left", "single"], ["more_left"]),
        helper.make_node("Unsqueeze", ["is_empty", "one"], ["free"]),
        helper.make_node("Where", ["free", "policy_seen", "masked"], ["policy_logits"]),
        helper.make_node("Squeeze", ["any_left", "one"], ["going_on"]),
        helper.make_node("Where", ["going_on", "value_seen", "zero"], ["value"]),
        helper.make_node("Unsqueeze", ["more_left", "one"], ["more_to_come"]),
        helper.make_node("Where", ["more_to_come", "q_seen", "zero"], ["q"]),
    ]
    placements = ["batch", variant.tiles, cells]
    graph = helper.make_graph(
        nodes,
        "made_up",
        [helper.make_tensor_value_info("board", TensorProto.INT8, ["batch", cells])],
        [
            helper.make_tensor_value_info("policy_logits", TensorProto.FLOAT, placements),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, ["batch"]),
            helper.make_tensor_value_info("q", TensorProto.FLOAT, placements),
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def write_model(path: Path, variant: Variant) -> Path:
    """A sealed model that passes `azx verify`: its golden set is what onnxruntime says of it."""
    graph = made_up_graph(variant)
    card = ModelCard(variant, verified=True)
    path.write_bytes(seal(graph, card))
    boards = sample_boards(variant, 12)
    said = open_model(path).evaluate(boards)
    assert said.q is not None
    outputs = {"policy_logits": said.policy_logits, "value": said.value, "q": said.q}
    parameters = [{"name": "policy_weight", "shape": [7, 84], "mean": 6.0, "std": 3.7}]
    golden = encode_golden(Golden(boards, outputs))
    path.write_bytes(seal(graph, replace(card, golden=golden, parameters=parameters)))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def mini(folder: Path) -> Path:
    return write_model(folder / "mini.onnx", MINI)


@pytest.fixture(scope="module")
def standard(folder: Path) -> Path:
    return write_model(folder / "standard.onnx", STANDARD)


def run(*arguments: object, given: str | None = None) -> Result:
    """The command in this process, through the same error boundary."""
    return CliRunner().invoke(app, [str(a) for a in arguments], input=given)


def refused(result: Result, *said: str, code: int = 2) -> None:
    """One to three lines on stderr that say all of `said`, the exit code, and no traceback."""
    assert result.exit_code == code, result.output
    assert result.stderr.startswith("error: "), result.stderr
    assert 1 <= len(result.stderr.splitlines()) <= 3
    assert "Traceback" not in result.output
    assert "unexpected" not in result.stderr
    for words in said:
        assert words in result.stderr


def good(result: Result) -> str:
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return result.stdout


# One game


TRANSCRIPT = r"""
         _______
 _______/       \_______    turn      1 of 7
/       \_______/[9 6 3]\   drawn     9 6 3
\_______/       \_______/   cell      5
/       \_______/       \   gain      0
\_______/       \_______/   score     0
        \_______/           foreseen  24.0 in the end

         _______
 _______/       \_______    turn      2 of 7
/       \_______/ 9 6 3 \   drawn     1 6 3
\_______/       \_______/   cell      1
/[1 6 3]\_______/       \   gain      0
\_______/       \_______/   score     0
        \_______/           foreseen  24.8 in the end

         _______
 _______/       \_______    turn      3 of 7
/       \_______/ 9 6 3 \   drawn     9 2 3
\_______/       \_______/   cell      4
/ 1 6 3 \_______/       \   gain      6
\_______/[9 2 3]\_______/             falling 3 x 2
        \_______/           score     6
                            foreseen  33.0 in the end

         _______
 _______/       \_______    turn      4 of 7
/       \_______/ 9 6 3 \   drawn     5 6 4
\_______/[5 6 4]\_______/   cell      3
/ 1 6 3 \_______/       \   gain      18
\_______/ 9 2 3 \_______/             rising 6 x 3
        \_______/           score     24
                            foreseen  51.0 in the end

         _______
 _______/[5 6 3]\_______    turn      5 of 7
/       \_______/ 9 6 3 \   drawn     5 6 3
\_______/ 5 6 4 \_______/   cell      2
/ 1 6 3 \_______/       \   gain      6
\_______/ 9 2 3 \_______/             falling 3 x 2
        \_______/           score     30
                            foreseen  60.5 in the end

         _______
 _______/ 5 6 3 \_______    turn      6 of 7
/[1 2 3]\_______/ 9 6 3 \   drawn     1 2 3
\_______/ 5 6 4 \_______/   cell      0
/ 1 6 3 \_______/       \   gain      2
\_______/ 9 2 3 \_______/             column 1 x 2
        \_______/           score     32
                            foreseen  62.5 in the end

         _______
 _______/ 5 6 3 \_______    turn      7 of 7
/ 1 2 3 \_______/ 9 6 3 \   drawn     1 2 4
\_______/ 5 6 4 \_______/   cell      6
/ 1 6 3 \_______/[1 2 4]\   gain      4
\_______/ 9 2 3 \_______/             rising 2 x 2
        \_______/           score     36

score 36
"""


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
    own = play_games(network_player(evaluator, 0), order, keys)
    first = own.cells[0, 0]
    assert f"the network: cell {first}, " in shown
    assert "'9' is no empty cell; there are: 0, 1, 2, 3, 4, 5, 6" in shown
    assert "'nonsense' is no empty cell" in shown
    assert "'6' is no empty cell; there are: 0, 1, 2, 3, 4, 5" in shown
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
    best = play_games(network_player(evaluator, 0), draw_orders(MINI, keys), keys).cells[0, 0]
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
    evaluator = open_model(mini)
    board = MINI.empty_boards(1)[0]
    board[0] = MINI.tile_of[5, 2, 3]
    tile = MINI.tile_of[5, 6, 4]
    found = estimates(evaluator, board, tile)
    assert sorted(found) == [1, 2, 3, 4, 5, 6]
    for cell, worth in found.items():
        after = board.copy()
        after[cell] = tile
        gain = 10 if cell == 1 else 0
        assert worth == gain + evaluator.evaluate(after[None]).value[0]


@pytest.mark.parametrize("leaving", ["3\nq\n", "3\n"])
def test_a_person_may_leave(leaving: str, mini: Path, tmp_path: Path) -> None:
    record = tmp_path / "left.npz"
    options = ("--human", "--seed", 6, "--simulations", 0, "--record", record)
    shown = good(run("play", "--model", mini, *options, given=leaving))
    assert "left after 1 tile with 0 points" in shown
    assert not record.exists()


# Many games


def test_many_games_are_those_of_the_runtime(mini: Path, tmp_path: Path) -> None:
    report, record = tmp_path / "sub" / "scores.json", tmp_path / "games.npz"
    options = ("--simulations", 3, "--seed", 9, "--threads", 1, "--provider", "cpu")
    files = ("--report", report, "--record", record)
    shown = good(run("play", "--model", mini, "--games", 40, *options, *files))
    keys = game_keys(9, 40)
    evaluator = open_model(mini)
    games = play_games(network_player(evaluator, 3), draw_orders(MINI, keys), keys)
    scores = games.scores()
    found = json.loads(report.read_text())
    assert found["scores"] == scores.tolist()
    assert found["mean"] == pytest.approx(scores.mean())
    half = 1.96 * scores.std(ddof=1) / 40**0.5
    assert found["ci95"] == pytest.approx([scores.mean() - half, scores.mean() + half], abs=1e-3)
    assert found["quantiles"]["min"] == scores.min()
    assert found["quantiles"]["50"] == np.median(scores)
    assert found["quantiles"]["95"] == np.quantile(scores, 0.95)
    assert found["quantiles"]["max"] == scores.max()
    assert found["games_per_second"] == pytest.approx(40 / found["seconds"])
    assert found["model"] == {"path": str(mini), "sha256": read_model(mini).sha256}
    fixed = {
        "games": 40, "variant": "mini", "player": "mcts:3", "simulations": 3, "provider": "cpu",
        "threads": 1, "seed": 9, "orders": None, "azx": azx.__version__,
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


def test_ctrl_c_says_that_nothing_was_written(
    mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(player: object, orders: object, keys: object, progress: Any) -> None:
        progress(3)
        raise KeyboardInterrupt

    monkeypatch.setattr("azx.cli.games.play_games", interrupted)
    report = tmp_path / "scores.json"
    result = run("play", "--model", mini, "--games", 8, "--report", report, "--simulations", 0)
    assert result.exit_code == 130
    assert result.stderr == "interrupted: 3 of 8 games were played, and nothing was written\n"
    assert not report.exists()


# Bad models


def flip_a_byte(data: bytes) -> bytes:
    return data[:200] + bytes([data[200] ^ 1]) + data[201:]


BAD_MODELS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda data: b"", "the file is empty"),
    "truncated": (lambda data: data[: len(data) // 2], "cut off or not ONNX"),
    "a text": (lambda data: b"these are no weights at all", "cut off or not ONNX"),
    "a picture": (lambda data: b"\x89PNG\r\n\x1a\n" + bytes(64), "cut off or not ONNX"),
    "changed": (flip_a_byte, "was changed after it was exported"),
    "someone else's": (lambda data: made_up_graph(MINI), "carries no azx metadata"),
    "no graph": (lambda data: seal(b"\x08\x0a", ModelCard(MINI, verified=True)), "no graph"),
    "NaN": (
        lambda data: seal(made_up_graph(MINI, float("nan")), ModelCard(MINI, verified=True)),
        "gives NaN or Inf",
    ),
    "another shape": (
        lambda data: seal(made_up_graph(STANDARD), ModelCard(MINI, verified=True)),
        "the contract for mini says",
    ),
}


@pytest.mark.parametrize("command", [("play", "--model"), ("verify",), ("bench", "--model")])
@pytest.mark.parametrize("kind", BAD_MODELS)
def test_a_bad_model_is_refused(
    kind: str, command: tuple[str, ...], mini: Path, tmp_path: Path
) -> None:
    spoil, said = BAD_MODELS[kind]
    path = tmp_path / "bad.onnx"
    path.write_bytes(spoil(mini.read_bytes()))
    refused(run(*command, path), "bad.onnx", said)


def test_a_model_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for command in (("play", "--model"), ("verify",), ("bench", "inference", "--model")):
        refused(run(*command, tmp_path / "none.onnx"), "none.onnx: no such file")
        refused(run(*command, tmp_path), "is a folder")


def test_a_model_of_another_board_is_refused(mini: Path) -> None:
    asked = ("--model", mini, "--variant", "standard")
    refused(run("play", *asked), "plays mini (7 cells", "asked for was standard (19 cells")
    refused(run("bench", *asked), "plays mini (7 cells")
    refused(run("play", "--model", mini, "--variant", "giant"), "no variant 'giant'", "mini")


def test_an_unverified_model_plays_only_where_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "unverified.onnx"
    path.write_bytes(seal(made_up_graph(MINI), ModelCard(MINI)))
    refused(run("play", "--model", path), "UNVERIFIED", "--allow-unverified")
    good(run("play", "--model", path, "--allow-unverified", "--simulations", 0))


def test_a_provider_that_is_not_to_be_had_is_refused(mini: Path) -> None:
    refused(run("play", "--model", mini, "--provider", "abacus"), "no provider 'abacus'", "cuda")


def test_the_shipped_model_is_the_one_beside_the_runtime(
    mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "MODELS", tmp_path)
    with pytest.raises(ModelError, match="none at all"):
        shipped_model("mini")
    refused(run("play"), "no model of standard comes with this azx", "--model", "azx export")
    (tmp_path / "mini.onnx").write_bytes(mini.read_bytes())
    assert shipped_model("mini") == tmp_path / "mini.onnx"
    shown = good(run("play", "--variant", "mini", "--simulations", 0))
    assert str(tmp_path / "mini.onnx") in shown
    refused(run("bench"), "there are: mini")


# Bad orders, and files that cannot be written


def saved(array: object) -> Callable[[Path], None]:
    return lambda path: np.save(path, np.asarray(array))


def order(*changes: tuple[int, int]) -> list[list[int]]:
    """Two orders of the small board; `changes` are (position in the second, tile id)."""
    rows = [list(range(7)), list(range(7))]
    for position, tile in changes:
        rows[1][position] = tile
    return rows


BAD_ORDERS: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing": (lambda path: None, "no such file"),
    "empty": (lambda path: path.write_bytes(b"") and None, "not a .npy file"),
    "a text": (lambda path: path.write_text("1 2 3") and None, "not a .npy file"),
    "pickled": (saved(np.array([{}, None])), "not a .npy file"),
    "a tile twice": (saved(order((3, 0))), "row 1 draws a tile twice"),
    "too large": (saved(order((3, 12))), "row 1 has an id outside 0 to 11"),
    "negative": (saved(order((0, -1))), "row 1 has an id outside"),
    "another board's": (saved(np.tile(np.arange(19), (2, 1))), "integers [games, 7]"),
    "one row": (saved(np.arange(7)), "found int64 [7]"),
    "fractions": (saved(np.array(order(), dtype=np.float64)), "found float64 [2, 7]"),
    "no rows": (saved(np.zeros((0, 7), dtype=np.int8)), "no orders in it"),
}


@pytest.mark.parametrize("kind", BAD_ORDERS)
def test_bad_orders_are_refused(kind: str, mini: Path, tmp_path: Path) -> None:
    write, said = BAD_ORDERS[kind]
    path = tmp_path / "orders.npy"
    write(path)
    refused(run("play", "--model", mini, "--orders", path), "orders.npy", said)


def test_a_bad_record_is_refused_as_orders(mini: Path, tmp_path: Path) -> None:
    path = tmp_path / "games.npz"
    path.write_bytes(b"PK\x03\x04 no archive")
    refused(run("play", "--model", mini, "--orders", path), "not a record of games")
    np.savez(path, orders=np.zeros((1, 7), dtype=np.int8))
    refused(run("play", "--model", mini, "--orders", path), "not a record of games")


def test_more_games_than_orders_are_refused(mini: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "two.npy", np.array(order(), dtype=np.int8))
    asked = ("--orders", tmp_path / "two.npy", "--games", 3)
    refused(run("play", "--model", mini, *asked), "has 2 orders, asked for were --games 3")


def test_a_file_that_cannot_be_written_is_refused_before_the_games(
    mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("azx.cli.play.open_model", lambda *_: pytest.fail("work was begun"))
    (tmp_path / "file").write_text("")
    many = ("play", "--model", mini, "--games", 2)
    refused(run(*many, "--report", tmp_path / "file" / "r.json"), "cannot write", "no folder")
    refused(run(*many, "--report", tmp_path), "is a folder; give the name of a file")
    refused(run(*many, "--record", tmp_path / "file" / "g.npz"), "cannot write")
    refused(run(*many, "--record", tmp_path / "games.npy"), "--record writes a .npz file")


def test_a_folder_without_the_right_to_write_is_refused(
    mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode, **_: not mode & os.W_OK)
    asked = ("--games", 2, "--report", tmp_path / "r.json")
    refused(run("play", "--model", mini, *asked), "no right to write")


# Odd options


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--human", "--games", 3), "--human is one game"),
        (("--human", "--orders", "x.npy"), "--human is one game"),
        (("--human", "--report", "x.json"), "--report is about many games"),
        (("--report", "x.json"), "--report is about many games"),
        (("--one-ply", "--simulations", 5), "--one-ply plays without a search"),
        (("--seed", 2**63), "--seed is at most"),
    ],
)
def test_options_that_do_not_go_together(
    options: tuple[object, ...], said: str, mini: Path
) -> None:
    refused(run("play", "--model", mini, *options), said)


@pytest.mark.parametrize(
    "arguments",
    [
        ("play", "--games", "0"),
        ("play", "--games", "many"),
        ("play", "--simulations", "-1"),
        ("play", "--no-such-option"),
        ("verify",),
        ("frobnicate",),
    ],
)
def test_wrong_usage_exits_with_2(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


# The boundary


def broken(*_: object) -> None:
    raise RuntimeError("boom\nand more")


def test_the_unexpected_is_one_line_and_debug_tells_more(
    mini: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("azx.cli.verify.verify_model", broken)
    result = run("verify", mini)
    assert result.exit_code == 2
    assert result.stderr == "error: unexpected RuntimeError: boom; --debug shows where\n"
    for arguments in (("--debug", "verify", mini), ("verify", mini, "--debug")):
        result = run(*arguments)
        assert result.exit_code == 2
        assert "Traceback" in result.stderr
        assert "in broken" in result.stderr
    assert "Traceback" in run("--debug", "play", "--variant", "giant").stderr


def test_an_error_is_three_lines_at_most(mini: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wordy(*_: object) -> None:
        raise ModelError("\n\n".join(f"line {n}" for n in range(9)))

    monkeypatch.setattr("azx.cli.verify.verify_model", wordy)
    assert run("verify", mini).stderr == "error: line 0\nline 1\nline 2\n"


def test_an_interrupt_is_one_line(mini: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("azx.cli.verify.verify_model", interrupted)
    result = run("verify", mini)
    assert (result.exit_code, result.output) == (130, "interrupted\n")


COMMANDS = (
    (), ("play",), ("verify",), ("solve",), ("train",), ("doctor",), ("export",), ("bench",),
    ("bench", "inference"), ("bench", "search"),
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_helps_with_an_example_in_eighty_columns(command: tuple[str, ...]) -> None:
    shown = good(run(*command, "--help"))
    assert re.search(r"Examples?:\n  +azx ", shown)
    assert max(map(len, shown.splitlines())) <= 90
    assert "--debug" in shown


def test_the_list_of_commands_is_whole() -> None:
    shown = good(run("--help"))
    listed = shown.partition("Commands:\n")[2].split("\n")
    assert {line.split()[0] for line in listed if line.strip()} == {c[0] for c in COMMANDS if c}
    assert not any(line.endswith("...") for line in listed), "a summary is cut off"
    assert good(run("--version")) == f"azx {azx.__version__}\n"


# solve, verify, bench


def test_solve(monkeypatch: pytest.MonkeyPatch) -> None:
    refused(run("solve", "--variant", "standard"), "afterstates", "--variant mini")
    monkeypatch.setattr("azx.cli.solve.variant_named", lambda name: MICRO)
    shown = good(run("solve"))
    assert "micro: perfect play scores " in shown
    assert re.search(r"\n[\d,]+ afterstates", shown)


def test_verify_shows_every_check(mini: Path) -> None:
    shown = good(run("verify", mini))
    for check in ("file", "contract", "verdict", "golden value", "batches", "parameters"):
        assert re.search(rf"^ok +{check} ", shown, re.MULTILINE)
    assert "FAILED" not in shown


def test_verify_fails_with_1_where_a_check_does(mini: Path, tmp_path: Path) -> None:
    card = read_model(mini).card
    path = tmp_path / "other.onnx"
    path.write_bytes(seal(made_up_graph(MINI, 0.5), card))
    result = run("verify", path)
    refused(result, "fails 2 of 9 checks: golden policy_logits", code=1)
    assert re.search(r"^FAILED +golden value", result.stdout, re.MULTILINE)


BENCH = ("--batches", "4,1,4", "--seconds", 0.001, "--simulations", 3, "--games", 5)


def test_bench_measures_the_network_and_the_search(mini: Path, tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    shown = good(run("bench", "--model", mini, "--threads", 1, *BENCH, "--json", path))
    found = json.loads(path.read_text())
    assert [row["batch"] for row in found["inference"]] == [1, 4]
    for row in found["inference"]:
        assert len(row["seconds"]) >= 5
        assert row["p50_seconds"] <= row["p95_seconds"] <= row["p99_seconds"]
        assert row["first_run_seconds"] > 0
        rate = row["batch"] * len(row["seconds"]) / sum(row["seconds"])
        assert row["boards_per_second"] == pytest.approx(rate)
    assert found["recommended_batch"] in (1, 4)
    assert found["search"]["ceiling"]["batch"] == 5
    network, uniform = found["search"]["runs"]
    assert (network["evaluator"], uniform["evaluator"]) == ("network", "uniform")
    for runs in (network, uniform):
        done = 5 * 3 * len(runs["seconds"]) / sum(runs["seconds"])
        assert runs["simulations_per_second"] == pytest.approx(done)
        # Each game asks for its root, and at most once for each simulation.
        assert done / 3 < runs["boards_per_second"] <= 1.001 * done * 4 / 3
    assert found["provider"] == "cpu"
    assert found["threads"] == 1
    assert found["model"]["sha256"][:12] in shown
    for words in (found["machine"]["processor"], "onnxruntime", "recommended batch", "first ms"):
        assert words in shown
    assert max(map(len, shown.splitlines()[4:-1])) <= 80


def test_bench_has_a_command_for_each(mini: Path) -> None:
    alone = good(run("bench", "inference", "--model", mini, *BENCH[:4]))
    assert "recommended batch" in alone
    assert "simulations" not in alone
    under = good(run("bench", "search", "--model", mini, *BENCH[2:]))
    assert "simulations/s" in under
    assert "recommended batch" not in under


def test_bench_refuses_odd_sizes_and_misplaced_options(mini: Path) -> None:
    for batches in ("", "0", "1,x", "1;2", "99999999"):
        refused(run("bench", "--model", mini, "--batches", batches), "--batches takes numbers")
    misplaced = run("bench", "--model", mini, "inference")
    refused(misplaced, "azx bench inference --model ...")


def test_the_recommended_batch_is_the_smallest_that_is_nearly_the_fastest() -> None:
    rates = {1: 100.0, 8: 700.0, 32: 950.0, 64: 1000.0, 128: 990.0}
    timings = [BatchTiming(b, 1.0, np.array([b / rate] * 5)) for b, rate in rates.items()]
    assert recommended_batch(timings) == 32
    assert timings[0].boards_per_second == pytest.approx(100.0)
    latency = BatchTiming(1, 1.0, np.arange(1.0, 102.0))
    assert [latency.percentile(p) for p in (50, 95, 99)] == [51.0, 96.0, 100.0]
    search = SearchTiming("network", 4, 10, 30, np.array([1.0, 3.0]))
    assert (search.simulations_per_second, search.boards_per_second) == (20.0, 7.5)


# doctor and export


NETWORKS = """
import torch
from azx.runtime.variant import MINI
from azx.trainer.initialise import initialise
from azx.trainer.network import NetworkConfig, PolicyValueNetwork

def healthy():
    network = PolicyValueNetwork(MINI, NetworkConfig(width=16, groups=4))
    initialise(network, 0, network.heads)
    return network

def dead():
    network = healthy()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() == 1:
                parameter.zero_()
    return network

def another_thing():
    return torch.nn.Linear(3, 4)
"""


@pytest.fixture
def networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module with factories, in the current folder."""
    (tmp_path / "factories_for_the_cli.py").write_text(NETWORKS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "factories_for_the_cli", raising=False)
    return "factories_for_the_cli"


def test_doctor_tells_the_living_from_the_dead(networks: str) -> None:
    alive = good(run("doctor", f"{networks}:healthy"))
    assert "is alive: 13 parameters" in alive
    assert re.search(r"trunk.norm.weight +GroupNorm +16 +1 +0 +0", alive)
    dead = run("doctor", f"{networks}:dead")
    refused(dead, "is not healthy", code=1)
    assert re.search(r"^fail +trunk\.blocks\.0\.norm1\.weight", dead.stdout, re.MULTILINE)
    refused(run("doctor", f"{networks}:another_thing"), "cannot", "Linear")
    refused(run("doctor", f"{networks}:nobody"), "has no 'nobody'")
    refused(run("doctor", "runs/none"), "no such run or checkpoint", "package.module:factory")


def test_export_lets_the_living_out_and_nothing_else(networks: str, tmp_path: Path) -> None:
    out = tmp_path / "net.onnx"
    refusal = run("export", f"{networks}:dead", "--out", out)
    refused(refusal, "the export gate refuses this network", "not written", code=1)
    assert re.search(r"^FAILED +audit", refusal.stdout, re.MULTILINE)
    assert not out.exists()
    (tmp_path / "file").write_text("")
    refused(run("export", "any:thing", "--out", tmp_path / "file" / "net.onnx"), "cannot write")


def test_a_run_goes_from_checkpoint_to_a_played_game(networks: str, tmp_path: Path) -> None:
    from azx.trainer.checkpoint import save_best
    from azx.trainer.config import TrainConfig
    from azx.trainer.network import NetworkConfig, PolicyValueNetwork

    shape = NetworkConfig(width=16, groups=4)
    config = TrainConfig(variant="mini", network=shape)
    network = PolicyValueNetwork(MINI, shape)
    folder, out = tmp_path / "run", tmp_path / "net.onnx"
    save_best(folder, config, {"round": 7, "games": 70}, network)
    assert "is alive" in good(run("doctor", folder))
    assert "is alive" in good(run("doctor", folder / "best.json"))
    shown = good(run("export", folder, "--out", out))
    assert re.search(r"^ok +audit", shown, re.MULTILINE)
    assert f"written    {out}, mini" in shown
    card = open_model(out).model.card
    assert (card.training["round"], card.training["games"]) == (7, 70)
    assert card.training["config"] == config.to_json()
    assert card.network["width"] == 16
    assert card.made_by["azx"] == azx.__version__
    assert card.made_by["commit"]
    good(run("verify", out))
    good(run("play", "--model", out, "--simulations", 2))
    (folder / "best.json").write_text("{}")
    refused(run("doctor", folder), "best.json is not a readable checkpoint")


# Real processes


def azx_process(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "azx", *map(str, arguments)]
    environment = {**ENVIRONMENT, **options.pop("env", {})}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, **options
    )


def test_a_pipe_gets_plain_text(mini: Path) -> None:
    options = ("--model", mini, "--simulations", 0, "--seed", 6)
    done = azx_process("play", *options, env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.isascii()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", done.stdout)
    assert TRANSCRIPT.strip("\n") in done.stdout


def test_an_error_of_a_real_process_is_one_line(tmp_path: Path) -> None:
    done = azx_process("play", "--model", tmp_path / "none.onnx")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {tmp_path / 'none.onnx'}: no such file\n"


def read_until(descriptor: int, wanted: bytes, seconds: float = 60.0) -> bytes:
    """What a terminal shows until `wanted` is there."""
    seen = b""
    end = time.monotonic() + seconds
    while wanted not in seen:
        assert time.monotonic() < end, seen
        seen += os.read(descriptor, 4096)
    return seen


def test_ctrl_c_at_a_terminal(standard: Path, tmp_path: Path) -> None:
    """The progress bar is on the terminal's stderr; the signal comes while it runs."""
    report = tmp_path / "scores.json"
    options = ("--model", standard, "--games", "1000000", "--simulations", "50")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "azx", "play", *options, "--report", report],
        env={**ENVIRONMENT, "TERM": "xterm"},
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        read_until(ours, b"/1000000")
        process.send_signal(signal.SIGINT)
        said = read_until(ours, b"nothing was written")
        out, _ = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert b"interrupted: " in said
    assert b"Traceback" not in said
    assert (process.returncode, out) == (130, b"")
    assert not report.exists()


WITHOUT = """
import sys
for name in ("torch", "onnx", "onnxscript", "safetensors", "tensorboard"):
    sys.modules[name] = None
from typer.testing import CliRunner
from azx.cli.main import app
model = sys.argv[1]
for line in sys.stdin.read().splitlines():
    result = CliRunner().invoke(app, line.replace("MODEL", model).split())
    print(result.exit_code, line, "|", result.stderr.strip())
"""


def test_playing_needs_none_of_the_training_packages(mini: Path) -> None:
    works = [
        "--help",
        "play --model MODEL --simulations 2",
        "play --model MODEL --games 3 --one-ply",
        "solve --help",
        "verify MODEL",
        "bench --model MODEL --batches 1 --seconds 0 --simulations 2 --games 2",
    ]
    needs = ["doctor some.module:factory", "export some.module:factory --out x.onnx", "train"]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(mini)],
        env=ENVIRONMENT,
        input="\n".join(works + needs),
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert lines[: len(works)] == [f"0 {line} | " for line in works], done.stdout + done.stderr
    for line, said in zip(needs, lines[len(works) :], strict=True):
        assert said.startswith(f"2 {line} | error: this command needs the training packages: ")
        assert 'pip install "azx[train]"' in said
