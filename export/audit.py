"""Is a network alive? Facts about every parameter, and a verdict from what happens in training.

A zero may be meant: the last norm of a residual branch, a head that starts at nothing. The same
zero in the wrong place is the bug this project comes from, and a loss of ln 19 does not tell the
two apart. So no value is judged alone: a copy is trained for a few steps, and what fails is what
stays dead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from torch import Tensor, nn

from azx.export.isolation import random_numbers_kept, separate_copy
from azx.export.liveness import Liveness, Loss, watch
from azx.export.statistics import (
    NORMS,
    ParameterFacts,
    Role,
    owned_parameters,
    parameter_facts,
    units_alike,
)
from azx.runtime.errors import UsageError

Severity = Literal["fail", "warn", "note"]

#: A norm's weights start at 1; a mean outside of this is not what training makes of that.
USUAL_NORM_MEAN = (0.3, 3.0)

#: How many paths a finding names before it only counts.
NAMED = 6


@dataclass(frozen=True)
class Finding:
    """One thing to know of a network."""

    severity: Severity  # `fail`: it does not work; `warn`: look at it; `note`: odd, and works
    path: str  # of the parameter, buffer or output
    what: str
    mend: str = ""


@dataclass(frozen=True)
class Audit:
    """What was found in a network; `findings` worst first."""

    findings: list[Finding]
    parameters: list[ParameterFacts]

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return all(finding.severity != "fail" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """All of it, without NaN."""
        return {
            "passed": self.passed,
            "findings": [asdict(finding) for finding in self.findings],
            "parameters": [facts.to_json() for facts in self.parameters],
        }


def audit(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    loss: Loss | None = None,
    seed: int = 0,
    steps: int = 4,
) -> Audit:
    """Judge any torch module by its parameters and by a few training steps of a copy.

    `inputs` are what forward takes, best 16 or more rows that differ: whether the outputs depend on
    the input cannot be told from one row. `loss` makes a scalar of what forward returns; None takes
    a random projection of all outputs. Nothing of `module` changes, nor torch's random numbers.

    Raises `UsageError` where the module cannot be copied or run on `inputs`.
    """
    if steps < 1:
        raise UsageError(f"an audit needs at least 1 step, found {steps}")
    with random_numbers_kept(seed):
        copy = separate_copy(module)
        facts = parameter_facts(copy)
        broken = [*_not_finite(facts), *_buffers(copy)]
        if any(finding.severity == "fail" for finding in broken):
            return Audit(_worst_first(broken), facts)
        life = watch(copy, inputs, loss, seed, steps)
    facts = [replace(f, wakes=life.wakes.get(f.path)) for f in facts]
    findings = [
        *broken,
        *_not_finite_in_training(life),
        *_gradients(facts, life),
        *_constants(copy, facts, life),
        *_odd_norms(facts),
        *_outputs(life),
        *_tied(module),
    ]
    return Audit(_worst_first(findings), facts)


def _worst_first(findings: Sequence[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: ("fail", "warn", "note").index(finding.severity))


def _not_finite(facts: list[ParameterFacts]) -> Iterator[Finding]:
    for f in facts:
        if f.nan or f.inf:
            yield Finding(
                "fail",
                f.path,
                f"{f.nan} NaN and {f.inf} Inf among the {f.entries} entries of this {f.owner}",
                "initialise it, or go back to a checkpoint from before they appeared",
            )


def _buffers(module: nn.Module) -> Iterator[Finding]:
    for path, owner in module.named_modules():
        for name, buffer in owner.named_buffers(recurse=False):
            where = f"{path}.{name}" if path else name
            nan, inf = int(buffer.isnan().sum()), int(buffer.isinf().sum())
            if nan or (inf and isinstance(owner, NORMS)):
                yield Finding(
                    "fail",
                    where,
                    f"{nan} NaN and {inf} Inf in this buffer of a {type(owner).__name__}",
                    "reset it; in the statistics of a norm they come from a batch with NaN or Inf",
                )
            elif inf:
                yield Finding("note", where, f"{inf} Inf in this buffer, as masks have them")


def _not_finite_in_training(life: Liveness) -> Iterator[Finding]:
    for name in life.nan_outputs:
        yield Finding(
            "fail",
            f"output {name}",
            "NaN, though all parameters are finite",
            "look for 0 / 0, a logarithm of 0 or a row that is masked throughout",
        )
    if life.nan_gradients:
        path, step = next(iter(life.nan_gradients.items()))
        yield Finding(
            "fail",
            path,
            f"its gradient is NaN or Inf at step {step}, with {len(life.nan_gradients) - 1} others",
            "look for a square root or logarithm at 0, or for values that overflow",
        )


def _gradients(facts: list[ParameterFacts], life: Liveness) -> Iterator[Finding]:
    """Trainable parameters that no step gave a gradient, and why."""
    if life.nan_outputs or life.nan_gradients:
        return  # training stopped there, so nothing is known of the others
    if not any(f.trainable for f in facts):
        yield Finding("note", "", "nothing is trainable, so gradients were not looked at")
        return
    for f in facts:
        if f.path in life.detached:
            yield Finding(
                "fail",
                f.path,
                f"the outputs change with this {f.owner}'s parameter, and no gradient reaches it",
                "look for detach(), no_grad() or a rounding behind it; if it is meant to stay as "
                "it is, say so with requires_grad_(False)",
            )
        elif f.path in life.unused:
            yield Finding(
                "warn",
                f.path,
                f"no output depends on this {f.owner}'s parameter",
                "use it in forward, or remove it",
            )
    known = life.detached | life.unused
    dead = [
        f for f in facts if f.trainable and f.wakes is None and f.entries and f.path not in known
    ]
    alive_owners = {_owner_path(f) for f in facts if f.wakes is not None and f.role != Role.BIAS}
    idle_biases = [f for f in dead if f.role == Role.BIAS and _owner_path(f) in alive_owners]
    for f in idle_biases:
        yield Finding(
            "note",
            f.path,
            "this bias gets no gradient: what follows subtracts it again, as norms do",
        )
    yield from _dead([f for f in dead if f not in idle_biases], facts, life.steps)


def _dead(dead: list[ParameterFacts], facts: list[ParameterFacts], steps: int) -> Iterator[Finding]:
    if not dead:
        return
    roots = [
        f for f in facts if f.all_zero and f.role != Role.BIAS and (f in dead or not f.trainable)
    ]
    for f in roots:
        others = _listed([g.path for g in roots if g is not f])
        yield Finding(
            "fail",
            f.path,
            f"this {f.owner}'s {f.role} is 0 throughout"
            + (f", its gradient 0 in {steps + 1} steps" if f.trainable else " and frozen")
            + f": {len(dead)} of {len(facts)} parameters never learn"
            + (f"; 0 throughout are also {others}" if others else ""),
            "set a norm's weight to 1; initialise by the type of the layer, not by the shape of "
            "the tensor"
            if f.role == Role.NORM_WEIGHT
            else "of layers in series at most one may start at 0",
        )
    behind = [f for f in dead if f not in roots]
    if roots and behind:
        yield Finding(
            "note",
            behind[0].path,
            f"without a gradient besides: {_listed([f.path for f in behind])}",
            "mend the zeros above first",
        )
    elif behind:
        for f in behind:
            yield Finding(
                "fail",
                f.path,
                f"the gradient of this {f.owner}'s {f.role} is 0 in {steps + 1} steps "
                f"(mean {_short(f.mean)}, std {_short(f.std)})",
                "look behind it for an activation that is saturated or cut off for every input, "
                "or a factor that is always 0",
            )


def _constants(
    trained: nn.Module, facts: list[ParameterFacts], life: Liveness
) -> Iterator[Finding]:
    """Layers whose weights began all alike, by what the training steps made of them."""
    owners = {f.path: owned for f, owned in zip(facts, owned_parameters(trained), strict=True)}
    for f in facts:
        if f.wakes is None or f.std != 0.0 or f.entries < 2:
            continue
        _, owner, _, parameter = owners[f.path]
        woke = f"gets a gradient from step {f.wakes} on"
        if f.role == Role.WEIGHT and units_alike(owner, parameter):
            yield Finding(
                "fail",
                f.path,
                f"every entry of this {f.owner}'s weight is {_short(f.mean)}, and after "
                f"{life.steps} steps its units still do all the same",
                "initialise it with random numbers",
            )
        elif f.all_zero and f.role in (Role.WEIGHT, Role.NORM_WEIGHT):
            yield Finding("note", f.path, f"this {f.owner}'s {f.role} is 0 throughout and {woke}")
        elif f.role == Role.WEIGHT:
            yield Finding(
                "warn",
                f.path,
                f"every entry of this {f.owner}'s weight is {_short(f.mean)}; it {woke}, and its "
                "units differ after that",
                "initialise it with random numbers, unless an average is meant",
            )


def _odd_norms(facts: list[ParameterFacts]) -> Iterator[Finding]:
    low, high = USUAL_NORM_MEAN
    for f in facts:
        usual = f.mean is None or low <= f.mean <= high
        if f.role == Role.NORM_WEIGHT and not usual and not f.all_zero:
            yield Finding(
                "warn",
                f.path,
                f"the mean of this {f.owner}'s weight is {_short(f.mean)}, where norms start at 1",
                "if the network is fresh, keep the framework's 1",
            )


def _outputs(life: Liveness) -> Iterator[Finding]:
    if life.nan_outputs or life.nan_gradients:
        return
    if not life.answers:
        yield Finding(
            "note",
            "",
            "whether the outputs depend on the input was not looked at",
            "give two or more rows of input that differ",
        )
    constant = [name for name, varied in life.answers.items() if not varied]
    all_constant = len(constant) == len(life.answers)
    for name in constant:
        yield Finding(
            "fail" if all_constant else "warn",
            f"output {name}",
            f"the same for every row of input, before and after {life.steps} steps of training"
            if not life.answers_at_start[name]
            else f"the same for every row of input after {life.steps} steps of training",
            "follow the input through the layers to where its rows become equal",
        )
    for name, varied in life.answers.items():
        if varied and not life.answers_at_start[name]:
            yield Finding("note", f"output {name}", "depends on the input after training only")


def _tied(module: nn.Module) -> Iterator[Finding]:
    paths: dict[int, list[str]] = {}
    for path, parameter in module.named_parameters(remove_duplicate=False):
        paths.setdefault(id(parameter), []).append(path)
    for first, *others in paths.values():
        if others:
            yield Finding("note", first, f"tied: the same tensor as {_listed(others)}")


def _owner_path(facts: ParameterFacts) -> str:
    return facts.path.rpartition(".")[0]


def _listed(paths: list[str]) -> str:
    more = len(paths) - NAMED
    return ", ".join(paths[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _short(number: float | None) -> str:
    return "none" if number is None else f"{number:.4g}"
