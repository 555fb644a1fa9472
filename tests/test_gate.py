"""The gate: a faithful graph of a live network gets through, and nothing else leaves a file."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from azx.export import gate
from azx.export.emit import contract_faults, emit
from azx.export.gate import GateRefused, export_model
from azx.export.parity import compare
from azx.export.positions import game_positions, odd_positions, parity_positions
from azx.export.target import resolve
from azx.runtime.contract import MASKED_LOGIT
from azx.runtime.errors import CheckFailed, UsageError
from azx.runtime.golden import decode_golden
from azx.runtime.onnx_evaluator import open_model
from azx.runtime.rules import check_boards, scores
from azx.runtime.variant import MINI, STANDARD, Variant
from azx.runtime.verify import verify_model
from azx.trainer.initialise import initialise
from azx.trainer.network import NetworkConfig, PolicyValueNetwork

CARD = {"network": {"width": 32}, "training": {"games": 7}, "made_by": {"commit": "abc"}}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def network(variant: Variant = MINI, trunk: str = "dense") -> PolicyValueNetwork:
    made = PolicyValueNetwork(variant, NetworkConfig(trunk, width=32, blocks=1, groups=8))
    initialise(made, seed=1, heads=made.heads)
    return made


@pytest.fixture(scope="module")
def healthy() -> PolicyValueNetwork:
    return network()


@pytest.fixture(scope="module")
def graph(healthy: PolicyValueNetwork) -> bytes:
    return emit(healthy, MINI)


def refused(module: nn.Module, folder: Path) -> tuple[GateRefused, dict[str, str]]:
    """The refusal and its failed checks; the older file at the place is as it was."""
    out = folder / "net.onnx"
    out.write_bytes(b"an older model")
    with pytest.raises(CheckFailed) as caught:
        export_model(module, MINI, out, **CARD)
    assert out.read_bytes() == b"an older model"
    assert [path.name for path in folder.rglob("*")] == ["net.onnx"]
    error = caught.value
    assert isinstance(error, GateRefused)
    assert error.exit_code == 1
    assert not error.report.passed
    failed = {check.name: check.says for check in error.report.checks if not check.passed}
    assert all(name in str(error) for name in failed)
    return error, failed


@pytest.mark.parametrize(("trunk", "variant"), [("dense", STANDARD), ("conv", MINI)])
def test_a_healthy_network_gets_through(trunk: str, variant: Variant, tmp_path: Path) -> None:
    module = network(variant, trunk)
    module.train()
    module.heads.eval()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    state, told = torch.get_rng_state(), []
    out = tmp_path / "models" / "net.onnx"
    report = export_model(module, variant, out, **CARD, progress=told.append)

    assert report.passed
    assert len(told) == 4
    assert all(line.startswith("ok") for line in report.lines())
    json.dumps(report.to_json(), allow_nan=False)
    assert [path.name for path in out.parent.iterdir()] == ["net.onnx"]
    assert (module.training, module.trunk.training, module.heads.training) == (True, True, False)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(module.state_dict()[name], tensor) for name, tensor in before.items())

    evaluator = open_model(out, variant, provider="cpu", threads=1)
    card = evaluator.model.card
    assert (card.verified, card.network, card.training) == (True, {"width": 32}, {"games": 7})
    assert card.made_by["commit"] == "abc"
    assert card.made_by["torch"] == torch.__version__
    assert {"onnx", "onnxruntime"} <= set(card.made_by)
    assert [p["name"] for p in card.parameters] == [n for n, _ in module.named_parameters()]
    assert [p["shape"] for p in card.parameters] == [list(p.shape) for p in module.parameters()]
    assert card.gate["passed"]
    assert {"audit", "graph", "parity value", "best moves"} <= {
        check["name"] for check in card.gate["checks"]
    }
    golden = decode_golden(card.golden)
    laid = (golden.boards >= 0).sum(axis=1)
    assert (laid[0], laid[-1], len(laid)) == (0, variant.cells, 12)
    assert all(check.passed for check in verify_model(out, provider="cpu"))


def test_exporting_prints_nothing() -> None:
    """Not even when it fails; in a fresh process, as some loggers take hold of stderr early."""
    script = (
        "import torch, test_gate\n"
        "from azx.runtime.errors import CheckFailed\n"
        "branching = test_gate.Head(lambda x, b: (x, x.sum((1, 2)) * (1 if b.sum() > 0 else 2)))\n"
        "try: test_gate.emit(branching, test_gate.MINI)\n"
        "except CheckFailed: raise SystemExit(5)\n"
    )
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    ran = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (5, "", "")


class Dropping(nn.Module):
    """Says something else each time while in training."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.linear = nn.Linear(MINI.cells, MINI.tiles * MINI.cells)
        self.dropout = nn.Dropout()

    def forward(self, board: Tensor) -> tuple[Tensor, Tensor]:
        x = self.dropout(self.linear(board.float()).unflatten(1, (MINI.tiles, MINI.cells)))
        return x, x.sum((1, 2))


def test_emit_and_compare_leave_no_trace() -> None:
    """A network in training is exported as it will be played, and goes on training after that."""
    module = Dropping()
    module.train()
    module.linear.eval()
    state = torch.get_rng_state()
    made = emit(module, MINI)
    assert "Dropout" not in {node.op_type for node in onnx.load_from_string(made).graph.node}
    checks = compare(module, made, MINI, game_positions(MINI, games=2), batches=(4,))
    assert all(check.passed for check in checks)
    assert (module.training, module.linear.training, module.dropout.training) == (True, False, True)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_default_dtype() == torch.float32


# What a faulty exporter could do to a graph: each changes the model in place.


def nudge_a_weight(model: onnx.ModelProto) -> None:
    stored = next(t for t in model.graph.initializer if t.name.endswith("heads.policy.weight"))
    weight = numpy_helper.to_array(stored).copy()
    weight[5, 7] += 0.01
    stored.CopyFrom(numpy_helper.from_array(weight, stored.name))


def nan_in_a_weight(model: onnx.ModelProto) -> None:
    stored = next(t for t in model.graph.initializer if t.name.endswith("heads.q.weight"))
    weight = numpy_helper.to_array(stored).copy()
    weight[0, 0] = np.nan
    stored.CopyFrom(numpy_helper.from_array(weight, stored.name))


def another_epsilon(model: onnx.ModelProto) -> None:
    epsilons = [
        attribute
        for node in model.graph.node
        if node.op_type == "InstanceNormalization"
        for attribute in node.attribute
        if attribute.name == "epsilon"
    ]
    assert epsilons
    for attribute in epsilons:
        attribute.f = 1e-3


def drop_q(model: onnx.ModelProto) -> None:
    del model.graph.output[2]


def drop_value(model: onnx.ModelProto) -> None:
    del model.graph.output[1]


def renamed(model: onnx.ModelProto, names: dict[str, str]) -> None:
    """Rename values throughout the nodes, and leave what the graph declares."""
    for node in model.graph.node:
        for values in (node.input, node.output):
            for i, name in enumerate(values):
                values[i] = names.get(name, name)


def rename_an_output(model: onnx.ModelProto) -> None:
    renamed(model, {"q": "quality"})
    model.graph.output[2].name = "quality"


def swap_outputs(model: onnx.ModelProto) -> None:
    renamed(model, {"policy_logits": "q", "q": "policy_logits"})


def reorder_outputs(model: onnx.ModelProto) -> None:
    first = onnx.ValueInfoProto()
    first.CopyFrom(model.graph.output[0])
    del model.graph.output[0]
    model.graph.output.append(first)


def static_batch(model: onnx.ModelProto) -> None:
    for tensor in (*model.graph.input, *model.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_value = 3


def batch_baked_in(model: onnx.ModelProto) -> None:
    """Symbolic in name, and right for the traced batch of 3 alone."""
    last = next(node for node in model.graph.node if "value" in node.output)
    last.output[0] = "free_value"
    shape = numpy_helper.from_array(np.array([3], dtype=np.int64), "three")
    model.graph.initializer.append(shape)
    node = onnx.helper.make_node("Reshape", ["free_value", "three"], ["value"])
    model.graph.node.append(node)


def batch_mixed(model: onnx.ModelProto) -> None:
    last = next(node for node in model.graph.node if "value" in node.output)
    last.output[0] = "free_value"
    model.graph.node.extend(
        [
            onnx.helper.make_node("ReduceMean", ["free_value"], ["mean_value"], keepdims=1),
            onnx.helper.make_node("Sub", ["free_value", "mean_value"], ["value"]),
        ]
    )


FAULTS: dict[Callable[[onnx.ModelProto], None], str] = {
    nudge_a_weight: "parity policy_logits",
    nan_in_a_weight: "parity q",
    another_epsilon: "parity q",
    drop_q: "parity q",
    drop_value: "graph",
    rename_an_output: "parity quality",
    swap_outputs: "parity policy_logits",
    reorder_outputs: "graph",
    static_batch: "graph",
    batch_baked_in: "parity",
    batch_mixed: "parity batches",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_an_unfaithful_graph_is_refused(
    fault: Callable[[onnx.ModelProto], None],
    healthy: PolicyValueNetwork,
    graph: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = onnx.load_from_string(graph)
    fault(model)
    monkeypatch.setattr(gate, "emit", lambda module, variant: model.SerializeToString())
    _, failed = refused(healthy, tmp_path)
    assert FAULTS[fault] in failed
    assert ("NaN" in str(failed)) == (fault is nan_in_a_weight)


def test_the_same_path_lets_the_untouched_graph_through(
    healthy: PolicyValueNetwork, graph: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "emit", lambda module, variant: graph)
    assert export_model(healthy, MINI, tmp_path / "net.onnx", **CARD).passed


def test_a_file_that_does_not_verify_is_not_written(
    healthy: PolicyValueNetwork, graph: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "emit", lambda module, variant: graph)
    real = gate._golden

    def nudged(module: nn.Module, positions: object) -> object:
        golden = real(module, positions)
        golden.outputs["value"][3] += 0.1
        return golden

    monkeypatch.setattr(gate, "_golden", nudged)
    _, failed = refused(healthy, tmp_path)
    assert list(failed) == ["golden value"]


def test_the_original_bug_and_nan_are_refused(tmp_path: Path) -> None:
    bugged, broken = network(), network()
    with torch.no_grad():
        for parameter in bugged.parameters():
            if parameter.ndim == 1:
                parameter.zero_()
        broken.heads.q.weight[0, 0] = float("nan")
    error, failed = refused(bugged, tmp_path)
    assert list(failed) == ["audit"]
    assert "trunk.blocks.0.norm1.weight" in failed["audit"]
    assert len(error.report.checks[0].figures["findings"]) == 2
    _, failed = refused(broken, tmp_path)
    assert "heads.q.weight: 1 NaN" in failed["audit"]


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


def test_a_strangers_network_gets_through(tmp_path: Path) -> None:
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
    fixed = Head(lambda x, b: (x, total(x, b).reshape(3) if len(b) == 3 else total(x, b)))
    assert "torch cannot export Head" in refused(fixed, tmp_path)[1]["graph"]
    double = Head(lambda x, b: (x.double(), total(x, b)))
    assert "policy_logits is double, expected float32" in refused(double, tmp_path)[1]["graph"]
    transposed = Head(lambda x, b: (x.transpose(1, 2), total(x, b)))
    assert "policy_logits has shape" in refused(transposed, tmp_path)[1]["graph"]


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
    assert list(tmp_path.iterdir()) == []


def test_a_bound_without_float64(graph: bytes) -> None:
    """A forward that insists on float32 is compared all the same, and the check says how."""
    matrix = torch.eye(MINI.cells)
    module = Head(lambda x, b: (x @ matrix, total(x, b)))
    positions = parity_positions(MINI)
    checks = {c.name: c for c in compare(module, emit(module, MINI), MINI, positions)}
    assert all(check.passed for check in checks.values())
    assert "no float64 reference" in checks["parity value"].figures["bound_from"]
    assert checks["parity value"].figures["torch_off"] is None


def test_parity_tells_where_and_how_far(healthy: PolicyValueNetwork, graph: bytes) -> None:
    positions = game_positions(MINI, games=8)
    checks = {c.name: c for c in compare(healthy, graph, MINI, positions, batches=(1, 5))}
    assert all(check.passed for check in checks.values())
    figures = checks["parity value"].figures
    assert 0 < figures["torch_off"] < figures["bound"] < 1e-3
    assert figures["turn"] == positions.turns[figures["position"]]
    assert checks["best moves"].figures["flips"] == 0
    assert checks["best moves"].figures["kl"] < 1e-9

    model = onnx.load_from_string(graph)
    stored = next(t for t in model.graph.initializer if t.name.endswith("heads.policy.weight"))
    weight = -numpy_helper.to_array(stored)
    stored.CopyFrom(numpy_helper.from_array(weight, stored.name))
    turned = compare(healthy, model.SerializeToString(), MINI, positions, batches=(1, 5))
    checks = {c.name: c for c in turned}
    moves = checks["best moves"]
    assert not moves.passed
    assert moves.figures["flips"] > moves.figures["decisions"] / 2
    assert moves.figures["kl"] > 1e-3
    worst = checks["parity policy_logits"].figures
    assert f"position {worst['position']}" in checks["parity policy_logits"].says


def test_contract_faults_of_no_model() -> None:
    assert "not a valid ONNX model" in contract_faults(b"no graph", MINI)[0]


@pytest.mark.parametrize("variant", [STANDARD, MINI], ids=lambda variant: variant.name)
def test_positions_cover_every_turn(variant: Variant) -> None:
    real = game_positions(variant, games=6, seed=2)
    check_boards(variant, real.boards)
    assert (np.bincount(real.turns) == [6] * (variant.cells + 1)).all()
    assert len(np.unique(real.boards, axis=0)) == len(real.boards) - 5  # the empty one is shared
    assert (game_positions(variant, games=6, seed=2).boards == real.boards).all()
    other = game_positions(variant, games=6, seed=3)
    assert (np.sort(other.boards[-6:], axis=1) != np.sort(real.boards[-6:], axis=1)).any()
    full = game_positions(variant, games=400).boards[-400:]
    assert scores(variant, full[1::2]).mean() > 1.3 * scores(variant, full[::2]).mean()
    odd = odd_positions(variant)
    assert len(np.unique(odd.boards, axis=0)) == len(odd.boards) == len(set(odd.origins))
    assert (odd.boards.min(), odd.boards.max()) == (-1, variant.tiles - 1)
    every = parity_positions(variant)
    assert len(every.boards) == len(every.origins) > 512


TARGETS = {
    "no_colon": "package.module:factory",
    "toy:": "package.module:factory",
    "missing.part:make": "no module 'missing.part'",
    "imports_missing:make": "imports no_such_package",
    "raises:make": "importing it fails: ValueError: on purpose",
    "toy:other": "has no 'other'; it has: instance, make, needs, nn, number, wrong",
    "toy:number": "is a int, expected a function",
    "toy:instance": "is a Linear, expected a function",
    "toy:needs": "called without arguments: TypeError",
    "toy:wrong": "gives a dict, expected a torch.nn.Module",
}


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toy.py").write_text(
        "from torch import nn\n"
        "number, instance, wrong = 3, nn.Linear(1, 1), dict\n"
        "def make(): return nn.Linear(2, 3)\n"
        "def needs(size): return nn.Linear(size, 3)\n"
    )
    (tmp_path / "raises.py").write_text("raise ValueError('on purpose')\n")
    (tmp_path / "imports_missing.py").write_text("import no_such_package\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "toy", raising=False)


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize("target", TARGETS)
def test_targets_that_are_wrong(target: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(target)
    assert TARGETS[target] in str(caught.value)


@pytest.mark.usefixtures("toys")
def test_a_target_in_the_current_directory() -> None:
    made = resolve("toy:make")
    assert isinstance(made, nn.Linear)
    assert made.out_features == 3
