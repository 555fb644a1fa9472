"""`package.module:factory`: what may be named, and what is said of everything else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from torch import nn

from azx.export.target import resolve, resolve_loss
from azx.runtime.errors import UsageError

TARGETS = {
    "no_colon": "package.module:factory",
    "toy:": "package.module:factory",
    "missing.part:make": "no module 'missing.part'",
    "imports_missing:make": "imports no_such_package",
    "raises:make": "importing it fails: ValueError: on purpose",
    "toy:other": "has no 'other'; it has: instance, make, needs, nn, number, wrong",
    "toy:number": "is a int, expected a function",
    "toy:instance": "is a Linear, expected a function",
    "toy:needs": "called without arguments: TypeError",
    "toy:wrong": "gives a dict, expected a torch.nn.Module",
}


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toy.py").write_text(
        "from torch import nn\n"
        "number, instance, wrong = 3, nn.Linear(1, 1), dict\n"
        "def make(): return nn.Linear(2, 3)\n"
        "def needs(size): return nn.Linear(size, 3)\n"
    )
    (tmp_path / "raises.py").write_text("raise ValueError('on purpose')\n")
    (tmp_path / "imports_missing.py").write_text("import no_such_package\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "toy", raising=False)


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize("target", TARGETS)
def test_targets_that_are_wrong(target: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(target)
    assert TARGETS[target] in str(caught.value)


@pytest.mark.usefixtures("toys")
def test_a_target_in_the_current_directory() -> None:
    made = resolve("toy:make")
    assert isinstance(made, nn.Linear)
    assert made.out_features == 3


@pytest.mark.usefixtures("toys")
def test_a_loss_is_a_function() -> None:
    assert callable(resolve_loss("toy:make"))
    with pytest.raises(UsageError, match="toy:number is a int, expected a function"):
        resolve_loss("toy:number")
