"""What changes over a stage of a run, as functions of the share of it that is done."""

from __future__ import annotations

from azx.trainer.config import LearningConfig, SelfPlayConfig
from azx.trainer.selfplay import Exploration


def _ramp(start: float, end: float, until: float, progress: float) -> float:
    """From `start` to `end` in a straight line, which is reached at `until`."""
    share = 1.0 if until <= 0 else min(progress / until, 1.0)
    return start + (end - start) * share


def exploration(config: SelfPlayConfig, progress: float) -> Exploration:
    """Much at first, when nothing is known; little later."""
    return Exploration(
        _ramp(config.explore, config.explore_end, config.explore_until, progress),
        _ramp(config.noise, config.noise_end, 1.0, progress),
    )


def lambda_at(config: LearningConfig, progress: float) -> float:
    """High at first, to carry the end of the game back, when the values know nothing yet."""
    return _ramp(config.lambda_start, config.lambda_end, config.lambda_until, progress)
