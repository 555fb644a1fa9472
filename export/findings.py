"""What is known of a network when it is judged, and the form of what is said of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from azx.export.activations import Trace
from azx.export.learning import Learning
from azx.export.liveness import Liveness
from azx.export.statistics import ParameterFacts, Role

Severity = Literal["fail", "warn", "note"]

#: How many paths a finding names before it only counts.
NAMED = 6


@dataclass(frozen=True)
class Finding:
    """One thing to know of a network."""

    severity: Severity  # `fail`: it does not work; `warn`: look at it; `note`: could not be told
    path: str  # of the parameter, buffer, layer, input or output
    what: str
    mend: str = ""
    can_be_meant: bool = True


@dataclass(frozen=True)
class Suspicion:
    """Something odd that what happened has explained."""

    path: str
    what: str
    verdict: str  # `alive`, `wakes up after 2 steps`, `frozen`, `meant: the reason given`


@dataclass
class Evidence:
    """All that is known of a network when it is judged."""

    facts: list[ParameterFacts]
    life: Liveness
    start: Trace
    end: Trace
    rows: int
    inputs: dict[str, dict[str, bool]] = field(default_factory=dict)  # by input: outputs it changes
    coupled: list[str] = field(default_factory=list)
    random: list[str] = field(default_factory=list)  # outputs that differ when asked again
    blocking: list[str] = field(default_factory=list)
    spreads: dict[str, float] = field(default_factory=dict)  # std over the expected one
    elsewhere: set[str] = field(default_factory=set)  # modules that run for other rows alone
    untold: dict[str, str] = field(default_factory=dict)  # questions whose rows forward refused
    zeros: set[str] = field(default_factory=set)  # parameters of 0 that stop the gradient of others
    explained: set[str] = field(default_factory=set)  # the parameters that those keep dead
    learning: Learning | None = None

    @property
    def broke_off(self) -> bool:
        """Whether training ended with NaN or never began, so that nothing is known of later."""
        life = self.life
        return bool(life.nan_outputs or life.nan_gradients or life.whole_numbers)

    @property
    def sound(self) -> bool:
        """Whether every parameter gets a gradient and some output varies."""
        lost = self.life.detached | self.life.unused
        return not lost and not never_woken(self) and any(self.life.answers.values())

    @property
    def unused_modules(self) -> set[str]:
        """The paths of the modules whose parameters no output depends on."""
        return {f.owner_path for f in self.facts if f.path in self.life.unused}


def never_woken(evidence: Evidence) -> list[ParameterFacts]:
    """Parameters without a gradient, but for biases that what follows subtracts again."""
    life = evidence.life
    known = life.detached | life.unused
    dead = [
        f
        for f in evidence.facts
        if f.trainable and f.path not in life.wakes and f.entries and f.path not in known
    ]
    alive = {f.owner_path for f in evidence.facts if f.path in life.wakes and f.role != Role.BIAS}
    return [f for f in dead if not (f.role == Role.BIAS and f.owner_path in alive)]


def listed(paths: list[str]) -> str:
    """The first few paths, and how many more."""
    more = len(paths) - NAMED
    return ", ".join(paths[:NAMED]) + (f" and {more} more" if more > 0 else "")


def short(number: float | None) -> str:
    """Four digits."""
    return "none" if number is None else f"{number:.4g}"
