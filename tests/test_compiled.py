"""Where compiled code is kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from cli_testing import ENVIRONMENT

from azx.runtime.compiled import KEPT, _remove_old


def test_of_old_versions_the_newest_are_kept(tmp_path: Path) -> None:
    current = tmp_path / "kernels-now"
    folders = [tmp_path / f"kernels-{age}" for age in range(KEPT + 3)]
    for age, folder in enumerate(folders):
        folder.mkdir()
        (folder / "kernel").touch()
        os.utime(folder, (1_000_000 - age, 1_000_000 - age))
    (tmp_path / "something else").mkdir()
    _remove_old(current)
    left = {folder.name for folder in tmp_path.iterdir()}
    assert left == {"something else", *(folder.name for folder in folders[:KEPT])}


def test_without_a_folder_to_keep_it_in_it_is_compiled_each_time(tmp_path: Path) -> None:
    """A read-only system, a user without a home: no command may need more."""
    nowhere = {**ENVIRONMENT, "XDG_CACHE_HOME": "/proc/none", "TMPDIR": str(tmp_path)}
    nowhere.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, "-m", "azx", "--version"], env=nowhere, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr  # onnxruntime has a complaint of its own
    assert list(tmp_path.iterdir()) == []
    no_folder_at_all = (
        "import tempfile\n"
        "def none(*_, **__): raise FileNotFoundError('no usable temporary directory')\n"
        "tempfile.mkdtemp = none\n"
        "from azx.runtime.variant import MINI\n"
        "from azx.runtime.rules import scores\n"
        "print(scores(MINI, MINI.empty_boards(1)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", no_folder_at_all], env=nowhere, capture_output=True, text=True
    )
    assert done.stdout == "[0]\n", done.stderr
