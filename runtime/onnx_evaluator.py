"""The network on onnxruntime: the provider that was asked for or an error, never another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from azx.runtime.contract import BOARD, POLICY_LOGITS, REQUIRED_OUTPUTS, VALUE, Q
from azx.runtime.errors import ModelError, UsageError, first_line
from azx.runtime.evaluator import Evaluation
from azx.runtime.modelfile import ModelFile, read_model
from azx.runtime.resources import available_cores
from azx.runtime.sessions import session_of
from azx.runtime.variant import Variant

#: Larger batches are cut into pieces of this many: no faster on a CPU, and memory stays bounded.
LARGEST_BATCH = 1024

#: A GPU is given batches of a few sizes only, powers of two from this on: for each new shape it
#: would choose its kernels anew.
SMALLEST_FIXED_BATCH = 16

#: Threads that keep a GPU busy: one prepares a batch while another's is computed.
GPU_LANES = 2


class OnnxEvaluator:
    """A checked model file in an onnxruntime session.

    `provider` is `cpu`, `cuda` or `auto`, which takes CUDA where it works; `provider_used` tells,
    and a `ProviderWarning` where onnxruntime has CUDA and it does not work.
    On the CPU the answer for a board is the same to the last bit in any batch.

    With `many_games`, be they one game's rollouts, the threads are lanes: each of `threads` callers
    has its batch computed on a thread of its own, which wastes nothing on keeping threads together.
    Without, one caller gets its answer soonest.
    """

    def __init__(
        self,
        model: ModelFile,
        provider: str = "auto",
        threads: int | None = None,
        many_games: bool = False,
        fixed_batches: bool | None = None,
    ) -> None:
        """Build the session; `ModelError` where the graph does not follow the contract.

        `fixed_batches`, which fills batches up to a few sizes, is on for CUDA and off for the CPU.
        """
        if threads is not None and threads < 1:
            raise UsageError(f"threads must be at least 1, found {threads}")
        self.model = model
        self.variant: Variant = model.card.variant
        self.threads = threads or available_cores()
        threads_a_run = 1 if many_games else self.threads
        self.provider_used, self.session = session_of(
            model.data, model.path, provider, threads_a_run
        )
        on_gpu = self.provider_used == "cuda"
        self.lanes = (GPU_LANES if on_gpu else self.threads) if many_games else 1
        self._fixed_batches = on_gpu if fixed_batches is None else fixed_batches
        self.outputs = self._check_contract()
        self.evaluate(self.variant.empty_boards(1))  # refuses a graph that fails or gives NaN

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
        count, variant = len(boards), self.variant
        if boards.dtype != np.int8 or boards.shape[1:] != (variant.cells,):
            raise TypeError(
                f"boards of {variant.name} are int8 [batch, {variant.cells}], found "
                f"{boards.dtype} {list(boards.shape)}"
            )
        # Room for the last piece to be filled up to a fixed batch.
        rows = count - count % LARGEST_BATCH + self._batch_for(count % LARGEST_BATCH)
        placements = (rows, variant.tiles, variant.cells)
        results = {
            name: np.empty((rows,) if name == VALUE else placements, dtype=np.float32)
            for name in self.outputs
        }
        for start in range(0, count, LARGEST_BATCH):
            piece = boards[start : start + LARGEST_BATCH]
            into = slice(start, start + self._batch_for(len(piece)))
            self._run(piece, [results[name][into] for name in self.outputs])
        judged = {name: result[:count] for name, result in results.items()}
        return Evaluation(judged[POLICY_LOGITS], judged[VALUE], judged.get(Q))

    def _batch_for(self, count: int) -> int:
        """The size of the batch that `count` boards go in."""
        if not self._fixed_batches or count == 0:
            return count
        return max(SMALLEST_FIXED_BATCH, 1 << (count - 1).bit_length())

    def _run(self, boards: NDArray[np.int8], results: list[NDArray[np.float32]]) -> None:
        """Write the outputs for `boards` to `results`, which lie where onnxruntime writes to."""
        count, batch = len(boards), len(results[0])
        if batch > count:
            boards = np.concatenate((boards, self.variant.empty_boards(batch - count)))
        boards = np.ascontiguousarray(boards)
        binding = self.session.io_binding()
        binding.bind_input(BOARD, "cpu", 0, np.int8, boards.shape, boards.ctypes.data)
        for name, result in zip(self.outputs, results, strict=True):
            binding.bind_output(name, "cpu", 0, np.float32, result.shape, result.ctypes.data)
        try:
            self.session.run_with_iobinding(binding)
        except Exception as error:  # onnxruntime's own exceptions share no base
            raise ModelError(
                f"{self.model.path} fails on a batch of {count}: {first_line(error)}"
            ) from error
        # A sum is finite only if all its terms are, and is quicker than looking at each.
        if not all(np.isfinite(result.sum()) for result in results):
            raise ModelError(
                f"{self.model.path} gives NaN or Inf: its weights are broken; `azx doctor` on the "
                "run it came from tells where"
            )


def open_model(
    path: Path,
    variant: Variant | None = None,
    provider: str = "auto",
    threads: int | None = None,
    allow_unverified: bool = False,
    many_games: bool = False,
) -> OnnxEvaluator:
    """Read, check and load a model file; see `read_model` and `OnnxEvaluator` for the errors."""
    model = read_model(path, variant, allow_unverified)
    return OnnxEvaluator(model, provider, threads, many_games)
