"""Room for trees: how many games in step, how many simulations, and whether they fit at all."""

from __future__ import annotations

from azx.runtime.errors import UsageError
from azx.runtime.resources import memory_limit
from azx.runtime.search.tree import bytes_per_node
from azx.runtime.variant import Variant

#: The part of the memory that trees may take; the rest is for the network, and for others.
SHARE = 0.5

#: More new boards a second than a network judges: room for so many is enough for a tree's time.
FASTEST = 200_000


def simulations_that_fit(variant: Variant, games: int, processes: int = 1) -> int:
    """Simulations there is room for in each of `games` trees in each of `processes`; 0 for none."""
    nodes = _nodes_that_fit(variant, processes) // max(1, games)
    return max(0, nodes - 1)


def games_that_fit(variant: Variant, simulations: int, processes: int = 1) -> int:
    """Games in step, in each of `processes`, that there is room for; 0 for none."""
    return _nodes_that_fit(variant, processes) // (simulations + 1)


def check_room(variant: Variant, *searches: tuple[int, int]) -> None:
    """`UsageError` where the trees would not fit in half of the memory there is.

    They are those of all `searches` at once, each of so many games with so many simulations.
    """
    nodes = sum(games * (simulations + 1) for games, simulations in searches)
    if nodes <= _nodes_that_fit(variant, 1):
        return
    games, simulations = max(searches, key=lambda search: search[0] * (search[1] + 1))
    others = " and what is searched beside them" if len(searches) > 1 else ""
    wanted = nodes * bytes_per_node(variant)
    raise UsageError(
        f"{games:,} games in step with {simulations:,} simulations{others} need "
        f"{wanted / 2**30:,.1f} GiB for their trees, and there are "
        f"{memory_limit() / 2**30:.1f} GiB, half of them for trees: use fewer simulations"
    )


def _nodes_that_fit(variant: Variant, processes: int) -> int:
    return int(memory_limit() * SHARE) // (bytes_per_node(variant) * processes)
