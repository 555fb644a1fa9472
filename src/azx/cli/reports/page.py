"""One self-contained page: cards, figures, tables that sort; light or dark, small or printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from azx.cli.reports.board import BOARD_STYLE

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #667; --line: #d8dce2; --card: #f5f6f8;
  --ground: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --soft: #9aa3ad; --line: #343a42;
  --card: #1d2127; --ground: #14171b; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 60rem; color: var(--ink);
  background: var(--ground); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; }
p, figcaption { color: var(--soft); margin: .3rem 0; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .7rem;
  margin: 1.2rem 0; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  padding: .7rem .9rem; }
.card b { display: block; font-size: 1.35rem; line-height: 1.25; }
.card span { color: var(--soft); font-size: .85rem; }
figure { margin: .8rem 0; } figure svg { width: 100%; height: auto; display: block; }
figure svg.board { max-width: 20rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem;
  font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
th button { all: unset; cursor: pointer; } th button:focus-visible { outline: 2px solid; }
@media print { body { max-width: none; } section { break-inside: avoid; } }
"""

#: Sorts a table by the column whose heading is pressed; without it tables stay as they are.
SCRIPT = """
for (const table of document.querySelectorAll("table")) {
  table.querySelectorAll("th").forEach((head, column) => {
    const button = document.createElement("button");
    button.textContent = head.textContent; head.replaceChildren(button);
    let rising = false;
    button.addEventListener("click", () => {
      rising = !rising;
      const body = table.tBodies[0];
      const key = row => row.cells[column].textContent.replaceAll(",", "");
      const number = text => /^[-+]?[\\d.]/.test(text) ? parseFloat(text) : NaN;
      [...body.rows].sort((a, b) => {
        const [x, y] = [key(a), key(b)], [n, m] = [number(x), number(y)];
        const order = isNaN(n) || isNaN(m) ? x.localeCompare(y) : n - m;
        return rising ? order : -order;
      }).forEach(row => body.append(row));
    });
  });
}
"""


@dataclass(frozen=True)
class Table:
    """Columns and rows of text."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it, in order: words, figures, tables."""

    title: str
    words: str = ""
    figures: Sequence[tuple[str, str]] = ()  # caption and SVG
    tables: Sequence[Table] = field(default=())


@dataclass(frozen=True)
class Report:
    """What a page shows, and Markdown too, without the figures."""

    title: str
    about: str
    cards: Sequence[tuple[str, str]]  # a figure, and what it is
    sections: Sequence[Section]
    refresh: int | None = None  # seconds after which a browser reads the page again


def as_html(report: Report) -> str:
    """The page; it loads nothing."""
    cards = "".join(
        f'<div class="card"><b>{escape(figure)}</b><span>{escape(what)}</span></div>'
        for figure, what in report.cards
    )
    again = f'<meta http-equiv="refresh" content="{report.refresh}">' if report.refresh else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"{again}<title>{escape(report.title)}</title><style>{STYLE}{BOARD_STYLE}</style></head>\n<body>"
        f"<h1>{escape(report.title)}</h1><p>{escape(report.about)}</p>"
        f'<div class="cards">{cards}</div>\n'
        + "\n".join(map(_section, report.sections))
        + f"\n<script>{SCRIPT}</script></body></html>\n"
    )


def _section(section: Section) -> str:
    figures = "".join(
        f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"
        for caption, svg in section.figures
    )
    words = f"<p>{escape(section.words)}</p>" if section.words else ""
    tables = "".join(map(_table, section.tables))
    return f"<section><h2>{escape(section.title)}</h2>{words}{figures}{tables}</section>"


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows
    )
    head, body = f"<thead><tr>{head}</tr></thead>", f"<tbody>{rows}</tbody>"
    return f'<div class="wide"><table>{head}{body}</table></div>'


def as_markdown(report: Report) -> str:
    """The same without figures."""
    lines = [f"# {report.title}", "", report.about, ""]
    lines += [f"- **{figure}** {what}" for figure, what in report.cards]
    for section in report.sections:
        lines += ["", f"## {section.title}", ""]
        if section.words:
            lines += [section.words, ""]
        for table in section.tables:
            lines.append("| " + " | ".join(table.columns) + " |")
            lines.append("|---" * len(table.columns) + "|")
            lines += ["| " + " | ".join(row) + " |" for row in table.rows]
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"
