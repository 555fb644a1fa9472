"""From torch to the bytes of an ONNX graph, and whether those say what the module says."""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass

import onnx
import torch
from torch import Tensor, nn

from azx.export.inputs import Batch, InputSpec, example
from azx.export.interface import TRACED_ROWS, Interface, Named, TensorSpec
from azx.export.isolation import evaluating, random_numbers_kept, watched_layers
from azx.runtime.errors import CheckFailed, first_line

#: From 21 on GroupNorm is one operator, which onnxruntime has no CPU kernel for: slower at batch 1.
OPSET = 20
OPSETS = range(18, 24)


@dataclass(frozen=True)
class Emitted:
    """A serialised ONNX model, and the program that it was made from."""

    graph: bytes
    program: torch.export.ExportedProgram


class _Positional(nn.Module):
    """A plain tuple of outputs, which is what the exporter wants."""

    def __init__(self, named: Named) -> None:
        super().__init__()
        self.named = named

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The outputs in order."""
        return tuple(self.named(*tensors).values())


def emit(
    module: Named,
    specs: Sequence[InputSpec],
    interface: Interface,
    opset: int = OPSET,
    given: Batch | None = None,
) -> Emitted:
    """Export `module` in eval mode, with free axes where `specs` names them, all weights inside.

    It is traced on `given` rows, or on drawn ones where there are none.
    The module's modes and torch's random numbers are as before afterwards, and nothing is printed.
    Raises `CheckFailed` where torch cannot express it with free axes, or where an output has the
    name of an input.
    """
    taken = {spec.name for spec in interface.inputs}
    for spec in interface.outputs:
        if spec.name in taken:
            raise CheckFailed(
                f"an input and an output are both called {spec.name!r}, and in a graph a name is "
                "one thing: let forward name the output otherwise"
            )
    traced = example(specs, given, TRACED_ROWS)
    # Strings: `Dim` objects have come out static and been reported as success.
    free = tuple(
        {at: axis for at, axis in enumerate(spec.axes) if isinstance(axis, str)} for spec in specs
    )
    with random_numbers_kept(0), watched_layers(), evaluating(module), torch.no_grad():
        try:
            with _quiet():
                program = torch.onnx.export(
                    _Positional(module).eval(),
                    tuple(traced.tensors.values()),
                    dynamo=True,
                    dynamic_shapes=(free,),
                    input_names=[spec.name for spec in interface.inputs],
                    output_names=[spec.name for spec in interface.outputs],
                    opset_version=opset,
                    external_data=False,
                    verbose=False,
                )
                assert program is not None
                assert program.exported_program is not None
                _give_way(program)
                return Emitted(program.model_proto.SerializeToString(), program.exported_program)
        except Exception as error:  # torch's exporter raises many kinds
            raise CheckFailed(
                f"torch cannot export {type(module.module).__name__} with a free batch: "
                f"{first_line(_first_cause(error))}"
            ) from error


def _give_way(program: torch.onnx.ONNXProgram) -> None:
    """Rename values inside that have the name of an input or output.

    The exporter gives those their names at the very end, and does not look whether a value inside
    has it: an output `embedding` beside torch's own name for what an `nn.Embedding` says.
    """
    graph = program.model.graph
    ends = [*graph.inputs, *graph.outputs]
    taken = {value.name for value in ends}
    for node in graph:
        for value in node.outputs:
            if value.name in taken and not any(value is end for end in ends):
                value.name = f"{value.name}_inside"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's warnings, log lines and dumps from the terminal."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        # Where it fails it prints the whole graph.
        with (
            warnings.catch_warnings(),
            redirect_stderr(io.StringIO()),
            redirect_stdout(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def _first_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def graph_faults(graph: bytes, interface: Interface, opset: int = OPSET) -> list[str]:
    """Where a serialised ONNX model departs from the module's interface; empty where it fits."""
    try:
        model = onnx.load_from_string(graph)
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # onnx and protobuf share no base
        return [f"not a valid ONNX model: {first_line(error)}"]
    faults = []
    found = {entry.domain: entry.version for entry in model.opset_import}.get("")
    if found != opset:
        faults.append(f"opset {found}, expected {opset}")
    outside = [t.name for t in model.graph.initializer if t.external_data]
    if outside:
        faults.append(f"{len(outside)} weights lie in another file, such as {outside[0]}")
    named = {axis for spec in interface.inputs for axis in spec.axes if isinstance(axis, str)}
    for what, nodes, specs in (
        ("inputs", model.graph.input, interface.inputs),
        ("outputs", model.graph.output, interface.outputs),
    ):
        names, expected = [node.name for node in nodes], [spec.name for spec in specs]
        if names != expected:
            faults.append(f"{what} are {names}, expected {expected}")
            continue
        for node, spec in zip(nodes, specs, strict=True):
            faults += _tensor_faults(node, spec, named)
    return faults


def _follows(have: str, want: str, named: set[str]) -> bool:
    """Whether a symbolic axis is made of the axes in `want`, as far as it names any of `named`."""
    found = set(re.findall(r"\w+", have)) & named
    return not found or found == set(want.split(","))


def _tensor_faults(node: onnx.ValueInfoProto, spec: TensorSpec, named: set[str]) -> list[str]:
    tensor = node.type.tensor_type
    axes = [axis.dim_param or axis.dim_value for axis in tensor.shape.dim]
    kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    faults = []
    if kind != spec.dtype:
        faults.append(f"{node.name} is {kind}, expected {spec.dtype}")
    same_rank = len(axes) == len(spec.axes)
    if not same_rank or any(
        isinstance(want, int) and have != want for have, want in zip(axes, spec.axes, strict=True)
    ):
        faults.append(f"{node.name} has shape {axes}, expected {list(spec.axes)}")
    elif fixed := [
        (have, want)
        for have, want in zip(axes, spec.axes, strict=True)
        if isinstance(want, str) and not isinstance(have, str)
    ]:
        have, want = fixed[0]
        faults.append(f"{node.name} has a fixed {want} of {have}, expected a free one")
    elif other := [
        (have, want)
        for have, want in zip(axes, spec.axes, strict=True)
        if isinstance(want, str) and not _follows(have, want, named)
    ]:
        have, want = other[0]
        faults.append(f"an axis of {node.name} follows {have}, expected {want}")
    return faults
