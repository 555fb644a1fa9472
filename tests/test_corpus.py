"""The audit against the corpus: healthy modules pass without a word, sick ones never do."""

from __future__ import annotations

import pytest
from corpus import HEALTHY, SICK, SUSPECT, Case

from azx.export import Audit, audit
from azx.export.inputs import drawn

ROWS = 16

#: Beside the one that the corpus was written with, so that no verdict hangs on luck.
SEEDS = (5, 6)


def audited(case: Case, seed: int) -> Audit:
    return audit(case.module(), drawn(case.specs, ROWS, seed=seed), seed=seed)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_modules_pass_without_a_word(name: str, seed: int) -> None:
    found = audited(HEALTHY[name], seed)
    assert found.findings == []
    # What looked odd in them was settled, and every parameter that may learn does.
    assert {s.verdict.split()[0] for s in found.suspicions} <= {"alive", "wakes", "frozen"}


@pytest.mark.parametrize("name", SICK)
def test_sick_modules_are_refused_by_name(name: str) -> None:
    found = audited(SICK[name], SEEDS[0])
    assert not found.passed
    assert SICK[name].paths <= {f.path for f in found.problems()}
    assert all(f.mend for f in found.problems())


@pytest.mark.parametrize("name", SUSPECT)
def test_suspect_modules_are_warned_of_by_name(name: str) -> None:
    found = audited(SUSPECT[name], SEEDS[0])
    assert found.passed
    assert {f.path for f in found.problems(strict=True)} == SUSPECT[name].paths
    assert all(f.mend for f in found.problems(strict=True))


def test_the_corpus_is_large_enough() -> None:
    assert len(HEALTHY) + len(SICK) + len(SUSPECT) >= 40
