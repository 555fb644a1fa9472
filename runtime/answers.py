"""What onnxruntime says of a model file, asked in a fresh process where torch cannot be loaded.

The process that exported a file has torch's libraries and its thread pools loaded, and the graph in
memory. Nothing of that is there when the file is used, so nothing of it may be there when it is
judged.

    python -m azx.runtime.answers FOLDER       reads FOLDER/job.json and inputs.npz,
                                               writes answers.npz or error.txt
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from azx.runtime.errors import CheckFailed, first_line
from azx.runtime.sessions import open_session, provider_of

Arrays = dict[str, NDArray[Any]]
Axes = Mapping[str, int | None]

#: A batch that takes longer than this, in seconds, will not end.
PATIENCE = 1800

#: What a fresh process must not have.
ABSENT = ("torch", "onnx", "onnxscript")


def ask(session: Any, inputs: Arrays, input_axes: Axes, output_axes: Axes, size: int) -> Arrays:
    """All outputs for all rows, asked `size` rows at a time.

    Outputs without a batch axis are those of the last batch.
    """
    rows = next((inputs[n].shape[a] for n, a in input_axes.items() if a is not None), 1)
    names = [node.name for node in session.get_outputs()]
    pieces: list[list[NDArray[Any]]] = []
    for start in range(0, rows, size):
        part = {
            name: array
            if (axis := input_axes[name]) is None
            else array[(slice(None),) * axis + (slice(start, start + size),)]
            for name, array in inputs.items()
        }
        pieces.append(session.run(names, part))
    joined = {}
    for name, parts in zip(names, zip(*pieces, strict=True), strict=True):
        at = output_axes.get(name, 0)
        joined[name] = parts[-1] if at is None else np.concatenate(parts, axis=at)
    return joined


def answers_elsewhere(
    path: Path,
    inputs: Arrays,
    input_axes: Axes,
    output_axes: Axes,
    questions: Sequence[tuple[int, Sequence[int]]],
    provider: str = "cpu",
) -> list[Arrays]:
    """The outputs of the file at `path` for each question, from a fresh process without torch.

    A question is a batch size and the rows that are asked for, in this order. Raises `CheckFailed`
    with the other process' words where the file does not load or run there, or takes too long.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        job = {
            "path": str(path.resolve()),
            "input_axes": dict(input_axes),
            "output_axes": dict(output_axes),
            "questions": [[size, list(rows)] for size, rows in questions],
            "provider": provider,
        }
        (folder / "job.json").write_text(json.dumps(job))
        np.savez(folder / "inputs.npz", **inputs)  # type: ignore[arg-type]
        paths = os.pathsep.join(filter(None, sys.path))
        try:
            done = subprocess.run(
                [sys.executable, "-m", "azx.runtime.answers", str(folder)],
                env={**os.environ, "PYTHONPATH": paths},
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise CheckFailed(
                f"the process that runs the file has no answer after {PATIENCE} seconds"
            ) from error
        if (folder / "error.txt").exists():
            raise CheckFailed((folder / "error.txt").read_text())
        if done.returncode or not (folder / "answers.npz").exists():
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise CheckFailed(f"the process that runs the file died ({done.returncode}): {last}")
        with np.load(folder / "answers.npz") as stored:
            found: list[Arrays] = [{} for _ in questions]
            for key in stored.files:
                index, _, output = key.partition(" ")
                found[int(index)][output] = stored[key]
    return found


def _answer(folder: Path) -> None:
    """The other process: one session, every question."""
    job = json.loads((folder / "job.json").read_text())
    axes = job["input_axes"]
    with np.load(folder / "inputs.npz") as stored:
        inputs = {name: stored[name] for name in stored.files}
    answers = {}
    size = 0
    try:
        session = open_session(job["path"], job["provider"])
        if provider_of(session) != job["provider"]:
            raise RuntimeError(f"asked for {job['provider']}, got {provider_of(session)}")
        for index, (size, rows) in enumerate(job["questions"]):
            asked = {
                name: array if axes[name] is None else array.take(rows, axis=axes[name])
                for name, array in inputs.items()
            }
            for output, array in ask(session, asked, axes, job["output_axes"], size).items():
                answers[f"{index} {output}"] = array
    except Exception as error:  # onnxruntime's own exceptions share no base
        at = f" at batch {size}" if size else ""
        (folder / "error.txt").write_text(f"onnxruntime fails{at}: {first_line(error)}")
        return
    np.savez(folder / "answers.npz", **answers)  # type: ignore[arg-type]


if __name__ == "__main__":
    for absent in ABSENT:
        sys.modules[absent] = None  # type: ignore[assignment]
    _answer(Path(sys.argv[1]))
