"""Tree search over the draws."""

from azx.runtime.search.mcts import ROOTS, Budget, Found, Search

__all__ = ["ROOTS", "Budget", "Found", "Search"]
