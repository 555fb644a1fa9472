"""Which provider each node of a network really ran on."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path

import onnxruntime

from azx.runtime.contract import BOARD
from azx.runtime.modelfile import ModelFile
from azx.runtime.onnx_evaluator import OnnxEvaluator
from azx.runtime.verify import sample_boards


def node_providers(model: ModelFile, provider: str) -> dict[str, int]:
    """How many nodes of the optimised graph each provider really ran, by onnxruntime's profile."""
    asked_for = OnnxEvaluator(model, provider, threads=1).session.get_providers()
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(model.data, options, providers=asked_for)
        session.run(None, {BOARD: sample_boards(model.card.variant, 1)})
        events = json.loads(Path(session.end_profiling()).read_text())
    ran = [e["args"]["provider"] for e in events if e.get("args", {}).get("provider")]
    return dict(Counter(ran))
