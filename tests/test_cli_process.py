"""The command line as a real process, at a terminal, through a pipe, without torch."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cli_testing import ENVIRONMENT, TRANSCRIPT

from azx.runtime.records import read_games


def azx_process(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "azx", *map(str, arguments)]
    environment = {**ENVIRONMENT, **options.pop("env", {})}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, **options
    )


def test_a_pipe_gets_plain_text(mini: Path) -> None:
    options = ("--model", mini, "--simulations", 0, "--seed", 6)
    azx_process("play", *options)  # so that nothing is left to be compiled, which it would say
    done = azx_process("play", *options, env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.isascii()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", done.stdout)
    assert TRANSCRIPT.strip("\n") in done.stdout


def test_the_first_run_says_that_it_compiles(mini: Path, tmp_path: Path) -> None:
    options = ("play", "--model", mini, "--simulations", 8, "--seed", 6)
    nothing_yet = {"NUMBA_CACHE_DIR": str(tmp_path)}
    first, second = (azx_process(*options, env=nothing_yet) for _ in range(2))
    assert first.stderr == "compiling for this machine, this once (up to 20 s)\n"
    assert second.stderr == ""
    assert (first.returncode, second.returncode) == (0, 0)
    assert first.stdout == second.stdout


def test_what_is_to_be_written_is_written_though_nobody_listens(mini: Path, tmp_path: Path) -> None:
    record, report = tmp_path / "games.npz", tmp_path / "report.json"
    command = [sys.executable, "-m", "azx", "play", "--model", mini, "--games", "4",
               "--simulations", "0", "--record", record, "--report", report]  # fmt: skip
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes) as nobody:
        done = subprocess.run(command, env=ENVIRONMENT, stdout=nobody, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(read_games(record)) == 4
    assert report.exists()


def test_work_goes_on_though_nobody_listens_to_its_progress(tmp_path: Path) -> None:
    work = (
        "from pathlib import Path; from azx.cli.terminal import stderr, warn\n"
        "warn('lost'); stderr().print('lost too'); Path('made').touch()"
    )
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes) as nobody:
        done = subprocess.run(
            [sys.executable, "-c", work], env=ENVIRONMENT, stderr=nobody, cwd=tmp_path
        )
    assert done.returncode == 0
    assert (tmp_path / "made").exists()


def test_a_report_may_go_into_a_pipe(mini: Path) -> None:
    many = ("play", "--model", mini, "--games", 3, "--simulations", 0)
    done = azx_process(*many, "--report", "/dev/stdout")
    assert done.returncode == 0, done.stderr
    assert '"games": 3' in done.stdout


def test_an_error_of_a_real_process_is_one_line(tmp_path: Path) -> None:
    done = azx_process("play", "--model", tmp_path / "none.onnx")
    assert (done.returncode, done.stdout) == (2, "")
    said = f"error: {tmp_path / 'none.onnx'}: no such file, and no network of that name comes "
    assert done.stderr == said + "with azx; there are: mini, standard, standard-small\n"


def heed_ctrl_c() -> None:
    """In the background of a shell tests ignore the signal, and so would their children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def read_until(descriptor: int, wanted: bytes, seconds: float = 180.0) -> bytes:
    """What a terminal shows until something like the regular expression `wanted` is there."""
    seen = b""
    end = time.monotonic() + seconds
    while not re.search(wanted, seen):
        assert time.monotonic() < end, seen
        seen += os.read(descriptor, 4096)
    return seen


@contextmanager
def at_a_terminal(*arguments: object, **options: bool) -> Iterator[tuple[subprocess.Popen, int]]:
    """`azx play` with its stderr on a terminal of ours, whose descriptor comes with the process."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "azx", "play", *map(str, arguments)],
        env={**ENVIRONMENT, "TERM": "xterm"},
        stdout=subprocess.PIPE,
        stderr=theirs,
        preexec_fn=heed_ctrl_c,
        **options,
    )
    os.close(theirs)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_ctrl_c_at_a_terminal(standard: Path, tmp_path: Path) -> None:
    """The progress bar is on the terminal's stderr; the signal comes while it runs."""
    report = tmp_path / "scores.json"
    options = ("--model", standard, "--games", "1000000", "--simulations", "50")
    with at_a_terminal(*options, "--report", report) as (process, ours):
        read_until(ours, b"/1000000")
        process.send_signal(signal.SIGINT)
        said = read_until(ours, b"nothing was written")
        out, _ = process.communicate(timeout=30)
    assert b"interrupted: " in said
    assert b"Traceback" not in said
    assert (process.returncode, out) == (130, b"")
    assert not report.exists()


def test_ctrl_c_with_workers_leaves_whole_games(mini: Path, tmp_path: Path) -> None:
    """A terminal sends the signal to all processes of the command, the workers too."""
    record = tmp_path / "games.npz"
    options = ("--games", "1000000", "--simulations", "2", "--workers", "2", "--record", record)
    with at_a_terminal("--model", mini, *options, start_new_session=True) as (process, ours):
        read_until(ours, rb"\d{4}/1000000")
        os.killpg(process.pid, signal.SIGINT)
        said = read_until(ours, b"games.npz")
        out, _ = process.communicate(timeout=30)
    assert b"Traceback" not in said
    assert (process.returncode, out) == (130, b"")
    assert len(read_games(record)) >= 256


def test_sigterm_leaves_whole_games(mini: Path, tmp_path: Path) -> None:
    """As a scheduler sends it to the one process that it knows."""
    record = tmp_path / "games.npz"
    options = ("--games", "1000000", "--simulations", "2", "--workers", "2", "--record", record)
    with at_a_terminal("--model", mini, *options) as (process, ours):
        read_until(ours, rb"\d{4}/1000000")
        process.send_signal(signal.SIGTERM)
        said = read_until(ours, b"games.npz")
        out, _ = process.communicate(timeout=30)
    assert b"interrupted: " in said
    assert b"Traceback" not in said
    assert (process.returncode, out) == (143, b"")
    assert len(read_games(record)) >= 256


INTERRUPTED_WHILE_LOADING = """
import os, signal, sys, time

signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs are born deaf to it

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "azx.cli.main":
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)

sys.meta_path.insert(0, Interrupting())
from azx.__main__ import main
main()
"""


def test_ctrl_c_while_all_is_loaded_ends_in_silence() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_WHILE_LOADING], capture_output=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")


def test_a_terminal_shows_how_far_the_compiling_is(mini: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "azx", "play", "--model", mini, "--simulations", "8"],
        env={**ENVIRONMENT, "TERM": "xterm", "NUMBA_CACHE_DIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        # A search has enough to compile for any machine to be seen at it.
        said = read_until(ours, rb"compiling for this machine, this once: \d+ of \d+ functions")
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert b"up to 20 s" not in said


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
        "bench inference --model MODEL --batches 1 --seconds 0",
        "bench search --model MODEL --seconds 0 --simulations 2 --games 2",
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
        assert "pip install torch==2.13.0 '.[train]'" in said
