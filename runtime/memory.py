"""How much memory this process may use: the machine's, or what its group of processes is given."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

#: Where Linux shows its control groups.
GROUPS, OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def memory_limit() -> int:
    """Bytes: the machine's memory, or less where a control group allows less."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *_group_limits(GROUPS, OWN_GROUPS)])


def _group_limits(groups: Path, own_groups: Path) -> Iterator[int]:
    """The limits, in bytes, of the groups this process is in and of those around them."""
    if not own_groups.is_file():
        return
    for line in own_groups.read_text().splitlines():
        _, controllers, name = line.split(":", maxsplit=2)
        if controllers == "":
            top, file = groups, "memory.max"
        elif "memory" in controllers.split(","):
            top, file = groups / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = top / name.lstrip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(top):
                yield from _limit_in(folder / file)


def _limit_in(file: Path) -> Iterator[int]:
    try:
        said = file.read_text().strip()
    except OSError:
        return  # inside a container the groups around it are not to be seen
    if said.isdecimal():  # "max" is no limit
        yield int(said)
