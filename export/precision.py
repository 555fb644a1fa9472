"""Smaller and faster forms of a graph that has passed the gate: layers in float16 or in int8.

As in torch's autocast only the products with large weights change; norms, softmax and sums stay in
float32, and so do inputs and outputs, so that nobody who runs the file has to know.

    compact  weights lie in float16 and are made float32 when the file is loaded: half the size, the
             speed of float32, and on a CPU still the same answer in any batch.
    fp16     weights and both sides of the product in float16: half the size. A GPU multiplies
             faster, onnxruntime's CPU converts back and does not.
    int8     weights by output channel, activations in 8 bits by ranges seen on calibration rows: a
             quarter of the size, and faster on a CPU. The ranges are fixed: found anew for each
             batch (dynamic quantisation) they would make a row's answer depend on the others.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from azx.export.inputs import Batch
from azx.export.outputs import ordinary
from azx.export.reference import Bound, Reference
from azx.runtime.answers import Arrays
from azx.runtime.errors import CheckFailed

#: Products of layers, with the weights as the second input and maybe a bias as the third.
PRODUCTS = ("Gemm", "MatMul", "Conv")

#: Smaller weights, and those that are constants of the code rather than parameters, stay.
LARGE = 1024

#: Rows that a calibration looks at together.
CALIBRATED_AT_ONCE = 64


class Precision(StrEnum):
    """What the large products of a file are kept and computed in."""

    FLOAT32 = "float32"
    COMPACT = "compact"
    FP16 = "fp16"
    INT8 = "int8"


#: How far an output may be off, as a share of its own standard deviation.
SHARES = {Precision.COMPACT: 0.005, Precision.FP16: 0.005, Precision.INT8: 0.25}


def converted(graph: bytes, precision: Precision, calibration: Batch) -> bytes:
    """A serialised ONNX model with its large products in `precision`.

    `calibration` are rows like those that will be asked about; only int8 looks at them. Raises
    `CheckFailed` where there is no product to convert.
    """
    model = onnx.load_from_string(graph)
    products = _large_products(model)
    if not products:
        raise CheckFailed(
            f"nothing to convert to {precision}: expected a {', '.join(PRODUCTS)} with at least "
            f"{LARGE} weights, and found none"
        )
    if precision == Precision.COMPACT:
        _keep_in_float16(model, products)
        return model.SerializeToString()
    if precision == Precision.FP16:
        _to_float16(model, products)
        return model.SerializeToString()
    return _to_int8(graph, [node.name for node in products], calibration)


def _large_products(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    weights = {
        tensor.name
        for tensor in model.graph.initializer
        if tensor.data_type == TensorProto.FLOAT
        and len(tensor.dims) >= 2
        and np.prod(tensor.dims) >= LARGE
        and not _whole_numbers(tensor)
    }
    return [
        node
        for node in model.graph.node
        if node.op_type in PRODUCTS and len(node.input) > 1 and node.input[1] in weights
    ]


def _whole_numbers(tensor: TensorProto) -> bool:
    """Tables of zeros, ones and counts are no weights: they must come out exact."""
    values = numpy_helper.to_array(tensor)
    return bool((values == np.round(values)).all())


def _keep_in_float16(model: onnx.ModelProto, products: list[onnx.NodeProto]) -> None:
    """Large weights become float16 with a cast in front of their products, folded at loading."""
    weights = {node.input[1] for node in products}
    casts = []
    for tensor in model.graph.initializer:
        if tensor.name in weights:
            name, values = tensor.name, numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(values, f"{name}_float16"))
            casts.append(_cast(tensor.name, name, TensorProto.FLOAT))
    nodes = [*casts, *(onnx.NodeProto.FromString(n.SerializeToString()) for n in model.graph.node)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _to_float16(model: onnx.ModelProto, products: list[onnx.NodeProto]) -> None:
    graph = model.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    chosen = {node.name for node in products}
    nodes: list[onnx.NodeProto] = []
    halved: dict[str, str] = {}

    def half(name: str) -> str:
        """The name of a tensor's float16 form: converted here if constant, in the graph if not."""
        if name not in halved:
            halved[name] = f"{name}_float16"
            if name in tensors:
                values = numpy_helper.to_array(tensors[name]).astype(np.float16)
                graph.initializer.append(numpy_helper.from_array(values, halved[name]))
            else:
                nodes.append(_cast(name, halved[name], TensorProto.FLOAT16))
        return halved[name]

    for node in graph.node:
        if node.name in chosen:
            inputs = [half(name) if name else name for name in node.input]
            output = node.output[0]
            del node.input[:], node.output[:]
            node.input.extend(inputs)
            node.output.append(f"{output}_float16")
            nodes += [node, _cast(node.output[0], output, TensorProto.FLOAT)]
        else:
            nodes.append(node)
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)
    used = {name for node in graph.node for name in node.input}
    left = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(left)
    shapes = [v for v in graph.value_info if not v.name.endswith("_float16")]
    del graph.value_info[:]
    graph.value_info.extend(shapes)


def _cast(name: str, to_name: str, to: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [name], [to_name], name=f"cast_{to_name}", to=to)


def _to_int8(graph: bytes, names: list[str], calibration: Batch) -> bytes:
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Rows(CalibrationDataReader):  # type: ignore[misc]
        """The calibration rows, some at a time."""

        def __init__(self) -> None:
            self.parts = _parts(calibration)

        def get_next(self) -> Arrays | None:
            """The next rows, or None after the last."""
            return next(self.parts, None)

    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it advises a pre-processing that changes nothing here
    try:
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "float32.onnx", Path(folder) / "int8.onnx"
            source.write_bytes(graph)
            quantize_static(
                source,
                target,
                Rows(),
                nodes_to_quantize=names,
                per_channel=True,
                activation_type=QuantType.QUInt8,  # int8 with int8 is four times slower on x86
                weight_type=QuantType.QInt8,
                # What leaves a layer is not rounded again: a step would be a whole point of q.
                extra_options={"OpTypesToExcludeOutputQuantization": list(PRODUCTS)},
            )
            return target.read_bytes()
    finally:
        root.setLevel(level)


def _parts(calibration: Batch) -> Iterator[Arrays]:
    for rows in torch.arange(calibration.rows).split(CALIBRATED_AT_ONCE):
        yield {name: tensor.numpy() for name, tensor in calibration.take(rows).tensors.items()}


def loosened(reference: Reference, precision: Precision) -> Reference:
    """The same answers of torch with the bounds of `precision`.

    An output may be off by a share of its deviation over the rows of the family, or over the
    ordinary rows where that is more: inputs of a thousand give answers of thousands. int8 promises
    nothing for rows unlike those it was calibrated on, so the odd families are left out.
    """
    families = reference.families
    usual = families.names[0]
    bounds: dict[str, dict[str, Bound]] = {}
    for name, expected in reference.expected.items():
        axis = reference.interface.output_axes.get(name)
        spreads = {
            family: _spread(expected if axis is None else expected.take(rows, axis=axis))
            for family in families.names
            for rows in [families.rows_of(family)]
        }
        bounds[name] = {
            family: replace(
                bound,
                allowed=max(
                    SHARES[precision] * max(spreads[family], spreads[usual]), bound.allowed
                ),
                usable=bound.usable and (precision != Precision.INT8 or family == usual),
            )
            for family, bound in reference.bounds[name].items()
        }
    share = f"{100 * SHARES[precision]:g}% of each output's standard deviation"
    left_out = f"{precision} promises nothing"
    return replace(reference, bounds=bounds, source=share, left_out=left_out)


def _spread(answers: NDArray[Any]) -> float:
    """The standard deviation of the entries that are no masks; 0 where there are none."""
    entries = torch.from_numpy(answers.astype(np.float64))
    usual = entries[ordinary(entries)]
    return float(usual.std(correction=0)) if usual.numel() else 0.0
