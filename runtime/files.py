"""Files appear whole or not at all: written beside the target, then renamed onto it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from azx.runtime.errors import InputError, UsageError


def exists(path: Path) -> bool:
    """Whether it is there; False where it cannot even be asked about, which `Path` may raise."""
    return os.path.exists(path)  # noqa: PTH110


def is_device(path: Path) -> bool:
    """Whether it is a device or a pipe, which cannot be replaced, only written to."""
    return exists(path) and not path.is_file() and not path.is_dir()


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success it becomes `path`, else it goes."""
    if is_device(path):
        try:
            yield path
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror or error}") from error
        return
    path = Path(path).resolve()  # a link is followed, and stays
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {path.parent}: {error.strerror}") from error
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give the name of a file")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` in one step."""
    with whole_file(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write `text` in one step, as UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, data: object) -> None:
    """Write `data` as readable JSON in one step; NaN is refused, for other tools cannot read it."""
    write_text(path, json.dumps(data, indent=2, allow_nan=False) + "\n")


def read_bytes(path: Path, what: type[InputError] = InputError) -> bytes:
    """The content of a file, with an error of type `what` that says why it cannot be read."""
    path = Path(path)
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise what(f"{path}: no such file") from None
    except IsADirectoryError:
        raise what(f"{path} is a folder, expected a file") from None
    except OSError as error:
        raise what(f"{path} cannot be read: {error.strerror}") from error
