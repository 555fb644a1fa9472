"""What torch is asked, and how far off one may be, without float64 and where nothing varies."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from corpus import HEALTHY
from corpus.parts import zeroed
from torch import Tensor, nn

from azx.export.families import input_families
from azx.export.inputs import parse_input
from azx.export.interface import Named, interface_of
from azx.export.reference import departures, reference_of


class OnlyFloat32(nn.Module):
    """A forward that insists on its type."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(4, 3)
        self.matrix = torch.eye(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) @ self.matrix


def test_a_bound_without_float64() -> None:
    specs = [parse_input("x=float32[batch,4]")]
    named = Named(OnlyFloat32(), specs)
    reference = reference_of(named, interface_of(named, specs), input_families(specs))
    assert "no float64 reference" in reference.source
    assert reference.bounds["output"]["normal"].torch_off is None


class Masked(nn.Module):
    """Logits of which half are masked, in the way of `mask`."""

    def __init__(self, mask: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(6, 6)
        self.mask = mask

    def forward(self, x: Tensor) -> Tensor:
        logits = self.linear(x)
        if self.mask == "added":
            return logits + (x < 0) * -1e9
        lowest = torch.finfo(logits.dtype).min if self.mask == "lowest" else float("-inf")
        return logits.masked_fill(x < 0, lowest)


@pytest.mark.parametrize("mask", ["added", "lowest", "infinite"])
def test_what_a_mask_is_off_by_says_nothing_of_the_numbers_beside_it(mask: str) -> None:
    specs = [parse_input("x=float32[batch,6]")]
    named = Named(Masked(mask), specs)
    reference = reference_of(named, interface_of(named, specs), input_families(specs))
    assert reference.faults == {}
    bound = reference.bounds["output"]["normal"]
    assert bound.usable
    assert 0.0 < bound.allowed < 1e-4
    expected = reference.expected["output"]
    rows = list(range(len(expected)))
    off = expected + np.where(np.abs(expected) < 1e3, np.float32(0.01), np.float32(0.0))
    told = departures(reference, {"output": off}, rows, len(rows))["output"]
    assert next(part for part in told if part.family == "normal").ratio > 1.0


def test_outputs_that_hardly_vary_show_nothing() -> None:
    specs = [parse_input("x=float32[batch,8]")]
    flat = zeroed(HEALTHY["multi-layer"].module(), "2.weight")
    with torch.no_grad():
        flat.get_parameter("2.weight").fill_(1e-7)
        flat.get_parameter("2.bias").fill_(1.0)
    named = Named(flat, specs)
    reference = reference_of(named, interface_of(named, specs), input_families(specs))
    assert "shows nothing" in reference.faults["output"]
