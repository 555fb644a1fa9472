"""What an audit may be shown: numbers of every kind, rows, what rows share, drawn inputs."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor, nn

from azx.export import audit
from azx.export.inputs import drawn, parse_input
from azx.runtime.errors import UsageError

ROWS = torch.randn(16, 8, generator=torch.Generator().manual_seed(5))


def test_numbers_of_other_kinds_are_audited_too() -> None:
    """Complex ones that are trained, as in a spectral layer; whole ones that are frozen."""

    class Spectral(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first, self.last = nn.Linear(8, 8), nn.Linear(8, 3)
            self.turns = nn.Parameter(0.5 * torch.randn(5, dtype=torch.complex64))

        def forward(self, x: Tensor) -> Tensor:
            x = torch.tanh(self.first(x))
            return self.last(torch.fft.irfft(torch.fft.rfft(x) * self.turns, n=8) + x)

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            whole = torch.randint(-127, 127, (8, 8), dtype=torch.int8)
            self.whole = nn.Parameter(whole, requires_grad=False)
            self.scale, self.last = nn.Parameter(torch.full((8,), 0.01)), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(torch.relu(x @ (self.whole.float() * self.scale[:, None]).T))

    for module in (Spectral(), Whole()):
        found = audit(module, ROWS)
        assert (found.passed, found.findings) == (True, [])
        json.dumps(found.to_json(), allow_nan=False)


def test_no_rows_tell_nothing() -> None:
    with pytest.raises(UsageError, match=r"input \[0, 8\] is empty"):
        audit(nn.Linear(8, 2), ROWS[:0])


def test_what_all_rows_share_has_no_rows_of_its_own() -> None:
    """The edges of a graph: as many as there are, whatever the number of nodes."""

    class Graph(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.own, self.heard = nn.Linear(8, 4), nn.Linear(8, 4)

        def forward(self, x: Tensor, edges: Tensor) -> Tensor:
            heard = torch.zeros_like(x).index_add(0, edges[1], x[edges[0]])
            return self.own(x) + self.heard(heard)

    edges = torch.stack([torch.arange(40) % 16, torch.arange(40) * 7 % 16])
    found = audit(Graph(), (ROWS, edges))
    assert found.passed
    assert {f.path for f in found.findings} == {"output output"}  # which hangs on the other rows


def test_inputs_are_read_as_they_are_written() -> None:
    spec = parse_input("ids=int64[batch, 12]<1000")
    assert (spec.name, spec.dtype, spec.axes) == ("ids", torch.int64, ("batch", 12))
    ids = drawn([spec], rows=64, seed=1).tensors["ids"]
    assert (tuple(ids.shape), int(ids.min()) >= 0, 900 < int(ids.max()) < 1000) == (
        (64, 12),
        True,
        True,
    )
    second = parse_input("x=float32[5,batch,length]")
    assert (second.batch_axis, second.shape(3, {"length": 9})) == (1, (5, 3, 9))
    for wrong in ("x", "x=float32", "x=float99[batch]", "x=float32[batch,-1]", "=float32[2]"):
        with pytest.raises(UsageError):
            parse_input(wrong)
