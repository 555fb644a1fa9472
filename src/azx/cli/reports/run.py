"""A training run as a report: is it learning, how strong is it, and what happens in the layers?"""

from __future__ import annotations

import fcntl
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from azx.cli.reports import figures
from azx.cli.reports.board import board_svg
from azx.cli.reports.page import Report, Section, Table
from azx.runtime.errors import AzxError, RunError
from azx.runtime.files import exists, read_bytes
from azx.runtime.play import play_games
from azx.runtime.players import OnePlyPlayer
from azx.runtime.seeds import draw_orders, game_keys

#: Games that the page shows, of orders that nothing else is measured on.
SAMPLES, SAMPLE_SEED = 3, 0x5A3E

#: Letters of why there are none, where weights cannot be read.
REASON = 300

#: Of a run, a line of JSON for every round; `azx.trainer.journal` writes it.
METRICS = "metrics.jsonl"

Metrics = dict[str, Any]


def is_training(run: Path) -> bool:
    """Whether a process holds the run's lock, as `azx train` does until it ends or dies."""
    try:
        with (run / "lock").open() as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # no such file, or no locks here
    return False


def has_rounds(run: Path) -> bool:
    """Whether a first round is on record."""
    path = run / METRICS
    return exists(path) and b"\n" in path.read_bytes()


def read_metrics(run: Path) -> list[Metrics]:
    """A dict for each round; a line that is being written is left out."""
    if not (exists(run) and run.is_dir()):
        raise RunError(f"{run}: no such run; give the folder that `azx train` named")
    path = run / METRICS
    if not exists(path):
        raise RunError(f"{run} is no run of `azx train`, or has no round yet: no {METRICS}")
    written = read_bytes(path, RunError)
    try:
        lines = written.decode().splitlines(keepends=True)
        rounds = [json.loads(line) for line in lines if line.endswith("\n")]
    except ValueError as error:
        raise RunError(f"{path} is no list of rounds: {error}") from error
    if not rounds:
        raise RunError(f"{run} has no finished round")
    return rounds


def _read_config(run: Path) -> dict[str, Any]:
    path = run / "config.json"
    try:
        config: dict[str, Any] = json.loads(read_bytes(path, RunError))
    except ValueError as error:
        raise RunError(f"{path} is no config of a run: {error}") from error
    return config


def run_report(run: Path, with_figures: bool, refresh: int | None = None) -> Report:
    """The page of the run in the folder `run`; needs torch for its sample of games.

    `RunError` where its config or its metrics cannot be read, or lack something.
    """
    config, rounds = _read_config(run), read_metrics(run)
    try:
        return _page(run, config, rounds, with_figures, refresh)
    except KeyError as error:
        raise RunError(
            f"config.json or {METRICS} of {run} lacks {error}: the run is of another version of "
            "azx, or broken"
        ) from error


def _page(
    run: Path,
    config: dict[str, Any],
    rounds: list[Metrics],
    with_figures: bool,
    refresh: int | None,
) -> Report:
    stages = [config, *config.get("then", [])]
    last = rounds[-1]
    network = config["network"]
    about = (
        f"{config['variant']}, {network['trunk']} trunk, {network['width']} wide, "
        f"{network['blocks']} block(s); "
        f"round {last['round']} of {sum(stage['rounds'] for stage in stages)}"
    )
    sections = [
        _strength(rounds, with_figures),
        _losses(rounds, with_figures),
        _values(rounds, with_figures),
        _layers(rounds, with_figures),
        _time(rounds, with_figures),
        _games(run, with_figures),
        Section("Config", tables=[_settings(stages)]),
    ]
    shown = [s for s in sections if s is not None]
    return Report(f"Training run {run.name}", about, list(_cards(rounds)), shown, refresh)


def _evaluated(rounds: list[Metrics]) -> list[Metrics]:
    return [metrics for metrics in rounds if "one_ply" in metrics]


def _cards(rounds: list[Metrics]) -> Iterator[tuple[str, str]]:
    last, evaluated = rounds[-1], _evaluated(rounds)
    if evaluated:  # the last: the largest of many noisy means would flatter
        for key, player in (("one_ply", "one ply"), ("policy", "the policy alone")):
            score, within = evaluated[-1][key], evaluated[-1][f"{key}_ci"]
            yield f"{score:.2f} ± {within:.2f}", f"points by {player}, last measured"
    yield f"{last['games']:,}", f"games in {last['seconds'] / 60:.0f} minutes"
    yield f"{last['departure']:.2f} nats", "of the policy from the uniform one"


def _strength(rounds: list[Metrics], with_figures: bool) -> Section | None:
    found = _evaluated(rounds)
    if not found:
        return None
    games = [metrics["games"] for metrics in found]
    curves: dict[str, Any] = {
        label: (games, [m[key] for m in found], [m[f"{key}_ci"] for m in found])
        for label, key in (("one ply", "one_ply"), ("policy", "policy"))
    }
    rows = [
        (
            str(m["round"]),
            f"{m['games']:,}",
            f"{m['seconds'] / 60:.1f}",
            f"{m['policy']:.2f} ± {m['policy_ci']:.2f}",
            f"{m['one_ply']:.2f} ± {m['one_ply_ci']:.2f}",
        )
        for m in found
    ]
    drawn = [("score by games", figures.lines(curves, "games", "points"))] if with_figures else []
    columns = ("round", "games", "minutes", "policy", "one ply")
    return Section("How strong", ["Luck out, 95% intervals."], drawn, [Table(columns, rows, 0)])


def _losses(rounds: list[Metrics], with_figures: bool) -> Section:
    last = rounds[-1]
    words = [
        f"Last: value {last['value_loss']:.2f} points² over a floor of {last['value_floor']:.2f}, "
        f"policy {last['policy_loss']:.3f} nats over {last['policy_floor']:.3f}, gradient "
        f"{last['gradient_norm']:.3g}."
    ]
    held_out = [metrics for metrics in rounds if "held_out_value_loss" in metrics]
    if held_out:
        words.append(
            "On games held out: value {held_out_value_loss:.2f} points², policy "
            "{held_out_policy_loss:.3f} nats.".format(**held_out[-1])
        )
    drawn = []
    if with_figures:
        for what, unit in (("value", "points²"), ("policy", "nats")):
            curves = {
                "loss": _curve(rounds, f"{what}_loss"),
                "floor": _curve(rounds, f"{what}_floor"),
            }
            if held_out:
                curves["held out"] = _curve(held_out, f"held_out_{what}_loss")
            drawn.append(
                (f"{what} loss, and its floor", figures.lines(curves, "round", unit, marks=False))
            )
        if any(metrics["lesson_loss"] for metrics in rounds):
            curves = {"loss": _curve(rounds, "lesson_loss")}
            caption = "loss against what the one that plays says of all placements"
            drawn.append((caption, figures.lines(curves, "round", "points²", marks=False)))
    return Section("What is left to learn", words, drawn)


def _curve(rounds: list[Metrics], name: str) -> tuple[list[int], list[float], None]:
    """A figure of every round, without intervals."""
    return [metrics["round"] for metrics in rounds], [metrics[name] for metrics in rounds], None


def _values(rounds: list[Metrics], with_figures: bool) -> Section | None:
    found = _evaluated(rounds)
    if not found:
        return None
    last = found[-1]
    turns = range(1, len(last["explained"]) + 1)
    rows = [
        (str(turn), f"{share:.2f}", f"{points:+.1f}")
        for turn, share, points in zip(turns, last["explained"], last["bias"], strict=True)
    ]
    drawn = []
    if with_figures:
        picked = {m["round"]: m for m in (found[0], found[len(found) // 2], found[-1])}
        curves: dict[str, Any] = {
            f"round {number}": (list(turns), m["explained"], None) for number, m in picked.items()
        }
        caption = "share of the variance of the points to come that the value explains, by turn"
        drawn.append((caption, figures.lines(curves, "turn", "share")))
    columns = ("turn", "explained", "bias, points")
    return Section("What the value explains", (), drawn, [Table(columns, rows, 0)])


def _layers(rounds: list[Metrics], with_figures: bool) -> Section | None:
    found = [metrics for metrics in rounds if "layers" in metrics]
    if not found:
        return None
    rows = [
        (name, f"{weight:.3g}", f"{gradient:.2g}", f"{gradient / weight:.1e}" if weight else "")
        for name, (weight, gradient) in found[-1]["layers"].items()
    ]
    drawn = []
    if with_figures:
        at = [metrics["round"] for metrics in found]
        names = list(found[-1]["layers"])
        for number, what in enumerate(("weights", "gradients")):
            table = [[metrics["layers"][name][number] for metrics in found] for name in names]
            drawn.append((f"root mean square of {what}", figures.heat(names, at, table, "round")))
    columns = ("parameter", "rms", "rms of its gradient", "ratio")
    return Section("Layers", (), drawn, [Table(columns, rows)])


def _time(rounds: list[Metrics], with_figures: bool) -> Section:
    parts = {
        what: [sum(m[f"seconds_{what}"] for m in rounds) / 60] for what in ("playing", "learning")
    }
    words = ", ".join(f"{what} {minutes[0]:.1f} minutes" for what, minutes in parts.items())
    drawn = []
    if with_figures:
        drawn.append(("where the time goes", figures.bars(["the run"], parts, "minutes")))
    return Section("Time", [words + "."], drawn)


def _games(run: Path, with_figures: bool) -> Section | None:
    """Final boards of a few games by one ply, by the best weights so far."""
    if not (run / "best.json").exists():
        return None
    from azx.trainer.checkpoint import load_network
    from azx.trainer.torch_evaluator import TorchEvaluator

    try:
        evaluator = TorchEvaluator(load_network(run / "best.json").network)
    except AzxError as error:
        # All else on the page needs no weights.
        return Section("Games", [f"None are shown: {' '.join(str(error).split())[:REASON]}"])
    keys = game_keys(SAMPLE_SEED, SAMPLES)
    games = play_games(OnePlyPlayer(evaluator), draw_orders(evaluator.variant, keys), keys)
    boards, scores = games.boards()[:, -1], games.scores()
    drawn = []
    if with_figures:
        drawn = [
            (f"{score} points", board_svg(games.variant, board))
            for board, score in zip(boards, scores, strict=True)
        ]
    words = f"One ply, by the best weights: {', '.join(str(int(s)) for s in np.asarray(scores))}."
    return Section("Games", [words], drawn)


def _settings(stages: list[dict[str, Any]]) -> Table:
    """Every field with its value, and beside it what later stages change."""
    settings = [dict(_flat(stage)) for stage in stages]
    rows = []
    for name in settings[0]:
        values = [of_stage[name] for of_stage in settings]
        changed = [new if new != old else "" for old, new in itertools.pairwise(values)]
        rows.append((name, values[0], *changed))
    heads = ["value"] if len(stages) == 1 else [f"stage {n + 1}" for n in range(len(stages))]
    return Table(("field", *heads), rows, 1 + len(stages))


def _flat(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in config.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif name != "then":
            yield f"{prefix}{name}", str(value)
