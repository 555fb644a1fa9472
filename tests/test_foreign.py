"""Networks that others wrote pass untouched and are refused with the bug; other engines agree."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
from foreign import FOREIGN, IMMUNE, Foreign, with_the_bug
from onnx.reference import ReferenceEvaluator

from azx.export import audit
from azx.export.gate import GateRefused, export_model
from azx.export.inputs import drawn
from azx.runtime.golden import decode_golden
from azx.runtime.modelfile import SealedFile, read_sealed
from azx.runtime.verify import verify_model

ROWS = 16

#: Through the whole gate; the others through the audit alone, for time.
EXPORTED = (
    "torch LSTM",
    "torch transformer",
    "torch encoder of words",
    "BERT",
    "T5 encoder",
    "ViT",
    "ResNet",
    "ConvNeXt",
    "BiT with GroupNorm",
)


def foreign(name: str) -> Foreign:
    found = FOREIGN[name]
    if found.missing:
        pytest.skip(f"{found.package} is not installed")
    return found


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SealedFile]:
    """Those that have been through the gate, each once."""
    return {}


def through_the_gate(name: str, done: dict[str, SealedFile], folder: Path) -> SealedFile:
    if name not in done:
        network = foreign(name)
        path = folder / "net.onnx"
        export_model(network.module(), network.specs, path)
        done[name] = read_sealed(path)
    return done[name]


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_networks_are_alive_and_dead_with_the_bug(name: str) -> None:
    network = foreign(name)
    batch = drawn(network.specs, ROWS)
    assert audit(network.module(), batch).findings == []
    bugged = audit(with_the_bug(network.module()), batch)
    assert bugged.passed == (name in IMMUNE)


@pytest.mark.parametrize("name", EXPORTED)
def test_foreign_networks_pass_the_gate(
    name: str, exported: dict[str, SealedFile], tmp_path: Path
) -> None:
    sealed = through_the_gate(name, exported, tmp_path)
    assert sealed.card.verified
    rate = next(c["figures"]["rate"] for c in sealed.card.gate["checks"] if c["name"] == "mutants")
    assert rate >= 0.95
    assert [c.name for c in verify_model(sealed.path, "cpu") if not c.passed] == []


@pytest.mark.parametrize("name", [name for name in EXPORTED if name not in IMMUNE])
def test_foreign_networks_with_the_bug_leave_no_file(name: str, tmp_path: Path) -> None:
    network = foreign(name)
    with pytest.raises(GateRefused, match="audit: "):
        export_model(with_the_bug(network.module()), network.specs, tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


def second_opinion(sealed: SealedFile, answers: dict[str, np.ndarray]) -> None:
    """`answers` to the stored inputs are torch's, but for what another engine may be off."""
    golden = decode_golden(sealed.card.golden)
    assert set(answers) == set(golden.outputs)
    for name, expected in golden.outputs.items():
        largest = np.abs(expected).max()
        np.testing.assert_array_less(np.abs(answers[name] - expected), 1e-4 * largest + 1e-6)


@pytest.mark.parametrize("name", ["torch encoder of words", "ResNet", "BiT with GroupNorm"])
def test_the_reference_of_onnx_agrees(
    name: str, exported: dict[str, SealedFile], tmp_path: Path
) -> None:
    sealed = through_the_gate(name, exported, tmp_path)
    evaluator = ReferenceEvaluator(onnx.load_from_string(sealed.data))
    golden = decode_golden(sealed.card.golden)
    found = evaluator.run(None, golden.inputs)
    second_opinion(sealed, dict(zip(evaluator.output_names, found, strict=True)))


@pytest.mark.parametrize("name", ["torch encoder of words", "BERT", "ResNet", "BiT with GroupNorm"])
def test_openvino_agrees(name: str, exported: dict[str, SealedFile], tmp_path: Path) -> None:
    if find_spec("openvino") is None:
        pytest.skip("openvino is not installed")
    import openvino

    sealed = through_the_gate(name, exported, tmp_path)
    core = openvino.Core()
    model = core.read_model(sealed.data)
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    golden = decode_golden(sealed.card.golden)
    found = compiled(golden.inputs)
    answers = {output.get_any_name(): np.asarray(found[output]) for output in compiled.outputs}
    second_opinion(sealed, answers)


def test_at_least_eight_are_tried() -> None:
    assert len(FOREIGN) >= 8
    assert len(set(EXPORTED) - IMMUNE) >= 8
    assert set(EXPORTED) <= set(FOREIGN)
