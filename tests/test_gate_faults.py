"""Faults put in between training and use: the gate finds each, and says where it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest
import torch
from corpus import HEALTHY
from onnx import numpy_helper
from torch import nn

from azx.export import gate
from azx.export.emit import Emitted, emit, graph_faults
from azx.export.families import Families, board_families, input_families
from azx.export.gate import GateRefused, export_model
from azx.export.inputs import Batch, InputSpec, parse_input
from azx.export.interface import Interface, Named, PlaysTheGame, board_spec, interface_of
from azx.export.locate import _departs, first_departure
from azx.export.mutants import mutants_check
from azx.export.parity import compare, moves_check
from azx.export.reference import Reference, reference_of
from azx.runtime.answers import ask
from azx.runtime.sessions import open_session
from azx.runtime.variant import MINI
from azx.trainer.initialise import initialise
from azx.trainer.network import NetworkConfig, PolicyValueNetwork


class Subject(NamedTuple):
    """A network, its graph, and what torch says."""

    interface: Interface
    emitted: Emitted
    reference: Reference

    def failed(self, graph: bytes, folder: Path) -> dict[str, str]:
        """The checks that a saved graph fails."""
        faults = graph_faults(graph, self.interface)
        if faults:
            return {"graph": "; ".join(faults)}
        path = folder / "graph.onnx"
        path.write_bytes(graph)
        return {c.name: c.says for c in compare(path, self.reference) if not c.passed}


def subject(named: Named, specs: list[InputSpec], families: Families) -> Subject:
    interface = interface_of(named, specs)
    emitted = emit(named, specs, interface)
    return Subject(interface, emitted, reference_of(named, interface, families))


@pytest.fixture(scope="module")
def game() -> Subject:
    network = PolicyValueNetwork(MINI, NetworkConfig(width=32, blocks=1, groups=8))
    initialise(network, seed=1, heads=network.heads)
    return subject(PlaysTheGame(network, MINI), [board_spec(MINI)], board_families(MINI))


@pytest.fixture(scope="module")
def residual() -> Subject:
    """Another one, of the corpus."""
    case = HEALTHY["convolutions and GroupNorm"]
    return subject(Named(case.module(), case.specs), case.specs, input_families(case.specs))


# What a faulty exporter could do to a graph: each changes the model in place.


def stored(model: onnx.ModelProto, ends: str) -> onnx.TensorProto:
    return next(t for t in model.graph.initializer if t.name.endswith(ends))


def nudge_a_weight(model: onnx.ModelProto) -> None:
    tensor = stored(model, "heads.policy.weight")
    weight = numpy_helper.to_array(tensor).copy()
    weight[5, 7] += 0.01
    tensor.CopyFrom(numpy_helper.from_array(weight, tensor.name))


def nan_in_a_weight(model: onnx.ModelProto) -> None:
    tensor = stored(model, "heads.q.weight")
    weight = numpy_helper.to_array(tensor).copy()
    weight[0, 0] = np.nan
    tensor.CopyFrom(numpy_helper.from_array(weight, tensor.name))


def another_epsilon(model: onnx.ModelProto) -> None:
    """What converting GroupNorm from opset 20 to 21 does."""
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


def another_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 19


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


def followed_by(model: onnx.ModelProto, name: str, *nodes: onnx.NodeProto) -> None:
    """Let `nodes` make `name` out of `free`, which is what made it before."""
    last = next(node for node in model.graph.node if name in node.output)
    last.output[0] = "free"
    model.graph.node.extend(nodes)


def batch_baked_in(model: onnx.ModelProto) -> None:
    """Symbolic in name, and right for the traced batch of 3 alone."""
    shape = numpy_helper.from_array(np.array([3], dtype=np.int64), "three")
    model.graph.initializer.append(shape)
    followed_by(model, "value", onnx.helper.make_node("Reshape", ["free", "three"], ["value"]))


def specialised_in_silence(model: onnx.ModelProto) -> None:
    """Right for batches of at least 3, as an exporter has it that took a branch on the size."""
    limit = numpy_helper.from_array(np.array(3, dtype=np.int64), "limit")
    none = numpy_helper.from_array(np.array(0, dtype=np.int64), "none")
    zero = numpy_helper.from_array(np.array(0.0, dtype=np.float32), "nothing")
    model.graph.initializer.extend([limit, none, zero])
    make = onnx.helper.make_node
    followed_by(
        model,
        "value",
        make("Shape", ["free"], ["sizes"]),
        make("Gather", ["sizes", "none"], ["rows"]),
        make("GreaterOrEqual", ["rows", "limit"], ["many"]),
        make("Where", ["many", "free", "nothing"], ["value"]),
    )


def batch_mixed(model: onnx.ModelProto) -> None:
    make = onnx.helper.make_node
    followed_by(
        model,
        "value",
        make("ReduceMean", ["free"], ["mean_value"], keepdims=1),
        make("Sub", ["free", "mean_value"], ["value"]),
    )


Fault = Callable[[onnx.ModelProto], None]

FAULTS: dict[Fault, str] = {
    nudge_a_weight: "parity policy_logits",
    nan_in_a_weight: "parity q",
    another_epsilon: "parity q",
    another_opset: "graph",
    drop_q: "graph",
    drop_value: "graph",
    rename_an_output: "graph",
    swap_outputs: "parity policy_logits",
    reorder_outputs: "graph",
    static_batch: "graph",
    batch_baked_in: "parity",
    specialised_in_silence: "parity batches",
    batch_mixed: "parity batches",
}


def faulty(graph: bytes, fault: Fault) -> bytes:
    model = onnx.load_from_string(graph)
    fault(model)
    return model.SerializeToString()


def spoiling(fault: Fault) -> Callable[..., Emitted]:
    """An `emit` that makes graphs with this fault."""

    def emits(*given: object) -> Emitted:
        made = emit(*given)
        return replace(made, graph=faulty(made.graph, fault))

    return emits


def test_the_untouched_graph_passes(game: Subject, tmp_path: Path) -> None:
    assert game.failed(game.emitted.graph, tmp_path) == {}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_an_unfaithful_graph_is_refused(fault: Fault, game: Subject, tmp_path: Path) -> None:
    failed = game.failed(faulty(game.emitted.graph, fault), tmp_path)
    assert FAULTS[fault] in failed
    assert ("NaN" in str(failed)) == (fault is nan_in_a_weight)


def test_a_fault_stops_the_whole_gate_and_leaves_nothing(
    game: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = PolicyValueNetwork(MINI, NetworkConfig(width=32, blocks=1, groups=8))
    initialise(network, seed=1, heads=network.heads)
    spoilt = Emitted(faulty(game.emitted.graph, another_epsilon), game.emitted.program)
    monkeypatch.setattr(gate, "emit", lambda *given: spoilt)
    with pytest.raises(GateRefused) as refusal:
        export_model(network, MINI, tmp_path / "net.onnx")
    failed = {check.name: check.says for check in refusal.value.report.checks if not check.passed}
    assert "trunk.norm" in failed["where"]
    assert list(tmp_path.iterdir()) == []
    report = export_model(network, MINI, tmp_path / "net.onnx", force=True)
    assert not report.passed
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


def spoil_one_norm(model: onnx.ModelProto) -> None:
    nodes = [node for node in model.graph.node if node.op_type == "InstanceNormalization"]
    next(a for a in nodes[1].attribute if a.name == "epsilon").f = 0.1


def spoil_the_last_layer(model: onnx.ModelProto) -> None:
    tensor = stored(model, "7.bias")
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) + 1, tensor.name))


@pytest.mark.parametrize(
    ("fault", "path"), [(spoil_one_norm, "3.branch.1"), (spoil_the_last_layer, "7")]
)
def test_the_first_node_that_departs_is_named_by_its_module(
    fault: Fault, path: str, residual: Subject
) -> None:
    assert first_departure(residual.emitted, residual.reference) == "no single node departs"
    spoilt = Emitted(faulty(residual.emitted.graph, fault), residual.emitted.program)
    assert f"departs is in {path} (" in first_departure(spoilt, residual.reference)


def test_a_mask_does_not_hide_what_departs_beside_it() -> None:
    expected = np.array([-1e9, 0.5, 0.25], np.float32)
    assert not _departs(expected, expected + np.float32([64, 0, 0]), 1e-5)
    assert _departs(expected, expected + np.float32([0, 1e-3, 0]), 1e-5)
    assert _departs(expected, np.float32([0.5, -1e9, 0.25]), 1e-5)


def test_a_graph_that_does_not_run_has_no_node_to_blame(residual: Subject) -> None:
    def another_operator(model: onnx.ModelProto) -> None:
        next(node for node in model.graph.node if node.op_type == "Conv").op_type = "Convolve"

    broken = Emitted(faulty(residual.emitted.graph, another_operator), residual.emitted.program)
    assert "could not be looked for: " in first_departure(broken, residual.reference)


def test_faults_put_into_copies_are_caught(game: Subject, residual: Subject) -> None:
    for case in (game, residual):
        found = mutants_check(case.emitted.graph, case.reference, opset=20)
        print(found.says)
        assert found.passed
        assert found.figures["mutants"] >= 15
    kinds = " ".join(mutant["what"] for mutant in found.figures["each"])
    for kind in ("nudged", "sign", "NaN", "bias", "epsilon", "left out", "declared", "baked"):
        assert kind in kinds


def test_checks_that_are_blind_do_not_pass(residual: Subject) -> None:
    """The same mutants, held against bounds that allow anything."""
    bounds = {
        name: {family: replace(bound, allowed=1e9) for family, bound in families.items()}
        for name, families in residual.reference.bounds.items()
    }
    blind = replace(residual.reference, bounds=bounds)
    found = mutants_check(residual.emitted.graph, blind, opset=20)
    assert not found.passed
    assert len(found.figures["lost_in_rounding"]) >= 10


def test_best_moves_and_kl(game: Subject) -> None:
    batch = game.reference.families.batch
    inputs = {name: tensor.numpy() for name, tensor in batch.tensors.items()}

    def moves(graph: bytes) -> gate.Check:
        session = open_session(graph)
        said = ask(session, inputs, batch.axes, game.interface.output_axes, batch.rows)
        return moves_check(game.reference, said, MINI)

    same = moves(game.emitted.graph)
    assert same.passed
    assert (same.figures["flips"], same.figures["kl"] < 1e-9) == (0, True)

    def turned(model: onnx.ModelProto) -> None:
        tensor = stored(model, "heads.policy.weight")
        weight = -numpy_helper.to_array(tensor)
        tensor.CopyFrom(numpy_helper.from_array(weight, tensor.name))

    other = moves(faulty(game.emitted.graph, turned))
    assert not other.passed
    assert other.figures["flips"] > other.figures["decisions"] / 2
    assert other.figures["kl"] > 1e-3


def ends_as(model: onnx.ModelProto, axes: list[int]) -> None:
    """Give the output the sizes of its own `axes`, in this order."""
    out, make = model.graph.output[0].name, onnx.helper.make_node
    picks = [numpy_helper.from_array(np.array([at], dtype=np.int64), f"at_{at}") for at in {*axes}]
    model.graph.initializer.extend(picks)
    followed_by(
        model,
        out,
        make("Shape", ["free"], ["sizes"]),
        *(make("Gather", ["sizes", f"at_{at}"], [f"size_{at}"]) for at in {*axes}),
        make("Concat", [f"size_{at}" for at in axes], ["new_sizes"], axis=0),
        make("Reshape", ["free", "new_sizes"], [out]),
    )


def square(model: onnx.ModelProto) -> None:
    """Right for planes that are as wide as they are high, and symbolic in both."""
    ends_as(model, [0, 1, 2, 2])


def named_wrongly(model: onnx.ModelProto) -> None:
    for axis, name in zip(model.graph.output[0].type.tensor_type.shape.dim[2:], "wh", strict=True):
        axis.dim_param = name


PLANES = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))


@pytest.mark.parametrize(
    ("fault", "says"),
    [(square, "onnxruntime fails"), (named_wrongly, "an axis of output follows w, expected h")],
)
def test_free_axes_are_not_taken_for_one_another(
    fault: Fault, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "emit", spoiling(fault))
    with pytest.raises(GateRefused, match=says):
        export_model(PLANES, [parse_input("x=float32[batch,3,h,w]")], tmp_path / "net.onnx")


def wrong_from_60_on(model: onnx.ModelProto) -> None:
    """Right for batches below 60."""
    scalars = {"limit": np.int64(60), "first": np.int64(0), "nothing": np.float32(0.0)}
    stored_ones = [numpy_helper.from_array(np.array(v), name) for name, v in scalars.items()]
    model.graph.initializer.extend(stored_ones)
    make, out = onnx.helper.make_node, model.graph.output[0].name
    followed_by(
        model,
        out,
        make("Shape", ["free"], ["sizes"]),
        make("Gather", ["sizes", "first"], ["rows"]),
        make("Less", ["rows", "limit"], ["few"]),
        make("Where", ["few", "free", "nothing"], [out]),
    )


def test_a_batch_of_64_is_tried_with_few_rows_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = HEALTHY["multi-layer"]
    given = Batch({"x": torch.randn(5, 8, generator=torch.Generator().manual_seed(0))}, {"x": 0})
    monkeypatch.setattr(gate, "emit", spoiling(wrong_from_60_on))
    with pytest.raises(GateRefused, match="at batch 64"):
        export_model(case.module(), case.specs, tmp_path / "net.onnx", given=given)
