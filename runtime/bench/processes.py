"""Processes that do what they are asked, beside the one that measures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from azx.runtime.errors import WorkerError
from azx.runtime.workers import start_process


class Helper:
    """A fresh process that does one thing after another; it is ended at once where it is left."""

    def __init__(self) -> None:
        self.process, self.pipe = start_process(_work)

    def __enter__(self) -> Helper:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.join()
        self.pipe.close()

    def ask(self, what: Callable[..., object], *given: object) -> None:
        """Have `what(*given)` done there; all of it must be something that pickles."""
        with suppress(OSError):  # a process that died already is found when its pipe is read
            self.pipe.send((what, given))

    def answer(self) -> Any:
        """What it came to, or the error that was raised there; `WorkerError` where it died."""
        try:
            failed, content = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join()
            raise WorkerError(
                f"a process that was to measure ended: {self.process.exitcode}; is there enough "
                "memory? Fewer workers or games need less"
            ) from None
        if failed:
            raise content
        return content


def together(helpers: Sequence[Helper], what: Callable[..., object], *given: object) -> list[Any]:
    """The answers of all `helpers` to the same question, asked at once."""
    for helper in helpers:
        helper.ask(what, *given)
    return [helper.answer() for helper in helpers]


def _work(pipe: Connection[Any, Any]) -> None:
    """What a process does: as it is asked, until it is ended."""
    while True:
        try:
            what, given = pipe.recv()
        except EOFError:
            return  # nobody is asking any more
        try:
            answer = False, what(*given)
        except Exception as error:
            answer = True, error
        pipe.send(answer)
