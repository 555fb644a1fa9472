"""From a trained network to a larger one that begins by saying the same."""

from __future__ import annotations

from torch import nn

from azx.trainer.network import HalfTurnLinear, PolicyValueNetwork


def grow(network: PolicyValueNetwork, smaller: PolicyValueNetwork) -> None:
    """Give `network` the weights of `smaller`, which is as wide and not deeper, in place.

    Blocks that only `network` has begin with their last norm at 0 and add nothing at first. Maps of
    two views begin by mapping each view by itself, so that the network says what `smaller` says,
    averaged over a board and its half turn. Raises `RuntimeError` where the shapes do not fit.
    """
    weights = smaller.state_dict()
    for path, module in network.named_modules():
        name = f"{path}.weight"
        if isinstance(module, HalfTurnLinear) and name in weights:
            weights[f"{path}.even.weight"] = weights[f"{path}.odd.weight"] = weights.pop(name)
    blocks = network.get_submodule("trunk.blocks")
    assert isinstance(blocks, nn.ModuleList)
    for index in range(smaller.config.blocks, len(blocks)):
        nn.init.zeros_(blocks[index].norm2.weight)
        for name, tensor in blocks[index].state_dict().items():
            weights[f"trunk.blocks.{index}.{name}"] = tensor
    network.load_state_dict(weights)
