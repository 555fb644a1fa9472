"""Memory that a training keeps, for the next step needs as much again."""

from __future__ import annotations

import ctypes

#: Parameters of glibc's `mallopt`: how much may lie free before it is given back, and how large a
#: block must be to be asked of the system by itself, for which 32 MiB is the most.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
NEVER, LARGEST = 2**31 - 1, 32 * 2**20


def keep_memory() -> None:
    """Keep what is freed instead of giving it back to the system.

    Steps ask for the same megabytes again and again, and pages that come anew each time are a sixth
    of what a step takes (docs/log.md). Where the C library is not glibc's nothing changes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, NEVER)
        mallopt(M_MMAP_THRESHOLD, LARGEST)
