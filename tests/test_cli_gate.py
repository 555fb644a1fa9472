"""`azx doctor` and `azx export`, for runs, checkpoints and anybody's networks."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_testing import good, refused, run
from torch import nn

import azx
from azx import export
from azx.export import gate
from azx.export.inputs import Batch
from azx.runtime.errors import UsageError
from azx.runtime.modelfile import read_sealed
from azx.runtime.onnx_evaluator import open_model
from azx.runtime.variant import MINI

NETWORKS = """
import torch
from azx.runtime.variant import MINI
from azx.trainer.initialise import initialise
from azx.trainer.network import NetworkConfig, PolicyValueNetwork

def healthy():
    network = PolicyValueNetwork(MINI, NetworkConfig(width=16, groups=4))
    initialise(network, 0, network.heads)
    return network

def dead():
    network = healthy()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() == 1:
                parameter.zero_()
    return network

def another_thing():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 4))

def another_dead_thing():
    made = another_thing()
    torch.nn.init.zeros_(made[0].weight), torch.nn.init.zeros_(made[0].bias)
    torch.nn.init.zeros_(made[2].weight)
    return made

def constant_thing():
    made = another_thing()
    torch.nn.init.constant_(made[0].weight, 0.2)
    return made

class WithASpare(torch.nn.Sequential):
    def forward(self, x):
        return self[0](x)

def with_a_spare():
    torch.manual_seed(0)
    made = WithASpare(torch.nn.Linear(3, 4))
    made.spare = torch.nn.Linear(3, 4)
    return made

def leaves():
    raise SystemExit("usage: a program")

def loss(outputs):
    return (outputs - 1).square().mean()

def sgd(network):
    return torch.optim.SGD(network.parameters(), lr=0.1)

def sgd_of_the_head(network):
    return torch.optim.SGD(network[2].parameters(), lr=0.1)
"""


@pytest.fixture
def networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module with factories, in the current folder."""
    (tmp_path / "factories_for_the_cli.py").write_text(NETWORKS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "factories_for_the_cli", raising=False)
    return "factories_for_the_cli"


def test_doctor_tells_the_living_from_the_dead(networks: str) -> None:
    alive = good(run("doctor", f"{networks}:healthy"))
    assert "is alive: 13 parameters" in alive
    assert re.search(r"^trunk\.norm\.weight +GroupNorm +16 +1 +0 +\S+ +0", alive, re.MULTILINE)
    dead = run("doctor", f"{networks}:dead")
    refused(dead, "is not healthy", code=1)
    assert re.search(r"^fail +trunk\.blocks\.0\.norm1\.weight", dead.stdout, re.MULTILINE)
    refused(run("doctor", f"{networks}:another_thing"), "cannot", "Sequential", "--input")
    refused(run("doctor", f"{networks}:leaves"), "SystemExit: usage: a program")
    twice = [word for _ in range(2) for word in ("--input", "x=float32[batch,3]")]
    refused(run("doctor", f"{networks}:another_thing", *twice), "--input x=... is given twice")
    read = ("--inputs", "rows.npz")
    refused(run("doctor", f"{networks}:healthy", *read, "--json", "rows.npz"), "is named twice")
    refused(
        run("export", f"{networks}:healthy", *read, "--out", "rows.npz"),
        "--out writes a .onnx file",
    )
    refused(run("doctor", f"{networks}:nobody"), "has no 'nobody'")
    refused(run("doctor", "runs/none"), "no such run or checkpoint", "package.module:factory")


def test_export_lets_the_living_out_and_nothing_else(networks: str, tmp_path: Path) -> None:
    out = tmp_path / "net.onnx"
    refusal = run("export", f"{networks}:dead", "--out", out)
    refused(refusal, "the export gate refuses this network", "not written", code=1)
    assert re.search(r"^FAILED +audit", refusal.stdout, re.MULTILINE)
    assert not out.exists()
    (tmp_path / "file").write_text("")
    refused(run("export", "any:thing", "--out", tmp_path / "file" / "net.onnx"), "cannot write")


def test_a_run_goes_from_checkpoint_to_a_played_game(networks: str, tmp_path: Path) -> None:
    from azx.trainer.checkpoint import save_best
    from azx.trainer.config import TrainConfig
    from azx.trainer.network import NetworkConfig, PolicyValueNetwork

    shape = NetworkConfig(width=16, groups=4)
    config = TrainConfig(variant="mini", network=shape)
    network = PolicyValueNetwork(MINI, shape)
    folder, out = tmp_path / "run", tmp_path / "net.onnx"
    save_best(folder, config, {"round": 7, "games": 70}, network)
    assert "is alive" in good(run("doctor", folder))
    assert "is alive" in good(run("doctor", folder / "best.json"))
    shown = good(run("export", folder, "--out", out))
    assert re.search(r"^ok +audit", shown, re.MULTILINE)
    assert f"written    {out}, mini" in shown
    card = open_model(out).model.card
    assert (card.training["round"], card.training["games"]) == (7, 70)
    assert card.training["config"] == config.to_json()
    assert card.network["width"] == 16
    assert card.made_by["azx"] == azx.__version__
    assert card.made_by["commit"]
    good(run("verify", out))
    good(run("play", "--model", out, "--simulations", 2))
    (folder / "best.json").write_text("{}")
    refused(run("doctor", folder), "best.json is not a readable checkpoint")


def test_doctor_of_anybodys_network(networks: str, tmp_path: Path) -> None:
    takes = ("--input", "x=float32[batch,3]")
    json_file, html_file = tmp_path / "found.json", tmp_path / "found.html"
    alive = good(
        run("doctor", f"{networks}:another_thing", *takes, "--loss", f"{networks}:loss",
            "--json", json_file, "--html", html_file)
    )  # fmt: skip
    assert "is alive: 4 parameters" in alive
    found = json.loads(json_file.read_text())
    assert (found["passed"], len(found["parameters"]), len(found["layers"])) == (True, 4, 3)
    assert "<h2>parameters</h2>" in html_file.read_text()
    dead = run("doctor", f"{networks}:another_dead_thing", *takes, "--html", html_file)
    refused(dead, "is not healthy", code=1)
    assert '<td class="words fail">fail</td>' in html_file.read_text()
    refused(run("doctor", f"{networks}:another_thing", "--input", "x=3"), "x=float32[batch,16,5,5]")
    refused(
        run("doctor", f"{networks}:another_thing", "--input", "x=float32[16]"), "axis named batch"
    )
    refused(run("doctor", f"{networks}:another_thing", *takes, "--loss", "nobody"), "a loss is")


def test_warnings_are_failures_only_with_strict_and_not_where_meant(networks: str) -> None:
    takes = (f"{networks}:constant_thing", "--input", "x=float32[batch,3]")
    assert re.search(r"^warn +0\.weight", good(run("doctor", *takes)), re.MULTILINE)
    refused(run("doctor", *takes, "--strict"), "1 problem", code=1)
    shown = good(run("doctor", *takes, "--strict", "--meant", "0.weight=an average"))
    assert "meant: an average" in shown
    refused(run("doctor", *takes, "--meant", "0.weight"), "--meant is PATH=REASON")


def test_real_inputs_from_a_file(networks: str, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    np.savez(tmp_path / "rows.npz", x=rows)
    target = f"{networks}:another_thing"
    good(run("doctor", target, "--inputs", tmp_path / "rows.npz"))
    out = tmp_path / "net.onnx"
    good(run("export", target, "--inputs", tmp_path / "rows.npz", "--out", out))
    assert {"given", "zero", "huge"} <= {
        family
        for check in read_sealed(out).card.gate["checks"]
        for family in check["figures"].get("families", {})
    }
    np.savez(tmp_path / "odd.npz", x=rows, y=rows[:3])
    refused(run("doctor", target, "--inputs", tmp_path / "odd.npz"), "same number of rows")
    refused(
        run("doctor", target, "--inputs", tmp_path / "rows.npz", "--input", "x=float32[batch,3]"),
        "leave one of them out",
    )


def cut_off(path: Path, rows: np.ndarray) -> None:
    np.savez(path, x=rows)
    path.write_bytes(path.read_bytes()[:300])


def damaged(path: Path, rows: np.ndarray) -> None:
    np.savez_compressed(path, x=rows)
    content = bytearray(path.read_bytes())
    content[150:250] = b"\xff" * 100
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (cut_off, "no readable .npz"),
        (damaged, "no readable .npz"),
        (lambda path, rows: np.savez(path, x=rows[:0]), "one at least, found x [0, 3]"),
        (lambda path, rows: np.savez(path, x=rows.astype(np.complex64)), "x is complex64"),
        (lambda path, rows: np.savez(path, x=rows.astype(np.uint16)), "x is uint16, expected"),
    ],
)
def test_files_of_inputs_that_are_none(
    write: Callable[[Path, np.ndarray], None], says: str, networks: str, tmp_path: Path
) -> None:
    path = tmp_path / "rows.npz"
    write(path, np.random.default_rng(0).random((40, 3), dtype=np.float32))
    refused(run("doctor", f"{networks}:another_thing", "--inputs", path), says)


@pytest.mark.parametrize("wrong", ["ids=int64[batch,3]<0", "ids=int8[batch,3]<1000"])
def test_limits_that_leave_nothing_to_draw(wrong: str, networks: str) -> None:
    says = f"has a limit from <1 to <{2**63 - 1 if 'int64' in wrong else 128}, found '{wrong}'"
    refused(run("doctor", f"{networks}:another_thing", "--input", wrong), says)


def test_export_of_anybodys_network(networks: str, tmp_path: Path) -> None:
    target, out = f"{networks}:another_thing", tmp_path / "net.onnx"
    reports = [tmp_path / f"gate{suffix}" for suffix in (".json", ".md", ".html")]
    options = [part for path in reports for part in ("--report", path)]
    takes = ("--input", "x=float32[batch,3]", "--out", out)
    shown = good(run("export", target, *takes, "--opset", 18, *options))
    assert re.search(r"^ok +mutants +\d+ of \d+ faults", shown, re.MULTILINE)
    told = json.loads(reports[0].read_text())
    assert (told["passed"], told["opset"]) == (True, 18)
    assert told["interface"]["inputs"] == [{"name": "x", "dtype": "float32", "axes": ["batch", 3]}]
    assert "## differences by family of inputs" in reports[1].read_text()
    assert "faults put into copies of the graph" in reports[2].read_text()
    assert re.search(r"^ok +golden output", good(run("verify", out)), re.MULTILINE)
    refused(run("play", "--model", out), "network of another kind (Sequential)")
    refused(run("export", target, *takes, "--opset", 9), "opset is 18 to 23")
    refused(run("export", target, *takes, "--report", tmp_path / "gate.txt"), "--report writes")


def test_force_writes_what_play_refuses(networks: str, tmp_path: Path) -> None:
    out = tmp_path / "net.onnx"
    forced = run("export", f"{networks}:dead", "--out", out, "--force")
    assert forced.exit_code == 0, forced.output
    assert "stamped UNVERIFIED" in forced.stdout
    assert "checks failed" in forced.stderr
    refused(run("play", "--model", out), "stamped UNVERIFIED", "--allow-unverified")
    good(run("play", "--model", out, "--allow-unverified", "--simulations", 0, "--seed", 1))
    refused(run("verify", out), "verdict", code=1)


def test_doctor_asks_the_optimizer(networks: str) -> None:
    command = ("doctor", f"{networks}:another_thing", "--input", "input=float32[batch,3]")
    good(run(*command, "--optimizer", f"{networks}:sgd"))
    forgotten = run(*command, "--optimizer", f"{networks}:sgd_of_the_head")
    assert "not in the optimiser" in " ".join(forgotten.stdout.split())
    refused(run(*command, "--optimizer", f"{networks}:loss"), "fails:")
    refused(run(*command, "--optimizer", f"{networks}:another"), "has no 'another'")


def test_inputs_in_float64_are_explained(networks: str, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(20, 3))
    np.savez(tmp_path / "rows.npz", x=rows)
    refused(
        run("doctor", f"{networks}:another_thing", "--inputs", tmp_path / "rows.npz"),
        "x in --inputs is float64",
        ".astype(numpy.float32)",
    )


def test_rows_of_a_file_are_taken_from_all_of_it(networks: str, tmp_path: Path) -> None:
    """The first ones may all be the same."""
    rows = np.zeros((200, 3), dtype=np.float32)
    rows[100:] = np.random.default_rng(0).normal(size=(100, 3))
    np.savez(tmp_path / "rows.npz", x=rows)
    shown = good(run("doctor", f"{networks}:another_thing", "--inputs", tmp_path / "rows.npz"))
    assert "not looked at" not in shown


@pytest.mark.parametrize("kind", ["healthy", "drawn", "given"])
def test_doctor_and_export_audit_the_same_rows(
    kind: str, networks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "rows.npz", x=np.random.default_rng(0).random((200, 3), dtype=np.float32))
    takes = {
        "healthy": (f"{networks}:healthy",),
        "drawn": (f"{networks}:another_thing", "--input", "x=float32[batch,3]"),
        "given": (f"{networks}:another_thing", "--inputs", tmp_path / "rows.npz"),
    }[kind]
    seen: list[Batch] = []

    def audited(module: nn.Module, rows: Batch, *_: object, **__: object) -> None:
        seen.append(rows)
        raise UsageError("seen")

    monkeypatch.setattr(export, "audit", audited)
    monkeypatch.setattr(gate, "audit", audited)
    refused(run("doctor", *takes), "seen")
    refused(run("export", *takes, "--out", tmp_path / "net.onnx"), "seen")
    doctors, gates = (list(rows.tensors.values()) for rows in seen)
    assert [torch.equal(a, b) for a, b in zip(doctors, gates, strict=True)] == [True]


def test_what_is_meant_goes_through_the_gate_too(networks: str, tmp_path: Path) -> None:
    given = (f"{networks}:with_a_spare", "--input", "x=float32[batch,3]")
    out = ("--out", tmp_path / "net.onnx")
    refused(run("export", *given, *out), "refuses", code=1)
    spares = [f"spare.{name}=loaded later" for name in ("weight", "bias")]
    reasons = [word for text in spares for word in ("--meant", text)]
    assert "written" in good(run("export", *given, *out, *reasons))
    loss = ("--loss", f"{networks}:loss")
    assert "written" in good(run("export", *given, *out, *reasons, *loss))


def test_the_page_has_every_figure(networks: str, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    given = ("--input", "x=float32[batch,3]", "--html", page)
    good(run("doctor", f"{networks}:another_thing", *given))
    text = page.read_text()
    for figure in ("min", "max", "zeros", "expected", "update at 0", "update at 4", "saturated"):
        assert f'<th scope="col">{figure}</th>' in text
    assert "does the output depend on the input?" in text
