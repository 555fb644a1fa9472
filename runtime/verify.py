"""Is a model file still what was exported, and does it compute the same on this machine?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from azx.runtime.answers import ask
from azx.runtime.contract import BOARD, MASKED_LOGIT, POLICY_LOGITS, REQUIRED_OUTPUTS, VALUE, Q
from azx.runtime.errors import ModelError, first_line
from azx.runtime.evaluator import Evaluation
from azx.runtime.golden import Golden, beyond_rounding, decode_golden, differences
from azx.runtime.modelfile import Card, ModelCard, SealedFile, read_model, read_sealed
from azx.runtime.onnx_evaluator import OnnxEvaluator
from azx.runtime.seeds import draw_orders, game_keys
from azx.runtime.sessions import session_of
from azx.runtime.variant import Variant

#: How far an output may be from what torch said at export, by provider. Logits, then points.
#: CUDA sums in another order than the CPU, which is some ten times as far.
BOUNDS = {
    "cpu": {POLICY_LOGITS: 1e-4, VALUE: 1e-3, Q: 1e-3},
    "cuda": {POLICY_LOGITS: 1e-3, VALUE: 1e-2, Q: 1e-2},
}
UNITS = {POLICY_LOGITS: "", VALUE: " points", Q: " points"}

#: How many times what the gate allowed may be off elsewhere: another CPU sums in another order,
#: and CUDA in yet another.
ELSEWHERE = {"cpu": 4.0, "cuda": 40.0}

#: The batches that must agree with one large one, here and in the gate.
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
    """Check the file at `path` on this machine, without torch.

    The checks of a network that plays: the file is whole and follows the contract; the export gate
    had passed it; it gives the stored outputs for the stored boards, within `BOUNDS`, or what the
    gate allowed its precision; a board's
    answer does not change with the others in its batch; filled cells are masked and nothing follows
    the last placement; its parameters are on record. Of any other network: the same, as far as it
    goes, within the bounds that the gate measured.

    Raises `ModelError` where there is nothing to check: the file is missing, damaged, not an azx
    model or does not load; `ProviderError` where the device asked for is not to be had.
    """
    sealed = read_sealed(path)
    if not isinstance(sealed.card, ModelCard):
        return _verify_other(sealed, provider, threads)
    model = read_model(path, allow_unverified=True)
    card = model.card
    evaluator = OnnxEvaluator(model, provider, threads)
    bounds = BOUNDS[evaluator.provider_used]
    allowed = _golden_bounds(card, bounds)
    return [
        Check("file", True, f"whole: its bytes hash to the recorded {model.sha256[:12]}..."),
        Check(
            "contract",
            True,
            f"version {card.contract} for {card.variant.name}: board to "
            f"{', '.join(evaluator.outputs)}, any batch",
        ),
        _verdict(card),
        *_golden(card, evaluator, allowed),
        _batches(evaluator, {name: max(bounds[name], allowed[name]) for name in bounds}),
        _ends(evaluator),
        _parameters(card),
    ]


def _verify_other(sealed: SealedFile, provider: str, threads: int | None) -> list[Check]:
    """The checks of a network that does not play."""
    card = sealed.card
    used, session = session_of(sealed.data, sealed.path, provider, threads)
    checks = [
        Check("file", True, f"whole: its bytes hash to the recorded {sealed.sha256[:12]}..."),
        _interface(card, session),
        _verdict(card),
    ]
    if not checks[1].passed:
        return checks
    golden = _golden_of(card)
    axes = {spec["name"]: _batch_axis(spec) for spec in card.interface["inputs"]}
    output_axes = {spec["name"]: _batch_axis(spec) for spec in card.interface["outputs"]}
    rows = max((golden.inputs[n].shape[a] for n, a in axes.items() if a is not None), default=1)
    where = f"from what torch said of {rows} rows, on {used}"
    try:
        together = ask(session, golden.inputs, axes, output_axes, max(rows, 1))
        apart = {size: ask(session, golden.inputs, axes, output_axes, size) for size in (1, 2, 3)}
    except Exception as error:  # onnxruntime's own exceptions share no base
        return [*checks, Check("golden", False, f"onnxruntime fails: {first_line(error)}")]
    for name, expected in golden.outputs.items():
        if name not in together or together[name].shape != expected.shape:
            checks.append(Check(f"golden {name}", False, "the graph gives no such output"))
            continue
        bounds = np.array(card.bounds[name]) * ELSEWHERE[used]
        at = output_axes[name]
        told = _by_bound(expected, together[name], bounds, at)
        checks.append(_within(f"golden {name}", *told, where, ""))
        if at is not None:
            several = [
                _by_bound(together[name], found[name], bounds, at) for found in apart.values()
            ]
            worst = max(several, key=lambda pair: pair[0] / pair[1] if pair[1] else pair[0])
            checks.append(_within(f"batches {name}", *worst, "at 1, 2 and 3 rows", ""))
    return [*checks, _parameters(card)]


def _golden_of(card: Card) -> Golden:
    """The golden set; `ModelError` where the card's interface or bounds do not fit it."""
    golden = decode_golden(card.golden)
    inputs, outputs = card.interface["inputs"], card.interface["outputs"]
    recorded = [{spec["name"]: len(spec["axes"]) for spec in specs} for specs in (inputs, outputs)]
    if [{name: array.ndim for name, array in arrays.items()} for arrays in golden] != recorded:
        raise ModelError(
            "the model's golden set is not of the inputs and outputs that are recorded; "
            "export it again with this azx"
        )
    for spec in outputs:
        name, at = spec["name"], _batch_axis(spec)
        rows = 1 if at is None else golden.outputs[name].shape[at]
        if rows == 0 or len(card.bounds.get(name, [])) != rows:
            raise ModelError(
                f"the model has no bound for each of the {rows} golden rows of {name!r}; "
                "export it again with this azx"
            )
    return golden


def _by_bound(
    expected: NDArray[Any], found: NDArray[Any], bounds: NDArray[np.float64], axis: int | None
) -> tuple[float, float]:
    """The difference that is worst against the bound of its row, and that bound."""
    apart = differences(expected, found)
    if axis is not None:
        apart, expected = np.moveaxis(apart, axis, 0), np.moveaxis(expected, axis, 0)
    by_row = (len(bounds), -1)
    apart = beyond_rounding(apart.reshape(by_row), expected.reshape(by_row), bounds[:, None])
    rows = apart.max(axis=1, initial=0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(rows == 0, 0.0, rows / bounds)
    worst = int(ratios.argmax())
    return float(rows[worst]), float(bounds[worst])


def _batch_axis(spec: dict[str, Any]) -> int | None:
    return spec["axes"].index("batch") if "batch" in spec["axes"] else None


def _interface(card: Card, session: Any) -> Check:
    """Names and axes as the gate recorded them."""
    found = [
        [(node.name, [a if isinstance(a, int) else "free" for a in node.shape]) for node in nodes]
        for nodes in (session.get_inputs(), session.get_outputs())
    ]
    recorded = [
        [(s["name"], [a if isinstance(a, int) else "free" for a in s["axes"]]) for s in specs]
        for specs in (card.interface["inputs"], card.interface["outputs"])
    ]
    if found != recorded:
        return Check("interface", False, f"it takes and gives {found}, recorded is {recorded}")
    names = [", ".join(name for name, _ in side) for side in found]
    return Check("interface", True, f"{names[0]} to {names[1]}, any batch")


def _verdict(card: Card) -> Check:
    if card.verified:
        return Check("verdict", True, "the export gate passed it")
    return Check("verdict", False, "stamped UNVERIFIED: the export gate refused this network")


def _golden_bounds(card: ModelCard, bounds: dict[str, float]) -> dict[str, float]:
    """How far from torch each output may be: `bounds`, or what the gate allowed a coarser file."""
    if card.precision == "float32":
        return bounds
    return {name: max(card.bounds.get(name) or [bound]) for name, bound in bounds.items()}


def _golden(card: ModelCard, evaluator: OnnxEvaluator, bounds: dict[str, float]) -> Iterator[Check]:
    """One check for each stored output."""
    golden = decode_golden(card.golden)
    if not len(golden.inputs.get(BOARD, ())):
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


def _parameters(card: Card) -> Check:
    entries = 0
    for parameter in card.parameters:
        own = math.prod(parameter["shape"])
        entries += own
        mean, std = parameter.get("mean"), parameter.get("std")
        if own == 0:  # like one that only says on which device a module is
            continue
        if not isinstance(mean, int | float) or not isinstance(std, int | float):
            return Check(
                "parameters", False, f"{parameter['name']!r} has no mean and deviation recorded"
            )
    if not card.parameters and isinstance(card, ModelCard):
        return Check("parameters", False, "none recorded, so nobody can audit this file")
    if not card.parameters:
        return Check("parameters", True, "the network has none")
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
