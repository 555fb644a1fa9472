"""The network of a training run as further engines: torch, eager and compiled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from azx.cli.boundary import need_training_packages
from azx.cli.terminal import busy, say, stderr
from azx.runtime.bench.inference import Boards, Engine
from azx.runtime.errors import UsageError
from azx.runtime.variant import Variant


def torch_engines(run: Path, variant: Variant, threads: int) -> list[Engine]:
    """Engines for `time_batches`; compiled is left out, with its reason, where it does not work."""
    need_training_packages()
    with busy("loading torch"):
        import torch

        from azx.trainer.checkpoint import load_network

    torch.set_num_threads(threads)
    network = load_network(run).network
    if network.variant != variant:
        raise UsageError(f"{run} plays {network.variant.name}, the model {variant.name}")

    def engine(name: str, forward: Callable[..., Any]) -> Engine:
        def call(boards: Boards) -> object:
            with torch.inference_mode():
                return forward(torch.from_numpy(boards))

        return Engine(name, "cpu", threads, lambda: call)

    engines = [engine("torch eager", network)]
    compiled = engine("torch compiled", torch.compile(network, dynamic=True))
    try:
        with busy("compiling with torch"):
            compiled.open()(variant.empty_boards(2))
        engines.append(compiled)
    except Exception as error:  # it needs a C++ compiler, and raises many kinds without one
        say(stderr(), f"torch compiled is left out: {str(error).strip().splitlines()[0][:100]}")
    return engines
