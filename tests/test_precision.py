"""float16 and int8: as good as float32 within their bounds and at play, or no file is written."""

import hashlib
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from cli_testing import made_up_graph, refused, run
from conftest import random_boards
from onnx import numpy_helper
from torch import nn

from azx.export import gate
from azx.export.gate import GateRefused, export_model
from azx.export.inputs import Batch, parse_input
from azx.export.playing import own_boards, play_checks
from azx.export.precision import Precision, converted
from azx.runtime.contract import BOARD
from azx.runtime.errors import CheckFailed
from azx.runtime.modelfile import read_sealed
from azx.runtime.models import shipped_model
from azx.runtime.onnx_evaluator import open_model
from azx.runtime.variant import MINI
from azx.runtime.verify import verify_model
from azx.trainer.initialise import initialise
from azx.trainer.network import NetworkConfig, PolicyValueNetwork

SMALLER = [Precision.COMPACT, Precision.FP16, Precision.INT8]
X = [parse_input("x=float32[batch,3,8,8]")]


class Pictures(nn.Module):
    """A network that is no player: convolutions, a norm and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv1, self.norm = nn.Conv2d(3, 32, 3, padding=1), nn.GroupNorm(4, 32)
        self.conv2, self.head = nn.Conv2d(32, 32, 3, padding=1), nn.Linear(32, 40)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv2(self.norm(self.conv1(x)).relu()).relu()
        return self.head(x.mean(dim=(2, 3)))


@pytest.fixture(scope="module")
def mini() -> bytes:
    """The graph of the shipped network, without its card."""
    model = onnx.load(shipped_model("mini"))
    del model.metadata_props[:]
    return model.SerializeToString()


def calibration(graph: bytes) -> Batch:
    return Batch({BOARD: torch.from_numpy(own_boards(graph, MINI))}, {BOARD: 0})


@pytest.mark.parametrize("precision", SMALLER)
def test_another_persons_network_gets_smaller(precision: Precision, tmp_path: Path) -> None:
    exact, small = tmp_path / "exact.onnx", tmp_path / "small.onnx"
    export_model(Pictures(), X, exact)
    report = export_model(Pictures(), X, small, precision=precision)
    assert report.passed
    card = read_sealed(small).card
    assert card.verified
    assert card.precision == precision == report.about["precision"]
    assert all(check.passed for check in verify_model(small, provider="cpu"))
    types = {t.data_type for t in onnx.load(small).graph.initializer if len(t.dims) >= 2}
    wanted = onnx.TensorProto.INT8 if precision == Precision.INT8 else onnx.TensorProto.FLOAT16
    assert wanted in types
    assert small.stat().st_size < exact.stat().st_size
    converted_to = next(c for c in report.checks if c.name == f"convert {precision}")
    graph = small.read_bytes()[: converted_to.figures["bytes"]]  # the card comes after it
    assert report.about["graph_sha256"] == hashlib.sha256(graph).hexdigest()


@pytest.mark.parametrize("precision", [Precision.COMPACT, Precision.FP16])
def test_large_inputs_have_bounds_of_their_own(precision: Precision, tmp_path: Path) -> None:
    """Answers to inputs of a thousand are off by more than those to ordinary ones."""
    torch.manual_seed(0)
    plain = nn.Sequential(
        nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8)
    )
    specs = [parse_input("x=float32[batch,32]")]
    assert export_model(plain, specs, tmp_path / "net.onnx", precision=precision).passed


def test_a_player_in_float16(tmp_path: Path) -> None:
    network = PolicyValueNetwork(MINI, NetworkConfig(width=64, blocks=1, groups=8))
    initialise(network, 1, network.heads)
    out = tmp_path / "net.onnx"
    report = export_model(network, MINI, out, precision=Precision.FP16)
    names = [check.name for check in report.checks]
    assert {"convert fp16", "parity q fp16", "best moves fp16", "play policy"} <= set(names)
    assert open_model(out, MINI).model.card.precision == "fp16"
    assert all(check.passed for check in verify_model(out, provider="cpu"))


@pytest.mark.parametrize("precision", SMALLER)
def test_the_shipped_network_plays_on(precision: Precision, mini: bytes) -> None:
    small = converted(mini, precision, calibration(mini))
    assert len(small) < (0.45 if precision == Precision.INT8 else 0.6) * len(mini)
    assert all(check.passed for check in play_checks(mini, small, MINI))


def test_tables_of_the_rules_stay_exact(mini: bytes) -> None:
    """Gains are computed inside the graph from whole numbers: no rounding may touch them."""
    small = onnx.load_from_string(converted(mini, Precision.FP16, calibration(mini)))
    whole = [t for t in small.graph.initializer if "encoding" in t.name]
    assert whole
    assert all(t.data_type != onnx.TensorProto.FLOAT16 for t in whole)


@pytest.mark.parametrize(
    "config",
    [NetworkConfig("dense", 64, 1, 8, half_turn=True), NetworkConfig("lines", 32, 1, 1)],
    ids=lambda config: config.trunk,
)
def test_a_compact_player_answers_the_same_in_any_batch(
    config: NetworkConfig, tmp_path: Path
) -> None:
    network = PolicyValueNetwork(MINI, config)
    initialise(network, 1, network.heads)
    export_model(network, MINI, tmp_path / "net.onnx", precision=Precision.COMPACT)
    evaluator = open_model(tmp_path / "net.onnx", MINI, provider="cpu")
    boards = random_boards(MINI, 40, seed=3)
    together = evaluator.evaluate(boards)
    for row in range(40):
        alone = evaluator.evaluate(boards[row : row + 1])
        assert (alone.q == together.q[row]).all()
        assert (alone.policy_logits == together.policy_logits[row]).all()
        assert (alone.value == together.value[row]).all()


def test_a_fault_in_the_conversion_is_seen_at_play(mini: bytes) -> None:
    model = onnx.load_from_string(mini)
    for tensor in model.graph.initializer:
        if "heads." in tensor.name and tensor.name.endswith(".weight"):
            turned = numpy_helper.to_array(tensor)[::-1].copy()
            tensor.CopyFrom(numpy_helper.from_array(turned, tensor.name))
    checks = play_checks(mini, model.SerializeToString(), MINI)
    assert [check.passed for check in checks] == [False, False]
    assert "allowed -0.5" in checks[0].says
    assert "games, luck out; in pairs" in checks[0].says


def test_a_player_without_q_is_judged_by_its_scores() -> None:
    model = onnx.load_from_string(made_up_graph(MINI))
    assert model.graph.output.pop().name == "q"
    graph = model.SerializeToString()
    for check in play_checks(graph, graph, MINI):
        assert check.passed
        assert re.search(r"games; in pairs \+0\.00", check.says)


def test_a_fault_in_the_conversion_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(graph: bytes, precision: Precision, rows: Batch) -> bytes:
        model = onnx.load_from_string(converted(graph, precision, rows))
        for tensor in model.graph.initializer:
            if tensor.data_type == onnx.TensorProto.FLOAT16 and len(tensor.dims) >= 2:
                values = numpy_helper.to_array(tensor) * np.float16(1.05)
                tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
        return model.SerializeToString()

    monkeypatch.setattr(gate, "converted", damaged)
    with pytest.raises(GateRefused, match="parity output fp16"):
        export_model(Pictures(), X, tmp_path / "net.onnx", precision=Precision.FP16)
    assert not list(tmp_path.iterdir())


def test_int8_is_judged_on_rows_that_it_was_not_calibrated_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []

    def watched(graph: bytes, precision: Precision, rows: Batch) -> bytes:
        seen.append(rows.tensors["x"])
        raise CheckFailed("seen")

    monkeypatch.setattr(gate, "converted", watched)
    torch.manual_seed(0)
    specs, given = [parse_input("x=float32[batch,8]")], Batch({"x": torch.randn(64, 8)}, {"x": 0})
    with pytest.raises(GateRefused, match="convert int8: seen"):
        export_model(
            nn.Linear(8, 4), specs, tmp_path / "n.onnx", given=given, precision=Precision.INT8
        )
    assert torch.equal(seen[0], given.tensors["x"][::2])


def test_nothing_to_convert_is_said(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match="nothing to convert to int8: expected a Gemm"):
        export_model(
            nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 4)),
            [parse_input("input=float32[batch,3]")],
            tmp_path / "net.onnx",
            precision=Precision.INT8,
        )
    assert not list(tmp_path.iterdir())


def test_one_precision_at_a_time(tmp_path: Path) -> None:
    refused(
        run("export", tmp_path, "--fp16", "--int8", "--out", tmp_path / "n.onnx"),
        "--fp16 and --int8",
    )
