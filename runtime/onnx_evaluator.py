"""The network on onnxruntime: the provider that was asked for or an error, never another."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from azx.runtime.contract import BOARD, POLICY_LOGITS, REQUIRED_OUTPUTS, VALUE, Q
from azx.runtime.errors import ModelError, ProviderError, UsageError
from azx.runtime.evaluator import Evaluation
from azx.runtime.modelfile import ModelFile, read_model
from azx.runtime.variant import Variant

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}

#: Larger batches are cut into pieces of this many: no faster on a CPU, and memory stays bounded.
LARGEST_BATCH = 1024


def available_cores() -> int:
    """The cores this process may use, not those the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class OnnxEvaluator:
    """A checked model file in an onnxruntime session.

    `provider` is `cpu`, `cuda` or `auto`, which takes CUDA where it works; `provider_used` tells.
    On the CPU the answer for a board is the same to the last bit in any batch.
    """

    def __init__(
        self, model: ModelFile, provider: str = "auto", threads: int | None = None
    ) -> None:
        """Build the session; `ModelError` where the graph does not follow the contract."""
        if provider not in (*PROVIDERS, "auto"):
            raise UsageError(f"no provider {provider!r}; there are: cpu, cuda, auto")
        if threads is not None and threads < 1:
            raise UsageError(f"threads must be at least 1, found {threads}")
        self.model = model
        self.variant: Variant = model.card.variant
        self.threads = threads or available_cores()
        self.session = self._open(provider)
        self.provider_used = next(
            name for name, long in PROVIDERS.items() if long == self.session.get_providers()[0]
        )
        self.outputs = self._check_contract()
        self.evaluate(self.variant.empty_boards(1))  # refuses a graph that fails or gives NaN

    def _open(self, provider: str) -> ort.InferenceSession:
        options = ort.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.log_severity_level = 3
        has_cuda = PROVIDERS["cuda"] in ort.get_available_providers()
        wanted = [PROVIDERS["cpu"]]
        if provider == "cuda" or (provider == "auto" and has_cuda):
            if hasattr(ort, "preload_dlls"):
                ort.preload_dlls()
            # TF32 would put errors of 1e-3 where the CPU has 1e-6.
            wanted.insert(0, (PROVIDERS["cuda"], {"use_tf32": "0"}))  # type: ignore[arg-type]
        if provider == "cuda" and not has_cuda:
            raise ProviderError(
                "CUDA was asked for, and this onnxruntime has only "
                f"{', '.join(ort.get_available_providers())}: install onnxruntime-gpu, or use "
                "--provider cpu"
            )
        try:
            session = ort.InferenceSession(self.model.data, options, providers=wanted)
        except Exception as error:  # onnxruntime's own exceptions share no base
            raise ModelError(
                f"{self.model.path}: onnxruntime cannot load it: {_first_line(error)}"
            ) from error
        if provider == "cuda" and session.get_providers()[0] != PROVIDERS["cuda"]:
            raise ProviderError(
                "CUDA was asked for, and the session runs on "
                f"{session.get_providers()[0]}: the CUDA or cuDNN libraries were not found"
            )
        return session

    def _check_contract(self) -> list[str]:
        """The names of the outputs to ask for, in the contract's order."""
        cells, tiles = self.variant.cells, self.variant.tiles
        per_placement = ("tensor(float)", [tiles, cells])
        expected = {
            BOARD: ("tensor(int8)", [cells]),
            POLICY_LOGITS: per_placement,
            VALUE: ("tensor(float)", []),
            Q: per_placement,
        }
        inputs = [node.name for node in self.session.get_inputs()]
        outputs = [node.name for node in self.session.get_outputs()]
        if inputs != [BOARD] or not set(REQUIRED_OUTPUTS) <= set(outputs):
            raise ModelError(
                f"{self.model.path} takes {inputs} and gives {outputs}; the contract is "
                f"[{BOARD!r}] to {list(REQUIRED_OUTPUTS)}"
            )
        for node in (*self.session.get_inputs(), *self.session.get_outputs()):
            if node.name not in expected:
                continue
            kind, shape = expected[node.name]
            if node.type != kind or node.shape[1:] != shape or not isinstance(node.shape[0], str):
                raise ModelError(
                    f"{self.model.path}: {node.name!r} is {node.type} {node.shape}, "
                    f"the contract for {self.variant.name} says {kind} {['batch', *shape]}"
                )
        return [name for name in (POLICY_LOGITS, VALUE, Q) if name in outputs]

    def evaluate(self, boards: NDArray[np.int8]) -> Evaluation:
        """Judge `boards` int8 [B, C]; `ModelError` where the network gives NaN or Inf."""
        pieces = [
            self._run(boards[start : start + LARGEST_BATCH])
            for start in range(0, len(boards), LARGEST_BATCH)
        ]
        if not pieces:
            shape = (0, self.variant.tiles, self.variant.cells)
            nothing = np.zeros(shape, dtype=np.float32)
            empty = np.zeros(0, dtype=np.float32)
            return Evaluation(nothing, empty, nothing if Q in self.outputs else None)
        if len(pieces) == 1:
            return pieces[0]
        logits, value, q = zip(*pieces, strict=True)
        return Evaluation(
            np.concatenate(logits),
            np.concatenate(value),
            np.concatenate(q) if Q in self.outputs else None,
        )

    def _run(self, boards: NDArray[np.int8]) -> Evaluation:
        try:
            results = self.session.run(self.outputs, {BOARD: boards})
        except Exception as error:  # as above
            raise ModelError(
                f"{self.model.path} fails on a batch of {len(boards)}: {_first_line(error)}"
            ) from error
        logits, value, q = (*results, None)[:3]
        # A sum is finite only if all its terms are, and is quicker than looking at each.
        if not all(np.isfinite(output.sum()) for output in results):
            raise ModelError(
                f"{self.model.path} gives NaN or Inf: its weights are broken; `azx doctor` on the "
                "run it came from tells where"
            )
        return Evaluation(logits, value, q)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200]


def open_model(
    path: Path,
    variant: Variant | None = None,
    provider: str = "auto",
    threads: int | None = None,
    allow_unverified: bool = False,
) -> OnnxEvaluator:
    """Read, check and load a model file; see `read_model` and `OnnxEvaluator` for the errors."""
    return OnnxEvaluator(read_model(path, variant, allow_unverified), provider, threads)
