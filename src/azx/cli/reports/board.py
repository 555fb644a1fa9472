"""One board as SVG, for pages."""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import NDArray

from azx.cli.board import complete_lines
from azx.runtime.variant import AXES, Variant

#: Distance of a hexagon's corners from its middle, in SVG units, and half its height.
CORNER, HALF = 20.0, 10.0 * sqrt(3)

#: What a page with boards needs in its stylesheet, beside --ink.
BOARD_STYLE = """
:root { --cell: #f0f1ee; --edge: #d9dce1; --faint: #6b7280; --axis0: #9a6b00; --axis1: #00718f;
  --axis2: #a1307f; --bad: #b3261e; --good: #19703a; }
@media (prefers-color-scheme: dark) { :root { --cell: #23262c; --edge: #363a42; --faint: #9aa1ac;
  --axis0: #e2b340; --axis1: #56c2dd; --axis2: #e07fc3; --bad: #ff8a80; --good: #6fcf8f; } }
@media print { :root { --cell: #f4f4f4; --edge: #bbb; --faint: #444; --axis0: #7a5500;
  --axis1: #005a72; --axis2: #80205f; --bad: #a00; --good: #060; } }
:where(.board text) { font-family: inherit; fill: var(--ink); }
.hexagon { fill: var(--cell); stroke: var(--edge); }
.laid { stroke: var(--bad); stroke-width: 2.5; } .better { stroke: var(--good);
  stroke-width: 2.5; stroke-dasharray: 4 3; }
.number { font-size: 11px; text-anchor: middle; } .empty { font-size: 9px; text-anchor: middle;
  fill: var(--faint); }
.axis0 { fill: var(--axis0); font-weight: 700; } .axis1 { fill: var(--axis1); font-weight: 700; }
.axis2 { fill: var(--axis2); font-weight: 700; }
"""


def board_svg(
    variant: Variant, board: NDArray[np.int8], laid: int | None = None, better: int | None = None
) -> str:
    """One board int8 [C]: numbers of complete lines in colour, empty cells with their number.

    The cells `laid` and `better` are outlined.
    """
    complete = set(complete_lines(variant, board))
    radius = variant.radius
    columns, falling = variant.cell_xy.T
    across = (columns - radius) * 1.5 * CORNER
    down = (2 * falling + columns - 3 * radius) * HALF
    width = (3 * radius + 2) * CORNER + 4
    height = (4 * radius + 2) * HALF + 4
    corners = [(1, 0), (0.5, 1), (-0.5, 1), (-1, 0), (-0.5, -1), (0.5, -1)]
    parts, outlined = [], []
    for cell, (x, y) in enumerate(zip(across, down, strict=True)):
        outline = " ".join(f"{x + CORNER * u:.1f},{y + HALF * v:.1f}" for u, v in corners)
        parts.append(f'<polygon class="hexagon" points="{outline}"/>')
        for kind, marked in (("laid", laid), ("better", better)):
            if cell == marked:
                outlined.append(f'<polygon class="{kind}" fill="none" points="{outline}"/>')
        if board[cell] < 0:
            parts.append(f'<text class="empty" x="{x:.1f}" y="{y + 3:.1f}">{cell}</text>')
            continue
        # Each number at the side its line leaves by: up, down to the left, down to the right.
        places = ((0.0, -6.0), (-9.0, 10.0), (9.0, 10.0))
        for axis, (right, below) in zip(range(AXES), places, strict=True):
            pays = variant.tables.cell_lines[cell, axis] in complete
            kind = f"number axis{axis}" if pays else "number"
            number = variant.tile_values[board[cell], axis]
            parts.append(
                f'<text class="{kind}" x="{x + right:.1f}" y="{y + below:.1f}">{number}</text>'
            )
    box = f"{-width / 2:.1f} {-height / 2:.1f} {width:.1f} {height:.1f}"
    drawing = "".join(parts + outlined)
    return f'<svg class="board" viewBox="{box}" role="img" aria-label="The board">{drawing}</svg>'
