"""Pages: whole, by themselves, and looked at in a browser at two widths."""

from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import pytest
from bench_testing import SCHEMA
from browser import WIDTHS, browser, photographed
from cli_testing import good, refused, run

from azx.cli.bench.session import Session
from azx.cli.reports import figures
from azx.cli.reports.bench import bench_report
from azx.cli.reports.page import Report, Section, Table, as_html, as_markdown


@pytest.fixture(scope="module")
def measured(mini: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all.json, all.html and all.md."""
    folder = tmp_path_factory.mktemp("all")
    reports = [part for kind in ("html", "md") for part in ("--report", folder / f"all.{kind}")]
    good(run("bench", "all", "--model", mini, "--json", folder / "all.json", *reports))
    return folder


class _Balance(HTMLParser):
    """Every tag that is opened is closed, in order; no name is given twice."""

    EMPTY = frozenset({"meta", "path", "use", "br", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names += [value for name, value in attrs if name == "id" and value]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.EMPTY:
            assert self.open.pop() == tag


def self_contained(page: str) -> None:
    parser = _Balance()
    parser.feed(page)
    assert parser.open == []
    assert len(parser.names) == len(set(parser.names))
    assert not re.search(r"(src|href)=[\"']?(https?:)?//|url\(http|@import", page)
    assert page.count("<style") == 1  # figures bring none of their own
    assert page.count("<svg") >= 3


def test_all_makes_one_result_and_its_reports(measured: Path, tmp_path: Path) -> None:
    found = json.loads((measured / "all.json").read_text())
    jsonschema.validate(found, SCHEMA)
    assert {"inference", "search", "selfplay", "strength"} <= set(found)
    best = found["strength"]["entrants"][1]["mean_without_luck"]["mean"]
    page, words = ((measured / f"all.{kind}").read_text() for kind in ("html", "md"))
    for text in (page, words):
        assert f"{best:.2f}" in text
        assert "The network alone" in text
        assert "where the time goes" in text
    assert "score against simulations or rollouts" in page
    self_contained(page)
    again = tmp_path / "again.html"
    good(run("bench", "report", measured / "all.json", "--out", again))
    assert again.read_text() == page


def _fail(*_: object, **__: object) -> None:
    raise RuntimeError


def test_a_page_without_matplotlib_is_refused_before_the_work(
    mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(Session, "__init__", _fail)
    asked = ("bench", "all", "--model", mini, "--report")
    refused(run(*asked, tmp_path / "all.html"), "needs matplotlib: pip install matplotlib")
    assert "unexpected RuntimeError" in run(*asked, tmp_path / "all.md").stderr  # it needs none


def test_what_was_measured_is_written_before_its_reports(
    mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("azx.cli.reports.bench.bench_report", _fail)
    for measured in ("inference", "search", "selfplay", "strength"):
        monkeypatch.setattr(Session, measured, lambda *_, **__: None)
    path = tmp_path / "all.json"
    asked = ("--json", path, "--report", tmp_path / "all.html")
    assert "unexpected RuntimeError" in run("bench", "all", "--model", mini, *asked).stderr
    assert json.loads(path.read_text())["models"][0]["name"] == "mini"


def test_what_stands_in_all_was_measured_as_it_says(measured: Path) -> None:
    """The network alone has all threads in one call, though players have a thread for each lane."""
    found = json.loads((measured / "all.json").read_text())
    cores = found["machine"]["cores_available"]
    assert {row["threads"] for row in found["inference"]["rows"]} == {cores}
    assert {row["lanes"] for row in found["search"]["rows"] if row["evaluator"] == "network"} == {
        cores
    }


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_in_a_browser(measured: Path, width: int, tmp_path: Path) -> None:
    browser()
    found = photographed(measured / "all.html", width, tmp_path)
    assert found["width"] <= width  # nothing sticks out to the side
    assert found["smallest"] >= 9  # pixels, of a letter in a figure
    assert found["said"] == "ascending"
    assert found["rising"] == sorted(found["rising"])
    assert found["falling"] == found["rising"][::-1] != found["rising"]


def test_names_in_a_page_are_no_markup() -> None:
    nasty = "<script>alert(1)</script>"
    table = Table([nasty], [[nasty]], caption=nasty)
    report = Report(nasty, nasty, [(nasty, nasty)], [Section(nasty, [nasty], [], [table])])
    assert nasty not in as_html(report)


def test_markdown_keeps_words_left_and_figures_right() -> None:
    table = Table(["name", "points"], [["a|b", "1"]], caption="made up")
    text = as_markdown(Report("t", "about", [], [Section("s", ["a note"], [], [table])]))
    assert "a note\n\nmade up\n\n| name | points |\n|---|--:|\n| a\\|b | 1 |" in text


def test_figures_leave_nothing_behind_in_a_page() -> None:
    one, two = (figures.lines({"a": ([1, 2], [1, y], None)}, "x", "y") for y in (2, 3))
    assert "<style" not in one
    names = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in (one, two)]
    assert names[0]
    assert not names[0] & names[1]
    assert set(re.findall(r'(?:url\(|href=")#([^")]+)', one)) <= names[0]


def test_ticks_stand_where_something_is() -> None:
    """Whole numbers have no tick between them; a seventh curve looks like none before."""
    svg = figures.lines({"a": ([1, 2, 3], [1.0, 2.0, 3.0], None)}, "turn", "share")
    axis = re.search(r"matplotlib.axis_1(.*?)matplotlib.axis_2", svg, re.DOTALL)
    assert axis
    assert re.findall(r">([\d.]+)</text>", axis[1]) == ["1", "2", "3"]
    curves = {str(n): ([1, 2], [n, n], None) for n in range(7)}
    many = figures.lines(curves, "x", "y", marks=False)
    drawn = re.findall(r'style="(fill: none; [^"]*stroke: #[^"]*)"', many)
    assert len({style for style in drawn if "#0072b2" in style}) == 2


def test_a_report_leaves_out_what_was_not_measured() -> None:
    made = {
        "created": "2026-01-01", "command": ["azx"], "machine": {"processor": "p",
        "cores_available": 1, "onnxruntime": "1"},
        "models": [{"name": "n", "variant": "mini", "precision": "float32", "parameters": 1,
        "bytes": 1, "verified": False, "sha256": "0" * 64}],
    }  # fmt: skip
    report = bench_report(made, with_figures=True)
    assert [section.title for section in report.sections] == ["What was measured"]
    assert ("UNVERIFIED", "by the export gate") in report.cards
    assert "1 core," in report.about
