"""What this process may use of the machine: all of it, or what its control groups are given."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

#: Where Linux shows its control groups.
GROUPS, OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def memory_limit() -> int:
    """Bytes: the machine's memory, or less where a control group allows less."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [
        int(said)
        for folder, is_old in _groups("memory")
        for said in _words_in(folder / ("memory.limit_in_bytes" if is_old else "memory.max"))
        if said.isdecimal()  # "max" is no limit
    ]
    return min([machine, *limits])


def available_cores() -> int:
    """The cores this process may run on, or fewer where a control group gives less time."""
    return min([len(os.sched_getaffinity(0)), *_core_limits()])


def _core_limits() -> Iterator[int]:
    """Cores' worth of time, rounded up, of each group that is given so much only."""
    for folder, is_old in _groups("cpu"):
        if is_old:
            files = (folder / f"cpu.cfs_{name}_us" for name in ("quota", "period"))
            said = [word for file in files for word in _words_in(file)]
        else:
            said = _words_in(folder / "cpu.max")
        if len(said) == 2 and all(word.isdecimal() for word in said):  # neither "max" nor -1
            quota, period = map(int, said)
            yield max(1, math.ceil(quota / period))


def _groups(controller: str) -> Iterator[tuple[Path, bool]]:
    """The groups of `controller` this process is in and those around them; of an older kernel?"""
    if not OWN_GROUPS.is_file():
        return
    for line in OWN_GROUPS.read_text().splitlines():
        _, controllers, name = line.split(":", maxsplit=2)
        if controllers == "":
            top, is_old = GROUPS, False
        elif controller in controllers.split(","):
            top, is_old = GROUPS / controller, True
        else:
            continue
        group = top / name.lstrip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(top):
                yield folder, is_old


def _words_in(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []  # inside a container the groups around it are not to be seen
