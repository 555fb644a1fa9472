"""Does the saved file compute what torch computes? Every output, every family, several batches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from azx.export.reference import Departure, Reference, departures
from azx.runtime.answers import Arrays, answers_elsewhere
from azx.runtime.contract import POLICY_LOGITS
from azx.runtime.errors import CheckFailed
from azx.runtime.rules import legal_cells, tiles_left
from azx.runtime.variant import Variant
from azx.runtime.verify import BATCHES, UNITS, Check

#: So many rows at least are asked at each of the smaller batches.
FEWEST_ROWS = 24


def ask_file(
    path: Path, reference: Reference, provider: str
) -> list[tuple[int, list[int], Arrays]]:
    """What the file says at each batch: (size, rows, outputs), all rows at once last.

    Where there are fewer rows than a batch takes, they are asked again from the first on.

    Raises `CheckFailed` where it does not load or run.
    """
    families = reference.families
    rows = families.batch.rows
    sizes = [size for size in BATCHES if size != rows]
    asked = [(size, _spread(rows, max(FEWEST_ROWS, 2 * size))) for size in sizes]
    asked.append((rows, list(range(rows))))
    inputs = {name: tensor.numpy() for name, tensor in families.batch.tensors.items()}
    found = answers_elsewhere(
        path, inputs, families.batch.axes, reference.interface.output_axes, asked, provider
    )
    return [(size, picked, arrays) for (size, picked), arrays in zip(asked, found, strict=True)]


def _spread(rows: int, count: int) -> list[int]:
    if rows < count:
        return [at % rows for at in range(count)]
    return sorted(set(np.linspace(0, rows - 1, count).astype(int).tolist()))


def compare(
    path: Path,
    reference: Reference,
    provider: str = "cpu",
    variant: Variant | None = None,
    at: str = "",
) -> list[Check]:
    """Checks of the file at `path`: one for each output of either side, and one for its batches.

    With a `variant` its policy's best moves are compared too. The file is run in a fresh process
    without torch, on `provider`. `at` is added to the checks' names.
    """
    label = at if provider == "cpu" else f"{at}, {provider}"
    try:
        answers = ask_file(path, reference, provider)
    except CheckFailed as error:
        return [Check(f"parity{label}", False, str(error))]
    told: dict[str, list[Departure]] = {}
    for size, rows, found in answers:
        for name, departed in departures(reference, found, rows, size).items():
            told.setdefault(name, []).extend(departed)
    units = UNITS if variant is not None else {}
    checks = [
        _output_check(name, parts, reference, label, units.get(name, ""))
        for name, parts in told.items()
    ]
    together = answers[-1][2]
    if variant is not None:
        checks.append(moves_check(reference, together, variant, label))
    return [*checks, _batch_check(answers[:-1], together, reference, label)]


def _output_check(
    name: str, parts: list[Departure], reference: Reference, label: str, unit: str
) -> Check:
    title = f"parity {name}{label}"
    if name in reference.faults:
        return Check(title, False, reference.faults[name])
    if not parts:
        return Check(title, False, "nothing of it could be compared")
    if name not in reference.bounds:
        return Check(title, False, "the module has no such output")
    worst = max(parts, key=lambda part: part.ratio)
    off = reference.bounds[name][worst.family].torch_off  # of the family that the bound is of
    skipped = [family for family, b in reference.bounds[name].items() if not b.usable]
    figures = {
        "worst": _finite(worst.worst),
        "relative": _finite(worst.relative),
        "bound": worst.allowed,
        "torch_off": off,
        "row": worst.row,
        "origin": reference.families.origins[worst.row],
        "batch": worst.size,
        "bound_from": reference.source,
        "families": _by_family(parts),
        "families_skipped": skipped,
    }
    where = f"{reference.families.origins[worst.row]}, batch {worst.size}"
    if not np.isfinite(worst.worst):
        says = f"NaN or Inf on one side only, or another shape or type, at {where}"
        return Check(title, False, says, figures)
    says = (
        f"off by {worst.worst:.1e}{unit}, allowed {worst.allowed:.1e} on {worst.family} inputs; "
        f"worst at {where}"
    )
    if off is not None:
        says += f", where float32 torch is off by {off:.1e}"
    if skipped:
        says += f"; {reference.left_out} on {', '.join(skipped)} inputs"
    return Check(title, worst.ratio <= 1.0, says, figures)


def _by_family(parts: Sequence[Departure]) -> dict[str, dict[str, Any]]:
    """Of each family the batch at which it is worst."""
    worst: dict[str, Departure] = {}
    for part in parts:
        if part.family not in worst or part.ratio > worst[part.family].ratio:
            worst[part.family] = part
    return {
        family: {
            "worst": _finite(part.worst),
            "relative": _finite(part.relative),
            "median": _finite(part.median),
            "p99": _finite(part.p99),
            "bound": part.allowed,
        }
        for family, part in worst.items()
    }


def _finite(number: float) -> float | None:
    return number if np.isfinite(number) else None


def _batch_check(
    answers: Sequence[tuple[int, list[int], Arrays]],
    together: Arrays,
    reference: Reference,
    label: str,
) -> Check:
    """f(concat) = concat(f), for the outputs that the module has too."""
    over = []
    worst: dict[str, float] = {}
    for size, rows, found in answers:
        known = {name: array for name, array in found.items() if name in reference.bounds}
        whole = {
            name: together[name] if axis is None else together[name].take(rows, axis=axis)
            for name in known
            for axis in [reference.interface.output_axes.get(name)]
        }
        for name, parts in departures(reference, known, rows, size, instead=whole).items():
            for part in parts:
                worst[name] = max(worst.get(name, 0.0), part.worst)
                if part.ratio > 1.0:
                    over.append(f"{name} by {part.worst:.1e} at batch {size}")
    sizes = [size for size, _, _ in answers]
    figures = {"batches": sizes, "worst": {n: w for n, w in worst.items() if np.isfinite(w)}}
    if over:
        says = f"a row's answer changes with its batch: {'; '.join(over[:3])}"
        return Check(
            f"parity batches{label}",
            False,
            f"{says}; look for a sum or norm over the batch",
            figures,
        )
    return Check(
        f"parity batches{label}", True, f"the same answers at {', '.join(map(str, sizes))}", figures
    )


def moves_check(reference: Reference, found: Arrays, variant: Variant, label: str = "") -> Check:
    """Best moves that change although torch prefers them by more than the bound, and the KL."""
    title = f"best moves{label}"
    expected = reference.expected[POLICY_LOGITS]
    boards = reference.families.batch.tensors["board"].numpy()
    logits = found.get(POLICY_LOGITS)
    if logits is None or logits.shape != expected.shape:
        return Check(title, False, "there are no such logits to choose by")
    legal = np.broadcast_to(legal_cells(boards)[:, None, :], expected.shape)
    decisions = tiles_left(variant, boards) & (legal.sum(axis=2) >= 2)
    legal = legal[decisions]
    torch_logits = np.where(legal, expected[decisions].astype(np.float64), -np.inf)
    onnx_logits = np.where(legal, logits[decisions].astype(np.float64), -np.inf)
    if not (np.isfinite(torch_logits) & np.isfinite(onnx_logits))[legal].all():
        return Check(title, False, "NaN or Inf among the logits of empty cells")
    second, best = np.partition(torch_logits, -2, axis=1)[:, -2:].T
    changed = torch_logits.argmax(axis=1) != onnx_logits.argmax(axis=1)
    flips = int((changed & (best - second > reference.worst_bound(POLICY_LOGITS))).sum())
    kl = float(_kl(torch_logits, onnx_logits, legal).max(initial=0.0))
    figures = {"flips": flips, "decisions": len(legal), "kl": kl}
    says = f"{flips} of {len(legal)} best moves change; KL at most {kl:.1e} nats"
    return Check(title, flips == 0, says, figures)


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
