"""The searches that `compare_engines.py` compares, a module for each peer."""
