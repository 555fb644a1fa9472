"""What a module is fed: tensors by name, and which axis of each counts the rows of the batch."""

from __future__ import annotations

import inspect
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from azx.export.isolation import evaluating, in_single, random_numbers_kept
from azx.runtime.errors import InputError, UsageError, first_line

#: The name of the axis along which a module may be asked for any number of answers at once.
BATCH = "batch"

#: Sizes of axes with other names. Each has one of its own, so that no graph can take one axis for
#: another; then it is moved below all the others, and above the next.
FIRST_SIZE, APART, SHORTEST = 6, 4, 5

#: Rows that an audit draws; with fewer, idle units and constant outputs cannot be told.
ROWS = 16
FEWEST = 4

#: Floating-point operations of a forward on all rows: about half a second on one core.
OPERATIONS = 40_000_000_000

#: Integers lie below this unless an input says otherwise: right for masks, and for any table.
BELOW = 2

#: Parameters of a forward that can be given by name.
NAMED_KINDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)

_SPEC = re.compile(r"(?P<name>\w+)=(?P<dtype>\w+)\[(?P<axes>[^\]]*)\](?:<(?P<below>\d+))?")

DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.float16, torch.bfloat16, torch.float32, torch.float64,
        torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, torch.bool,
    )
}  # fmt: skip


@dataclass(frozen=True)
class InputSpec:
    """One input as it may look: `axes` are sizes, or names where a size is free."""

    name: str
    dtype: torch.dtype
    axes: tuple[int | str, ...]
    below: int = BELOW  # integers are drawn from 0 to below - 1

    @property
    def batch_axis(self) -> int | None:
        """Where the rows are counted; None where this input is the same for all of them."""
        return self.axes.index(BATCH) if BATCH in self.axes else None

    def shape(self, rows: int, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """The sizes with `rows` along the batch, and along each other free axis its own."""
        known = {**sizes, BATCH: rows}
        return tuple(known[axis] if isinstance(axis, str) else axis for axis in self.axes)


def parse_input(text: str) -> InputSpec:
    """Read `x=float32[batch,16,5,5]`, or `ids=int64[batch,12]<1000` for integers below 1000.

    Raises `UsageError` with an example where it is something else, or where the limit leaves no
    integer or is none of the type.
    """
    match = _SPEC.fullmatch(text.replace(" ", ""))
    axes = match["axes"].split(",") if match else []
    if match is None or not all(axis.isdigit() or axis.isidentifier() for axis in axes):
        raise UsageError(
            f"an input is given as x=float32[batch,16,5,5], found {text!r}; integers may have a "
            "limit: ids=int64[batch,12]<1000"
        )
    if match["dtype"] not in DTYPES:
        raise UsageError(f"no type {match['dtype']!r}; there are: {', '.join(DTYPES)}")
    sizes = tuple(int(axis) if axis.isdigit() else axis for axis in axes)
    dtype, below = DTYPES[match["dtype"]], int(match["below"] or BELOW)
    if not dtype.is_floating_point and dtype != torch.bool:
        # torch draws below an int64, so the last one is out of reach.
        most = min(torch.iinfo(dtype).max + 1, torch.iinfo(torch.int64).max)
        if not 1 <= below <= most:
            raise UsageError(f"{match['dtype']} has a limit from <1 to <{most}, found {text!r}")
    return InputSpec(match["name"], dtype, sizes, below)


def usual_sizes(specs: Sequence[InputSpec]) -> dict[str, int]:
    """An example size for each free axis beside the batch, by name: no two are the same."""
    named = [axis for spec in specs for axis in spec.axes if isinstance(axis, str)]
    free = [axis for axis in dict.fromkeys(named) if axis != BATCH]
    return {axis: FIRST_SIZE + APART * at for at, axis in enumerate(free)}


def other_sizes(specs: Sequence[InputSpec]) -> Iterator[tuple[str, dict[str, int]]]:
    """(the axis that moved, all sizes): one axis at a time, shorter than usual and longer."""
    usual = usual_sizes(specs)
    for axis, size in usual.items():
        yield axis, {**usual, axis: SHORTEST}
        yield axis, {**usual, axis: size + APART + 1}


@dataclass(frozen=True)
class Batch:
    """Tensors to call a module with, by the names of forward's parameters, in order."""

    tensors: dict[str, Tensor]
    axes: dict[str, int | None]  # of each: which axis counts the rows, None for none

    @property
    def rows(self) -> int:
        """How many answers are asked for; 0 where no input counts them."""
        counted = [self.tensors[n].shape[axis] for n, axis in self.axes.items() if axis is not None]
        return counted[0] if counted else 0

    @property
    def main_axis(self) -> int:
        """The batch axis of the first input that has one."""
        return next((axis for axis in self.axes.values() if axis is not None), 0)

    def take(self, rows: Tensor) -> Batch:
        """The rows with these indices, int64 [N] on any device; inputs without rows stay."""
        taken = {
            name: tensor.index_select(axis, rows.to(tensor.device))
            if (axis := self.axes[name]) is not None
            else tensor
            for name, tensor in self.tensors.items()
        }
        return Batch(taken, self.axes)

    def double(self) -> Batch:
        """The same with every floating-point tensor in float64."""
        raised = {n: t.double() if t.is_floating_point() else t for n, t in self.tensors.items()}
        return Batch(raised, self.axes)

    def single(self) -> Batch:
        """The same with float16 and bfloat16 raised to float32."""
        return Batch({n: in_single(t) for n, t in self.tensors.items()}, self.axes)

    def distinct(self) -> Batch:
        """One of each of the rows that are equal."""
        flat = [
            tensor.movedim(axis, 0).unsqueeze(-1).flatten(1).double()
            for name, tensor in self.tensors.items()
            if (axis := self.axes[name]) is not None
        ]
        if not flat:
            return self
        _, group = torch.cat(flat, dim=1).unique(dim=0, return_inverse=True)
        firsts = {int(of): row for row, of in reversed(list(enumerate(group)))}
        return self.take(torch.tensor(sorted(firsts.values())))

    def call(self, module: nn.Module) -> object:
        """What `module` returns for copies of the tensors: a forward may write into its inputs.

        Inputs go by name where forward knows all the names, else by position.
        """
        fresh = {name: tensor.detach().clone() for name, tensor in self.tensors.items()}
        if _knows(module, tuple(fresh)):
            return module(**fresh)
        return module(*fresh.values())


def _knows(module: nn.Module, names: tuple[str, ...]) -> bool:
    known = inspect.signature(module.forward).parameters
    return all(name in known and known[name].kind in NAMED_KINDS for name in names)


def batch_of(
    module: nn.Module, inputs: Batch | Tensor | Sequence[Tensor] | Mapping[str, Tensor]
) -> Batch:
    """`inputs` as a `Batch`: unnamed ones by forward's parameters, rows along the first axis.

    The first tensor says how many rows there are; what has another number is shared by all of them,
    like the edges of a graph or a table. `UsageError` where a tensor is empty.
    """
    if isinstance(inputs, Batch):
        return inputs
    if isinstance(inputs, Tensor):
        inputs = (inputs,)
    if not isinstance(inputs, Mapping):
        known = inspect.signature(module.forward).parameters.values()
        names = [p.name for p in known if p.kind in NAMED_KINDS]
        names += [f"input_{i}" for i in range(len(names), len(inputs))]
        inputs = dict(zip(names, inputs, strict=False))
    empty = [f"{n} {list(t.shape)}" for n, t in inputs.items() if not t.numel()]
    if empty:
        raise UsageError(f"{empty[0]} is empty, and nothing can be told of no rows: give some")
    rows = next((tensor.shape[0] for tensor in inputs.values() if tensor.ndim), None)
    axes = {n: 0 if t.ndim and t.shape[0] == rows else None for n, t in inputs.items()}
    return Batch(dict(inputs), axes)


def drawn(
    specs: Sequence[InputSpec], rows: int, seed: int = 0, sizes: Mapping[str, int] | None = None
) -> Batch:
    """Random inputs: normal numbers, integers below each limit, either truth.

    Free axes beside the batch have `sizes`, or the usual ones.
    """
    generator = torch.Generator().manual_seed(seed)
    sizes = usual_sizes(specs) if sizes is None else sizes
    tensors = {}
    for spec in specs:
        shape = spec.shape(rows, sizes)
        if spec.dtype.is_floating_point:
            tensors[spec.name] = torch.randn(shape, generator=generator).to(spec.dtype)
        else:
            below = 2 if spec.dtype == torch.bool else spec.below
            whole = torch.randint(below, shape, generator=generator)
            tensors[spec.name] = whole.to(spec.dtype)
    return Batch(tensors, {spec.name: spec.batch_axis for spec in specs})


def example(specs: Sequence[InputSpec], given: Batch | None, rows: int) -> Batch:
    """`rows` rows to try a forward on: the first `given` ones, from the first on again, or drawn.

    Drawn ones also where other axes are free, for then each needs a size of its own.
    """
    if given is None or usual_sizes(specs):
        return drawn(specs, rows)
    return given.take(torch.arange(rows) % given.rows)


def affordable_rows(module: nn.Module, specs: Sequence[InputSpec]) -> int:
    """`ROWS`, or as many as keep a forward within `OPERATIONS`, at least `FEWEST`.

    Counted, not timed, so that the same module is always fed the same.
    """
    counter = FlopCounterMode(display=False)
    batch = drawn(specs, 1)
    with suppress(Exception), random_numbers_kept(0), evaluating(module), torch.no_grad(), counter:
        batch.call(module)
    return max(FEWEST, min(ROWS, OPERATIONS // max(1, counter.get_total_flops())))


def read_inputs(path: Path) -> tuple[list[InputSpec], Batch]:
    """The arrays of an .npz file by name, rows along the first axis.

    Raises `InputError` where it cannot be read, holds a type that no input has, or has no rows.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            tensors = {name: torch.from_numpy(file[name]) for name in file.files}
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} is no readable .npz of inputs: {first_line(error)}") from error
    for name, tensor in tensors.items():
        if tensor.dtype not in DTYPES.values():
            found = str(tensor.dtype).removeprefix("torch.")
            raise InputError(f"{path}: {name} is {found}, expected one of: {', '.join(DTYPES)}")
    rows = {len(tensor) for tensor in tensors.values() if tensor.ndim}
    if len(rows) != 1 or 0 in rows or not all(tensor.ndim for tensor in tensors.values()):
        found = ", ".join(f"{name} {list(t.shape)}" for name, t in tensors.items())
        raise InputError(
            f"{path}: every array needs the same number of rows along its first axis, one at "
            f"least, found {found or 'no arrays'}"
        )
    specs = [
        InputSpec(
            name,
            tensor.dtype,
            (BATCH, *tensor.shape[1:]),
            BELOW if tensor.is_floating_point() else max(BELOW, int(tensor.max()) + 1),
        )
        for name, tensor in tensors.items()
    ]
    return specs, Batch(tensors, dict.fromkeys(tensors, 0))
