"""What the engines share: a row of the table, and how its rate is measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple


class Engine(NamedTuple):
    """One row of the table."""

    name: str
    games: int  # searched in step
    alike: str
    unlike: str
    rate: Callable[[float], float]  # simulations a second, measured for about so many seconds


def measured(search: Callable[[], int], seconds: float) -> float:
    """Simulations a second of `search`, which tells how many it made, again for `seconds`."""
    began = time.perf_counter()
    simulations = search()
    while time.perf_counter() < began + seconds:
        simulations += search()
    return simulations / (time.perf_counter() - began)
