"""Does the ONNX graph compute what torch computes? Every output, every turn, several batches.

How far the two may be apart is not chosen but measured: float32 in torch is compared with the same
network in float64, and onnxruntime is allowed a few times that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from azx.export.emit import contract_outputs
from azx.export.isolation import evaluating, first_line, random_numbers_kept, separate_copy
from azx.export.outputs import ordinary, varies
from azx.export.positions import Positions
from azx.runtime.contract import BOARD, POLICY_LOGITS
from azx.runtime.golden import differences
from azx.runtime.rules import legal_cells, tiles_left
from azx.runtime.variant import Variant
from azx.runtime.verify import UNITS, Check

BATCHES = (1, 2, 3, 7, 64, 256)

#: onnxruntime may be off by this many times what float32 torch is off ...
TIMES = 8
#: ... and always by this many roundings of the output's largest entry, masks aside.
ROUNDINGS = 8
#: The same where no float64 reference is to be had.
ROUNDINGS_UNMEASURED = 256
#: Off by more than this share of the largest entry, float32 is too coarse to compare anything.
TOO_COARSE = 1e-3

Arrays = dict[str, NDArray[Any]]


class Bound(NamedTuple):
    """How far an output may be off, and where that is from."""

    allowed: float
    torch_off: float | None  # float32 torch against float64; None where there is no float64
    coarse: bool  # float32 itself is so far off that agreement would mean nothing


def compare(
    module: nn.Module,
    graph: bytes,
    variant: Variant,
    positions: Positions,
    batches: Sequence[int] = BATCHES,
) -> list[Check]:
    """Compare `module` with a serialised ONNX `graph` on `positions`, cut into each of `batches`.

    Gives a check for each output of either, one for the policy's best moves, and one for whether a
    board's answer depends on the others in its batch. The module is as before afterwards.

    Raises `UsageError` where the module cannot be copied or run.
    """
    with random_numbers_kept(0):
        outputs = _run_torch(module, positions.boards)
        bounds, reference = _bounds(module, outputs, positions)
    expected = {name: tensor.numpy() for name, tensor in outputs.items()}
    try:
        options = ort.SessionOptions()
        options.log_severity_level = 4
        session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        found = {size: _run_onnx(session, positions, size) for size in batches}
        together = _run_onnx(session, positions, len(positions.boards))
    except Exception as error:  # onnxruntime's own exceptions share no base
        return [Check("parity", False, f"onnxruntime fails: {first_line(error)}")]
    checks = [
        _output_check(name, outputs, bounds, found, positions, reference)
        for name in dict.fromkeys((*expected, *together))
    ]
    if POLICY_LOGITS in together and together[POLICY_LOGITS].shape == expected[POLICY_LOGITS].shape:
        allowed = bounds[POLICY_LOGITS].allowed
        checks.append(
            _moves(expected[POLICY_LOGITS], together[POLICY_LOGITS], allowed, variant, positions)
        )
    return [*checks, _batch_check(found, together, bounds)]


def _run_torch(module: nn.Module, boards: NDArray[np.int8]) -> dict[str, Tensor]:
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    with evaluating(module), torch.no_grad():
        outputs = contract_outputs(module, torch.from_numpy(boards).to(device))
        return {name: tensor.detach().cpu() for name, tensor in outputs.items()}


def _run_onnx(session: ort.InferenceSession, positions: Positions, size: int) -> Arrays:
    """All outputs for all positions, asked `size` at a time."""
    names = [node.name for node in session.get_outputs()]
    boards = positions.boards
    pieces = [
        session.run(names, {BOARD: boards[start : start + size]})
        for start in range(0, len(boards), size)
    ]
    joined = [np.concatenate(parts) for parts in zip(*pieces, strict=True)]
    return dict(zip(names, joined, strict=True))


class _Doubled(TorchDispatchMode):
    """Turns each request for a lower floating-point type inside a forward into one for float64."""

    LOWER = (torch.float32, torch.float16, torch.bfloat16)

    def __torch_dispatch__(  # type: ignore[no-untyped-def]
        self, func, types, args=(), kwargs=None
    ):
        raised = {k: torch.float64 if v in self.LOWER else v for k, v in (kwargs or {}).items()}
        return func(*args, **raised)


@contextmanager
def _default_double() -> Iterator[None]:
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(default)


def _bounds(
    module: nn.Module, outputs: dict[str, Tensor], positions: Positions
) -> tuple[dict[str, Bound], str]:
    """The bound of each output, and a line on where they are from."""
    exact: dict[str, Tensor] = {}
    try:
        doubled = separate_copy(module).double()
        with _default_double(), _Doubled():
            exact = _run_torch(doubled, positions.boards)
        floats = {name: tensor for name, tensor in exact.items() if tensor.is_floating_point()}
        single = [name for name, tensor in floats.items() if tensor.dtype != torch.float64]
        reason = f"{single[0]} stays {exact[single[0]].dtype}" if single else ""
    except Exception as error:  # a forward may insist on float32
        reason = first_line(error)
    if reason:
        reference = f"no float64 reference ({reason}), so {ROUNDINGS_UNMEASURED} roundings allowed"
        return {name: _unmeasured(tensor) for name, tensor in outputs.items()}, reference
    reference = f"{TIMES} times what float32 torch is off from float64"
    return {name: _measured(exact[name], tensor) for name, tensor in outputs.items()}, reference


def _largest(tensor: Tensor) -> float:
    usable = ordinary(tensor)
    return float(tensor[usable].abs().max()) if bool(usable.any()) else 0.0


def _rounding(tensor: Tensor) -> float:
    return float(np.finfo(np.float32).eps) * _largest(tensor)


def _unmeasured(single: Tensor) -> Bound:
    return Bound(ROUNDINGS_UNMEASURED * _rounding(single), None, False)


def _measured(exact: Tensor, single: Tensor) -> Bound:
    apart = differences(exact.numpy(), single.numpy())
    off = float(apart[np.isfinite(apart)].max(initial=0.0))
    allowed = max(TIMES * off, ROUNDINGS * _rounding(single))
    return Bound(allowed, off, off > TOO_COARSE * _largest(exact))


def _output_check(
    name: str,
    outputs: dict[str, Tensor],
    bounds: dict[str, Bound],
    found: dict[int, Arrays],
    positions: Positions,
    reference: str,
) -> Check:
    title = f"parity {name}"
    if name not in outputs:
        return Check(title, False, "the graph has this output and the module has not")
    if any(name not in arrays for arrays in found.values()):
        return Check(title, False, "the graph lacks this output of the module")
    expected, bound, unit = outputs[name].numpy(), bounds[name], UNITS.get(name, "")
    by_batch: dict[int, NDArray[np.float64]] = {}
    for size, arrays in found.items():
        if arrays[name].shape != expected.shape:
            shapes = f"{list(arrays[name].shape)}, torch gives {list(expected.shape)}"
            return Check(title, False, f"at batch {size} the shape is {shapes}")
        rows = differences(expected, arrays[name]).reshape(len(expected), -1)
        by_batch[size] = rows.max(axis=1, initial=0.0)
    size = max(by_batch, key=lambda key: float(by_batch[key].max()))
    position = int(by_batch[size].argmax())
    worst = float(by_batch[size][position])
    where = f"{positions.origins[position]} (position {position}, batch {size})"
    figures = {
        "worst": worst if np.isfinite(worst) else None,
        "bound": bound.allowed,
        "torch_off": bound.torch_off,
        "position": position,
        "turn": int(positions.turns[position]),
        "batch": size,
        "bound_from": reference,
    }
    if not np.isfinite(worst):
        return Check(title, False, f"NaN or Inf on one side only, at {where}", figures)
    if not varies(outputs[name]):
        says = f"the same for all {len(expected)} positions: agreement on it shows nothing"
        return Check(title, False, says, figures)
    if bound.coarse:
        says = f"float32 torch itself is off by {bound.torch_off:.1e}{unit} from float64"
        return Check(title, False, f"{says}: too coarse to compare anything with", figures)
    says = f"off by {worst:.1e}{unit}, allowed {bound.allowed:.1e}; worst at {where}"
    return Check(title, worst <= bound.allowed, says, figures)


def _moves(
    expected: NDArray[np.float32],
    found: NDArray[np.float32],
    allowed: float,
    variant: Variant,
    positions: Positions,
) -> Check:
    """Best moves that change although torch prefers them by more than the bound."""
    legal = np.broadcast_to(legal_cells(positions.boards)[:, None, :], expected.shape)
    decisions = tiles_left(variant, positions.boards) & (legal.sum(axis=2) >= 2)
    legal = legal[decisions]
    torch_logits = np.where(legal, expected[decisions].astype(np.float64), -np.inf)
    onnx_logits = np.where(legal, found[decisions].astype(np.float64), -np.inf)
    if not (np.isfinite(torch_logits) & np.isfinite(onnx_logits))[legal].all():
        return Check("best moves", False, "NaN or Inf among the logits of empty cells")
    second, best = np.partition(torch_logits, -2, axis=1)[:, -2:].T
    changed = torch_logits.argmax(axis=1) != onnx_logits.argmax(axis=1)
    flips = int((changed & (best - second > allowed)).sum())
    kl = float(_kl(torch_logits, onnx_logits, legal).max(initial=0.0))
    figures = {"flips": flips, "decisions": len(legal), "kl": kl}
    says = f"{flips} of {len(legal)} best moves change; KL at most {kl:.1e} nats"
    return Check("best moves", flips == 0, says, figures)


def _kl(
    p_logits: NDArray[np.float64], q_logits: NDArray[np.float64], legal: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """KL(p || q) of each row [D, C]; logits are -Inf where `legal` is not set."""

    def log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
        shifted = logits - logits.max(axis=1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))

    p, q = log_softmax(p_logits), log_softmax(q_logits)
    apart = np.subtract(p, q, out=np.zeros_like(p), where=legal)
    # Rounding can leave a sum of nothing a little below 0.
    return np.maximum((np.exp(p) * apart).sum(axis=1), 0.0)


def _batch_check(found: dict[int, Arrays], together: Arrays, bounds: dict[str, Bound]) -> Check:
    """f(concat) = concat(f), for the outputs that the module has too."""
    over: list[str] = []
    worst: dict[str, float] = {}
    for size, arrays in found.items():
        for name in bounds.keys() & arrays.keys():
            apart = np.inf
            if arrays[name].shape == together[name].shape:
                apart = float(differences(together[name], arrays[name]).max(initial=0.0))
            worst[name] = max(worst.get(name, 0.0), apart)
            if apart > bounds[name].allowed:
                over.append(f"{name} by {apart:.1e} at batch {size}")
    figures = {"batches": list(found), "worst": {n: w for n, w in worst.items() if np.isfinite(w)}}
    if over:
        says = f"a board's answer changes with its batch: {'; '.join(over[:3])}"
        return Check(
            "parity batches", False, f"{says}; look for a sum or norm over the batch", figures
        )
    return Check(
        "parity batches", True, f"the same answers at {', '.join(map(str, found))}", figures
    )
