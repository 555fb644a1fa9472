"""Made-up models and the command line in this process, for the tests of the commands."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner, Result

from azx.cli.main import app
from azx.runtime.contract import MASKED_LOGIT
from azx.runtime.golden import Golden, encode_golden
from azx.runtime.modelfile import ModelCard, seal
from azx.runtime.onnx_evaluator import open_model
from azx.runtime.variant import Variant
from azx.runtime.verify import sample_boards

REPOSITORY = Path(__file__).resolve().parents[1]

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.endswith("_COLOR")},
    "PYTHONPATH": str(REPOSITORY / "src"),
}


def made_up_graph(variant: Variant, fault: float = 0.0) -> bytes:
    """An ONNX model of matrices with small whole numbers, so exact everywhere; q and all.

    `fault` is added to a bias: NaN breaks every output.
    """
    cells, width = variant.cells, variant.tiles * variant.cells
    wave = np.arange((cells + 1) * width).reshape(cells + 1, width)
    policy, q = (wave * 7919 % 13).astype(np.float32), (wave * 104729 % 11).astype(np.float32)
    value = (np.arange(cells) % 3 / 4).astype(np.float32).reshape(cells, 1)
    constants = {
        "policy_weight": policy[1:],
        "policy_bias": policy[0] + np.float32(fault),
        "q_weight": q[1:],
        "q_bias": q[0],
        "value_weight": value,
        "value_bias": np.array([20.0 + fault], dtype=np.float32),
        "per_placement": np.array([-1, variant.tiles, cells], dtype=np.int64),
        "one": np.array([1], dtype=np.int64),
        "zero": np.array([0.0], dtype=np.float32),
        "single": np.array([1.0], dtype=np.float32),
        "masked": np.array([MASKED_LOGIT], dtype=np.float32),
    }
    nodes = [helper.make_node("Cast", ["board"], ["x"], to=TensorProto.FLOAT)]
    for name, shape in (("policy", "policy_seen"), ("q", "q_seen")):
        nodes += [
            helper.make_node("MatMul", ["x", f"{name}_weight"], [f"{name}_product"]),
            helper.make_node("Add", [f"{name}_product", f"{name}_bias"], [f"{name}_flat"]),
            helper.make_node("Reshape", [f"{name}_flat", "per_placement"], [shape]),
        ]
    nodes += [
        helper.make_node("MatMul", ["x", "value_weight"], ["value_product"]),
        helper.make_node("Add", ["value_product", "value_bias"], ["value_column"]),
        helper.make_node("Squeeze", ["value_column", "one"], ["value_seen"]),
        # The contract's ends: filled cells masked, nothing to come after the last placement.
        helper.make_node("Less", ["x", "zero"], ["is_empty"]),
        helper.make_node("Cast", ["is_empty"], ["empty"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["empty", "one"], ["left"], keepdims=1),
        helper.make_node("Greater", ["left", "zero"], ["any_left"]),
        helper.make_node("Greater", ["left", "single"], ["more_left"]),
        helper.make_node("Unsqueeze", ["is_empty", "one"], ["free"]),
        helper.make_node("Where", ["free", "policy_seen", "masked"], ["policy_logits"]),
        helper.make_node("Squeeze", ["any_left", "one"], ["going_on"]),
        helper.make_node("Where", ["going_on", "value_seen", "zero"], ["value"]),
        helper.make_node("Unsqueeze", ["more_left", "one"], ["more_to_come"]),
        helper.make_node("Where", ["more_to_come", "q_seen", "zero"], ["q"]),
    ]
    placements = ["batch", variant.tiles, cells]
    graph = helper.make_graph(
        nodes,
        "made_up",
        [helper.make_tensor_value_info("board", TensorProto.INT8, ["batch", cells])],
        [
            helper.make_tensor_value_info("policy_logits", TensorProto.FLOAT, placements),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, ["batch"]),
            helper.make_tensor_value_info("q", TensorProto.FLOAT, placements),
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def write_model(path: Path, variant: Variant) -> Path:
    """A sealed model that passes `azx verify`: its golden set is what onnxruntime says of it."""
    graph = made_up_graph(variant)
    card = ModelCard(variant, verified=True)
    path.write_bytes(seal(graph, card))
    boards = sample_boards(variant, 12)
    said = open_model(path).evaluate(boards)
    assert said.q is not None
    outputs = {"policy_logits": said.policy_logits, "value": said.value, "q": said.q}
    parameters = [{"name": "policy_weight", "shape": [7, 84], "mean": 6.0, "std": 3.7}]
    golden = encode_golden(Golden({"board": boards}, outputs))
    path.write_bytes(seal(graph, replace(card, golden=golden, parameters=parameters)))
    return path


def run(*arguments: object, given: str | None = None) -> Result:
    """The command in this process, through the same error boundary."""
    return CliRunner().invoke(app, [str(a) for a in arguments], input=given)


def refused(result: Result, *said: str, code: int = 2) -> None:
    """One to three lines on stderr that say all of `said`, the exit code, and no traceback."""
    assert result.exit_code == code, result.output
    stderr = told(result)
    assert stderr.startswith("error: "), stderr
    assert 1 <= len(stderr.splitlines()) <= 3
    assert "Traceback" not in result.output
    assert "unexpected" not in stderr
    for words in said:
        assert words in stderr


def good(result: Result) -> str:
    assert result.exit_code == 0, result.output
    assert told(result) == ""
    return result.stdout


def told(result: Result) -> str:
    """What stands on stderr, but that whichever test comes first has things compiled."""
    return result.stderr.removeprefix("compiling for this machine, this once (up to 20 s)\n")


#: A game of the made-up model, seed 5, policy alone, after its heading.
TRANSCRIPT = r"""
         _______
 _______/       \_______    turn      1 of 7
/       \_______/[9 6 3]\   drawn     9 6 3
\_______/       \_______/   cell      5
/       \_______/       \   gain      0
\_______/       \_______/   score     0
        \_______/           foreseen  24.0 in the end

         _______
 _______/       \_______    turn      2 of 7
/       \_______/ 9 6 3 \   drawn     1 6 3
\_______/       \_______/   cell      1
/[1 6 3]\_______/       \   gain      0
\_______/       \_______/   score     0
        \_______/           foreseen  24.8 in the end

         _______
 _______/       \_______    turn      3 of 7
/       \_______/ 9 6 3 \   drawn     9 2 3
\_______/       \_______/   cell      4
/ 1 6 3 \_______/       \   gain      6
\_______/[9 2 3]\_______/             falling 3 x 2
        \_______/           score     6
                            foreseen  33.0 in the end

         _______
 _______/       \_______    turn      4 of 7
/       \_______/ 9 6 3 \   drawn     5 6 4
\_______/[5 6 4]\_______/   cell      3
/ 1 6 3 \_______/       \   gain      18
\_______/ 9 2 3 \_______/             rising 6 x 3
        \_______/           score     24
                            foreseen  51.0 in the end

         _______
 _______/[5 6 3]\_______    turn      5 of 7
/       \_______/ 9 6 3 \   drawn     5 6 3
\_______/ 5 6 4 \_______/   cell      2
/ 1 6 3 \_______/       \   gain      6
\_______/ 9 2 3 \_______/             falling 3 x 2
        \_______/           score     30
                            foreseen  60.5 in the end

         _______
 _______/ 5 6 3 \_______    turn      6 of 7
/[1 2 3]\_______/ 9 6 3 \   drawn     1 2 3
\_______/ 5 6 4 \_______/   cell      0
/ 1 6 3 \_______/       \   gain      2
\_______/ 9 2 3 \_______/             column 1 x 2
        \_______/           score     32
                            foreseen  62.5 in the end

         _______
 _______/ 5 6 3 \_______    turn      7 of 7
/ 1 2 3 \_______/ 9 6 3 \   drawn     1 2 4
\_______/ 5 6 4 \_______/   cell      6
/ 1 6 3 \_______/[1 2 4]\   gain      4
\_______/ 9 2 3 \_______/             rising 2 x 2
        \_______/           score     36

score 36
"""
