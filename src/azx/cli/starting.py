"""Before the first move: what is compiled once in an installation's life, and how far that is."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from azx.cli.show import Strategy
from azx.cli.terminal import busy, say, stderr
from azx.runtime.compiled import compiled_so_far
from azx.runtime.play import play_games
from azx.runtime.players import network_player
from azx.runtime.seeds import draw_orders, game_keys

#: Seconds between two looks at how far it is; what takes less is not worth a word.
INTERVAL = 0.2


def get_ready(strategy: Strategy) -> None:
    """Have all that this way of playing needs compiled or loaded, saying so where it is long."""
    with _telling():
        keys = game_keys(0, 1)
        budget = strategy.budget
        least = None if budget is None else budget.least
        player = network_player(strategy.evaluator, least, strategy.one_ply)
        play_games(player, draw_orders(strategy.variant, keys), keys).scores()


@contextmanager
def _telling() -> Iterator[None]:
    """Say that it compiles, where it does: how far it is on a terminal, a single line elsewhere."""
    console = stderr()
    start, finished = time.monotonic(), threading.Event()
    with busy("getting ready") as tell:

        def watch() -> None:
            said = False
            while not finished.wait(INTERVAL):
                ready, anew, total = compiled_so_far()
                if anew and console.is_terminal:
                    tell(
                        "compiling for this machine, this once: "
                        f"{ready} of {total} functions, {time.monotonic() - start:.0f} s"
                    )
                elif anew and not said:
                    say(console, "compiling for this machine, this once (up to 20 s)")
                    said = True

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            finished.set()
            watcher.join()
