"""A report, made once: as one self-contained page, or as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from azx.cli.reports.board import BOARD_STYLE
from azx.cli.reports.style import SCRIPT, STYLE, VERDICTS
from azx.runtime.files import write_text

if TYPE_CHECKING:
    from azx.export.report import Section as Found

#: Of a report's file: a page, or Markdown.
PAGE, MARKDOWN = ".html", ".md"


@dataclass(frozen=True)
class Table:
    """Columns and rows of text; the first `words` columns hold words, the others figures."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1
    caption: str = ""


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    notes: Sequence[str] = ()  # a line each
    figures: Sequence[tuple[str, str]] = ()  # caption and SVG
    tables: Sequence[Table] = ()


@dataclass(frozen=True)
class Report:
    """What a page shows, and Markdown too, without the figures."""

    title: str
    about: str
    cards: Sequence[tuple[str, str]]  # a figure, and what it is
    sections: Sequence[Section]
    refresh: int | None = None  # seconds after which a browser reads the page again


def of_sections(title: str, verdict: str, found: Sequence[Found]) -> Report:
    """The report of an audit or of the gate."""
    sections = [
        Section(s.title, tables=[Table(s.columns, s.rows, s.words, s.legend)]) for s in found
    ]
    return Report(title, verdict, (), sections)


def write_report(path: Path, report: Report) -> None:
    """Write `report` in the form of the file's suffix, a page unless it is Markdown's."""
    write_text(path, as_markdown(report) if path.suffix == MARKDOWN else as_html(report))


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
    figures = f'<div class="figures">{figures}</div>' if figures else ""
    notes = "".join(f"<p>{escape(note)}</p>" for note in section.notes)
    tables = "".join(map(_table, section.tables))
    return f"<section><h2>{escape(section.title)}</h2>{notes}{figures}{tables}</section>"


def _table(table: Table) -> str:
    caption = f"<caption>{escape(table.caption)}</caption>" if table.caption else ""
    head = _row(table, table.columns, "th", ' scope="col"')
    body = "".join(_row(table, row, "td", "") for row in table.rows)
    parts = f"{caption}<thead>{head}</thead><tbody>{body}</tbody>"
    return f'<div class="wide"><table>{parts}</table></div>'


def _row(table: Table, cells: Sequence[str], tag: str, more: str) -> str:
    made = (
        f"<{tag}{more}{_class(number < table.words, cell)}>{escape(cell)}</{tag}>"
        for number, cell in enumerate(cells)
    )
    return f"<tr>{''.join(made)}</tr>"


def _class(words: bool, cell: str) -> str:
    if not words:
        return ""
    return f' class="words {cell}"' if cell in VERDICTS else ' class="words"'


def as_markdown(report: Report) -> str:
    """The same without figures."""
    lines = [f"# {report.title}", "", report.about, ""]
    lines += [f"- **{figure}** {what}" for figure, what in report.cards]
    for section in report.sections:
        lines += ["", f"## {section.title}", ""]
        lines += [line for note in section.notes for line in (note, "")]
        for table in section.tables:
            lines += [table.caption, ""] if table.caption else []
            lines.append(_markdown_row(table.columns))
            figures = len(table.columns) - table.words
            lines.append("|---" * table.words + "|--:" * figures + "|")
            lines += [*map(_markdown_row, table.rows), ""]
    return "\n".join(lines).rstrip() + "\n"


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
