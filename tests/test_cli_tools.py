"""`azx solve` and `verify`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cli_testing import good, made_up_graph, refused, run
from made_up import MICRO

from azx.runtime.modelfile import read_model, seal
from azx.runtime.variant import MINI


def test_solve(monkeypatch: pytest.MonkeyPatch) -> None:
    refused(run("solve", "--variant", "standard"), "afterstates", "--variant mini")
    monkeypatch.setattr("azx.cli.solve.variant_named", lambda name: MICRO)
    shown = good(run("solve"))
    assert "micro: perfect play scores " in shown
    assert re.search(r"\n[\d,]+ afterstates", shown)


def test_verify_shows_every_check(mini: Path) -> None:
    shown = good(run("verify", mini))
    for check in ("file", "contract", "verdict", "golden value", "batches", "parameters"):
        assert re.search(rf"^ok +{check} ", shown, re.MULTILINE)
    assert "FAILED" not in shown


def test_verify_fails_with_1_where_a_check_does(mini: Path, tmp_path: Path) -> None:
    card = read_model(mini).card
    path = tmp_path / "other.onnx"
    path.write_bytes(seal(made_up_graph(MINI, 0.5), card))
    result = run("verify", path)
    refused(result, "fails 2 of 9 checks: golden policy_logits", code=1)
    assert re.search(r"^FAILED +golden value", result.stdout, re.MULTILINE)
