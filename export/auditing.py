"""Is a network alive? Facts about all of it, and a verdict from what happens in training.

A zero may be meant: the last norm of a residual branch, a head that starts at nothing. The same
zero in the wrong place is the bug this project comes from, and a loss of ln 19 does not tell the
two apart. So no value is judged alone: a copy is trained for a few steps, and what fails is what
stays dead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from azx.export.activations import Trace, trace
from azx.export.findings import Evidence, Finding, Suspicion, never_woken
from azx.export.inputs import Batch, batch_of
from azx.export.isolation import in_single, random_numbers_kept, separate_copy, watched_layers
from azx.export.learning import Learning, learn_one_batch
from azx.export.liveness import Liveness, Loss, Projection, watch
from azx.export.statistics import ParameterFacts, Role, parameter_facts
from azx.export.trials import (
    blocking_norms,
    coupled_outputs,
    random_outputs,
    reached_by_other_rows,
    spreads_that_matter,
    what_depends,
    woken_by_filling,
)
from azx.export.verdicts import judged, not_finite, worst_first
from azx.runtime.errors import CheckFailed, UsageError


@dataclass(frozen=True)
class Audit:
    """What was found in a network; `findings` worst first."""

    findings: list[Finding]
    parameters: list[ParameterFacts]
    suspicions: list[Suspicion] = field(default_factory=list)  # settled: no faults
    life: Liveness | None = None  # None where NaN or Inf made training pointless
    layers: Trace = field(default_factory=Trace)  # at the start
    learning: Learning | None = None
    depends: dict[str, dict[str, bool]] = field(default_factory=dict)  # by input, then output

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return all(finding.severity != "fail" for finding in self.findings)

    def problems(self, strict: bool = False) -> list[Finding]:
        """The failures; with `strict` the warnings too."""
        severities = ("fail", "warn") if strict else ("fail",)
        return [finding for finding in self.findings if finding.severity in severities]

    def require(self, strict: bool = False) -> None:
        """Raise `CheckFailed` with path, cause and mend of every problem, where there is one."""
        problems = self.problems(strict)
        if problems:
            text = "\n".join(f"  {f.path}: {f.what}; {f.mend}" for f in problems)
            raise CheckFailed(f"the network is not healthy:\n{text}")

    def wakes(self, path: str) -> int | None:
        """The first step at which this parameter had a gradient; None: never, or not tried."""
        return self.life.wakes.get(path) if self.life else None

    def to_json(self) -> dict[str, Any]:
        """All of it, without NaN."""
        moves = self.life.moves if self.life else {}
        return {
            "passed": self.passed,
            "findings": [asdict(finding) for finding in self.findings],
            "suspicions": [asdict(suspicion) for suspicion in self.suspicions],
            "parameters": [
                {
                    **facts.to_json(),
                    "wakes": self.wakes(facts.path),
                    "steps": [asdict(step) for step in moves.get(facts.path, [])],
                }
                for facts in self.parameters
            ],
            "layers": [asdict(layer) for layer in self.layers.layers],
            "activations": [asdict(activation) for activation in self.layers.activations],
            "depends": self.depends,
            "rows differ": self.life.answers if self.life else {},
            "learning": asdict(self.learning) if self.learning else None,
        }


def audit(
    module: nn.Module,
    inputs: Batch | Tensor | Sequence[Tensor] | Mapping[str, Tensor],
    loss: Loss | None = None,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    meant: Mapping[str, str] | None = None,
    seed: int = 0,
    steps: int = 4,
) -> Audit:
    """Judge any torch module by its parameters and by a few training steps of copies.

    `inputs` are what forward takes, by position or by name, best 16 or more rows that differ:
    whether the outputs depend on the input cannot be told from one row. `loss` makes a scalar of
    what forward returns; None takes a random projection of all outputs. `optimizer` is asked
    whether it holds every parameter. `meant` gives the reason for each path whose finding is no
    fault. Nothing of `module` changes, nor the random numbers of torch, numpy and Python. Where it
    is in float16 or bfloat16 its copies are trained in float32.

    Raises `UsageError` where the module cannot be copied or run on `inputs`.
    """
    if steps < 1:
        raise UsageError(f"an audit needs at least 1 step, found {steps}")
    batch = batch_of(module, inputs).single()
    with random_numbers_kept(seed), watched_layers():
        copy = separate_copy(module)._apply(in_single)
        facts = parameter_facts(module, optimizer)
        broken = not_finite(facts, copy)
        if broken:
            return Audit(worst_first(broken), facts)
        trained = separate_copy(copy)
        life = watch(trained, batch, loss, seed, steps)
        evidence = Evidence(facts, life, Trace(), Trace(), batch.rows)
        if evidence.broke_off:
            findings, suspicions = judged(evidence, trained, meant or {})
            return Audit(findings, facts, suspicions, life)
        start = trace(copy, batch)
        untold: dict[str, str] = {}
        evidence = Evidence(
            facts,
            life,
            start,
            trace(trained, batch),
            batch.rows,
            what_depends(trained, batch, untold),
            coupled_outputs(copy, batch, untold),
            random_outputs(copy, batch),
            blocking_norms(copy, batch, start),
            spreads_that_matter(copy, batch, facts),
            untold=untold,
        )
        evidence.elsewhere = reached_by_other_rows(copy, batch, evidence.unused_modules, untold)
        evidence.zeros = _zeros_in_the_way(trained, batch, loss or Projection(seed), evidence)
        if life.answers:
            sound = evidence.sound
            evidence.learning = learn_one_batch(copy, batch, loss, seed, patient=sound)
    findings, suspicions = judged(evidence, trained, meant or {})
    return Audit(findings, facts, suspicions, life, start, evidence.learning, evidence.inputs)


def _zeros_in_the_way(trained: nn.Module, batch: Batch, loss: Loss, evidence: Evidence) -> set[str]:
    """The zeros to which dead parameters owe it: filled in, they let a gradient through.

    Frozen ones are tried only for what the others do not explain: a table of zeros that is meant to
    stay is in nobody's way.
    """
    dead = {f.path for f in never_woken(evidence)}
    zeros = {f.path: f for f in evidence.facts if f.all_zero and f.role != Role.BIAS}
    own = {path for path in zeros if path in dead}
    frozen = {path for path, f in zeros.items() if not f.trainable}
    woken = woken_by_filling(trained, batch, loss, own, dead) if own else set()
    blamed = own if woken else set()
    if frozen and dead - woken:
        more = woken_by_filling(trained, batch, loss, own | frozen, dead)
        if more > woken:
            blamed, woken = own | frozen, more
    evidence.explained = woken
    return blamed
