"""The script of the bounds: an interrupted run goes on and comes to the same."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import upper_bound


def bounds(monkeypatch: pytest.MonkeyPatch, folder: Path, orders: int) -> dict[str, list[float]]:
    """What the command keeps after so many orders of `mini`."""
    monkeypatch.setattr(upper_bound, "RESULTS", folder)
    monkeypatch.setattr(upper_bound, "FIT_ROUNDS", 1)
    monkeypatch.setattr(upper_bound, "solve", lambda variant: SimpleNamespace(optimum=57.383))
    arguments = ["upper_bound.py", "--variant", "mini", "--orders", str(orders)]
    monkeypatch.setattr(sys, "argv", arguments)
    upper_bound.main()
    kept: dict[str, list[float]] = json.loads((folder / "upper_bound_mini.json").read_text())
    return kept


def test_a_run_goes_on_where_it_was_stopped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = bounds(monkeypatch, tmp_path / "stopped", 2)
    then = bounds(monkeypatch, tmp_path / "stopped", 5)
    assert then["line_price"][:2] == first["line_price"]
    assert then == bounds(monkeypatch, tmp_path / "whole", 5)
    assert len(then["perfect_information"]) == len(then["line_price"]) == 5
    assert "mini, 5 orders of seed 1" in capsys.readouterr().out
    path = tmp_path / "whole" / "upper_bound_mini.json"
    path.write_text(path.read_text().replace('"seed": 1', '"seed": 4'))
    with pytest.raises(SystemExit, match="holds other orders"):
        bounds(monkeypatch, tmp_path / "whole", 6)
