"""The layers: imports point one way, and playing needs neither torch nor onnx."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

#: From the bottom up; a layer may import those before it and itself.
LAYERS = ["runtime", "export", "trainer", "cli"]
FOLDERS = {"runtime": "runtime", "export": "export", "trainer": "trainer", "cli": "src/azx/cli"}
TRAINING_PACKAGES = {"torch", "onnx", "onnxscript", "safetensors", "tensorboard"}


def fresh_process(script: str) -> str:
    """What a new Python prints that runs `script` with this checkout."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src")}
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def imported(path: Path) -> set[str]:
    """The full names of the modules that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names.add(node.module or "")
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_point_one_way(layer: str) -> None:
    files = sorted((REPOSITORY / FOLDERS[layer]).rglob("*.py"))
    assert files
    above = LAYERS[LAYERS.index(layer) + 1 :]
    for path in files:
        for name in imported(path):
            for upper in above:
                assert not f"{name}.".startswith(f"azx.{upper}."), f"{path} imports {name}"


def test_the_runtime_never_imports_the_training_packages() -> None:
    for path in (REPOSITORY / "runtime").rglob("*.py"):
        found = {name.partition(".")[0] for name in imported(path)} & TRAINING_PACKAGES
        assert not found, f"{path} imports {found}"


def test_the_front_door_opens_without_the_training_packages() -> None:
    """A fresh process in which torch and the others cannot be imported at all."""
    modules = [
        "azx." + ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
        for path in sorted((REPOSITORY / "runtime").rglob("*.py"))
    ]
    script = (
        f"import sys\nfor name in {sorted(TRAINING_PACKAGES)}: sys.modules[name] = None\n"
        "import azx.cli.main\n"
        f"import importlib\nfor name in {modules}: importlib.import_module(name)\n"
    )
    fresh_process(script)


def test_play_does_not_load_torch_where_it_is_installed() -> None:
    script = (
        "import sys\nimport azx.cli.main\nimport azx.runtime.play\n"
        f"print([n for n in {sorted(TRAINING_PACKAGES)} if n in sys.modules])"
    )
    assert fresh_process(script).strip() == "[]"
