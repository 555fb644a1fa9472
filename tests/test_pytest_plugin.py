"""The fixture that comes with azx, in the tests of somebody else."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

from conftest import REPOSITORY

THEIRS = """
import torch
from torch import nn

def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 4))

def test_alive(assert_alive):
    assert assert_alive(network(), torch.randn(16, 8)).learning.learnt < 1

def test_dead(assert_alive):
    dead = network()
    nn.init.zeros_(dead[1].weight)
    dead[1].requires_grad_(False)
    assert_alive(dead, torch.randn(16, 8))

def test_warned(assert_alive):
    late = network()
    nn.init.zeros_(late[1].weight)
    assert_alive(late, torch.randn(16, 8), meant={"1": "opens later"}, strict=True)
    assert_alive(late, torch.randn(16, 8), strict=True)
"""


def test_the_fixture_in_the_tests_of_others(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(THEIRS)
    # An installed azx is found by its entry point; this checkout by its name. Both is an error.
    installed = any(point.name == "azx" for point in entry_points(group="pytest11"))
    by_name = [] if installed else ["-p", "azx.pytest_plugin"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *by_name, "test_theirs.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "2 failed, 1 passed" in ran.stdout, ran.stdout
    assert "1.weight: this LayerNorm's norm weight is 0 throughout and frozen" in ran.stdout
    assert "nothing leads around it" in ran.stdout
