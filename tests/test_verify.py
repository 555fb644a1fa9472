"""A model file verifies without torch, and stops verifying when anything of it changes."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up import check_boards
from numpy.typing import NDArray
from torch import Tensor, nn

from azx.export.emit import emit
from azx.export.interface import PlaysTheGame, board_spec, interface_of
from azx.runtime import golden as golden_module
from azx.runtime import modelfile
from azx.runtime.contract import MASKED_LOGIT
from azx.runtime.errors import ModelError
from azx.runtime.golden import (
    Golden,
    beyond_rounding,
    decode_golden,
    differences,
    encode_golden,
)
from azx.runtime.modelfile import ModelCard, read_sealed, seal
from azx.runtime.variant import MINI, STANDARD
from azx.runtime.verify import Check, sample_boards, verify_model


class Small(nn.Module):
    """Little more than a matrix, with all three outputs."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.linear = nn.Linear(MINI.cells, MINI.tiles * MINI.cells)

    def forward(self, board: Tensor) -> tuple[Tensor, ...]:
        x = self.linear(board.float()).unflatten(1, (MINI.tiles, MINI.cells))
        empty = (board < 0).sum(dim=1)
        logits = x.masked_fill((board >= 0).unsqueeze(1), MASKED_LOGIT)
        return logits, x.sum((1, 2)) * (empty > 0), x * 3 * (empty > 1)[:, None, None]


class Endless(Small):
    """Says that something follows the last placement, and lets a filled cell look free."""

    def forward(self, board: Tensor) -> tuple[Tensor, ...]:
        logits, value, q = super().forward(board)
        return logits.clamp(min=-1.0), value + 5.0, q


class Mixing(Small):
    """Its value hangs on the whole batch."""

    def forward(self, board: Tensor) -> tuple[Tensor, ...]:
        x, value, q = super().forward(board)
        return x, value - value.mean() * (value != 0), q


def card_for(module: nn.Module) -> ModelCard:
    boards = sample_boards(MINI, 12)
    with torch.no_grad():
        outputs = module(torch.from_numpy(boards))
    named = dict(zip(("policy_logits", "value", "q"), outputs, strict=True))
    return ModelCard(
        variant=MINI,
        verified=True,
        parameters=[{"name": "linear.weight", "shape": [84, 7], "mean": 0.0, "std": 0.1}],
        golden=encode_golden(
            Golden({"board": boards}, {n: t.numpy().copy() for n, t in named.items()})
        ),
    )


def graph_of(module: nn.Module) -> bytes:
    named, specs = PlaysTheGame(module, MINI), [board_spec(MINI)]
    return emit(named, specs, interface_of(named, specs)).graph


@pytest.fixture(scope="module")
def graph() -> bytes:
    return graph_of(Small())


@pytest.fixture(scope="module")
def card() -> ModelCard:
    return card_for(Small())


@pytest.fixture
def model(graph: bytes, card: ModelCard, tmp_path: Path) -> Path:
    path = tmp_path / "small.onnx"
    path.write_bytes(seal(graph, card))
    return path


def failed(checks: list[Check]) -> dict[str, str]:
    return {check.name: check.says for check in checks if not check.passed}


def test_a_whole_file_passes(model: Path) -> None:
    checks = verify_model(model, provider="cpu", threads=1)
    assert failed(checks) == {}
    assert [check.name for check in checks] == [
        "file",
        "contract",
        "verdict",
        "golden policy_logits",
        "golden value",
        "golden q",
        "batches",
        "ends",
        "parameters",
    ]
    assert "allowed 1e-03 points" in checks[4].says


def test_neither_torch_nor_onnx_is_needed(model: Path) -> None:
    script = (
        "import sys\n"
        "for name in ('torch', 'onnx', 'onnxscript'): sys.modules[name] = None\n"
        "from pathlib import Path\n"
        "from azx.runtime.verify import verify_model\n"
        "assert all(c.passed for c in verify_model(Path(sys.argv[1]), provider='cpu'))\n"
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    subprocess.run(
        [sys.executable, "-c", script, model], check=True, env={**os.environ, "PYTHONPATH": paths}
    )


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_truncated_file_cannot_be_read(model: Path, share: float) -> None:
    whole = model.read_bytes()
    model.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ModelError):
        verify_model(model, provider="cpu")


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.9])
def test_a_flipped_byte_is_found(model: Path, share: float) -> None:
    content = bytearray(model.read_bytes())
    content[int(len(content) * share)] ^= 0x10
    model.write_bytes(content)
    with pytest.raises(ModelError):
        verify_model(model, provider="cpu")


def rewritten(
    model: Path, graph: bytes, card: ModelCard, change: Callable[[Golden], object]
) -> dict[str, str]:
    """What fails once the golden set was changed, in a file whose hash is right again."""
    golden = decode_golden(card.golden)
    changed = change(golden)
    sealed = replace(card, golden=encode_golden(changed if isinstance(changed, Golden) else golden))
    model.write_bytes(seal(graph, sealed))
    return failed(verify_model(model, provider="cpu"))


@pytest.mark.parametrize(
    ("name", "amount", "says"),
    [
        ("value", 2e-3, "2.0e-03 points"),
        ("policy_logits", 2e-4, "2.0e-04 from"),
        ("q", -2e-3, "2.0e-03 points"),
        ("q", float("nan"), "NaN"),
        ("value", float("inf"), "NaN"),
    ],
)
def test_a_nudged_golden_set_is_found(
    model: Path, graph: bytes, card: ModelCard, name: str, amount: float, says: str
) -> None:
    def nudge(golden: Golden) -> None:
        golden.outputs[name].reshape(-1)[-1] += amount

    fails = rewritten(model, graph, card, nudge)
    assert list(fails) == [f"golden {name}"]
    assert says in fails[f"golden {name}"]


def test_a_nudge_below_the_bound_is_rounding(model: Path, graph: bytes, card: ModelCard) -> None:
    def nudge(golden: Golden) -> None:
        golden.outputs["value"][0] += 5e-4

    assert rewritten(model, graph, card, nudge) == {}


def test_outputs_that_are_missing_or_strange(model: Path, graph: bytes, card: ModelCard) -> None:
    fails = rewritten(model, graph, card, lambda golden: golden.outputs.pop("q"))
    assert "the golden set has no such output" in fails["golden q"]
    fails = rewritten(
        model, graph, card, lambda golden: golden.outputs.update(more=golden.outputs["q"])
    )
    assert "the graph has no such output" in fails["golden more"]
    fails = rewritten(
        model, graph, card, lambda golden: golden.outputs.update(q=golden.outputs["q"][:, :2])
    )
    assert "shape" in fails["golden q"]


def test_what_the_card_lacks(model: Path, graph: bytes, card: ModelCard) -> None:
    model.write_bytes(seal(graph, replace(card, verified=False, parameters=[])))
    assert list(failed(verify_model(model, provider="cpu"))) == ["verdict", "parameters"]
    nameless = [{"name": "linear.weight", "shape": [84, 7], "mean": None, "std": 0.1}]
    model.write_bytes(seal(graph, replace(card, parameters=nameless)))
    fails = failed(verify_model(model, provider="cpu"))
    assert "'linear.weight' has no mean" in fails["parameters"]
    empty = {"name": "device", "shape": [0], "mean": None, "std": None}
    model.write_bytes(seal(graph, replace(card, parameters=[*card.parameters, empty])))
    assert failed(verify_model(model, provider="cpu")) == {}
    model.write_bytes(seal(graph, replace(card, golden={})))
    with pytest.raises(ModelError, match="golden set cannot be read"):
        verify_model(model, provider="cpu")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"parameters": 5}, "parameters is int, expected a list"),
        ({"parameters": [{"name": "weight"}]}, r"parameters\[0\] has no 'shape'"),
        ({"verified": "no"}, "verified is str"),
        ({"bounds": {"value": 3}}, "bounds.value is int, expected a list"),
        ({"golden": []}, "golden is list"),
        ({"variant": {**MINI.to_json(), "radius": float("inf")}}, "not the description of a"),
        (None, "its azx metadata cannot be read"),
    ],
)
def test_a_card_of_the_wrong_kind(
    model: Path, graph: bytes, card: ModelCard, change: dict[str, object] | None, says: str
) -> None:
    text = "[" * 100_000 if change is None else json.dumps({**card.to_json(), **change})
    body = graph + modelfile._metadata(modelfile.CARD_KEY, text)
    digest = hashlib.sha256(body).hexdigest()
    model.write_bytes(body + modelfile._metadata(modelfile.HASH_KEY, digest))
    with pytest.raises(ModelError, match=says):
        verify_model(model, provider="cpu")


def test_a_bound_that_is_not_recorded_is_the_usual_one(
    model: Path, graph: bytes, card: ModelCard
) -> None:
    model.write_bytes(seal(graph, replace(card, precision="fp16", bounds={"value": []})))
    assert failed(verify_model(model, provider="cpu")) == {}


def test_answers_that_hang_on_the_batch(model: Path) -> None:
    module = Mixing()
    model.write_bytes(seal(graph_of(module), card_for(module)))
    fails = failed(verify_model(model, provider="cpu"))
    assert list(fails) == ["batches"]
    assert "worst in value" in fails["batches"]


def test_what_follows_the_end_and_free_cells_that_are_not(model: Path) -> None:
    endless = Endless()
    model.write_bytes(seal(graph_of(endless), card_for(endless)))
    says = failed(verify_model(model, provider="cpu", threads=1))
    assert says.keys() == {"ends"}
    assert "5 points are to come after the last placement" in says["ends"]
    assert not says["ends"].startswith("0 logits")


def test_a_golden_set_without_boards(model: Path, graph: bytes, card: ModelCard) -> None:
    def empty(golden: Golden) -> Golden:
        nothing = {"board": golden.boards[:0]}
        return Golden(nothing, {n: a[:0] for n, a in golden.outputs.items()})

    golden = decode_golden(card.golden)
    for nothing in (empty(golden), Golden({"x": golden.boards}, golden.outputs)):
        model.write_bytes(seal(graph, replace(card, golden=encode_golden(nothing))))
        assert "nothing can be compared" in failed(verify_model(model, provider="cpu"))["golden"]


@pytest.mark.parametrize("variant", [STANDARD, MINI], ids=lambda variant: variant.name)
def test_sample_boards_are_of_every_turn(variant) -> None:
    boards = sample_boards(variant, 70)
    check_boards(variant, boards)
    assert set((boards >= 0).sum(axis=1)) == set(range(variant.cells + 1))


def test_golden_sets_come_back_as_they_were(card: ModelCard) -> None:
    boards = np.array([[-1, 3], [2, 1]], dtype=np.int8)
    value = np.array([np.float32(0.1), np.float32("nan")], dtype=np.float32)
    data = encode_golden(Golden({"board": boards}, {"value": value}))
    found = decode_golden(data)
    assert found.boards.dtype == np.int8
    assert (found.boards == boards).all()
    assert found.outputs["value"].tobytes() == value.tobytes()
    stored = golden_module.base64.b64decode(data["outputs"]["value"]["zlib"])
    assert golden_module.zlib.decompress(stored) == value.astype("<f4").tobytes()
    big_endian = encode_golden(Golden({"board": boards}, {"value": value.astype(">f4")}))
    assert big_endian == data


def test_the_first_files_held_nothing_but_boards() -> None:
    boards = np.array([[-1, 3], [2, 1]], dtype=np.int8)
    data = encode_golden(Golden({"board": boards}, {"value": np.ones(2, dtype=np.float32)}))
    data["boards"] = data.pop("inputs")["board"]
    assert (decode_golden(data).boards == boards).all()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data.pop("inputs"),
        lambda data: data["inputs"]["board"].update(zlib="not base64!"),
        lambda data: data["inputs"]["board"].update(zlib="AAAA"),
        lambda data: data["inputs"]["board"].update(shape=[5, 5]),
        lambda data: data["inputs"]["board"].update(dtype="float32"),
        lambda data: data["inputs"].update(board=data["outputs"]["value"]),
        lambda data: data.update(outputs=None),
    ],
)
def test_a_malformed_golden_set(spoil: Callable[[dict[str, dict[str, object]]], object]) -> None:
    array = np.zeros((2, 4), dtype=np.int8)
    data = encode_golden(Golden({"board": array}, {"value": np.zeros(2, dtype=np.float32)}))
    spoil(data)
    with pytest.raises(ModelError, match="golden set cannot be read"):
        decode_golden(data)


def test_differences() -> None:
    def of(*numbers: float) -> NDArray[np.float32]:
        return np.array(numbers, dtype=np.float32)

    inf, nan = float("inf"), float("nan")
    assert differences(of(1, 2), of(1, 2.5)).tolist() == [0.0, 0.5]
    assert differences(of(nan, nan, 1), of(nan, 1, nan)).tolist() == [inf, inf, inf]
    assert differences(of(inf, inf, -inf), of(inf, -inf, 0)).tolist() == [0.0, inf, inf]
    assert differences(np.array([5000, 1]), np.array([5001, 1])).tolist() == [1.0, 0.0]
    with pytest.raises(ValueError, match="shape"):
        differences(of(1), of(1, 2))


@pytest.mark.parametrize(
    ("expected", "apart", "left"),
    [
        ([-1e9, 1], [64, 1e-3], [0, 1e-3]),  # a mask, and the number beside it
        ([-1e9, 1], [1e8, 0], [1e8, 0]),  # another mask
        ([-1e9, 1], [np.inf, np.inf], [np.inf, np.inf]),
        ([-np.inf, 1], [np.inf, 0], [np.inf, 0]),
        ([-1e9, 1], [5e-5, 0], [5e-5, 0]),  # within the bound: told as it is
        ([900, 1], [2e-3, 0], [2e-3, 0]),  # a number
    ],
)
def test_large_entries_may_be_off_by_their_own_rounding(
    expected: list[float], apart: list[float], left: list[float]
) -> None:
    found = beyond_rounding(np.array(apart, dtype=float), np.array(expected, np.float32), 1e-4)
    assert found.tolist() == left


def test_float16_rounds_too_coarsely_to_be_let_go() -> None:
    expected = np.array([30000, 12], np.float16)
    assert beyond_rounding(np.array([180.0, 0]), expected, 1e-3).tolist() == [180.0, 0]
    assert beyond_rounding(np.array([16.0, 0]), expected, 1e-3).tolist() == [0, 0]


def test_whole_numbers_have_no_rounding() -> None:
    assert beyond_rounding(np.array([1.0]), np.array([10**9]), 0.0).tolist() == [1.0]


# Networks that do not play


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of numbers, through the gate."""
    from azx.export.gate import export_model
    from azx.export.inputs import parse_input

    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    path = tmp_path_factory.mktemp("other") / "net.onnx"
    export_model(made, [parse_input("x=float32[batch,4]")], path)
    return path


def test_any_network_verifies_without_torch(other: Path) -> None:
    checks = verify_model(other, provider="cpu")
    assert failed(checks) == {}
    assert {"file", "interface", "verdict", "golden output", "batches output", "parameters"} == {
        check.name for check in checks
    }


def test_any_network_stops_verifying_when_something_changes(other: Path, tmp_path: Path) -> None:
    sealed, path = read_sealed(other), tmp_path / "net.onnx"
    golden = decode_golden(sealed.card.golden)
    golden.outputs["output"][0, 0] += 1e-3
    graph = onnx_graph(sealed.data)
    path.write_bytes(seal(graph, replace(sealed.card, golden=encode_golden(golden))))
    assert list(failed(verify_model(path, provider="cpu"))) == ["golden output"]
    renamed = {**sealed.card.interface, "inputs": [{"name": "y", "axes": ["batch", 4]}]}
    path.write_bytes(seal(graph, replace(sealed.card, interface=renamed, verified=False)))
    assert {"interface", "verdict"} <= set(failed(verify_model(path, provider="cpu")))


def test_any_network_whose_card_does_not_fit_itself(other: Path, tmp_path: Path) -> None:
    sealed, path = read_sealed(other), tmp_path / "net.onnx"
    graph, card = onnx_graph(sealed.data), sealed.card
    golden = decode_golden(card.golden)
    unnamed = encode_golden(Golden({"y": golden.inputs["x"]}, golden.outputs))
    unanswered = encode_golden(Golden(golden.inputs, {}))
    for change, says in (
        ({"interface": {}}, "has no 'inputs'"),
        ({"interface": {**card.interface, "inputs": [{"name": "x"}]}}, "has no 'axes'"),
        ({"bounds": {}}, "no bound for each of the"),
        ({"bounds": {"output": [1e-4]}}, "no bound for each of the"),
        ({"golden": unnamed}, "not of the inputs and outputs that are recorded"),
        ({"golden": unanswered}, "not of the inputs and outputs that are recorded"),
    ):
        path.write_bytes(seal(graph, replace(card, **change)))
        with pytest.raises(ModelError, match=says):
            verify_model(path, provider="cpu")


def onnx_graph(sealed: bytes) -> bytes:
    """The graph alone, as it was before it was sealed."""
    import onnx

    model = onnx.load_from_string(sealed)
    del model.metadata_props[:]
    return model.SerializeToString()
