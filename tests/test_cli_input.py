"""Bad input of every kind, and the boundary where errors become lines and exit codes."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from cli_testing import good, made_up_graph, refused, run

import azx
from azx.cli.terminal import show_warnings_in_a_line
from azx.runtime import models
from azx.runtime.errors import ModelError, ProviderError, ProviderWarning
from azx.runtime.modelfile import ModelCard, seal
from azx.runtime.models import shipped_model
from azx.runtime.onnx_evaluator import open_model
from azx.runtime.variant import MINI, STANDARD

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


@pytest.mark.parametrize(
    "command", [("play", "--model"), ("verify",), ("bench", "inference", "--model")]
)
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


def test_a_model_that_comes_with_azx_is_known_by_its_name() -> None:
    assert "golden" in good(run("verify", "mini"))


def test_a_model_of_another_board_is_refused(mini: Path) -> None:
    asked = ("--model", mini, "--variant", "standard")
    refused(run("play", *asked), "plays mini (7 cells", "needed is one for standard (19 cells")
    refused(run("bench", "inference", *asked), "plays mini (7 cells")
    refused(run("play", "--model", mini, "--variant", "giant"), "no variant 'giant'", "mini")


def test_an_unverified_model_plays_only_where_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "unverified.onnx"
    path.write_bytes(seal(made_up_graph(MINI), ModelCard(MINI)))
    refused(run("play", "--model", path), "UNVERIFIED", "--allow-unverified")
    good(run("play", "--model", path, "--allow-unverified", "--simulations", 0))


def test_cuda_that_is_there_and_does_not_work_is_told(
    mini: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An onnxruntime with CUDA, on a machine without: it says little itself and takes the CPU."""
    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: both)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # onnxruntime's own, of this make-believe
        with pytest.warns(ProviderWarning, match="runs on the CPU"):
            assert open_model(mini, provider="auto").provider_used == "cpu"
        with pytest.raises(
            ProviderError, match="CUDA was asked for, and the session runs on the CPU"
        ):
            open_model(mini, provider="cuda")


def test_a_warning_of_ours_is_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    show_warnings_in_a_line()
    warnings.showwarning("no [luck]", ProviderWarning, "file.py", 1)
    assert capsys.readouterr().err == "warning: no [luck]\n"


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
    refused(run("bench", "inference"), "there are: mini")


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
        (("--human", "--orders", "x.npy"), "x.npy: no such file"),
        (("--human", "--report", "x.json"), "--report is about many games"),
        (("--report", "x.json"), "--report is about many games"),
        (("--one-ply", "--simulations", 5), "--one-ply plays without a search"),
        (("--seconds", 1, "--simulations", 5), "--seconds is a budget of its own"),
        (("--seconds", 1, "--one-ply"), "leave out --one-ply"),
        (("--rollouts", 8, "--simulations", 5), "--rollouts is a budget of its own"),
        (("--rollouts", 8, "--one-ply"), "leave out --one-ply"),
        (("--rollouts", 8, "--seconds", 1), "leave out --seconds"),
        (("--rollouts", 8, "--root", "gumbel"), "--rollouts has no tree"),
        (("--workers", 2), "--workers 2 is for many games"),
        (("--root", "best", "--simulations", 0), "the root is one of puct, gumbel, found 'best'"),
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
        ("play", "--rollouts", "0"),
        ("play", "--seed", str(2**63)),
        ("bench", "strength", "--seed", str(2**63)),
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
    (), ("play",), ("verify",), ("solve",), ("train",), ("doctor",), ("export",),
    ("review",), ("report",), ("bench", "inference"), ("bench", "search"), ("bench", "selfplay"),
    ("bench", "strength"), ("bench", "compare"), ("bench", "report"), ("bench", "all"),
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
