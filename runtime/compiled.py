"""How this project compiles: without the GIL, and kept between runs.

numba keeps compiled functions by the file that defines them, and does not notice when a function
of another file, compiled into them, has changed. So they are kept in a folder named after all the
sources that compile into one another: a changed rule can never leave an old player behind.

A function that calls itself must not be compiled so: found again by a later process it crashes
(numba 0.68).
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numba

RUNTIME = Path(__file__).resolve().parent

#: Folders of other versions that are kept: one may be in use beside this one.
KEPT = 4


def _cache_folder() -> Path:
    """A folder in the user's cache that is this version's alone."""
    hasher = hashlib.sha256(numba.__version__.encode())
    for source in sorted(RUNTIME.rglob("*.py")):
        hasher.update(source.read_bytes())
    # Path's own way to a home raises where there is none; here it stays "~", which is no folder.
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    return Path(home) / "azx" / f"kernels-{hasher.hexdigest()[:16]}"


def _may_write(folder: Path) -> bool:
    """Whether files can be made in `folder`, which is made where it is not there."""
    if not folder.is_absolute():
        return False
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _remove_old(current: Path) -> None:
    """Remove the folders beside `current` that other versions left, all but the newest `KEPT`."""
    others = [folder for folder in current.parent.glob("kernels-*") if folder != current]
    others.sort(key=lambda folder: folder.stat().st_mtime, reverse=True)
    for folder in others[KEPT:]:
        shutil.rmtree(folder, ignore_errors=True)


#: Whether what is compiled is kept at all.
_kept = True

# Whoever sets NUMBA_CACHE_DIR knows why.
if "NUMBA_CACHE_DIR" not in os.environ:
    _folder = _cache_folder()
    _is_new = not _folder.exists()
    if not _may_write(_folder):  # a read-only system, a user without a home: compiled each time
        try:
            _folder = Path(tempfile.mkdtemp(prefix="azx-kernels-"))
        except OSError:  # not even a folder for what is temporary
            _kept = False
        else:
            os.environ["NUMBA_CACHE_DIR"] = str(_folder)  # for workers, which end before this one
            atexit.register(shutil.rmtree, _folder, ignore_errors=True)
    elif _is_new:  # a new version, which is when there is something to remove
        with suppress(OSError):  # another process may be removing it too
            _remove_old(_folder)
    numba.config.CACHE_DIR = str(_folder)  # type: ignore[attr-defined]

_functions: list[Any] = []


def _compile(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    # Division by zero gives what IEEE says, not an exception: half the branches, none missed.
    made = numba.njit(function, cache=_kept, nogil=True, error_model="numpy", **options)
    _functions.append(made)
    return made


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` in machine code, made at the first call and found again by later processes."""
    return _compile(function)


def inner(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same for functions that only compiled code calls: no way in from Python is made.

    That way in is a third of what there is to compile where the arguments are many arrays.
    """
    return _compile(function, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def unordered(function: Callable[..., Any]) -> Callable[..., Any]:
    """As `inner`, for loops over finite numbers whose order does not matter: made with vectors."""
    return _compile(
        function, no_cpython_wrapper=True, no_cfunc_wrapper=True, fastmath={"nnan", "nsz"}
    )


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same for small functions inside loops: copied into those that call them."""
    return numba.njit(function, cache=_kept, nogil=True, error_model="numpy", inline="always")


def compiled_so_far() -> tuple[int, int, int]:
    """Functions ready in this process, those of them made anew, and how many there are."""
    ready = sum(bool(function.signatures) for function in _functions)
    anew = sum(bool(function.stats.cache_misses) for function in _functions)
    return ready, anew, len(_functions)
