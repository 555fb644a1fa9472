"""What an audit asks with rows that nobody gave: some are sent elsewhere, some forward refuses."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from azx.export import Audit, audit
from azx.export.gate import export_model
from azx.export.inputs import Batch, parse_input

ROWS = torch.randn(16, 8, generator=torch.Generator().manual_seed(5))


def failures(audited: Audit) -> set[str]:
    return {f.path for f in audited.findings if f.severity == "fail"}


def test_rows_are_taken_where_the_inputs_lie() -> None:
    """Indices are made on the CPU, and a tensor on a GPU takes none from there."""
    elsewhere = torch.device("meta")
    given = SimpleNamespace(device=elsewhere, index_select=lambda axis, rows: rows.device)
    assert Batch({"x": given}, {"x": 0}).take(torch.arange(4)).tensors["x"] == elsewhere


def test_inputs_may_have_one_number_a_row() -> None:
    batch = Batch({"lengths": torch.tensor([2, 1, 2])}, {"lengths": 0})
    assert batch.distinct().tensors["lengths"].tolist() == [2, 1]


class Routed(nn.Module):
    """Each row goes through one expert of eight."""

    def __init__(self, forgotten: bool) -> None:
        super().__init__()
        self.router = nn.Linear(8, 8)
        self.experts = nn.ModuleList(nn.Linear(8, 4) for _ in range(8))
        self.forgotten = nn.Linear(8, 4) if forgotten else None

    def forward(self, x: Tensor) -> Tensor:
        weight, chosen = self.router(x).softmax(-1).max(-1)
        y = x.new_zeros(len(x), 4)
        for at, expert in enumerate(self.experts):
            rows = (chosen == at).nonzero()[:, 0]
            if len(rows):
                y = y.index_put((rows,), expert(x[rows]) * weight[rows, None])
        return y


def test_experts_without_a_row_are_told_from_forgotten_layers() -> None:
    torch.manual_seed(0)
    found = audit(Routed(forgotten=True), ROWS)
    assert failures(found) == {"forgotten.weight", "forgotten.bias"}
    idle = {f.path for f in found.findings if f.severity == "warn"}
    assert idle
    assert all(path.startswith("experts.") for path in idle)
    assert all("is sent through" in f.what for f in found.findings if f.path in idle)


class Lengths(nn.Module):
    """Looks at the first numbers of each row, and refuses to look at none of them."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 8)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        if not torch.compiler.is_compiling() and not bool(((lengths > 0) & (lengths < 7)).all()):
            raise ValueError("lengths are 1 to 6")
        return self.linear(x * (torch.arange(6) < lengths[:, None]))


def test_what_is_drawn_may_be_refused_where_rows_are_given(tmp_path: Path) -> None:
    torch.manual_seed(0)
    specs = [parse_input("x=float32[batch,6]"), parse_input("lengths=int64[batch]<7")]
    rows = {"x": torch.randn(40, 6), "lengths": torch.arange(40) % 6 + 1}
    given = Batch(rows, dict.fromkeys(rows, 0))
    checks = export_model(Lengths(), specs, tmp_path / "net.onnx", given=given).checks
    left_out = next(check.says for check in checks if check.name == "families")
    assert "zero inputs: Lengths cannot run on" in left_out
    assert "lengths are 1 to 6" in left_out


class Packed(nn.Module):
    """Takes its rows longest first, as a recurrent layer for packed sequences does."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head, self.spare = nn.GRU(4, 8), nn.Linear(8, 3), nn.Linear(8, 3)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
        return self.head(self.gru(packed)[1][0])


def test_rows_that_nobody_gave_may_be_refused() -> None:
    torch.manual_seed(0)
    given = {"x": torch.randn(16, 6, 4), "lengths": torch.arange(16).flip(0) // 3 + 1}
    found = audit(Packed(), given)
    assert failures(found) == {"spare.weight", "spare.bias"}
    notes = [f.what for f in found.findings if f.severity == "note"]
    for question in ("input lengths", "with the other rows", "other rows would be sent through"):
        assert [question in note for note in notes].count(True) == 1, notes
    assert list(found.depends) == ["x"]
