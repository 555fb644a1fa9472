"""`azx`, and `python -m azx`."""

from __future__ import annotations

import signal


def main() -> None:
    """Load the command line and run it.

    Until all is loaded Ctrl-C ends the process at once: nothing has begun, and an interrupt in the
    middle of an import comes out as a traceback, or as whatever that module makes of it.
    """
    heard = signal.getsignal(signal.SIGINT)
    if heard is signal.default_int_handler:  # else nobody can interrupt, as after `nohup ... &`
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from azx.cli.main import run

    signal.signal(signal.SIGINT, heard)
    run()


if __name__ == "__main__":
    main()
