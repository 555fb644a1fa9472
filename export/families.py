"""Inputs to compare two networks on: of many kinds, for each fault shows on some of them only.

A fault in a norm's epsilon was 0.013 on normal numbers, 0.084 on one-hot ones, 1.3 on tiny ones and
nothing at all on zeros (measured).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from azx.export.inputs import BATCH, Batch, InputSpec, affordable_rows, drawn
from azx.export.interface import Named, run
from azx.export.isolation import random_numbers_kept
from azx.export.positions import parity_positions
from azx.runtime.contract import BOARD
from azx.runtime.errors import UsageError
from azx.runtime.variant import Variant
from azx.runtime.verify import Check

#: Rows of normal numbers (or given ones), and of each other family.
MANY, FEW = 64, 8

#: Boards that an audit trains its copies on.
BOARDS = 64

NORMAL, GIVEN = "normal", "given"


@dataclass(frozen=True)
class Families:
    """N rows, the family of each, and words for where each is from."""

    batch: Batch
    family: tuple[str, ...]  # [N]
    origins: tuple[str, ...]  # [N]

    @property
    def names(self) -> list[str]:
        """The families, the ordinary one first."""
        return list(dict.fromkeys(self.family))

    def rows_of(self, name: str) -> list[int]:
        """The rows of one family."""
        return [row for row, family in enumerate(self.family) if family == name]

    def take(self, rows: Sequence[int]) -> Batch:
        """Some of the rows."""
        return self.batch.take(torch.tensor(rows, dtype=torch.int64))

    def sample(self, count: int) -> list[int]:
        """About `count` rows, the same number of each family."""
        each = max(1, count // len(self.names))
        picked = []
        for name in self.names:
            rows = self.rows_of(name)
            step = max(1, len(rows) // each)
            picked += rows[::step][:each]
        return sorted(picked)


def board_families(variant: Variant, seed: int = 0) -> Families:
    """Every turn of seeded games, and boards that a slip of types or ranges would show on."""
    positions = parity_positions(variant, seed)
    boards = torch.from_numpy(positions.boards)
    family = ["games" if origin.startswith("game ") else "odd" for origin in positions.origins]
    batch = Batch({BOARD: boards}, {BOARD: 0})
    return Families(batch, tuple(family), tuple(positions.origins))


def input_families(
    specs: Sequence[InputSpec],
    given: Batch | None = None,
    seed: int = 0,
    sizes: Mapping[str, int] | None = None,
) -> Families:
    """Normal numbers or the rows `given`, then constant, zero, one-hot, tiny and huge ones.

    Integers stay within their limits: they are drawn, or all the same, or all zero. Free axes
    beside the batch have `sizes`, or the usual ones. `UsageError` where no input has a batch.
    """
    if all(spec.batch_axis is None for spec in specs):
        found = ", ".join(f"{spec.name} {list(spec.axes)}" for spec in specs)
        raise UsageError(
            f"one input at least needs an axis named {BATCH}, as in x=float32[{BATCH},8]; "
            f"found {found or 'no inputs'}"
        )
    main = given if given is not None else drawn(specs, MANY, seed, sizes)
    if given is not None:
        chosen = torch.linspace(0, given.rows - 1, min(MANY, given.rows)).long()
        main = given.take(chosen)
    parts: list[tuple[str, Batch]] = [(GIVEN if given is not None else NORMAL, main)]
    noise = drawn(specs, FEW, seed + 1, sizes)
    real = any(spec.dtype.is_floating_point for spec in specs)
    for name in ("constant", "zero", *(("one-hot", "tiny", "huge") if real else ())):
        tensors = {spec.name: _member(name, noise.tensors[spec.name], spec) for spec in specs}
        parts.append((name, Batch(tensors, main.axes)))
    joined = {
        spec.name: main.tensors[spec.name]
        if (axis := spec.batch_axis) is None
        else torch.cat([part.tensors[spec.name] for _, part in parts], dim=axis)
        for spec in specs
    }
    family = [name for name, part in parts for _ in range(part.rows)]
    origins = [f"{name} row {row}" for name, part in parts for row in range(part.rows)]
    return Families(Batch(joined, main.axes), tuple(family), tuple(origins))


def runnable(module: Named, families: Families) -> tuple[Families, list[Check]]:
    """The families without odd ones that `module` itself refuses, and a check that names those.

    Nobody gave their rows, so no fault of it: lengths of 0, say, in a network that reads sequences.
    """
    refused: dict[str, str] = {}
    with random_numbers_kept(0):
        for name in families.names[1:]:
            try:
                run(module, families.take(families.rows_of(name)))
            except UsageError as error:
                refused[name] = str(error)
    if not refused:
        return families, []
    rows = [row for row, family in enumerate(families.family) if family not in refused]
    kept = Families(
        families.take(rows),
        tuple(families.family[row] for row in rows),
        tuple(families.origins[row] for row in rows),
    )
    why = "; ".join(f"{name} inputs: {error}" for name, error in refused.items())
    return kept, [Check("families", True, f"left out, for the module refuses them: {why}")]


def audit_rows(
    module: nn.Module, takes: Variant | Sequence[InputSpec], families: Families
) -> Batch:
    """What an audit of `module` is shown: ordinary rows, spread over all of them.

    `BOARDS` where it takes those of a variant, else as many as it can afford.
    """
    usual = families.rows_of(families.names[0])
    count = BOARDS if isinstance(takes, Variant) else affordable_rows(module, takes)
    chosen = np.linspace(0, len(usual) - 1, min(count, len(usual))).astype(int)
    return families.take([usual[at] for at in chosen])


def _member(family: str, noise: Tensor, spec: InputSpec) -> Tensor:
    """One input of a family, from `noise` of the right shape and type."""
    axis = spec.batch_axis
    if family == "zero" or axis is None:
        return torch.zeros_like(noise) if family == "zero" else noise
    rows = noise.movedim(axis, 0)
    steps = torch.arange(len(rows))
    each = (len(rows), *[1] * (rows.ndim - 1))
    if not noise.is_floating_point():
        below = 2 if spec.dtype == torch.bool else spec.below
        same = (steps % below).reshape(each).expand(rows.shape).to(noise.dtype)
        return same.movedim(0, axis) if family == "constant" else noise
    if family == "constant":
        values = torch.tensor([1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 0.1, 3.0])[steps % 8]
        made = values.reshape(each).expand(rows.shape)
    elif family == "one-hot":
        made = torch.zeros(rows.shape)
        flat = made.reshape(len(rows), -1)
        flat[steps, (steps * 7919) % flat.shape[1]] = 1.0
    else:
        small, large = (1e-4, 1e-2) if family == "tiny" else (1e2, 1e3)
        scale = torch.where(steps % 2 == 0, small, large).reshape(each)
        made = rows.float() * scale
    return made.to(noise.dtype).movedim(0, axis)
