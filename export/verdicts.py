"""From facts to findings: what fails, what to look at, and which suspicions came to nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from torch import nn

from azx.export.findings import Evidence, Finding, Suspicion, listed, never_woken, short
from azx.export.liveness import Liveness
from azx.export.statistics import (
    NORMS,
    ParameterFacts,
    Role,
    duplicate_units,
    owned_parameters,
    unit_count,
    units_alike,
)

#: Shares from which on an activation is worth a warning.
IDLE = 0.7
SATURATED = 0.9

#: With fewer units most may be idle by luck: in stacks of six ReLU layers of 8, initialised as
#: torch does, 2 of 36 layers were.
UNITS_FOR_IDLE = 16

#: The fewest rows from which idle units can be told from units that saw nothing they fire at.
ROWS_FOR_IDLE = 8


def not_finite(facts: list[ParameterFacts], module: nn.Module) -> list[Finding]:
    """NaN and Inf where they lie, which no training needs to show."""
    found = [
        Finding(
            "fail",
            f.path,
            f"{f.nan} NaN and {f.inf} Inf among the {f.entries} entries of this {f.owner}",
            "initialise it, or go back to a checkpoint from before they appeared",
            can_be_meant=False,
        )
        for f in facts
        if f.nan or f.inf
    ]
    for path, owner in module.named_modules():
        for name, buffer in owner.named_buffers(recurse=False):
            nan, inf = int(buffer.isnan().sum()), int(buffer.isinf().sum())
            # Masks hold -Inf; the statistics of a norm must not.
            if nan or (inf and isinstance(owner, NORMS)):
                found.append(
                    Finding(
                        "fail",
                        f"{path}.{name}" if path else name,
                        f"{nan} NaN and {inf} Inf in this buffer of a {type(owner).__name__}",
                        "reset it; in the statistics of a norm they come from a batch with NaN",
                        can_be_meant=False,
                    )
                )
    return found


def judged(
    evidence: Evidence, trained: nn.Module, meant: Mapping[str, str]
) -> tuple[list[Finding], list[Suspicion]]:
    """Findings worst first, and the suspicions that were settled.

    `trained` is the copy after its steps. `meant` gives a reason for paths whose findings are no
    faults; those become suspicions. NaN and Inf are never meant.
    """
    findings = [
        *_no_training(evidence.life),
        *_gradients(evidence),
        *_alike(evidence, trained),
        *_layers(evidence),
        *_outputs(evidence),
        *_learning(evidence),
    ]
    settled = _settled(evidence, {finding.path for finding in findings})
    kept = []
    for finding in findings:
        if finding.path in meant and finding.can_be_meant and finding.severity != "note":
            reason = f"meant: {meant[finding.path]}"
            settled.append(Suspicion(finding.path, finding.what, reason))
        else:
            kept.append(finding)
    return worst_first(kept), settled


def worst_first(findings: Sequence[Finding]) -> list[Finding]:
    """Failures, then warnings, then notes."""
    return sorted(findings, key=lambda finding: ("fail", "warn", "note").index(finding.severity))


def _no_training(life: Liveness) -> Iterator[Finding]:
    for name in life.nan_outputs:
        yield Finding(
            "fail",
            f"output {name}",
            "NaN, though all parameters are finite",
            "look for 0 / 0, a logarithm of 0 or a row that is masked throughout",
            can_be_meant=False,
        )
    for name in life.whole_numbers:
        yield Finding(
            "warn",
            f"output {name}",
            "whole numbers, and no output has real ones: no gradient can tell whether it is alive",
            "give out what argmax, rounding or a comparison is made from, too",
        )
    if life.nan_gradients:
        path, step = next(iter(life.nan_gradients.items()))
        yield Finding(
            "fail",
            path,
            f"its gradient is NaN or Inf at step {step}, with {len(life.nan_gradients) - 1} others",
            "look for a square root or logarithm at 0, or for values that overflow",
            can_be_meant=False,
        )


def _gradients(evidence: Evidence) -> Iterator[Finding]:
    """Trainable parameters that no step gave a gradient, and why."""
    facts, life = evidence.facts, evidence.life
    if evidence.broke_off:
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
                "look for detach(), no_grad() or a rounding behind it, or an output that the loss "
                "does not look at; if it is meant to stay as it is, say so with "
                "requires_grad_(False)",
            )
        elif f.path in life.unused and f.owner_path in evidence.elsewhere:
            yield Finding(
                "warn",
                f.path,
                f"none of the {evidence.rows} rows is sent through this {f.owner}, though others "
                "would be",
                "give more rows, so that each part sees some",
            )
        elif f.path in life.unused:
            yield Finding(
                "fail",
                f.path,
                f"no output depends on this {f.owner}'s parameter",
                "use it in forward, or remove it",
            )
        if f.trainable and f.optimised is False:
            yield Finding(
                "warn",
                f.path,
                f"this {f.owner}'s parameter is trainable and not in the optimiser",
                "give the optimiser all of module.parameters(), after the module is complete",
            )
    yield from _dead(never_woken(evidence), evidence)


def _dead(dead: list[ParameterFacts], evidence: Evidence) -> Iterator[Finding]:
    facts, steps = evidence.facts, evidence.life.steps
    if not dead:
        return
    roots = [f for f in facts if f.path in evidence.zeros]
    for f in roots:
        others = listed([g.path for g in roots if g is not f])
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
    for f in dead:
        if f in roots or f.path in evidence.explained:
            continue
        yield Finding(
            "fail",
            f.path,
            f"the gradient of this {f.owner}'s {f.role} is 0 in {steps + 1} steps "
            f"(mean {short(f.mean)}, std {short(f.std)})",
            "look behind it for an activation that is saturated or cut off for every input, "
            "or a factor that is always 0",
        )


def _alike(evidence: Evidence, trained: nn.Module) -> Iterator[Finding]:
    """Layers whose units began alike, by what the training steps made of them."""
    owners = {
        f.path: owned for f, owned in zip(evidence.facts, owned_parameters(trained), strict=True)
    }
    steps = evidence.life.steps + 1
    for f in evidence.facts:
        wakes = evidence.life.wakes.get(f.path)
        if f.role != Role.WEIGHT or wakes is None or f.entries < 2:
            continue
        _, owner, _, parameter = owners[f.path]
        if f.std == 0.0 and not f.all_zero:
            still = units_alike(owner, parameter)
            yield Finding(
                "fail" if still else "warn",
                f.path,
                f"every entry of this {f.owner}'s weight is {short(f.mean)}, and "
                + (f"after {steps} steps its units still do all the same" if still
                   else f"gets a gradient from step {wakes} on"),
                "initialise it with random numbers"
                + ("" if still else ", unless an average is meant"),
            )  # fmt: skip
        elif f.std == 0.0 and units_alike(owner, parameter):
            yield Finding(
                "fail",
                f.path,
                f"this {f.owner}'s weight is 0 throughout, and after {steps} steps its units still "
                "do all the same",
                "initialise the layer behind it with random numbers",
            )
        elif f.duplicates and f.std:
            still_equal = duplicate_units(owner, parameter)
            if not still_equal and f.duplicates < unit_count(owner, parameter) - 1:
                continue  # copies that part, as an upsampling starts with
            yield Finding(
                "fail" if units_alike(owner, parameter) else "warn",
                f.path,
                f"{f.duplicates} units of this {f.owner} began as copies of others, and after "
                f"{steps} steps {still_equal} still are",
                "initialise it, and the layer behind it, with random numbers",
            )


def _layers(evidence: Evidence) -> Iterator[Finding]:
    kinds = {layer.path: layer.kind for layer in evidence.start.layers}
    for path in evidence.blocking:
        yield Finding(
            "warn",
            path,
            f"this {kinds[path]} puts out the same for every row and nothing leads around it: the "
            "network starts by saying the same of everything",
            "set its weight to 1; only the last norm of a residual branch may start at 0",
        )
    stds = {f.path: (f.std, f.expected_std) for f in evidence.facts}
    for path, ratio in evidence.spreads.items():
        std, expected = stds[path]
        yield Finding(
            "warn",
            path,
            f"its deviation is {short(std)}, {short(ratio)} times the {short(expected)} that its "
            "fan-in asks for, and the outputs show it",
            "initialise it by its fan-in, as torch.nn.init.kaiming_uniform_ does",
        )
    if evidence.rows < ROWS_FOR_IDLE:
        return
    for start, end in zip(evidence.start.activations, evidence.end.activations, strict=False):
        many = start.units >= UNITS_FOR_IDLE
        if many and (start.idle or 0.0) >= IDLE and (end.idle or 0.0) >= IDLE:
            yield Finding(
                "warn",
                start.path,
                f"{start.idle:.0%} of the units of its {start.function} are cut off for every "
                f"row, and after {evidence.life.steps + 1} steps {end.idle:.0%}",
                "look at the bias and the spread of the layer before it",
            )
        if (start.saturated or 0.0) >= SATURATED and (end.saturated or 0.0) >= SATURATED:
            yield Finding(
                "warn",
                start.path,
                f"{start.saturated:.0%} of its {start.function} is at its ends, where almost no "
                "gradient passes",
                "make the weights before it smaller, or put a norm there",
            )


def _outputs(evidence: Evidence) -> Iterator[Finding]:
    life = evidence.life
    if evidence.broke_off:
        return
    if not life.answers:
        yield Finding(
            "note",
            "",
            "whether the outputs depend on the input was not looked at"
            + ("" if not life.rows_differ else ", for none has a row for each row of input"),
            "give two or more rows of input that differ"
            if not life.rows_differ
            else "keep the batch as an axis of its own in an output",
        )
    for question, why in evidence.untold.items():
        yield Finding(
            "note",
            "",
            f"{question} was not looked at, for with rows made up to ask {why}",
        )
    constant = [name for name, varied in life.answers.items() if not varied]
    all_constant = len(constant) == len(life.answers)
    for name in constant:
        where = evidence.end.where_rows_become_equal()
        yield Finding(
            "fail" if all_constant else "warn",
            f"output {name}",
            "the same for every row of input"
            + (f", before and after {life.steps + 1} steps of training"
               if not life.answers_at_start[name] else f" after {life.steps + 1} steps of training")
            + (f"; its rows become equal in {where.path} ({where.kind})" if where else ""),
            "follow the input through the layers to where its rows become equal: a factor of 0, a "
            "softmax over an axis of one entry, a norm over the wrong axis",
        )  # fmt: skip
    for name, matters in evidence.inputs.items():
        if not any(matters.values()) and not all_constant:
            yield Finding(
                "warn",
                f"input {name}",
                "no output changes with it",
                "use it in forward, or leave it out",
            )
    for name in evidence.random:
        yield Finding(
            "warn",
            f"output {name}",
            "another answer each time that the same rows are asked about, in eval mode",
            "look for dropout or noise that does not ask whether the module is in training",
        )
    for name in evidence.coupled:
        if name in evidence.random:
            continue
        yield Finding(
            "warn",
            f"output {name}",
            "the answer for one row changes with the other rows of its batch, in eval mode",
            "look for a softmax, sum or norm over the batch axis",
        )


def _learning(evidence: Evidence) -> Iterator[Finding]:
    learning = evidence.learning
    if learning is None or evidence.broke_off or learning.learns:
        return
    if evidence.life.answers and not any(evidence.life.answers.values()):
        return  # said already, and with the place
    yield Finding(
        "warn" if evidence.sound else "fail",
        f"output {learning.objective}" if learning.objective != "loss" else "loss",
        f"in {learning.steps} steps on one batch the loss came from {short(learning.start)} to "
        f"{short(learning.learnt)}, and an answer that ignores the input reaches "
        f"{short(learning.ignoring)}",
        "look for the layer behind which gradients vanish: they are in the table, by depth",
    )


def _settled(evidence: Evidence, found: set[str]) -> list[Suspicion]:
    """What looked odd at the start and is none of the findings."""
    settled = []
    for f in evidence.facts:
        if f.path in found or not f.entries:
            continue
        wakes = evidence.life.wakes.get(f.path)
        alive = "alive" if wakes == 0 else f"wakes up after {wakes} steps"
        verdict = "frozen" if not f.trainable else alive
        if f.all_zero and f.role in (Role.WEIGHT, Role.NORM_WEIGHT):
            if f.trainable and wakes is None:
                continue  # dead, and explained by a finding elsewhere
            settled.append(Suspicion(f.path, f"its {f.role} is 0 throughout", verdict))
        elif f.trainable and wakes:
            settled.append(Suspicion(f.path, "no gradient at the start", verdict))
        elif f.std == 0.0 and f.role == Role.WEIGHT and not f.trainable:
            settled.append(Suspicion(f.path, f"every entry is {short(f.mean)}", verdict))
    return settled
