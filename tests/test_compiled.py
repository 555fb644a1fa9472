"""Where compiled code is kept."""

from __future__ import annotations

import os
from pathlib import Path

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
