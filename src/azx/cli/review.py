"""`azx review`: recorded games beside the network's judgement."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from azx.cli.board import beside, draw_board, tile_name
from azx.cli.options import ModelOption, ProviderOption, ThreadsOption, UnverifiedOption
from azx.cli.review_page import review_page
from azx.cli.terminal import busy, check_writable, counted, counting, say, show_table, stdout, table
from azx.runtime.errors import UsageError
from azx.runtime.evaluator import Evaluator
from azx.runtime.files import write_json, write_text
from azx.runtime.models import model_file
from azx.runtime.onnx_evaluator import OnnxEvaluator, open_model
from azx.runtime.records import read_games
from azx.runtime.review import (
    Judge,
    Review,
    decisions,
    one_ply_judge,
    review_games,
    rollout_judge,
    search_judge,
)
from azx.runtime.rollouts import MOST_ROLLOUTS
from azx.runtime.stats import estimate

#: A page with more games than this is no longer read by anyone.
MOST_GAMES_ON_A_PAGE = 200


@dataclass(frozen=True)
class Reviewed:
    """A review and what it was made from; `first` is the number of its first game in the file."""

    review: Review
    first: int
    file: Path
    judge: str
    evaluator: OnnxEvaluator

    @property
    def heading(self) -> str:
        """The file, the judge and the model in a line."""
        model = self.evaluator.model
        return f"{self.file}, judged by {self.judge} of {model.path} ({model.sha256[:12]})"


def review(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="The games: .npz of `azx play --record`, .json, or text, `cell, [a, b, c]` a line "
            "and an empty line between games.",
        ),
    ],
    model: ModelOption = None,
    simulations: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Judge by a search of N simulations for every tile that could have come; 0 is "
            "one ply.",
        ),
    ] = 0,
    rollouts: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST_ROLLOUTS,
            metavar="N",
            show_default=False,
            help="Judge by up to N games played to their end for every tile that could have come: "
            "the strongest judge; with 100, some 15 seconds of one core a game.",
        ),
    ] = None,
    game: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="G",
            show_default="all",
            help="Review game G of the file alone, from 0, turn by turn.",
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE.HTML", show_default=False, help="Write a page to look at."),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option(metavar="FILE.JSON", show_default=False, help="Write every figure."),
    ] = None,
    provider: ProviderOption = "auto",
    threads: ThreadsOption = None,
    allow_unverified: UnverifiedOption = False,
) -> None:
    """Look at finished games again: mistakes, luck, turning points.

    score = foreseen at the start + luck of the draws - points given away + errors, where errors
    are the network's own: what it thinks of a placement a turn later, less what it thought before.

    \b
    Examples:
      azx play --human --record mine.npz && azx review mine.npz
      azx review games.json --game 4 --html game.html
      azx review games.npz --rollouts 100 --json review.json
    """
    if simulations and rollouts:
        raise UsageError("--rollouts is a judge of its own: leave out --simulations")
    games = read_games(file)
    path = model_file(model, games.variant.name)
    check_writable(html, json, read=(file, path))
    first = game or 0
    if game is not None:
        if game >= len(games):
            raise UsageError(
                f"{file} has {counted(len(games), 'game')}, numbered from 0; found --game {game}"
            )
        games = games.part(slice(game, game + 1))
    if html is not None and len(games) > MOST_GAMES_ON_A_PAGE:
        raise UsageError(
            f"{file} has {len(games):,} games, --html takes at most {MOST_GAMES_ON_A_PAGE}: "
            "choose one with --game, or use --json"
        )
    with busy(f"loading {path}"):
        many_games = rollouts is not None
        evaluator = open_model(path, games.variant, provider, threads, allow_unverified, many_games)
    words, judge = judge_of(evaluator, simulations, rollouts)
    with counting("decisions", decisions(games)) as count:
        judged = review_games(games, judge, count)
    reviewed = Reviewed(judged, first, file, words, evaluator)

    console = stdout()
    say(console, reviewed.heading, "")
    if len(games) == 1:
        _show_game(console, reviewed)
    else:
        _show_games(console, reviewed)
    if html is not None:
        write_text(html, review_page(judged, first, file.name, reviewed.heading))
        say(console, f"written    {html}")
    if json is not None:
        write_json(json, report_of(reviewed))
        say(console, f"written    {json}")


def judge_of(evaluator: Evaluator, simulations: int, rollouts: int | None) -> tuple[str, Judge]:
    """What is asked for, in words, and the judge itself."""
    if rollouts:
        return f"at most {counted(rollouts, 'rollout')}", rollout_judge(evaluator, rollouts)
    if simulations:
        return counted(simulations, "simulation"), search_judge(evaluator, simulations)
    return "one ply", one_ply_judge(evaluator)


def _show_game(console: Console, reviewed: Reviewed) -> None:
    """One game, turn by turn, then its sum and its turning points."""
    judged, variant = reviewed.review, reviewed.review.games.variant
    show_table(console, _turns(judged))
    say(console, "", *_sum_lines(judged), "")
    luck, order = judged.luck[0], judged.games.orders[0]
    for which, turn in (("luckiest draw  ", luck.argmax()), ("unluckiest draw", luck.argmin())):
        tile = tile_name(variant, order[turn])
        say(console, f"{which}  turn {turn + 1}, {tile}: {luck[turn]:+.1f} points")
    points = judged.turning_points(0)
    if not points:
        say(console, "no placement gave away a point or more")
    boards = judged.games.boards()[0]
    for turn in points:
        words = [
            f"turn      {turn + 1} of {variant.cells}",
            f"drawn     {tile_name(variant, order[turn])}",
            f"laid on   {judged.games.cells[0, turn]}",
            f"better    {judged.best_cells[0, turn]}",
            f"away      {judged.mistakes[0, turn]:.1f} points",
        ]
        say(console, "", *beside(draw_board(variant, boards[turn], numbered=True), words))


def _turns(judged: Review) -> Table:
    """A row for each turn of the only game."""
    numbers = ("turn", "cell", "best", "gain", "given away", "luck", "error", "foreseen")
    made = table("turn", "drawn", *numbers[1:], right=numbers)
    games, gains = judged.games, judged.games.gains()
    for turn in range(games.variant.cells):
        cell, best = games.cells[0, turn], judged.best_cells[0, turn]
        given = judged.mistakes[0, turn]
        made.add_row(
            str(turn + 1),
            tile_name(games.variant, games.orders[0, turn]),
            str(cell),
            str(best) if best != cell else "",
            str(gains[0, turn]),
            f"{given:.1f}" if best != cell else "",
            f"{judged.luck[0, turn]:+.1f}",
            f"{judged.errors[0, turn]:+.1f}",
            f"{judged.foreseen[0, turn + 1]:.1f}",
        )
    return made


def _sum_lines(judged: Review) -> list[str]:
    """The score of the only game, taken apart."""
    return [
        f"foreseen at the start  {judged.to_come[0, 0]:7.1f}",
        f"luck of the draws      {judged.luck[0].sum():+7.1f}",
        f"points given away      {-judged.mistakes[0].sum():+z7.1f}",
        f"errors of judgement    {judged.errors[0].sum():+7.1f}",
        f"score                  {judged.games.scores()[0]:7.1f}",
        f"score without luck     {judged.without_luck[0]:7.1f}",
    ]


def _show_games(console: Console, reviewed: Reviewed) -> None:
    """A row for each game and their mean."""
    judged = reviewed.review
    numbers = ("game", "score", "luck", "given away", "errors", "without luck")
    made = table(*numbers, "worst turn", right=numbers)
    totals = judged.totals
    for game, (score, luck, given, errors, without) in enumerate(zip(*totals, strict=True)):
        made.add_row(
            str(reviewed.first + game),
            f"{score:.0f}",
            f"{luck:+.1f}",
            f"{given:.1f}",
            f"{errors:+.1f}",
            f"{without:.1f}",
            _worst_turn(judged, game),
        )
    show_table(console, made)
    say(console, "", f"{counted(len(judged.games), 'game')}, means with 95% intervals")
    for name, values in totals._asdict().items():
        say(console, f"{name.replace('_', ' '):<14} {estimate(values)}")
    say(console, "", f"turn by turn: azx review {reviewed.file} --game N")


def _worst_turn(judged: Review, game: int) -> str:
    """The turn that gave away the most, and how much: `7 (-8.3)`."""
    mistakes = judged.mistakes[game]
    turn = int(mistakes.argmax())
    given = f"{mistakes[turn]:.1f}"
    return f"{turn + 1} (-{given})" if float(given) else ""


def report_of(reviewed: Reviewed) -> dict[str, Any]:
    """The review as it goes to JSON: points, turns from 1, cells and games from 0."""
    judged = reviewed.review
    games, gains, totals = judged.games, judged.games.gains(), judged.totals
    variant = games.variant
    listed = []
    for game in range(len(games)):
        moves = [
            {
                "turn": turn + 1,
                "tile": variant.tile_values[games.orders[game, turn]].tolist(),
                "cell": int(games.cells[game, turn]),
                "best_cell": int(judged.best_cells[game, turn]),
                "gain": int(gains[game, turn]),
                "given_away": float(judged.mistakes[game, turn]),
                "luck": float(judged.luck[game, turn]),
                "error": float(judged.errors[game, turn]),
                "foreseen": float(judged.foreseen[game, turn + 1]),
            }
            for turn in range(variant.cells)
        ]
        listed.append(
            {
                "game": reviewed.first + game,
                "foreseen_at_the_start": float(judged.to_come[game, 0]),
                **{name: float(values[game]) for name, values in totals._asdict().items()},
                "turning_points": [turn + 1 for turn in judged.turning_points(game)],
                "moves": moves,
            }
        )
    model = reviewed.evaluator.model
    return {
        "file": str(reviewed.file),
        "variant": variant.name,
        "judge": reviewed.judge,
        "model": {"path": str(model.path), "sha256": model.sha256},
        "games": listed,
    }
