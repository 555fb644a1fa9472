"""Tree search over the draws."""

from azx.runtime.search.mcts import ROOTS, Budget, Found, Search, check_root

__all__ = ["ROOTS", "Budget", "Found", "Search", "check_root"]
