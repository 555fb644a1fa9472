"""What may be used of the machine: what control groups say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from azx.runtime import resources

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in the place of the kernel's, beside a file that says where we are."""
    monkeypatch.setattr(resources, "GROUPS", tmp_path)
    monkeypatch.setattr(resources, "OWN_GROUPS", tmp_path / "own")
    return tmp_path


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_without_groups_it_is_the_machines(groups: Path) -> None:
    assert resources.memory_limit() == MACHINE


def test_the_least_of_all_groups_around_the_process(groups: Path) -> None:
    _write(groups / "own", "0::/jobs/one\n")
    _write(groups / "jobs" / "one" / "memory.max", "max\n")
    assert resources.memory_limit() == MACHINE
    _write(groups / "jobs" / "memory.max", "1000000\n")
    assert resources.memory_limit() == 1_000_000
    _write(groups / "jobs" / "one" / "memory.max", "400000\n")
    assert resources.memory_limit() == 400_000


def test_the_groups_of_older_kernels(groups: Path) -> None:
    _write(groups / "own", "4:cpu,cpuacct:/a\n3:memory:/b\n")
    _write(groups / "memory" / "a" / "memory.limit_in_bytes", "1000\n")
    _write(groups / "memory" / "b" / "memory.limit_in_bytes", "2000000\n")
    assert resources.memory_limit() == 2_000_000


def test_a_group_that_cannot_be_seen_is_no_limit_and_those_above_it_are(groups: Path) -> None:
    _write(groups / "own", "0::/../../hidden\n")
    _write(groups / "memory.max", "3000000\n")
    assert resources.memory_limit() == 3_000_000


def test_cores_are_those_that_the_process_is_given_time_on(groups: Path) -> None:
    every = len(os.sched_getaffinity(0))
    assert resources.available_cores() == every
    _write(groups / "own", "0::/jobs/one\n")
    _write(groups / "jobs" / "one" / "cpu.max", "max 100000\n")
    assert resources.available_cores() == every
    _write(groups / "jobs" / "cpu.max", "120000 100000\n")
    assert resources.available_cores() == min(2, every)
    _write(groups / "jobs" / "one" / "cpu.max", "50000 100000\n")
    assert resources.available_cores() == 1


def test_the_cores_of_older_kernels(groups: Path) -> None:
    _write(groups / "own", "4:cpu,cpuacct:/a\n3:memory:/b\n")
    _write(groups / "cpu" / "a" / "cpu.cfs_period_us", "100000\n")
    _write(groups / "cpu" / "a" / "cpu.cfs_quota_us", "-1\n")
    assert resources.available_cores() == len(os.sched_getaffinity(0))
    _write(groups / "cpu" / "a" / "cpu.cfs_quota_us", "100000\n")
    assert resources.available_cores() == 1
