"""What the commands share in writing to a terminal, a pipe or a file."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from rich import box
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from azx.runtime.errors import ProviderWarning, UsageError
from azx.runtime.files import is_device
from azx.runtime.verify import Check

if TYPE_CHECKING:
    from azx.export.report import Section

#: Of a column of words that stand on a narrow screen before a table becomes wider than it.
LETTERS = 16

#: How the words that say how it went are shown.
STYLES = {"fail": "bold red", "warn": "yellow"}


class _Untiring(Console):
    """Where nobody listens any more, as after `| head`, what is left to do is done in silence."""

    def on_broken_pipe(self) -> None:
        """Print nowhere from now on; rich would end the process, with files yet to be written."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())


def stdout() -> Console:
    """The console for results; text is printed as it is, `[brackets]` and all."""
    return _Untiring(highlight=False, markup=False, emoji=False)


def stderr() -> Console:
    """The console for what goes on meanwhile."""
    return _Untiring(stderr=True, highlight=False, markup=False, emoji=False)


def say(console: Console, *lines: str | Text) -> None:
    """Print whole lines, however long: the terminal breaks them, not we."""
    for line in lines:
        console.print(line, soft_wrap=True)


def warn(line: str) -> None:
    """A line on stderr, above whatever goes on there."""
    say(stderr(), f"warning: {line}")


def show_warnings_in_a_line() -> None:
    """From now on azx's own warnings look like those of `warn`; others stay as they are."""
    others = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, ProviderWarning):
            warn(str(message))
        else:
            others(message, category, filename, lineno, file, line)

    warnings.showwarning = show


def counted(number: int, thing: str) -> str:
    """`1 thread`, `2 threads`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


@contextmanager
def busy(what: str) -> Iterator[Callable[[str], None]]:
    """A spinner on a terminal, nothing elsewhere; yields a function that changes its words."""
    console = stderr()
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status(Text(what)) as status:
        yield lambda words: status.update(Text(words))


@contextmanager
def counting(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal, nothing elsewhere; yields a function that adds to the count."""
    console = stderr()
    with Progress(
        TextColumn(what, markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)


def table(*columns: str, right: Sequence[str] = (), title: str | None = None) -> Table:
    """An open table; the columns named in `right` hold numbers."""
    made = Table(
        box=box.SIMPLE_HEAD, title=title, title_justify="left", show_edge=False, pad_edge=False
    )
    for name in columns:
        # Long names fold, figures never do.
        number = name in right
        made.add_column(
            name, justify="right" if number else "left", overflow="fold", no_wrap=number
        )
    return made


def show_table(console: Console, made: Table) -> None:
    """Print `made` whole. On a narrow screen words fold, down to `LETTERS`; figures never do.

    Where that is not enough the lines go past the edge, and the terminal breaks them.
    """
    needed = 3 * (len(made.columns) - 1)  # between columns
    for column in made.columns:
        words = [_as_text(column.header), *map(_as_text, column.cells)]
        if column.no_wrap:
            needed += max(word.cell_len for word in words)
        else:
            longest = max((cell_len(w) for text in words for w in text.plain.split()), default=0)
            needed += min(longest, LETTERS)
    if needed > console.width:
        made.width = needed
    console.print(made, crop=False)


def _as_text(cell: RenderableType) -> Text:
    return cell if isinstance(cell, Text) else Text(str(cell))


def section_table(section: Section) -> Table:
    """A section of a report, for the terminal."""
    made = table(*section.columns, right=section.columns[section.words :], title=section.title)
    made.caption, made.caption_justify = section.legend or None, "left"
    for row in section.rows:
        made.add_row(*(Text(cell, STYLES.get(cell, "none")) for cell in row))
    return made


def check_table(checks: Sequence[Check]) -> Table:
    """A row for each check."""
    made = table("", "check", "found")
    for check in checks:
        verdict = Text("ok", "green") if check.passed else Text("FAILED", "bold red")
        made.add_row(verdict, Text(check.name), Text(check.says))
    return made


def check_writable(*paths: Path | None, read: Sequence[Path | None] = ()) -> None:
    """`UsageError` now, rather than after the work, where one of `paths` cannot be written.

    Or where two of them, or one and a file that is `read`, are the same: one would be lost.
    """
    taken = {path.resolve() for path in read if path is not None}
    for path in paths:
        if path is None:
            continue
        try:
            _check_place(path)
        except OSError as error:  # a name that is too long, say
            raise UsageError(f"cannot write {path}: {error.strerror}") from None
        place = path.resolve()
        if place in taken and not is_device(path):
            raise UsageError(f"{path} is named twice: every file needs a name of its own")
        taken.add(place)


def _check_place(path: Path) -> None:
    """`UsageError` where there is no room for a file of that name."""
    if is_device(path):
        return
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give the name of a file")
    folder = path.absolute().parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise UsageError(f"cannot write {path}: {folder} is no folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"cannot write {path}: no right to write in {folder}")
