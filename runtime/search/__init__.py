"""Tree search for a one-player game with a known chance: flat trees, compiled moves."""

from azx.runtime.search.mcts import EXPLORATION, Found, Search

__all__ = ["EXPLORATION", "Found", "Search"]
