"""Is a model file still what was exported, and does it compute the same on this machine?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from azx.runtime.contract import MASKED_LOGIT, POLICY_LOGITS, REQUIRED_OUTPUTS, VALUE, Q
from azx.runtime.evaluator import Evaluation
from azx.runtime.golden import decode_golden, differences
from azx.runtime.modelfile import ModelCard, read_model
from azx.runtime.onnx_evaluator import OnnxEvaluator
from azx.runtime.seeds import draw_orders, game_keys
from azx.runtime.variant import Variant

#: How far an output may be from what torch said at export, by provider. Logits, then points.
#: CUDA sums in another order than the CPU, which is some ten times as far.
BOUNDS = {
    "cpu": {POLICY_LOGITS: 1e-4, VALUE: 1e-3, Q: 1e-3},
    "cuda": {POLICY_LOGITS: 1e-3, VALUE: 1e-2, Q: 1e-2},
}
UNITS = {POLICY_LOGITS: "", VALUE: " points", Q: " points"}

#: The batches that must agree with one large one.
BATCHES = (1, 2, 3, 7, 64)


@dataclass(frozen=True)
class Check:
    """One thing that was checked, and what came of it."""

    name: str
    passed: bool
    says: str  # one line: what was found, against what was expected
    figures: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)


def verify_model(path: Path, provider: str = "auto", threads: int | None = None) -> list[Check]:
    """Check the model file at `path` on this machine, without torch.

    The checks: the file is whole and follows the contract; the export gate had passed it; it gives
    the stored outputs for the stored boards, within `BOUNDS`; a board's answer does not change with
    the others in its batch; filled cells are masked and nothing follows the last placement; its
    parameters are on record.

    Raises `ModelError` where there is nothing to check: the file is missing, damaged, not an azx
    model or does not load; `ProviderError` where the device asked for is not to be had.
    """
    model = read_model(path, allow_unverified=True)
    card = model.card
    evaluator = OnnxEvaluator(model, provider, threads)
    bounds = BOUNDS[evaluator.provider_used]
    return [
        Check("file", True, f"whole: its bytes hash to the recorded {model.sha256[:12]}..."),
        Check(
            "contract",
            True,
            f"version {card.contract} for {card.variant.name}: board to "
            f"{', '.join(evaluator.outputs)}, any batch",
        ),
        _verdict(card),
        *_golden(card, evaluator, bounds),
        _batches(evaluator, bounds),
        _ends(evaluator),
        _parameters(card),
    ]


def _verdict(card: ModelCard) -> Check:
    if card.verified:
        return Check("verdict", True, "the export gate passed it")
    return Check("verdict", False, "stamped UNVERIFIED: the export gate refused this network")


def _golden(card: ModelCard, evaluator: OnnxEvaluator, bounds: dict[str, float]) -> Iterator[Check]:
    """One check for each stored output."""
    golden = decode_golden(card.golden)
    if not len(golden.boards):
        yield Check("golden", False, "no boards are stored, so nothing can be compared")
        return
    found = _by_name(evaluator.evaluate(golden.boards))
    for name in dict.fromkeys((*REQUIRED_OUTPUTS, *found, *golden.outputs)):
        title = f"golden {name}"
        if name not in golden.outputs or name not in found:
            where = "golden set" if name not in golden.outputs else "graph"
            yield Check(title, False, f"the {where} has no such output: export it again")
            continue
        if golden.outputs[name].shape != found[name].shape:
            yield Check(
                title,
                False,
                f"shape {list(found[name].shape)}, stored is {list(golden.outputs[name].shape)}",
            )
            continue
        yield _within(
            title,
            _worst(golden.outputs[name], found[name]),
            bounds[name],
            f"from what torch said of {len(golden.boards)} boards, on {evaluator.provider_used}",
            UNITS[name],
        )


def _batches(evaluator: OnnxEvaluator, bounds: dict[str, float]) -> Check:
    boards = sample_boards(evaluator.variant, max(BATCHES) + 6)
    together = _by_name(evaluator.evaluate(boards))
    apart: dict[tuple[str, int], float] = {}
    for size in BATCHES:
        pieces = [
            _by_name(evaluator.evaluate(boards[start : start + size]))
            for start in range(0, len(boards), size)
        ]
        for name, expected in together.items():
            found = np.concatenate([piece[name] for piece in pieces])
            apart[name, size] = _worst(expected, found)
    name, size = max(apart, key=lambda key: apart[key] / bounds[key[0]])
    where = f"from one batch of {len(boards)}, worst in {name} at batch {size}"
    return _within("batches", apart[name, size], bounds[name], where, UNITS[name])


def _ends(evaluator: OnnxEvaluator) -> Check:
    """Filled cells are masked, and where the game ends nothing is to come: see the contract."""
    boards = sample_boards(evaluator.variant, 4 * (evaluator.variant.cells + 1))
    answer = evaluator.evaluate(boards)
    filled = boards >= 0
    left = evaluator.variant.cells - filled.sum(axis=1)
    by_cell = answer.policy_logits.transpose(0, 2, 1)
    unmasked = int((by_cell[filled] > MASKED_LOGIT / 2).sum())
    masked = int((by_cell[~filled] <= MASKED_LOGIT / 2).sum())
    after_the_end = float(np.abs(answer.value[left == 0]).max())
    if answer.q is not None:
        after_the_end = max(after_the_end, float(np.abs(answer.q[left <= 1]).max()))
    if unmasked or masked or after_the_end:
        return Check(
            "ends",
            False,
            f"{unmasked} logits of filled cells are not masked, {masked} of empty cells are; "
            f"{after_the_end:g} points are to come after the last placement, expected 0",
        )
    return Check(
        "ends", True, "filled cells are masked; nothing is to come after the last placement"
    )


def _parameters(card: ModelCard) -> Check:
    entries = 0
    for parameter in card.parameters:
        entries += math.prod(parameter.get("shape", []))
        mean, std = parameter.get("mean"), parameter.get("std")
        if not isinstance(mean, int | float) or not isinstance(std, int | float):
            return Check(
                "parameters", False, f"{parameter.get('name')!r} has no mean and deviation recorded"
            )
    if not card.parameters:
        return Check("parameters", False, "none recorded, so nobody can audit this file")
    return Check("parameters", True, f"{len(card.parameters)} recorded, {entries} numbers in all")


def sample_boards(variant: Variant, count: int) -> NDArray[np.int8]:
    """int8 [count, C]: boards of every turn, tiles drawn and cells chosen by a fixed seed."""
    boards = draw_orders(variant, game_keys(0, count))
    later = np.random.default_rng(0).permuted(np.tile(np.arange(variant.cells), (count, 1)), axis=1)
    laid = np.arange(count)[:, None] % (variant.cells + 1)
    return np.where(later < laid, boards, np.int8(-1))


def _by_name(evaluation: Evaluation) -> dict[str, NDArray[np.float32]]:
    outputs = {POLICY_LOGITS: evaluation.policy_logits, VALUE: evaluation.value}
    if evaluation.q is not None:
        outputs[Q] = evaluation.q
    return outputs


def _worst(expected: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    """The largest difference; Inf where anything is NaN."""
    return float(differences(expected, found).max(initial=0.0))


def _within(name: str, worst: float, bound: float, where: str, unit: str) -> Check:
    said = "NaN" if math.isinf(worst) else f"{worst:.1e}{unit}"
    return Check(
        name,
        worst <= bound,
        f"{said} {where}; allowed {bound:.0e}{unit}",
        {"worst": None if math.isinf(worst) else worst, "bound": bound},
    )
