"""The network of a training run as further engines: torch, eager and compiled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from azx.cli.boundary import need_training_packages
from azx.cli.terminal import busy, say, stderr
from azx.runtime.bench.inference import Boards
from azx.runtime.errors import UsageError
from azx.runtime.variant import Variant

Engine = Callable[[Boards], object]


def torch_engines(run: Path, variant: Variant, threads: int) -> dict[str, Engine]:
    """Engines for `time_batches`; compiled is left out, with its reason, where it does not work."""
    need_training_packages()
    with busy("loading torch"):
        import torch

        from azx.trainer.checkpoint import load_network

    torch.set_num_threads(threads)
    network = load_network(run).network
    if network.variant != variant:
        raise UsageError(f"{run} plays {network.variant.name}, the model {variant.name}")

    def engine(forward: Callable[..., Any]) -> Engine:
        def call(boards: Boards) -> object:
            with torch.inference_mode():
                return forward(torch.from_numpy(boards))

        return call

    engines = {"torch eager": engine(network)}
    compiled = engine(torch.compile(network, dynamic=True))
    try:
        with busy("compiling with torch"):
            compiled(variant.empty_boards(2))
        engines["torch compiled"] = compiled
    except Exception as error:  # it needs a C++ compiler, and raises many kinds without one
        say(stderr(), f"torch compiled is left out: {str(error).strip().splitlines()[0][:100]}")
    return engines
