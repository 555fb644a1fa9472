"""How this project compiles: without the GIL, and kept between runs.

numba keeps compiled functions by the file that defines them, and does not notice when a function
of another file, compiled into them, has changed. So they are kept in a folder named after all the
sources that compile into one another: a changed rule can never leave an old player behind.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

RUNTIME = Path(__file__).resolve().parent


def _cache_folder() -> Path:
    """A folder in the user's cache that is this version's alone."""
    hasher = hashlib.sha256(numba.__version__.encode())
    for source in sorted(RUNTIME.rglob("*.py")):
        hasher.update(source.read_bytes())
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "azx" / f"kernels-{hasher.hexdigest()[:16]}"


# Whoever sets NUMBA_CACHE_DIR knows why.
if "NUMBA_CACHE_DIR" not in os.environ:
    numba.config.CACHE_DIR = str(_cache_folder())  # type: ignore[attr-defined]


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` in machine code, made at the first call and found again by later processes."""
    return numba.njit(function, cache=True, nogil=True)


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same for small functions inside loops: copied into those that call them."""
    return numba.njit(function, cache=True, nogil=True, inline="always")
