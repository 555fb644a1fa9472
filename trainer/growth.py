"""From a trained network to a larger one that begins by saying the same."""

from __future__ import annotations

from dataclasses import asdict
from typing import Protocol, runtime_checkable

from torch import Tensor

from azx.runtime.errors import UsageError
from azx.trainer.half_turn import HalfTurnHead, HalfTurnLinear
from azx.trainer.network import PolicyValueNetwork


@runtime_checkable
class Block(Protocol):
    """A block of any trunk."""

    def silence(self) -> None:
        """Add nothing, until something is learnt."""
        ...


def grow(network: PolicyValueNetwork, smaller: PolicyValueNetwork) -> None:
    """Give `network` the weights of `smaller`, which is as wide and not deeper, in place.

    Blocks that only `network` has add nothing at first. Maps of two views begin by mapping each
    view by itself, so that the network says what `smaller` says, averaged over a board and its half
    turn. Raises `UsageError` where the shapes do not fit.
    """
    if smaller.variant != network.variant:
        raise UsageError(
            f"the network to begin from plays {smaller.variant.name}, this run is for "
            f"{network.variant.name}: --set variant={smaller.variant.name} fits it"
        )
    if smaller.config.groups != network.config.groups:  # of which the weights' shapes say nothing
        raise UsageError(_what_differs(smaller, network))
    weights = smaller.state_dict()
    for path, module in network.named_modules():
        if f"{path}.weight" not in weights:
            continue
        if isinstance(module, HalfTurnLinear):
            weight = weights.pop(f"{path}.weight")
            weights[f"{path}.even.weight"] = weights[f"{path}.odd.weight"] = weight
        elif isinstance(module, HalfTurnHead):
            split = _split_head(module, weights.pop(f"{path}.weight"), weights.pop(f"{path}.bias"))
            weights |= {f"{path}.{name}": tensor for name, tensor in split.items()}
    for index in range(smaller.config.blocks, network.config.blocks):
        block = network.get_submodule(f"trunk.blocks.{index}")
        assert isinstance(block, Block)
        block.silence()
        for name, tensor in block.state_dict().items():
            weights[f"trunk.blocks.{index}.{name}"] = tensor
    try:
        network.load_state_dict(weights)
    except RuntimeError:
        raise UsageError(_what_differs(smaller, network)) from None


def _what_differs(smaller: PolicyValueNetwork, network: PolicyValueNetwork) -> str:
    """What to set so that the one's weights fit the other; blocks and views may be more."""
    there, here = asdict(smaller.config), asdict(network.config)
    other = [
        f"network.{name}={str(there[name]).lower()}"  # as in TOML
        for name in there
        if there[name] != here[name]
        and not (name in ("blocks", "half_turn") and there[name] < here[name])
    ]
    return f"the network to begin from is of another shape: --set {' --set '.join(other)} fits it"


def _split_head(head: HalfTurnHead, weight: Tensor, bias: Tensor) -> dict[str, Tensor]:
    """A head for one view, [T x C, width] and [T x C], as one for the sum and the difference.

    With views x and y, the mean (W(c) x + W(C-1-c) y) / 2 over a board and its half turn is
    (W(c) + W(C-1-c)) / 4 of x + y and (W(c) - W(C-1-c)) / 4 of x - y.
    """
    by_cell, biases = weight.unflatten(0, (head.tiles, -1)), bias.unflatten(0, (head.tiles, -1))
    even = (by_cell + by_cell.flip(1))[:, : head.pairs + 1] / 4
    odd = (by_cell - by_cell.flip(1))[:, : head.pairs] / 4
    return {
        "even.weight": even.flatten(0, 1),
        "even.bias": ((biases + biases.flip(1))[:, : head.pairs + 1] / 2).flatten(),
        "odd.weight": odd.flatten(0, 1),
    }
