"""`azx`, and `python -m azx`."""

from __future__ import annotations

import signal


def main() -> None:
    """Load the command line and run it.

    Until all is loaded Ctrl-C ends the process at once: nothing has begun, and an interrupt in the
    middle of an import comes out as a traceback, or as whatever that module makes of it.
    """
    # Else nobody can interrupt, as after `nohup ... &`.
    heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heeded:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from azx.cli.main import run

    if heeded:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run()


if __name__ == "__main__":
    main()
