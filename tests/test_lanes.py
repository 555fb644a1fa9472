"""Threads that share work: results in order, and an end together where one of them fails."""

from __future__ import annotations

import threading
import time
from threading import Barrier, Event

import pytest

from azx.runtime.lanes import in_lanes


def test_what_is_found_is_in_the_order_of_the_parts() -> None:
    def later_first(part: int) -> int:
        time.sleep(0.01 * (5 - part))
        return part * part

    assert in_lanes(3, later_first, range(5), Event()) == [0, 1, 4, 9, 16]


def test_every_thread_is_prepared() -> None:
    prepared: list[int] = []
    together = Barrier(2)

    def work(part: int) -> int:
        together.wait(10)
        return threading.get_ident()

    used = in_lanes(2, work, range(2), Event(), lambda: prepared.append(threading.get_ident()))
    assert sorted(prepared) == sorted(used)
    assert threading.get_ident() not in used


def test_where_one_fails_the_others_hear_of_it_and_what_waits_is_not_begun() -> None:
    begun: list[int] = []
    stop, both = Event(), Barrier(2)

    def work(part: int) -> None:
        begun.append(part)
        if part < 2:
            both.wait(10)
        if part == 0:
            raise ValueError("no such part")
        assert stop.wait(10), "nobody said so"

    with pytest.raises(ValueError, match="no such part"):
        in_lanes(2, work, range(50), stop)
    assert len(begun) <= 3, "the thread that failed may have taken one more"
