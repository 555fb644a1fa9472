"""The script that compares recorded players: its intervals."""

from __future__ import annotations

import numpy as np
import pytest
from recorded_games import with_interval

from azx.runtime.stats import student


@pytest.mark.parametrize(
    ("freedom", "printed"), [(1, 12.706), (3, 3.182), (4, 2.776), (9, 2.262), (1000, 1.962)]
)
def test_the_points_of_students_t_are_those_of_the_tables(freedom: int, printed: float) -> None:
    assert student(freedom) == pytest.approx(printed, abs=0.01)


def test_an_interval_of_few_games_is_students() -> None:
    samples = np.array([150.0, 160.0, 170.0, 180.0, 190.0])
    half = 2.776 * samples.std(ddof=1) / np.sqrt(5)
    assert with_interval(samples) == f"170.0 ± {half:.1f}"
