"""Where does a graph depart from the module? The first node that does, and the module's path."""

from __future__ import annotations

import ast
from typing import Any

import numpy as np
import onnx
import torch
from torch.fx import Interpreter, Node

from azx.export.emit import Emitted
from azx.export.outputs import ordinary
from azx.export.reference import Reference
from azx.runtime.answers import Arrays
from azx.runtime.errors import first_line
from azx.runtime.sessions import open_session

#: A node departs where it is off by this share of its largest entry; the second is tried where the
#: first finds none. Rounding grows to about 1e-6 of it in a layer.
SHARES = (1e-3, 1e-4, 1e-5)

#: Rows that are looked at.
ROWS = 12


def first_departure(emitted: Emitted, reference: Reference) -> str:
    """A line on the first node of the graph that gives another value than the traced program.

    Where no node does, it is onnxruntime's optimisations, or an output's name.
    """
    few = reference.families.take(reference.families.sample(ROWS))
    try:
        expected = _values_in_torch(emitted, tuple(few.tensors.values()), tuple(reference.expected))
        model = onnx.load_from_string(emitted.graph)
        found = _values_in_onnx(model, few.tensors, set(expected))
    except Exception as error:  # of torch or of onnxruntime, on a graph that may be broken
        return f"the first value that departs could not be looked for: {first_line(error)}"
    for share in SHARES:
        for node in model.graph.node:
            for name in node.output:
                if name in found and _departs(expected[name], found[name], share):
                    return f"the first value that departs is in {_described(node, name)}"
    return "no single node departs"


def _values_in_torch(
    emitted: Emitted, inputs: tuple[torch.Tensor, ...], outputs: tuple[str, ...]
) -> Arrays:
    """Every tensor of the traced program, by the name of its node; `outputs` by their own."""
    values: Arrays = {}

    class Recorder(Interpreter):
        def run_node(self, n: Node) -> Any:
            result = super().run_node(n)
            if isinstance(result, torch.Tensor):
                values[n.name] = result.detach().numpy().copy()
            return result

    with torch.no_grad():
        given = Recorder(emitted.program.module(check_guards=False)).run(*inputs)
    return values | {n: t.numpy() for n, t in zip(outputs, given, strict=True)}


def _values_in_onnx(
    model: onnx.ModelProto, inputs: dict[str, torch.Tensor], wanted: set[str]
) -> Arrays:
    """The values of `wanted` names that the graph computes, without any optimisation."""
    given = {output.name for output in model.graph.output}
    computed = [name for node in model.graph.node for name in node.output if name in wanted]
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    opened.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in computed if name not in given
    )
    session = open_session(opened.SerializeToString(), as_written=True)
    arrays = session.run(computed, {name: tensor.numpy() for name, tensor in inputs.items()})
    return dict(zip(computed, arrays, strict=True))


def _departs(expected: np.ndarray, found: np.ndarray, share: float) -> bool:
    if expected.shape != found.shape:
        return True
    one, other = expected.astype(np.float64), found.astype(np.float64)
    finite = np.isfinite(one)
    if (finite != np.isfinite(other)).any():
        return True
    size, numbers = np.abs(one), ordinary(torch.from_numpy(one)).numpy()
    # A mask's rounding is its own, not that of the numbers beside it.
    allowed = share * np.where(numbers, size[numbers].max(initial=0.0), size)
    return bool((np.abs(one - other) > allowed)[finite].any())


def _described(node: onnx.NodeProto, name: str) -> str:
    recorded = {entry.key: entry.value for entry in node.metadata_props}
    try:
        scopes = ast.literal_eval(recorded.get("pkg.torch.onnx.name_scopes", "[]"))
    except (ValueError, SyntaxError):
        scopes = []
    # The scopes end with the operator's own name; the wrapper's come first.
    paths = [scope for scope in scopes[:-1] if scope]
    path = paths[-1].removeprefix("named.module").removeprefix(".") if paths else ""
    return f"{path or 'the module itself'} ({node.op_type} {name})"
