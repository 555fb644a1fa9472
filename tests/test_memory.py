"""Freed memory is kept for the next step."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

#: Ten times 30 MB in three blocks, taken and given back; prints the pages that came anew.
TAKE_AND_GIVE_BACK = """
import resource
{first}
def step():
    blocks = [b"x" * 10_000_000 for _ in range(3)]
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

KEEP = "from azx.trainer.memory import keep_memory; keep_memory()"


def new_pages(first: str) -> int:
    code = TAKE_AND_GIVE_BACK.format(first=first)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc's malloc")
def test_a_step_finds_the_memory_of_the_one_before() -> None:
    assert new_pages("") > 10_000  # else there is nothing to mend
    assert new_pages(KEEP) < 1_000
