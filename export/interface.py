"""What a module takes and gives: names, types and axes, as its ONNX file must have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from azx.export.inputs import BATCH, Batch, InputSpec, drawn, example, other_sizes
from azx.export.isolation import evaluating, random_numbers_kept
from azx.export.outputs import named_outputs
from azx.runtime.contract import BOARD, OUTPUTS, POLICY_LOGITS, REQUIRED_OUTPUTS, VALUE, Q
from azx.runtime.errors import UsageError, first_line
from azx.runtime.variant import Variant

#: Rows of the example that is traced: torch takes a batch of 1 for a constant.
TRACED_ROWS = 3


@dataclass(frozen=True)
class TensorSpec:
    """One input or output; `axes` are sizes, or names where a size is free."""

    name: str
    dtype: str  # numpy's name of it
    axes: tuple[int | str, ...]

    @property
    def batch_axis(self) -> int | None:
        """Where the rows are counted; None where it is the same for any batch."""
        return self.axes.index(BATCH) if BATCH in self.axes else None

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        return {"name": self.name, "dtype": self.dtype, "axes": list(self.axes)}


@dataclass(frozen=True)
class Interface:
    """Inputs and outputs in their order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @property
    def output_axes(self) -> dict[str, int | None]:
        """The batch axis of each output."""
        return {spec.name: spec.batch_axis for spec in self.outputs}

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        return {
            "inputs": [spec.to_json() for spec in self.inputs],
            "outputs": [spec.to_json() for spec in self.outputs],
        }


class Named(nn.Module):
    """Any module with its outputs as a dictionary of tensors, by position or name going in."""

    def __init__(self, module: nn.Module, specs: Sequence[InputSpec]) -> None:
        super().__init__()
        self.module = module
        self.names = tuple(spec.name for spec in specs)
        self.axes = {spec.name: spec.batch_axis for spec in specs}

    def forward(self, *tensors: Tensor) -> dict[str, Tensor]:
        """The outputs by name."""
        return self.by_name(Batch(dict(zip(self.names, tensors, strict=True)), self.axes))

    def by_name(self, batch: Batch) -> dict[str, Tensor]:
        """The same for a batch."""
        return named_outputs(batch.call(self.module))


class PlaysTheGame(Named):
    """A network of the contract: its outputs in the contract's order, others after them.

    Those of a plain tuple are taken to be in that order already.
    """

    def __init__(self, module: nn.Module, variant: Variant) -> None:
        super().__init__(module, [board_spec(variant)])

    def by_name(self, batch: Batch) -> dict[str, Tensor]:
        """Raises `UsageError` where a required output is missing."""
        outputs = named_outputs(self.module(*batch.tensors.values()), OUTPUTS)
        missing = [name for name in REQUIRED_OUTPUTS if name not in outputs]
        if missing:
            raise UsageError(
                f"{type(self.module).__name__} gives {list(outputs)}; missing is "
                f"{', '.join(missing)}: return a named tuple or a dict with the contract's names "
                "(azx.runtime.contract), or say what goes in with --input"
            )
        return {name: outputs[name] for name in OUTPUTS if name in outputs} | outputs


def board_spec(variant: Variant) -> InputSpec:
    """The one input of a network of the contract."""
    return InputSpec(BOARD, torch.int8, (BATCH, variant.cells))


def run(module: Named, batch: Batch) -> dict[str, Tensor]:
    """The outputs of `module` in eval mode, by name; `UsageError` where forward fails."""
    with evaluating(module), torch.no_grad():
        try:
            return {n: t.detach() for n, t in module.by_name(batch).items()}
        except UsageError:
            raise
        except Exception as error:  # whatever a stranger's forward raises
            shapes = ", ".join(f"{n} {t.dtype} {list(t.shape)}" for n, t in batch.tensors.items())
            raise UsageError(
                f"{type(module.module).__name__} cannot run on ({shapes}): {first_line(error)}"
            ) from error


def interface_of(
    module: Named, specs: Sequence[InputSpec], given: Batch | None = None
) -> Interface:
    """What `module` gives for `specs`: run at two batches and at other sizes, to see what moves.

    The rows are `given` ones, or drawn where there are none.
    An axis of an output has the name of the input's axis that it moves with; of several, all of
    them with commas.

    Raises `UsageError` where it does not run, gives nothing, or counts anything but rows along an
    axis that moves with the batch: nobody could tell which entries answer which row.
    """
    with random_numbers_kept(0):
        first = run(module, example(specs, given, TRACED_ROWS))
        fewer = run(module, example(specs, given, TRACED_ROWS - 1))
        moved = {
            axis: run(module, drawn(specs, TRACED_ROWS, sizes=sizes))
            for axis, sizes in other_sizes(specs)
        }
    if not first:
        raise UsageError(f"{type(module.module).__name__} gives no tensors")
    outputs = []
    for name, tensor in first.items():
        axes: list[int | str] = list(tensor.shape)
        for axis, size in enumerate(tensor.shape):
            if _moves(fewer, name, axis, size):
                if size != TRACED_ROWS:
                    raise UsageError(
                        f"axis {axis} of {name} has {size} entries for {TRACED_ROWS} rows: keep "
                        "the batch as an axis of its own"
                    )
                axes[axis] = BATCH
            elif follows := [n for n, given in moved.items() if _moves(given, name, axis, size)]:
                axes[axis] = ",".join(follows)
        outputs.append(TensorSpec(name, _dtype(tensor.dtype), tuple(axes)))
    inputs = (TensorSpec(s.name, _dtype(s.dtype), s.axes) for s in specs)
    return Interface(tuple(inputs), tuple(outputs))


def _moves(outputs: dict[str, Tensor], name: str, axis: int, size: int) -> bool:
    """Whether an output's axis has another size than `size` here."""
    return name in outputs and outputs[name].shape[axis : axis + 1] != (size,)


def contract_faults(interface: Interface, variant: Variant) -> list[str]:
    """Where the outputs of a network that plays depart from the contract."""
    per_placement = (BATCH, variant.tiles, variant.cells)
    expected = {POLICY_LOGITS: per_placement, VALUE: (BATCH,), Q: per_placement}
    return [
        f"{spec.name} is {spec.dtype} {list(spec.axes)}, expected float32 {list(axes)}"
        for spec in interface.outputs
        if (axes := expected.get(spec.name)) and (spec.dtype, spec.axes) != ("float32", axes)
    ]


def _dtype(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def arrays(tensors: dict[str, Tensor]) -> dict[str, np.ndarray[Any, Any]]:
    """As numpy arrays."""
    return {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
