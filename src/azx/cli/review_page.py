"""A review as one HTML page that needs nothing else: for screens of any width, and for paper."""

from __future__ import annotations

from html import escape

import numpy as np

from azx.cli.board import tile_name
from azx.cli.reports.board import BOARD_STYLE, board_svg
from azx.runtime.review import Review

#: The chart of the score foreseen, in SVG units, and the room for its labels.
CHART_WIDTH, CHART_HEIGHT, MARGIN = 640.0, 180.0, 34.0

STYLE = """
:root { color-scheme: light dark;
  --paper: #fcfcfa; --ink: #22252a; --rule: #d9dce1; }
@media (prefers-color-scheme: dark) { :root { --paper: #16181c; --ink: #e4e6ea; --rule: #363a42; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; } h3 { font-size: 1rem; }
.about { color: var(--faint); overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .15rem .6rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--rule); }
th { font-weight: 600; color: var(--faint); }
.turning td { font-weight: 600; } .bad { color: var(--bad); } .good { color: var(--good); }
.boards { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: 0; flex: 1 1 15rem; max-width: 20rem; break-inside: avoid; }
figcaption { font-size: .9rem; }
svg { width: 100%; height: auto; } svg text { font-family: inherit; fill: var(--ink); }
.curve { fill: none; stroke: var(--axis1); stroke-width: 2; } .grid { stroke: var(--rule); }
.mark { fill: var(--bad); } .label { font-size: 11px; fill: var(--faint); }
@media print { :root { --paper: #fff; --ink: #000; --rule: #bbb; }
  body { max-width: none; padding: 0; font-size: 11px; } section { break-before: page; }
  section:first-of-type { break-before: auto; } }
"""


def review_page(judged: Review, first: int, name: str, heading: str) -> str:
    """The page: all games in a table, then each by itself; `first` is the first one's number."""
    games = range(len(judged.games))
    sections = "\n".join(_game(judged, game, first + game) for game in games)
    overview = _overview(judged, first) if len(judged.games) > 1 else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Review of {escape(name)}</title>
<style>{STYLE}{BOARD_STYLE}</style>
</head>
<body>
<h1>Review of {escape(name)}</h1>
<p class="about">{escape(heading)}. Score = foreseen at the start + luck of the draws - points given
away + errors, the network's own: what it thinks of a placement a turn later, less what it thought
before.</p>
{overview}
{sections}
</body>
</html>
"""


def _row(cells: list[str], tag: str = "td", kind: str = "") -> str:
    attribute = f' class="{kind}"' if kind else ""
    return f"<tr{attribute}>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in cells) + "</tr>"


def _table(head: list[str], rows: list[str]) -> str:
    return (
        f'<div class="wide"><table><thead>{_row(head, "th")}</thead>\n<tbody>'
        + "\n".join(rows)
        + "</tbody></table></div>"
    )


def _signed(points: float) -> str:
    """Points with a sign, coloured by it."""
    return f'<span class="{"good" if points >= 0 else "bad"}">{points:+z.1f}</span>'


def _overview(judged: Review, first: int) -> str:
    """A row for each game, linked to its section."""
    rows = [
        _row(
            [
                f'<a href="#game-{first + game}">{first + game}</a>',
                f"{score:.0f}",
                _signed(luck),
                f"{given:.1f}",
                f"{errors:+.1f}",
                f"{without:.1f}",
            ]
        )
        for game, (score, luck, given, errors, without) in enumerate(
            zip(*judged.totals, strict=True)
        )
    ]
    return _table(["game", "score", "luck", "given away", "errors", "without luck"], rows)


def _game(judged: Review, game: int, number: int) -> str:
    """A game: its sum, the score foreseen, its turning points, its turns."""
    score, luck, given, errors, without = (values[game] for values in judged.totals)
    points = judged.turning_points(game)
    boards = "".join(_turning_point(judged, game, turn) for turn in points)
    turning = f'<h3>Turning points</h3>\n<div class="boards">{boards}</div>' if points else ""
    return f"""<section id="game-{number}">
<h2>Game {number}: {score:.0f} points</h2>
<p>{judged.to_come[game, 0]:.1f} foreseen at the start, {_signed(luck)} luck of the draws,
{_signed(-given)} given away, {errors:+.1f} errors of judgement. Without luck: {without:.1f}.</p>
{_chart(judged, game)}
{turning}
<h3>Turn by turn</h3>
{_turns(judged, game)}
</section>"""


def _turns(judged: Review, game: int) -> str:
    games, gains, points = judged.games, judged.games.gains(), judged.turning_points(game)
    rows = []
    for turn in range(games.variant.cells):
        cell, best = games.cells[game, turn], judged.best_cells[game, turn]
        given = judged.mistakes[game, turn]
        cells = [
            str(turn + 1),
            tile_name(games.variant, games.orders[game, turn]),
            str(cell),
            str(best) if best != cell else "",
            str(gains[game, turn]),
            f'<span class="bad">{given:.1f}</span>' if best != cell else "",
            _signed(judged.luck[game, turn]),
            f"{judged.errors[game, turn]:+.1f}",
            f"{judged.foreseen[game, turn + 1]:.1f}",
        ]
        rows.append(_row(cells, kind="turning" if turn in points else ""))
    head = ["turn", "drawn", "cell", "best", "gain", "given away", "luck", "error", "foreseen"]
    return _table(head, rows)


def _turning_point(judged: Review, game: int, turn: int) -> str:
    """The board before the placement, with the cell laid on and the better one."""
    games = judged.games
    cell, best = int(games.cells[game, turn]), int(judged.best_cells[game, turn])
    tile = tile_name(games.variant, games.orders[game, turn])
    drawing = board_svg(games.variant, games.boards()[game, turn], laid=cell, better=best)
    given = f'<span class="bad">{judged.mistakes[game, turn]:.1f} points</span> given away'
    return f"""<figure>{drawing}
<figcaption>Turn {turn + 1}: {tile} laid on {cell} (red), better on {best} (green, broken):
{given}.</figcaption></figure>"""


def _chart(judged: Review, game: int) -> str:
    """The score foreseen before the first draw and after every turn; turning points marked."""
    foreseen = judged.foreseen[game]
    low, high = np.floor(foreseen.min() / 10) * 10, np.ceil(foreseen.max() / 10 + 0.1) * 10
    last = len(foreseen) - 1
    x = MARGIN + (CHART_WIDTH - 2 * MARGIN) * np.arange(last + 1) / last
    y = MARGIN / 2 + (CHART_HEIGHT - 1.5 * MARGIN) * (high - foreseen) / (high - low)
    line = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    marks = "".join(
        f'<circle class="mark" cx="{x[turn + 1]:.1f}" cy="{y[turn + 1]:.1f}" r="4"/>'
        for turn in judged.turning_points(game)
    )
    bottom, right = CHART_HEIGHT - MARGIN, CHART_WIDTH - MARGIN
    rules = "".join(
        f'<line class="grid" x1="{MARGIN}" x2="{right}" y1="{at:.1f}" y2="{at:.1f}"/>'
        f'<text class="label" x="2" y="{at + 4:.1f}">{points:.0f}</text>'
        for points, at in ((high, MARGIN / 2), (low, bottom))
    )
    turns = "".join(
        f'<text class="label" text-anchor="middle" x="{x[turn]:.1f}" y="{bottom + 16:.1f}">{turn}'
        "</text>"
        for turn in range(0, last + 1, 3)
    )
    return (
        f'<svg viewBox="0 0 {CHART_WIDTH:.0f} {CHART_HEIGHT:.0f}" role="img" '
        f'aria-label="The score foreseen after each turn">{rules}{turns}'
        f'<polyline class="curve" points="{line}"/>{marks}'
        f'<text class="label" x="{MARGIN}" y="{CHART_HEIGHT - 4:.0f}">score foreseen after each '
        "turn, turning points marked</text></svg>"
    )
