"""`azx train` as a real process: interrupted, killed, resumed, to the result of an unbroken run."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_testing import ENVIRONMENT, refused, run
from safetensors.numpy import load_file

SETTINGS = (
    "rounds=10", "network.width=32", "network.groups=4", "selfplay.games_per_round=128",
    "learning.batch_size=128", "evaluation.every=5", "evaluation.games=40",
)  # fmt: skip

OF_A_FRESH_RUN = ("--preset", "mini", *(part for field in SETTINGS for part in ("--set", field)))


def start(run: Path, *more: str) -> subprocess.Popen[str]:
    """The command on its way, with a thread of its own."""
    command = [sys.executable, "-m", "azx", "train", "--run", str(run), "--threads", "1", *more]
    return subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def until_round(process: subprocess.Popen[str], run: Path, wanted: int) -> None:
    """Wait until the run has written `wanted` rounds."""
    metrics = run / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not metrics.exists() or len(metrics.read_text().splitlines()) < wanted:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def weights(run: Path) -> dict:
    """The tensors of the last checkpoint."""
    return load_file(run / json.loads((run / "last.json").read_text())["weights"])


def test_before_the_first_round_one_signal_is_enough(tmp_path: Path) -> None:
    process = start(tmp_path / "run", "--preset", "mini", "--set", "network.width=2048")
    assert process.stderr is not None
    assert "checking that the network is alive" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM
    assert "nothing was saved yet" in err


def test_interrupted_killed_and_resumed(tmp_path: Path) -> None:
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    done = run("train", "--run", unbroken, "--threads", 1, *OF_A_FRESH_RUN)
    assert done.exit_code == 0
    assert "finished: 10 rounds" in done.stdout

    process = start(broken, *OF_A_FRESH_RUN)
    until_round(process, broken, 2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "stopped and saved after round" in out
    assert "--resume" in out

    process = start(broken, "--resume")
    until_round(process, broken, 4)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "stopped and saved after round" in out

    process = start(broken, "--resume")
    until_round(process, broken, 6)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL

    process = start(broken, "--resume")
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    expected, found = weights(unbroken), weights(broken)
    assert expected.keys() == found.keys()
    assert all((expected[name] == found[name]).all() for name in expected)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--set", "network.widht=3"), "unknown field network.widht"),
        (("--set", "rounds=abc"), "quick --set rounds=abc: rounds must be int, found 'abc'"),
        (("--preset", "huge"), "no preset 'huge'; presets: champion, mini"),
        (("--preset", "none.toml"), "none.toml: no such file"),
        (("--preset", "runs/a/best.json"), "begin from it with --from"),
        (("--preset", "small"), "learns from a teacher: name one with --teacher"),
        (("--preset", "recorded"), "learns from recorded games: give them with --games"),
        (("--resume", "--set", "seed=3"), "leave --set out"),
        (("--resume", "--preset", "mini"), "leave --preset out"),
        (("--resume", "--games", "none.npz"), "leave --games out"),
        (("--resume", "--from", "none"), "leave --from out"),
        (("--resume", "--teacher", "mini"), "leave --teacher out"),
        (("--resume",), "holds no run to go on with"),
        (("--games", "none.npz"), "no such file"),
        (("--from", "none"), "none: no such run or checkpoint"),
        (("--preset", "mini", "--teacher", "standard-small"), "the teacher plays standard"),
    ],
)
def test_wrong_use_is_one_line(arguments: tuple[str, ...], says: str, tmp_path: Path) -> None:
    told = run("train", "--run", tmp_path / "run", *arguments)
    refused(told, says)
    assert told.stdout == ""
    assert not (tmp_path / "run").exists()


def test_a_run_has_a_folder(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    refused(run("train", "--preset", "mini", "--run", tmp_path / "run"), "found the file")
    refused(run("report", tmp_path / "none"), "none: no such run")
    too_long = tmp_path / ("a" * 300)
    refused(run("train", "--preset", "mini", "--run", too_long), "cannot train in")
    refused(run("report", too_long), "cannot write", "too long")


def test_torch_is_measured_beside_onnxruntime(
    mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def no_compiler(module: object, dynamic: bool) -> object:
        def call(boards: object) -> object:
            raise RuntimeError("there is no C++ compiler")

        return call

    monkeypatch.setattr(torch, "compile", no_compiler)
    monkeypatch.setattr("azx.cli.train.LINE_EVERY", 0.0)
    few = ("network.width=16", "network.groups=4", "selfplay.games_per_round=32", "rounds=2",
           "evaluation.every=2", "evaluation.games=20")  # fmt: skip
    trained = run("train", "--preset", "mini", "--run", tmp_path / "run", "--threads", 1,
                  *(part for field in few for part in ("--set", field)))  # fmt: skip
    said = [line for line in trained.stderr.splitlines() if line.startswith("round")]
    assert [line.split()[1] for line in said] == ["1", "2"]
    assert "minutes  value loss" in said[0], "where there is no bar, a line now and then"
    assert "one ply" in said[1]
    measured = run("bench", "inference", "--model", mini, "--torch", tmp_path / "run",
                   "--batches", 2, "--seconds", 0, "--json", tmp_path / "a.json")  # fmt: skip
    assert measured.exit_code == 0
    assert "torch compiled is left out: there is no C++ compiler" in measured.stderr
    rows = json.loads((tmp_path / "a.json").read_text())["inference"]["rows"]
    assert [row["engine"] for row in rows] == ["mini", "torch eager"]
