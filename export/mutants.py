"""Would the checks notice? Faults are put into copies of the graph, and the checks must catch them.

A mutant whose outputs are those of the original bit for bit is none, and one that moves them by
less than their bounds cannot be told from rounding: both are counted apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from azx.export.emit import graph_faults
from azx.export.reference import Reference, departures
from azx.runtime.answers import Arrays, ask
from azx.runtime.errors import first_line
from azx.runtime.sessions import open_session
from azx.runtime.verify import Check

#: Of each kind of fault so many are tried: at the first place it fits, the middle and the last.
PLACES = 3

#: Rows that mutants are asked about, and a second batch that a baked-in one would fail on.
ROWS = 48
OTHER_BATCH = 5

#: How much of a tensor's root mean square one of its entries is moved by.
NUDGE = 0.5

#: The share of mutants that must be caught.
KILLED = 0.95

Change = Callable[[onnx.ModelProto], object]


@dataclass(frozen=True)
class Mutant:
    """One fault: what was done, and the checks' word for it."""

    what: str
    caught: bool
    by: str  # what caught it, or how far it stayed below the bounds
    changes_nothing: bool = False
    lost_in_rounding: bool = False


def mutants_check(graph: bytes, reference: Reference, opset: int) -> Check:
    """Whether at least `KILLED` of the mutants of `graph` are caught, each of them named.

    Where more are lost in rounding than are not, the bounds are too wide, and that is a failure.
    """
    mutants = list(tried(graph, reference, opset))
    lost = [m for m in mutants if m.lost_in_rounding and not (m.caught or m.changes_nothing)]
    real = [m for m in mutants if not m.changes_nothing and m not in lost]
    caught = [m for m in real if m.caught]
    rate = len(caught) / len(real) if real else 0.0
    survivors = [f"{m.what} ({m.by})" for m in real if not m.caught]
    figures = {
        "caught": len(caught),
        "mutants": len(real),
        "rate": rate,
        "lost_in_rounding": [m.what for m in lost],
        "without_effect": [m.what for m in mutants if m.changes_nothing],
        "survivors": survivors,
        "each": [{"what": m.what, "caught": m.caught, "by": m.by} for m in real],
    }
    says = f"{len(caught)} of {len(real)} faults put into copies of the graph are caught"
    if survivors:
        says += f"; not: {'; '.join(survivors[:3])}"
    if lost:
        says += f"; {len(lost)} more move the outputs by less than rounding may"
    return Check("mutants", rate >= KILLED and len(real) > len(lost), says, figures)


def tried(graph: bytes, reference: Reference, opset: int) -> Iterator[Mutant]:
    """Make each mutant and hold it against the checks."""
    rows = reference.families.sample(ROWS)
    original = onnx.load_from_string(graph)
    # In the batches that mutants are asked in last: others may round otherwise.
    untouched = _asked(graph, reference, rows, OTHER_BATCH)
    for what, change in _changes(original):
        model = onnx.ModelProto()
        model.CopyFrom(original)
        change(model)
        yield _held(what, model.SerializeToString(), reference, rows, untouched, opset)


def _held(
    what: str,
    mutant: bytes,
    reference: Reference,
    rows: list[int],
    untouched: Arrays,
    opset: int,
) -> Mutant:
    faults = graph_faults(mutant, reference.interface, opset)
    if faults:
        return Mutant(what, True, faults[0])
    try:
        found = _asked(mutant, reference, rows, len(rows))
        worst = _worst(reference, found, rows, len(rows))
        if worst <= 1.0:
            found = _asked(mutant, reference, rows, OTHER_BATCH)
            worst = _worst(reference, found, rows, OTHER_BATCH)
    except Exception as error:  # onnxruntime's own exceptions share no base
        return Mutant(what, True, f"onnxruntime fails: {first_line(error)[:80]}")
    same = found.keys() == untouched.keys() and all(
        np.array_equal(found[name], untouched[name]) for name in found
    )
    moved = departures(reference, found, rows, OTHER_BATCH, instead=untouched)
    lost = all(part.ratio < 1.0 for parts in moved.values() for part in parts)
    times = "infinitely" if np.isinf(worst) else f"{worst:.2g} times"
    return Mutant(what, worst > 1.0, f"{times} the bound", same, lost)


def _asked(graph: bytes, reference: Reference, rows: list[int], size: int) -> Arrays:
    batch = reference.families.batch
    inputs = {
        name: tensor.numpy()
        if (axis := batch.axes[name]) is None
        else tensor.numpy().take(rows, axis=axis)
        for name, tensor in batch.tensors.items()
    }
    session = open_session(graph, as_written=True)
    return ask(session, inputs, batch.axes, reference.interface.output_axes, size)


def _worst(reference: Reference, found: Arrays, rows: list[int], size: int) -> float:
    told = departures(reference, found, rows, size)
    return max((part.ratio for parts in told.values() for part in parts), default=0.0)


# The faults: each finds the places in a graph where it can be made.


def _changes(model: onnx.ModelProto) -> Iterator[tuple[str, Change]]:
    for kind in (
        _nudged_weights,
        _negated_weights,
        _weights_turned,
        _nan_weights,
        _dropped_biases,
        _other_epsilons,
        _swapped_axes,
        _dropped_activations,
        _changed_operators,
    ):
        yield from _spread(list(kind(model)))
    yield from _output_faults(model)


def _spread(places: list[tuple[str, Change]]) -> list[tuple[str, Change]]:
    if len(places) <= PLACES:
        return places
    return [places[at] for at in np.linspace(0, len(places) - 1, PLACES).astype(int)]


def _weights(model: onnx.ModelProto, least_rank: int = 2) -> list[tuple[str, np.ndarray]]:
    """Stored floating-point tensors that are not all 0, by name."""
    found = []
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype.kind == "f" and array.ndim >= least_rank and array.size > 1 and array.any():
            found.append((tensor.name, array))
    return found


def _stored(name: str, make: Callable[[np.ndarray], np.ndarray]) -> Change:
    """The change that replaces one stored tensor."""

    def change(model: onnx.ModelProto) -> None:
        tensor = next(t for t in model.graph.initializer if t.name == name)
        array = numpy_helper.to_array(tensor)
        made = np.ascontiguousarray(make(array.copy()), dtype=array.dtype)
        tensor.CopyFrom(numpy_helper.from_array(made, name))

    return change


def _nudged_weights(model: onnx.ModelProto) -> Iterator[tuple[str, Change]]:
    def nudge(array: np.ndarray) -> np.ndarray:
        # The largest entry is one that is surely used.
        at = np.unravel_index(np.abs(array).argmax(), array.shape)
        array[at] += NUDGE * np.sqrt(np.square(array.astype(np.float64)).mean())
        return array

    for name, _ in _weights(model):
        yield f"a weight of {name} nudged", _stored(name, nudge)


def _negated_weights(model: onnx.ModelProto) -> Iterator[tuple[str, Change]]:
    for name, _ in _weights(model):
        yield f"the sign of {name} lost", _stored(name, lambda array: -array)


def _weights_turned(model: onnx.ModelProto) -> Iterator[tuple[str, Change]]:
    for name, array in _weights(model):
        if array.ndim == 2 and array.shape[0] == array.shape[1]:
            yield f"the axes of {name} swapped", _stored(name, np.transpose)


def _nan_weights(model: onnx.ModelProto) -> Iterator[tuple[str, Change]]:
    def spoil(array: np.ndarray) -> np.ndarray:
        array.reshape(-1)[np.abs(array).argmax()] = np.nan
        return array

    for name, _ in _weights(model):
        yield f"a NaN in {name}", _stored(name, spoil)


def _dropped_biases(model: onnx.ModelProto) -> Iterator[tuple[str, Change]]:
    """The addends of layers: third inputs, and stored vectors that are added."""
    stored = dict(_weights(model, least_rank=1))
    for node in model.graph.node:
        at = {"Conv": 2, "Gemm": 2, "ConvTranspose": 2, "LayerNormalization": 2}.get(node.op_type)
        if node.op_type == "Add":
            at = next((i for i, name in enumerate(node.input) if name in stored), None)
        if at is None or len(node.input) <= at or node.input[at] not in stored:
            continue
        name = node.input[at]
        yield f"the bias {name} dropped", _stored(name, np.zeros_like)


def _other_epsilons(model: onnx.ModelProto) -> Iterator[tuple[str, Change]]:
    """Epsilons as attributes, and as small stored numbers that are added."""

    def attribute_of(output: str) -> Change:
        def change(model: onnx.ModelProto) -> None:
            node = next(n for n in model.graph.node if output in n.output)
            next(a for a in node.attribute if a.name == "epsilon").f += 1e-2

        return change

    for node in model.graph.node:
        if any(attribute.name == "epsilon" for attribute in node.attribute):
            yield f"the epsilon of {node.output[0]} changed", attribute_of(node.output[0])
    small = {
        tensor.name
        for tensor in model.graph.initializer
        if (array := numpy_helper.to_array(tensor)).dtype.kind == "f"
        and array.size == 1
        and 0 < float(array.reshape(-1)[0]) < 1e-3
    }
    for node in model.graph.node:
        if node.op_type == "Add" and small & set(node.input):
            name = next(name for name in node.input if name in small)
            yield f"the epsilon {name} changed", _stored(name, lambda array: array + 1e-2)


def _swapped_axes(model: onnx.ModelProto) -> Iterator[tuple[str, Change]]:
    def turned(output: str) -> Change:
        def change(model: onnx.ModelProto) -> None:
            node = next(n for n in model.graph.node if output in n.output)
            axes = next(a for a in node.attribute if a.name == "perm").ints
            axes[-1], axes[-2] = axes[-2], axes[-1]

        return change

    def shifted(output: str) -> Change:
        def change(model: onnx.ModelProto) -> None:
            node = next(n for n in model.graph.node if output in n.output)
            axis = next(a for a in node.attribute if a.name == "axis")
            axis.i = axis.i - 1 if axis.i != 0 else 1

        return change

    for node in model.graph.node:
        names = {attribute.name for attribute in node.attribute}
        if node.op_type == "Transpose" and "perm" in names:
            yield f"two axes of {node.output[0]} swapped", turned(node.output[0])
        if node.op_type in ("Softmax", "LogSoftmax") and "axis" in names:
            yield f"the axis of {node.output[0]} changed", shifted(node.output[0])


def _dropped_activations(model: onnx.ModelProto) -> Iterator[tuple[str, Change]]:
    def passed_by(output: str) -> Change:
        def change(model: onnx.ModelProto) -> None:
            node = next(n for n in model.graph.node if output in n.output)
            node.op_type = "Identity"
            del node.attribute[:]

        return change

    for node in model.graph.node:
        if node.op_type in ("Relu", "LeakyRelu", "Tanh", "Sigmoid", "Gelu", "Erf", "Elu"):
            yield f"the {node.op_type} {node.output[0]} left out", passed_by(node.output[0])


def _changed_operators(model: onnx.ModelProto) -> Iterator[tuple[str, Change]]:
    """A sum of two computed values that became a difference."""
    stored = {tensor.name for tensor in model.graph.initializer}

    def subtracting(output: str) -> Change:
        def change(model: onnx.ModelProto) -> None:
            next(n for n in model.graph.node if output in n.output).op_type = "Sub"

        return change

    for node in model.graph.node:
        if node.op_type == "Add" and not stored & set(node.input):
            yield f"the sum {node.output[0]} a difference", subtracting(node.output[0])


def _output_faults(model: onnx.ModelProto) -> Iterator[tuple[str, Change]]:
    """What is given out, and for which batches."""

    def shorter(model: onnx.ModelProto) -> None:
        del model.graph.output[-1]

    def declared(model: onnx.ModelProto) -> None:
        for tensor in (*model.graph.input, *model.graph.output):
            for axis in tensor.type.tensor_type.shape.dim:
                if axis.dim_param:
                    axis.dim_value = 3

    def baked(model: onnx.ModelProto) -> None:
        """Symbolic in name, and right for a batch of 3 alone."""
        output = next(filter(_is_free, model.graph.output))
        name, axes = output.name, output.type.tensor_type.shape.dim
        shape = [3 if axis.dim_param else axis.dim_value for axis in axes]
        last = next(node for node in model.graph.node if name in node.output)
        free = f"{name}_of_any_batch"
        for node in model.graph.node:
            node.input[:] = [free if given == name else given for given in node.input]
        last.output[:] = [free if given == name else given for given in last.output]
        stored = numpy_helper.from_array(np.array(shape, dtype=np.int64), f"{name}_shape")
        model.graph.initializer.append(stored)
        model.graph.node.append(onnx.helper.make_node("Reshape", [free, stored.name], [name]))

    yield "the last output left out", shorter
    yield "a batch of 3 declared", declared
    if any(map(_is_free, model.graph.output)):
        yield "a batch of 3 baked in", baked
    names = [output.name for output in model.graph.output]
    if len(names) > 1:

        def exchanged(model: onnx.ModelProto) -> None:
            for node in model.graph.node:
                node.output[:] = [_other(name, names) for name in node.output]
                node.input[:] = [_other(name, names) for name in node.input]

        yield f"{names[0]} and {names[-1]} exchanged", exchanged


def _is_free(output: onnx.ValueInfoProto) -> bool:
    """Whether the size of an axis is left open."""
    return any(axis.dim_param for axis in output.type.tensor_type.shape.dim)


def _other(name: str, names: list[str]) -> str:
    return {names[0]: names[-1], names[-1]: names[0]}.get(name, name)
