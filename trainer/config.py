"""Everything that a training run can be told, checked at one place.

A preset is a TOML file in `configs/` whose tables and keys are these classes and fields; a run
keeps the whole of it in its `config.json`.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import azx.runtime
from azx.runtime.errors import UsageError
from azx.runtime.variant import variant_named
from azx.trainer.network import NetworkConfig

CONFIGS = Path(azx.runtime.__file__).resolve().parents[1] / "configs"


#: What a network may learn from: games of its own, those of another network that it is beside, or
#: recorded ones.
SOURCES = ("itself", "teacher", "games")


class Bound(NamedTuple):
    """What a number must be."""

    holds: Callable[[float], bool]
    said: str


AT_LEAST_ONE = Bound(lambda value: value >= 1, "at least 1")
AT_LEAST_TWO = Bound(lambda value: value >= 2, "at least 2")
SHARE = Bound(lambda value: 0 <= value <= 1, "between 0 and 1")
POSITIVE = Bound(lambda value: value > 0, "above 0")
NOT_NEGATIVE = Bound(lambda value: value >= 0, "0 or more")


def _check(config: object, prefix: str, names: Sequence[str], bound: Bound) -> None:
    """`UsageError` where a field is not within the bound; `prefix` is of the fields' names."""
    for name in names:
        value = getattr(config, name)
        if not (math.isfinite(value) and bound.holds(value)):
            raise UsageError(f"{prefix}{name} must be {bound.said}, found {value}")


@dataclass(frozen=True)
class SelfPlayConfig:
    """How games for learning are made."""

    games_per_round: int = 1024
    simulations: int = 0  # 0: the one-ply expectation of a single forward instead of a tree
    # Without a tree: best cells of a decision that are laid and looked at, and tiles that did not
    # come, of which the best cell is looked at too.
    candidates: int = 1
    other_tiles: int = 0
    by_lot: int = 0  # of those tiles, so many lie on any cell instead: what nobody would look at
    explore: float = 0.3  # share of placements made at random in the beginning
    explore_end: float = 0.03  # ... and from `explore_until` on
    explore_until: float = 0.33  # share of the stage
    noise: float = 5.0  # points of Gumbel noise on the other placements, without a tree
    noise_end: float = 5.0

    def __post_init__(self) -> None:
        _check(self, "selfplay.", ("games_per_round", "candidates"), AT_LEAST_ONE)
        _check(self, "selfplay.", ("explore", "explore_end", "explore_until"), SHARE)
        rest = ("simulations", "other_tiles", "by_lot", "noise", "noise_end")
        _check(self, "selfplay.", rest, NOT_NEGATIVE)
        for name in ("noise", "explore"):
            start, end = getattr(self, name), getattr(self, f"{name}_end")
            if end > start:
                raise UsageError(
                    f"selfplay.{name}_end is at most selfplay.{name}, {start:g}, for it falls "
                    f"over the run; found {end:g}: set both"
                )
        if self.by_lot > self.other_tiles:
            raise UsageError(
                f"selfplay.by_lot is at most selfplay.other_tiles ({self.other_tiles}), of which "
                f"it is a part; found {self.by_lot}"
            )


@dataclass(frozen=True)
class LearningConfig:
    """How the network learns from them."""

    optimizer: str = "adamw"  # or muon, for the matrices in the blocks: dear where they are wide
    rate: float = 1e-3  # rises at first, then falls to 0 along a half cosine
    batch_size: int = 512
    passes: float = 3.0  # how often a position is learnt from
    replay_rounds: int = 4  # positions older than this are forgotten
    weight_decay: float = 0.01
    clip: float = 1.0  # largest norm of the gradient
    lambda_start: float = 0.9  # of the lambda-returns, which changes to ...
    lambda_end: float = 0.0  # ... this, reached at ...
    lambda_until: float = 0.2  # ... this share of the stage
    average_rate: float = 0.02  # of the averaged weights that play, are evaluated and exported
    # In self-play, a lesson from itself: beside what is found of the placements looked at, of all
    # of them what the averaged network said while it played. It keeps those that nobody looks at
    # from drifting; a position remembers a kilobyte more. A teacher's q is the lesson anyway.
    hold_q: bool = False
    policy_weight: float = 0.05  # of the cross-entropy, beside the squared error in units of POINTS
    temperature: float = 2.0  # points; the policy learns softmax((gain + q) / temperature)
    precision: str = "auto"  # float32, bfloat16, or the faster of them on this processor

    def __post_init__(self) -> None:
        _check(self, "learning.", ("batch_size", "replay_rounds"), AT_LEAST_ONE)
        shares = ("lambda_start", "lambda_end", "lambda_until", "average_rate")
        _check(self, "learning.", shares, SHARE)
        sizes = ("rate", "passes", "clip", "temperature", "average_rate", "policy_weight")
        _check(self, "learning.", sizes, POSITIVE)
        _check(self, "learning.", ("weight_decay",), NOT_NEGATIVE)
        if self.optimizer not in ("adamw", "muon"):
            raise UsageError(f"learning.optimizer is adamw or muon, found {self.optimizer!r}")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise UsageError(
                f"learning.precision is auto, float32 or bfloat16, found {self.precision!r}"
            )


@dataclass(frozen=True)
class EvaluationConfig:
    """How strength is followed, on orders that are never trained on."""

    every: int = 10  # rounds of the run; at the end of a stage besides
    games: int = 500
    patience: int = 4  # evaluations that must bring something, or the run stops ...
    least_gain: float = 1.0  # ... this many points; see `azx.trainer.standing`

    def __post_init__(self) -> None:
        _check(self, "evaluation.", ("every", "patience"), AT_LEAST_ONE)
        # One game has no interval, by which evaluations are compared.
        _check(self, "evaluation.", ("games",), AT_LEAST_TWO)
        _check(self, "evaluation.", ("least_gain",), NOT_NEGATIVE)


@dataclass(frozen=True)
class TrainConfig:
    """A whole run: its first stage, and those that come after it.

    Each stage has rounds, settings and a seed of its own, and begins with the averaged weights that
    the one before it ended with, like a run that begins from another. One that stands still ends
    the run.
    """

    variant: str = "standard"
    seed: int = 0
    rounds: int = 100
    learns_from: str = "itself"  # or teacher, games: which must then be given
    network: NetworkConfig = field(default_factory=NetworkConfig)
    selfplay: SelfPlayConfig = field(default_factory=SelfPlayConfig)
    learning: LearningConfig = field(default_factory=LearningConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    then: tuple[TrainConfig, ...] = ()  # the later stages, whole; in TOML what they change

    @property
    def stages(self) -> tuple[TrainConfig, ...]:
        """All stages in their order, each as if there were no others."""
        return (dataclasses.replace(self, then=()), *self.then)

    @property
    def rounds_in_all(self) -> int:
        """The rounds of all stages."""
        return sum(stage.rounds for stage in self.stages)

    def __post_init__(self) -> None:
        _check(self, "", ("rounds",), AT_LEAST_ONE)
        _check(self, "", ("seed",), NOT_NEGATIVE)
        if self.seed >= 2**62:
            raise UsageError(f"seed must be below 2**62, found {self.seed}")
        variant = variant_named(self.variant)
        never_drawn = variant.tiles - variant.cells
        if self.selfplay.other_tiles > never_drawn:
            raise UsageError(
                f"selfplay.other_tiles must be at most the {never_drawn} tiles that are never "
                f"drawn on {self.variant}, found {self.selfplay.other_tiles}"
            )
        if self.learns_from not in SOURCES:
            raise UsageError(
                f"learns_from is {', '.join(SOURCES[:-1])} or {SOURCES[-1]}, found "
                f"{self.learns_from!r}"
            )
        if self.learning.hold_q and self.learns_from == "games":
            raise UsageError("learning.hold_q: recorded games have no q to hold; leave it out")
        for stage in self.then:
            for name in ("variant", "learns_from", "network", "evaluation"):
                if getattr(stage, name) != getattr(self, name):
                    raise UsageError(
                        f"{name} is the same in all stages of a run: set it once, outside of then"
                    )
        seeds = [self.seed, *(stage.seed for stage in self.then)]
        if len(set(seeds)) < len(seeds):
            raise UsageError(
                f"every stage needs a seed of its own, or it plays the same deals again; found "
                f"{', '.join(map(str, seeds))}"
            )

    def to_json(self) -> dict[str, Any]:
        """The inverse of `config_from_dict`."""
        first, *later = (dataclasses.asdict(stage) for stage in self.stages)
        for stage in later:
            del stage["then"]
        return {**first, "then": later}


Config = TypeVar("Config")


def config_from_dict(data: dict[str, Any], where: str) -> TrainConfig:
    """Check names and types; `UsageError` names the field, what was found and what is known.

    The tables of `then` are later stages; what one does not name is as in the stage before it.
    """
    if not isinstance(data, dict):
        raise UsageError(f"{where}: settings are a table, found {data!r}")
    changes = data.get("then", [])
    tables = isinstance(changes, list) and all(isinstance(change, dict) for change in changes)
    if not tables or any("then" in change for change in changes):
        raise UsageError(
            f"{where}: then is a list of tables, one [[then]] for each stage, found {changes!r}"
        )
    stage = {name: value for name, value in data.items() if name != "then"}
    first, later = _build(TrainConfig, stage, where, ""), []
    for number, change in enumerate(changes, start=2):
        stage = _changed(stage, change)
        try:
            later.append(_build(TrainConfig, stage, where, ""))
        except UsageError as error:
            raise UsageError(f"stage {number}: {error}") from None
    return dataclasses.replace(first, then=tuple(later))


def _changed(table: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """`table` with what `change` says, tables within it likewise."""
    changed = dict(table)
    for name, value in change.items():
        both = isinstance(value, dict) and isinstance(table.get(name), dict)
        changed[name] = _changed(table[name], value) if both else value
    return changed


def _build(kind: type[Config], data: object, where: str, prefix: str) -> Config:
    if not isinstance(data, dict):
        raise UsageError(f"{where}: {prefix.rstrip('.')} must be a table, found {data!r}")
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(data) - set(hints))
    if unknown:
        raise UsageError(
            f"{where}: unknown field {prefix}{unknown[0]}; known are "
            + ", ".join(f"{prefix}{name}" for name in hints)
        )
    values: dict[str, Any] = {}
    for name, value in data.items():
        hint = hints[name]
        if dataclasses.is_dataclass(hint):
            values[name] = _build(hint, value, where, f"{prefix}{name}.")  # type: ignore[arg-type]
        else:
            values[name] = _typed(hint, value, where, prefix + name)
    return kind(**values)


def _typed(hint: type, value: object, where: str, name: str) -> object:
    if hint is float and type(value) in (int, float):
        return float(value)  # type: ignore[arg-type]
    if type(value) is hint:
        return value
    raise UsageError(f"{where}: {name} must be {hint.__name__}, found {value!r}")


def presets() -> list[str]:
    """The names of the presets that come with azx."""
    return sorted(path.stem for path in CONFIGS.glob("*.toml"))


def load_config(preset: str, overrides: list[str]) -> TrainConfig:
    """A preset by name or path, with `table.field=value` overrides (values as in TOML)."""
    path = Path(preset) if preset.endswith(".toml") else CONFIGS / f"{preset}.toml"
    if preset.endswith(".json"):
        raise UsageError(f"{preset} is a checkpoint's name, no preset's: begin from it with --from")
    try:
        data = tomllib.loads(path.read_text())
    except FileNotFoundError:
        wanted = f"no preset {preset!r}" if path.parent == CONFIGS else f"{path}: no such file"
        raise UsageError(f"{wanted}; presets: {', '.join(presets())}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"{path} is not readable TOML: {error}") from error
    for override in overrides:
        _override(data, override)
    sets = "".join(f" --set {override}" for override in overrides)
    return config_from_dict(data, f"{path.stem}{sets}" if sets else str(path))


def _override(data: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    if not equals or not name.strip():
        raise UsageError(f"an override is FIELD=VALUE, found {override!r}")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    *tables, leaf = name.strip().split(".")
    for table in tables:
        data = data.setdefault(table, {})
        if not isinstance(data, dict):
            raise UsageError(f"{name}: {table} is not a table")
    data[leaf] = value
