"""The best arrangement of tiles that are all known, exactly, by OR-tools' CP-SAT.

    pip install ortools

A variable for every (tile, cell) says whether it lies there, one for every (line, number) whether
the line pays that number. About two seconds for an order of `standard` on one core.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from ortools.sat.python import cp_model

from azx.runtime.variant import Variant


def best_arrangement(variant: Variant, order: NDArray[np.int8]) -> tuple[int, NDArray[np.int8]]:
    """The highest score of these tiles int8 [C], in points, and a board int8 [C] that has it.

    Proven by the solver: `RuntimeError` where it ends without a proof.
    """
    model = cp_model.CpModel()
    cells = range(variant.cells)
    lies = [[model.new_bool_var(f"{tile} on {cell}") for cell in cells] for tile in order]
    for place in cells:
        model.add_exactly_one(lies[place])
        model.add_exactly_one(row[place] for row in lies)
    # The half turn of an arrangement scores the same, so the first tile may keep to one half.
    for cell in cells[variant.cells // 2 + 1 :]:
        model.add(lies[0][cell] == 0)
    points = []
    for line, axis in zip(variant.lines, variant.tables.line_axis.tolist(), strict=True):
        for number in variant.values[axis]:
            showing = np.flatnonzero(variant.tile_values[order, axis] == number)
            if len(showing) < len(line):
                continue
            pays = model.new_bool_var(f"{line} pays {number}")
            for cell in line:
                model.add(sum(lies[tile][cell] for tile in showing) >= pays)
            points.append(number * len(line) * pays)
    model.maximize(sum(points))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 0
    status = solver.solve(model)
    if status != cp_model.OPTIMAL:
        raise RuntimeError(f"CP-SAT ended with {solver.status_name(status)}, expected OPTIMAL")
    board = np.empty(variant.cells, dtype=np.int8)
    for tile, row in zip(order, lies, strict=True):
        board[[solver.boolean_value(there) for there in row].index(True)] = tile
    return round(solver.objective_value), board
