"""Presets and overrides: what a run can be told, and what is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from azx.runtime.errors import UsageError
from azx.trainer.config import config_from_dict, load_config, presets


def test_presets_and_overrides() -> None:
    assert {"champion", "mini", "quick", "recorded", "small"} <= set(presets())
    for preset in presets():
        config = load_config(preset, [])
        assert config_from_dict(config.to_json(), "itself") == config
    config = load_config("mini", ["network.width=64", "seed=3", "learning.precision=float32"])
    assert (config.network.width, config.seed, config.learning.precision) == (64, 3, "float32")


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("network.widht=64", "unknown field network.widht; known are network.trunk"),
        ("speed=1", "unknown field speed"),
        ("network.width=wide", "network.width must be int, found 'wide'"),
        ("network.width=1.5", "network.width must be int"),
        ("network.width=100", "multiple of network.groups"),
        ("network.trunk=attention", "'dense', 'lines' or 'conv'"),
        ("variant=3", "variant must be str, found 3"),
        ("rounds=0", "rounds must be at least 1"),
        ("learning.lambda_start=1.5", "between 0 and 1"),
        ("learning.rate=0.0", "above 0"),
        ("learning.optimizer=sgd", "learning.optimizer is adamw or muon, found 'sgd'"),
        ("learns_from=books", "learns_from is itself, teacher or games, found 'books'"),
        ("selfplay.noise=1", "noise_end is at most selfplay.noise, 1, .* found 5: set both"),
        ("selfplay.explore=0", "explore_end is at most selfplay.explore, 0, .* found 0.03"),
        ("selfplay.other_tiles=9", "at most the 5 tiles that are never drawn on mini, found 9"),
        ("selfplay.by_lot=7", r"at most selfplay.other_tiles \(\d\), .* found 7"),
        ("variant=maxi", "no variant 'maxi'"),
        ("rounds", "an override is FIELD=VALUE"),
        ("rounds.more=1", "rounds is not a table"),
        ("network=3", "network must be a table"),
    ],
)
def test_wrong_config_is_refused_by_name(override: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        load_config("mini", [override])


def test_unreadable_presets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no preset 'maxi'; presets: champion, mini, quick"):
        load_config("maxi", [])
    (tmp_path / "x.toml").write_text("rounds = ")
    with pytest.raises(UsageError, match="not readable TOML"):
        load_config(str(tmp_path / "x.toml"), [])
