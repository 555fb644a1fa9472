"""From torch to the bytes of an ONNX graph, and whether those follow the contract."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from azx.export.isolation import evaluating, first_line, random_numbers_kept
from azx.export.outputs import named_outputs
from azx.runtime.contract import BOARD, OUTPUTS, POLICY_LOGITS, REQUIRED_OUTPUTS, VALUE, Q
from azx.runtime.errors import CheckFailed, UsageError
from azx.runtime.variant import Variant

#: From 21 on GroupNorm is one operator, which onnxruntime has no CPU kernel for: slower at batch 1.
OPSET = 20


def contract_outputs(module: nn.Module, boards: Tensor) -> dict[str, Tensor]:
    """What `module` says of int8 `boards` [B, C], by name, in the contract's order.

    The outputs of a plain tuple are taken to be in that order already; others may follow them.

    Raises `UsageError` where forward fails or a required output is missing.
    """
    try:
        outputs = _in_order(module(boards))
    except Exception as error:  # whatever a stranger's forward raises
        raise UsageError(
            f"{type(module).__name__} cannot run on int8 boards {list(boards.shape)}: "
            f"{first_line(error)}"
        ) from error
    missing = [name for name in REQUIRED_OUTPUTS if name not in outputs]
    if missing:
        raise UsageError(
            f"{type(module).__name__} gives {list(outputs)}; missing is {', '.join(missing)}: "
            "return a named tuple or a dict with the contract's names (azx.runtime.contract)"
        )
    return outputs


def _in_order(result: object) -> dict[str, Tensor]:
    outputs = named_outputs(result, OUTPUTS)
    return {name: outputs[name] for name in OUTPUTS if name in outputs} | outputs


class _Positional(nn.Module):
    """Any module of the contract as one input `board` and a plain tuple of outputs."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, board: Tensor) -> tuple[Tensor, ...]:
        """[B, C] to the outputs of `contract_outputs`."""
        return tuple(_in_order(self.module(board)).values())


def emit(module: nn.Module, variant: Variant) -> bytes:
    """The serialised ONNX model of `module` in eval mode, any batch, all weights inside.

    The module's modes and torch's random numbers are as before afterwards, and nothing is printed.
    Raises `UsageError` where the module does not run or lacks an output, `CheckFailed` where torch
    cannot express it with a free batch.
    """
    # Three rows: torch takes a batch of 1 for a constant.
    boards = torch.from_numpy(variant.empty_boards(3))
    boards[1, 0], boards[2] = 1, torch.arange(variant.cells, dtype=torch.int8)
    device = next((p.device for p in module.parameters()), boards.device)
    boards = boards.to(device)
    with random_numbers_kept(0), evaluating(module), torch.no_grad():
        names = list(contract_outputs(module, boards))
        try:
            with _quiet():
                program = torch.onnx.export(
                    _Positional(module).eval(),
                    (boards,),
                    dynamo=True,
                    # A string: `Dim` objects have come out static and been reported as success.
                    dynamic_shapes={"board": {0: "batch"}},
                    input_names=[BOARD],
                    output_names=names,
                    opset_version=OPSET,
                    external_data=False,
                    verbose=False,
                )
                assert program is not None
                return program.model_proto.SerializeToString()
        except Exception as error:  # torch's exporter raises many kinds
            raise CheckFailed(
                f"torch cannot export {type(module).__name__} with a free batch: "
                f"{first_line(_first_cause(error))}"
            ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's warnings, log lines and dumps from the terminal."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        # Where it fails it prints the whole graph.
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def _first_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def contract_faults(graph: bytes, variant: Variant) -> list[str]:
    """Where a serialised ONNX model departs from the contract; empty where it follows it."""
    try:
        model = onnx.load_from_string(graph)
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # onnx and protobuf share no base
        return [f"not a valid ONNX model: {first_line(error)}"]
    faults = []
    opset = {entry.domain: entry.version for entry in model.opset_import}.get("")
    if opset != OPSET:
        faults.append(f"opset {opset}, expected {OPSET}")
    outside = [t.name for t in model.graph.initializer if t.external_data]
    if outside:
        faults.append(f"{len(outside)} weights lie in another file, such as {outside[0]}")
    per_placement = (np.float32, (variant.tiles, variant.cells))
    faults += _name_faults("inputs", [node.name for node in model.graph.input], [BOARD], [BOARD])
    faults += _name_faults(
        "outputs", [node.name for node in model.graph.output], REQUIRED_OUTPUTS, OUTPUTS
    )
    for node in (*model.graph.input, *model.graph.output):
        expected = {
            BOARD: (np.int8, (variant.cells,)),
            POLICY_LOGITS: per_placement,
            VALUE: (np.float32, ()),
            Q: per_placement,
        }.get(node.name)
        if expected is not None:
            faults += _tensor_faults(node, np.dtype(expected[0]), expected[1])
    return faults


def _name_faults(
    what: str,
    found: list[str],
    required: tuple[str, ...] | list[str],
    order: tuple[str, ...] | list[str],
) -> list[str]:
    """Required names that are missing, and known names out of order; others may follow them."""
    known = [name for name in order if name in found]
    if not set(required) <= set(found) or found[: len(known)] != known:
        return [f"{what} are {found}, expected {list(order)}"]
    return []


def _tensor_faults(
    node: onnx.ValueInfoProto, dtype: np.dtype[np.generic], shape: tuple[int, ...]
) -> list[str]:
    tensor = node.type.tensor_type
    axes = [axis.dim_param or axis.dim_value for axis in tensor.shape.dim]
    faults = []
    if onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type) != dtype:
        found = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
        faults.append(f"{node.name} is {found}, expected {dtype.name}")
    if tuple(axes[1:]) != shape:
        faults.append(f"{node.name} has shape {axes}, expected {['batch', *shape]}")
    elif not isinstance(axes[0], str):
        faults.append(f"{node.name} has a fixed batch of {axes[0]}, expected a free one")
    return faults
