"""The gate: a faithful graph of a live network gets through, and nothing else leaves a file."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from corpus import HEALTHY, SICK
from corpus.parts import Lambda
from torch import Tensor, nn
from training_testing import network_of

from azx.export import gate
from azx.export.emit import emit
from azx.export.gate import GateRefused, export_model
from azx.export.inputs import InputSpec, parse_input
from azx.export.interface import Named, interface_of
from azx.runtime.contract import MASKED_LOGIT
from azx.runtime.errors import CheckFailed, UsageError
from azx.runtime.golden import Golden, decode_golden
from azx.runtime.modelfile import read_sealed
from azx.runtime.onnx_evaluator import open_model
from azx.runtime.variant import MINI, STANDARD, Variant
from azx.runtime.verify import verify_model

CARD = {"network": {"width": 32}, "training": {"games": 7}, "made_by": {"commit": "abc"}}


def refused(
    module: nn.Module, folder: Path, takes: Variant | list[InputSpec] = MINI
) -> tuple[GateRefused, dict[str, str]]:
    """The refusal and its failed checks; the older file at the place is as it was."""
    out = folder / "net.onnx"
    out.write_bytes(b"an older model")
    with pytest.raises(CheckFailed) as caught:
        export_model(module, takes, out, **CARD)
    assert out.read_bytes() == b"an older model"
    assert [path.name for path in folder.rglob("*")] == ["net.onnx"]
    error = caught.value
    assert isinstance(error, GateRefused)
    assert error.exit_code == 1
    assert not error.report.passed
    failed = {check.name: check.says for check in error.report.checks if not check.passed}
    assert all(name in str(error) for name in failed)
    return error, failed


@pytest.mark.parametrize(
    ("trunk", "variant"), [("dense", STANDARD), ("lines", MINI), ("conv", MINI)]
)
def test_a_healthy_network_gets_through(trunk: str, variant: Variant, tmp_path: Path) -> None:
    module = network_of(variant, trunk)
    module.train()
    module.heads.eval()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    state, told = torch.get_rng_state(), []
    out = tmp_path / "models" / "net.onnx"
    report = export_model(module, variant, out, **CARD, progress=told.append)

    assert report.passed
    assert len(told) == 6
    json.dumps(report.to_json(), allow_nan=False)
    assert [path.name for path in out.parent.iterdir()] == ["net.onnx"]
    assert (module.training, module.trunk.training, module.heads.training) == (True, True, False)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_default_dtype() == torch.float32
    assert all(torch.equal(module.state_dict()[name], tensor) for name, tensor in before.items())

    evaluator = open_model(out, variant, provider="cpu", threads=1)
    card = evaluator.model.card
    assert (card.verified, card.network, card.training) == (True, {"width": 32}, {"games": 7})
    assert card.made_by["commit"] == "abc"
    assert card.made_by["torch"] == torch.__version__
    assert {"onnx", "onnxruntime"} <= set(card.made_by)
    assert [p["name"] for p in card.parameters] == [n for n, _ in module.named_parameters()]
    assert [p["shape"] for p in card.parameters] == [list(p.shape) for p in module.parameters()]
    checks = {check["name"]: check for check in card.gate["checks"]}
    assert card.gate["passed"]
    assert {"audit", "graph", "parity value", "best moves", "parity batches", "mutants"} <= set(
        checks
    )
    assert checks["mutants"]["figures"]["rate"] >= 0.95
    value = checks["parity value"]["figures"]
    assert 0 < value["torch_off"] < value["bound"] < 1e-3
    assert set(value["families"]) == {"games", "odd"}
    golden = decode_golden(card.golden)
    assert {0, variant.cells} <= set((golden.boards >= 0).sum(axis=1))
    assert len(golden.boards) >= 12
    assert all(check.passed for check in verify_model(out, provider="cpu"))


def test_exporting_prints_nothing() -> None:
    """Not even when it fails; in a fresh process, as some loggers take hold of stderr early."""
    script = (
        "import test_gate as t\n"
        "from pathlib import Path\n"
        "branching = t.Head(lambda x, b: (x, x.sum((1, 2)) * (1 if b.sum() > 0 else 2)))\n"
        "try: t.export_model(branching, t.MINI, Path('never.onnx'))\n"
        "except t.GateRefused as refusal:\n"
        "    assert refusal.report.checks[-1].name == 'graph'\n"
        "    raise SystemExit(5)\n"
    )
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    ran = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (5, "", "")


def test_the_fresh_process_has_no_torch(tmp_path: Path) -> None:
    """What runs the saved file could not load torch if it wanted to."""
    script = (
        "import sys, runpy\n"
        "sys.argv = ['answers', sys.argv[1]]\n"
        "try: runpy.run_module('azx.runtime.answers', run_name='__main__')\n"
        "except FileNotFoundError: pass\n"
        "try: import torch\n"
        "except ImportError: raise SystemExit(5)\n"
    )
    paths = os.pathsep.join(filter(None, sys.path))
    ran = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": paths},
        check=False,
    )
    assert ran.returncode == 5


class Dropping(nn.Module):
    """Says something else each time while in training."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.linear = nn.Linear(4, 4)
        self.dropout = nn.Dropout()

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.linear(x))


def test_emitting_leaves_no_trace() -> None:
    """A network in training is exported as it will be used, and goes on training after that."""
    module = Dropping()
    module.train()
    module.linear.eval()
    state = torch.get_rng_state()
    specs = [parse_input("x=float32[batch,4]")]
    named = Named(module, specs)
    made = emit(named, specs, interface_of(named, specs)).graph
    assert "Dropout" not in {node.op_type for node in onnx.load_from_string(made).graph.node}
    assert (module.training, module.linear.training, module.dropout.training) == (True, False, True)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_file_that_does_not_verify_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = gate._golden

    def nudged(*given: object) -> tuple[Golden, dict[str, list[float]]]:
        golden, bounds = real(*given)
        golden.outputs["value"][3] += 0.1
        return golden, bounds

    monkeypatch.setattr(gate, "_golden", nudged)
    _, failed = refused(network_of(MINI), tmp_path)
    assert list(failed) == ["golden value"]


def test_the_original_bug_and_nan_are_refused(tmp_path: Path) -> None:
    bugged, broken = network_of(MINI), network_of(MINI)
    with torch.no_grad():
        for parameter in bugged.parameters():
            if parameter.ndim == 1:
                parameter.zero_()
        broken.heads.q.weight[0, 0] = float("nan")
    error, failed = refused(bugged, tmp_path)
    assert list(failed) == ["audit"]
    assert "trunk.blocks.0.norm1.weight" in failed["audit"]
    assert any("norm2" in f["path"] for f in error.report.checks[0].figures["findings"])
    _, failed = refused(broken, tmp_path)
    assert "heads.q.weight: 1 NaN" in failed["audit"]


def test_what_is_frozen_to_be_used_is_audited_all_the_same(tmp_path: Path) -> None:
    specs, out = [parse_input("x=float32[batch,8]")], tmp_path / "net.onnx"
    sick = SICK["two zeros in series"]
    _, failed = refused(sick.module().requires_grad_(False), tmp_path, specs)
    assert all(path in failed["audit"] for path in sick.paths)
    frozen = HEALTHY["multi-layer"].module().requires_grad_(False)
    export_model(frozen, specs, out)
    assert not any(p.requires_grad for p in frozen.parameters())
    report = export_model(nn.Softmax(dim=1), specs, out)
    assert "nothing is trainable" in report.checks[0].says


def test_an_axis_that_mixes_the_batch_with_another_is_wrong_use(tmp_path: Path) -> None:
    flattened = nn.Sequential(nn.Linear(4, 3), Lambda(lambda x: x.view(-1, 3)))
    specs = [parse_input("x=float32[batch,6,4]")]
    with pytest.raises(UsageError, match="axis 0 of output has 18 entries for 3 rows: keep the"):
        export_model(flattened, specs, tmp_path / "net.onnx")


class WithFlags(nn.Module):
    """Gives its own size, the same for any row, and says of each answer whether it is above 0."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = self.linear(x)
        return {"size": self.linear.weight.abs().sum(1), "y": y, "above": y > 0}


def test_outputs_that_are_true_or_false_or_constant_are_compared_too(tmp_path: Path) -> None:
    report = export_model(WithFlags(), [parse_input("x=float32[batch,8]")], tmp_path / "net.onnx")
    checks = {check.name: check for check in report.checks}
    assert "parity above" in checks
    assert "a batch of 3 baked in" in {m["what"] for m in checks["mutants"].figures["each"]}


class Pooled(nn.Module):
    """Calls its answers what torch calls values inside: of the look-up, of the last layer."""

    def __init__(self, second: str) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.words, self.last = nn.Embedding(50, 8), nn.Linear(8, 3)
        self.second = second

    def forward(self, ids: Tensor) -> dict[str, Tensor]:
        pooled = torch.tanh(self.words(ids)).mean(1)
        return {"embedding": pooled, self.second: torch.relu(self.last(pooled))}


def test_outputs_may_have_the_names_of_values_inside(tmp_path: Path) -> None:
    ids = [parse_input("ids=int64[batch,6]<50")]
    report = export_model(Pooled("linear"), ids, tmp_path / "net.onnx")
    assert {"parity embedding", "parity linear"} <= {check.name for check in report.checks}
    error, _ = refused(Pooled("ids"), tmp_path, ids)
    assert "both called 'ids'" in str(error)


class Head(nn.Module):
    """A small stranger's network: `answer` makes the outputs of logits [B, T, C]."""

    def __init__(self, answer: Callable[[Tensor, Tensor], object]) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.linear = nn.Linear(MINI.cells, MINI.tiles * MINI.cells)
        self.answer = answer

    def forward(self, board: Tensor) -> object:
        x = self.linear(board.to(self.linear.weight.dtype) / 10)
        x = x.unflatten(1, (MINI.tiles, MINI.cells))
        return self.answer(x.masked_fill((board >= 0).unsqueeze(1), MASKED_LOGIT), board)


def total(logits: Tensor, board: Tensor) -> Tensor:
    """Something like a value: 0 on a full board."""
    return logits.masked_fill((board >= 0).unsqueeze(1), 0.0).sum((1, 2))


def test_a_strangers_player_gets_through(tmp_path: Path) -> None:
    """A dict in another order, with an output of its own; a plain tuple; no q in either."""
    module = Head(lambda x, b: {"value": total(x, b), "policy_logits": x, "more": x * 2})
    report = export_model(module, MINI, tmp_path / "net.onnx", **CARD)
    assert "parity more" in {check.name for check in report.checks}
    module = Head(lambda x, b: (x, total(x, b)))
    export_model(module, MINI, tmp_path / "net.onnx", **CARD)
    found = open_model(tmp_path / "net.onnx", provider="cpu").evaluate(MINI.empty_boards(2))
    assert found.q is None


def test_what_torch_itself_does_wrong_is_refused(tmp_path: Path) -> None:
    """Answers that hang on the batch, or that no position changes."""
    mixing = Head(lambda x, b: (x, total(x, b) - total(x, b).mean()))
    assert "parity batches" in refused(mixing, tmp_path)[1]
    constant = Head(lambda x, b: (x, total(x, b), x * 0.0 + 1.0))
    assert "shows nothing" in refused(constant, tmp_path)[1]["parity q"]


def test_what_cannot_be_exported_is_refused(tmp_path: Path) -> None:
    branching = Head(lambda x, b: (x, total(x, b) * (1 if b.sum() > 0 else 2)))
    assert "torch cannot export Head" in refused(branching, tmp_path)[1]["graph"]
    double = Head(lambda x, b: (x.double(), total(x, b)))
    assert "policy_logits" in str(refused(double, tmp_path)[1])
    transposed = Head(lambda x, b: (x.transpose(1, 2), total(x, b)))
    assert "policy_logits" in str(refused(transposed, tmp_path)[1])


def test_nothing_appears_where_nothing_was(tmp_path: Path) -> None:
    """Neither a file, nor a temporary one, nor the folder it would have been in."""
    constant = Head(lambda x, b: (x * 0.0, total(x, b)))
    with pytest.raises(GateRefused):
        export_model(constant, MINI, tmp_path / "models" / "net.onnx", **CARD)
    assert list(tmp_path.iterdir()) == []


def test_modules_that_break_the_contract_are_wrong_use(tmp_path: Path) -> None:
    for module, says in (
        (Head(lambda x, b: {"policy_logits": x}), "missing is value"),
        (nn.Linear(3, 2), "cannot run"),
    ):
        with pytest.raises(UsageError, match=says):
            export_model(module, MINI, tmp_path / "net.onnx", **CARD)
    with pytest.raises(UsageError, match="opset is 18 to 23"):
        export_model(network_of(MINI), MINI, tmp_path / "net.onnx", opset=9)
    assert list(tmp_path.iterdir()) == []


def test_force_stamps_what_fails_and_only_that(tmp_path: Path) -> None:
    constant = Head(lambda x, b: (x, total(x, b), x * 0.0 + 1.0))
    out = tmp_path / "net.onnx"
    report = export_model(constant, MINI, out, **CARD, force=True)
    assert not report.passed
    sealed = read_sealed(out)
    assert not sealed.card.verified
    assert not sealed.card.gate["passed"]
    report = export_model(Head(lambda x, b: (x, total(x, b))), MINI, out, **CARD, force=True)
    assert report.passed
    assert read_sealed(out).card.verified


def test_inputs_that_no_file_can_have(tmp_path: Path) -> None:
    module = nn.Linear(8, 4)
    for text, says in (
        ("x=float32[8]", "needs an axis named batch"),
        ("x=bfloat16[batch,8]", "x is bfloat16"),
    ):
        specs = [parse_input(text)]
        with pytest.raises(UsageError, match=says):
            export_model(module.to(specs[0].dtype), specs, tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


class WithASpare(nn.Module):
    """A layer that forward does not use."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.spare = nn.Linear(8, 4), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x)


def test_a_module_without_parameters_and_one_that_is_meant(tmp_path: Path) -> None:
    out, specs = tmp_path / "net.onnx", [parse_input("x=float32[batch,8]")]
    assert export_model(nn.Softmax(dim=1), specs, out).passed
    torch.manual_seed(0)
    idle = WithASpare()
    assert "audit" in refused(idle, tmp_path, specs)[1]
    reasons = {"spare.weight": "loaded later", "spare.bias": "loaded later"}
    assert export_model(idle, specs, out, meant=reasons).passed
    with pytest.raises(GateRefused, match="audit: weight"):
        export_model(nn.Linear(8, 4), specs, out, loss=lambda y: y.detach().sum())


class Lengths(nn.Module):
    """Reads sequences of any length: each place less the mean, or with what came before it."""

    def __init__(self, recurrent: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.gru = nn.GRU(4, 4, batch_first=True) if recurrent else None
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x - x.mean(1, keepdim=True) if self.gru is None else self.gru(x)[0])


def test_other_free_axes_are_tried_at_other_sizes(tmp_path: Path) -> None:
    specs = [parse_input("x=float32[batch,length,4]")]
    report = export_model(Lengths(recurrent=False), specs, tmp_path / "net.onnx")
    names = [check.name for check in report.checks]
    assert {"parity output at length 5", "parity batches at length 11"} <= set(names)
    card = read_sealed(tmp_path / "net.onnx").card
    assert card.interface["outputs"][0]["axes"] == ["batch", "length", 3]
    assert np.all(np.array(card.bounds["output"]) > 0)


def test_what_the_exporter_fixes_in_silence_is_refused(tmp_path: Path) -> None:
    """torch writes a GRU out for the length that it was shown, and reports success."""
    specs = [parse_input("x=float32[batch,length,4]")]
    _, failed = refused(Lengths(recurrent=True), tmp_path, specs)
    assert "output has a fixed length of 6, expected a free one" in failed["graph"]
