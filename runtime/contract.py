"""The network's contract: what goes in and out, the same in torch and in ONNX.

    input   board          int8    [batch, C]      tile ids, -1 for an empty cell
    output  policy_logits  float32 [batch, T, C]   for each tile that may come next: where to lay it
    output  value          float32 [batch]         points still to come from this afterstate
    output  q              float32 [batch, T, C]   optional: points to come after each placement

Whatever the network wants to see of a board it derives inside the graph, so no consumer can encode
it wrongly. One forward answers for every tile that may be drawn next; rows of tiles that already
lie on the board mean nothing. After the last placement nothing is to come: there q is 0, and so is
the value of a full board.
"""

from __future__ import annotations

CONTRACT_VERSION = 1

BOARD = "board"
POLICY_LOGITS = "policy_logits"
VALUE = "value"
Q = "q"

OUTPUTS = (POLICY_LOGITS, VALUE, Q)
REQUIRED_OUTPUTS = (POLICY_LOGITS, VALUE)

#: The logit of a filled cell: exp() of it is 0 in float32, and float16 can still hold it.
MASKED_LOGIT = -1.0e4
