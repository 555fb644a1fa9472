"""Every error azx raises on purpose.

    AzxError
    ├── UsageError         wrong use: an option, a name, a combination          exit code 2
    ├── InputError         a file that cannot be read as what it should be      exit code 2
    │   ├── ModelError     ... as a model
    │   ├── RecordError    ... as orders or a record of games
    │   └── RunError       ... as a training run or checkpoint
    ├── ProviderError      the device asked for is not to be had                exit code 2
    ├── WorkerError        processes that play games die again and again        exit code 2
    └── CheckFailed        everything was readable, and a check said no         exit code 1
        └── GateRefused    ... the export gate's, with its report (azx.export.gate)

The message is for the person at the terminal: what was found, what was expected, what to do.
"""

from __future__ import annotations


class AzxError(Exception):
    """The base of all; `exit_code` is what the command line returns for it."""

    exit_code = 2


class UsageError(AzxError):
    """Wrong use: an option, a name, a combination of them."""


class InputError(AzxError):
    """A file that is missing, unreadable, or not what it should be."""


class ModelError(InputError):
    """A file that is no model, a damaged one, or one for another game."""


class RecordError(InputError):
    """Orders or recorded games that break the rules or the format."""


class RunError(InputError):
    """A training run or checkpoint that is incomplete or does not fit."""


class ProviderError(AzxError):
    """The execution provider that was asked for is not available."""


class WorkerError(AzxError):
    """Processes that were to play games died, again and again."""


class CheckFailed(AzxError):
    """All inputs were good, and what was checked is not."""

    exit_code = 1


class ProviderWarning(UserWarning):
    """A better execution provider is there, and does not work."""


def first_line(error: BaseException) -> str:
    """Type and first line of an error, for a message that names its cause."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0][:200]}" if text else type(error).__name__
