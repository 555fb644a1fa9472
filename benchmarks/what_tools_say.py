"""What torch's own check, and others, say of faulty networks, beside what azx says.

    python benchmarks/what_tools_say.py          prints the tables of docs/gate.md
    python benchmarks/what_tools_say.py gate     puts what others wrote, and the healthy corpus,
                                                 through the gate

Every line is from a run. The faulty networks are those of tests/corpus; each tool is asked the way
its documentation asks it.
"""

from __future__ import annotations

import copy
import io
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import onnx
import torch

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "tests"))

from corpus import HEALTHY, SICK, SUSPECT, Case  # noqa: E402
from corpus.parts import Lambda  # noqa: E402
from foreign import FOREIGN, Foreign  # noqa: E402
from torch import nn  # noqa: E402

from azx.export import audit  # noqa: E402
from azx.export.gate import GateRefused, export_model  # noqa: E402
from azx.export.inputs import drawn  # noqa: E402
from azx.export.outputs import named_outputs  # noqa: E402

ROWS = 16


def torch_says(case: Case) -> str:
    """`torch.onnx.export(verify=True)` in its own words, then onnx's full check."""
    module = case.module().eval()
    batch = drawn(case.specs, 3)
    free = tuple(
        {at: axis for at, axis in enumerate(spec.axes) if isinstance(axis, str)}
        for spec in case.specs
    )
    said = io.StringIO()
    with warnings.catch_warnings(), redirect_stdout(said), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            program = torch.onnx.export(
                module,
                tuple(batch.tensors.values()),
                dynamo=True,
                dynamic_shapes=free,
                verify=True,
                verbose=True,
            )
            onnx.checker.check_model(program.model_proto, full_check=True)
        except Exception as error:  # whatever it raises is its answer
            return f"raises {type(error).__name__}"
    lines = [line for line in said.getvalue().splitlines() if "accuracy" in line]
    return lines[-1].removeprefix("[torch.onnx] ") if lines else "says nothing of accuracy"


def allclose_says(case: Case) -> str:
    """The test that people write: the output of a copy equals that of the network."""
    module = case.module().eval()
    batch = drawn(case.specs, 3)
    with torch.no_grad():
        one, other = (batch.call(m) for m in (module, copy.deepcopy(module)))
    try:
        for a, b in zip(_arrays(one), _arrays(other), strict=True):
            np.testing.assert_allclose(a, b)
    except AssertionError:
        return "fails"
    return "equal"


def _arrays(result: object) -> list[np.ndarray]:
    return [tensor.detach().numpy() for tensor in named_outputs(result).values()]


def falling_loss_says(case: Case) -> str:
    """Does the loss fall in ten steps? Adam at 1e-3, targets of random numbers."""
    torch.manual_seed(0)
    module, batch = case.module(), drawn(case.specs, ROWS)
    trainable = [p for p in module.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(trainable, lr=1e-3)
    losses = []
    try:
        for _ in range(11):
            outputs = [t for t in _tensors(batch.call(module)) if t.is_floating_point()]
            torch.manual_seed(1)
            loss = sum((t - torch.randn(t.shape)).square().mean() for t in outputs)
            losses.append(float(loss.detach()))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    except RuntimeError:
        return "raises"
    if not losses[-1] < losses[0]:
        return "does not fall"
    return f"falls, {losses[0]:.3f} to {losses[-1]:.3f}"


def _tensors(result: object) -> list[torch.Tensor]:
    return list(named_outputs(result).values())


def azx_says(case: Case) -> str:
    """The first finding of the audit."""
    found = audit(case.module(), drawn(case.specs, ROWS, seed=5))
    if not found.findings:
        return "alive"
    first = found.findings[0]
    return f"**{first.severity}** `{first.path}`: {first.what.split('; ')[0].split(': ')[0]}"


def gate_says(case: Case) -> str:
    """The first check of the gate that fails."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            export_model(case.module(), case.specs, Path(folder) / "net.onnx")
        except GateRefused as refusal:
            failed = next(check for check in refusal.report.checks if not check.passed)
            return f"**refused** by {failed.name}: {failed.says.split('; ')[0]}"
    return "passed"


class Unrolled(nn.Module):
    """A recurrent network for sequences of any length."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(4, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, L, 4] to [B, L, 3]."""
        return self.head(self.gru(x)[0])


#: Networks that are alive and whose files are wrong, or cannot be told from wrong ones.
EXPORTS: dict[str, Case] = {
    "a GRU for any length": Case(Unrolled, ("x=float32[batch,length,4]",)),
    "rows that mix": Case(
        lambda: nn.Sequential(nn.Linear(8, 4), Lambda(lambda x: x - x.mean(0, keepdim=True)))
    ),
    "an output that is constant": HEALTHY["zero policy head"],
    "a healthy one": HEALTHY["convolutions and GroupNorm"],
}


TOOLS: dict[str, Callable[[Case], str]] = {
    "`torch.onnx.export(verify=True)`": torch_says,
    "`assert_allclose` with a copy": allclose_says,
    "the loss, ten steps": falling_loss_says,
    "`azx doctor`": azx_says,
}


def gate(cases: Mapping[str, Case | Foreign]) -> None:
    """What the gate says of each of `cases`, and how many mutants it caught in all."""
    caught = mutants = 0
    for name, case in cases.items():
        with tempfile.TemporaryDirectory() as folder:
            try:
                report = export_model(case.module(), case.specs, Path(folder) / "net.onnx")
                said = "passed"
            except GateRefused as refusal:
                report = refusal.report
                said = next(f"{c.name}: {c.says}" for c in report.checks if not c.passed)
        figures = next((c.figures for c in report.checks if c.name == "mutants"), None)
        if figures is not None:
            caught, mutants = caught + figures["caught"], mutants + figures["mutants"]
            said += f"; {figures['caught']} of {figures['mutants']} mutants"
        print(f"{name}: {said}", flush=True)
    print(f"mutants caught: {caught} of {mutants}, {caught / mutants:.1%}")


def main() -> None:
    """Print a table for the sick, one for the suspect, and the count of hits and false alarms."""
    for title, cases in (("sick", SICK), ("suspect", SUSPECT)):
        print(f"\n| {title} | {' | '.join(TOOLS)} |\n|{'---|' * (len(TOOLS) + 1)}")
        for name, case in cases.items():
            print(f"| {name} | {' | '.join(tool(case) for tool in TOOLS.values())} |", flush=True)
    print("\n| after training | `torch.onnx.export(verify=True)` | `azx export` |\n|---|---|---|")
    for name, case in EXPORTS.items():
        print(f"| {name} | {torch_says(case)} | {gate_says(case)} |", flush=True)
    start = time.perf_counter()
    count(5)
    print(f"{time.perf_counter() - start:.1f} s")


def count(seed: int) -> None:
    """Hits and false alarms over the corpus."""

    def findings(case: Case) -> tuple[bool, set[str]]:
        found = audit(case.module(), drawn(case.specs, ROWS, seed=seed))
        return found.passed, {f.path for f in found.problems(strict=True)}

    refused = sum(not (r := findings(c))[0] and c.paths <= r[1] for c in SICK.values())
    warned = sum((r := findings(c))[0] and c.paths <= r[1] for c in SUSPECT.values())
    alarms = sum(bool(findings(c)[1]) for c in HEALTHY.values())
    print(
        f"\nsick refused by name: {refused} of {len(SICK)}; suspect warned of by name: {warned} of "
        f"{len(SUSPECT)}; false alarms: {alarms} of {len(HEALTHY)} healthy"
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["gate"]:
        gate({name: case for name, case in FOREIGN.items() if not case.missing})
        gate(HEALTHY)
    else:
        main()
