"""Seasons, drift and accuracy of load that was measured hour by hour."""

import math
import random
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.workload.forecast import DAY, HOUR, WEEK
from ecoserve.workload.history import KEPT_HOURS, LoadHistory, load_history

MONDAY = datetime(2026, 6, 1, tzinfo=UTC)
HOURS_OF_WEEK = 168


def usual(hour: int) -> float:
    """A working week: twice as much at 18:00 as at 06:00, a third of it on weekends."""
    day = 10.0 * (1.0 + math.cos(2 * math.pi * (hour % 24 - 18) / 24) / 3)
    return day / 3 if hour % HOURS_OF_WEEK >= 120 else day


def hours(
    count: int, rate: Callable[[int], float] = usual, noise: float = 0.0, seed: int = 0
) -> dict[datetime, float]:
    dice = random.Random(seed)  # noqa: S311 - made-up load guards nothing
    return {MONDAY + hour * HOUR: rate(hour) * dice.uniform(1 - noise, 1 + noise) for hour in range(count)}


def history(
    count: int, rate: Callable[[int], float] = usual, noise: float = 0.0, seed: int = 0
) -> LoadHistory:
    found = load_history(hours(count, rate, noise, seed))
    assert found is not None
    return found


def test_a_week_is_repeated_with_its_weekends() -> None:
    known = history(2 * HOURS_OF_WEEK, noise=0.1)
    now = MONDAY + 2 * WEEK
    assert known.drift is None
    assert known.accuracy is not None
    assert known.accuracy.mape is not None
    assert known.accuracy.intervals == 24
    assert known.accuracy.mape < 0.15
    assert known.expected(usual(0), now) == pytest.approx(max(usual(0), usual(1)), rel=0.12)
    saturday = now + 5 * DAY
    assert known.expected(usual(120), saturday) == pytest.approx(max(usual(120), usual(121)), rel=0.12)


def test_the_first_weekend_is_no_drift() -> None:
    assert history(150).drift is None


@given(st.integers(0, 10_000))
def test_noise_is_no_drift(seed: int) -> None:
    assert history(KEPT_HOURS, noise=0.2, seed=seed).drift is None


@pytest.mark.parametrize("factor", [2.0, 0.4, 5.0])
def test_another_level_is_drift_within_hours_and_forecasts_take_it_over(factor: float) -> None:
    begin = 9 * 24 + 10

    def stepped(hour: int) -> float:
        return usual(hour) * (factor if hour >= begin else 1.0)

    early = history(begin + 4, stepped)
    assert early.drift is not None
    assert (early.drift.since, early.drift.factor) == (MONDAY + begin * HOUR, pytest.approx(factor))
    now = MONDAY + (begin + 4) * HOUR
    assert early.expected(stepped(begin + 4), now) == pytest.approx(
        max(stepped(begin + 4), stepped(begin + 5))
    )
    later = history(begin + 100, stepped)
    assert later.drift == early.drift, "one change is told once"


def test_after_a_day_off_forecasts_are_as_before_it() -> None:
    day = 8 * 24

    def with_a_day_off(hour: int) -> float:
        return usual(hour) * (0.3 if day <= hour < day + 24 else 1.0)

    known = history(day + 48, with_a_day_off)
    now = MONDAY + (day + 48) * HOUR
    assert known.expected(usual(day + 48), now) == pytest.approx(
        max(usual(day + 48), usual(day + 49)), rel=0.05
    )


def test_where_the_present_is_not_as_history_has_it_no_forecast_counts() -> None:
    known = history(KEPT_HOURS)
    now = MONDAY + 2 * WEEK
    assert known.expected(3 * usual(0), now) is None
    assert known.expected(0.3 * usual(0), now) is None
    assert known.surprise(usual(0), now) == 0
    assert known.surprise(2 * usual(0), now) == 3


def test_with_less_than_a_day_nothing_is_expected() -> None:
    assert history(20).expected(usual(20), MONDAY + 20 * HOUR) is None
    assert history(20).accuracy is None


def test_hours_without_a_figure_are_as_the_day_before() -> None:
    known = hours(60)
    for hour in (0, 30, 31):
        del known[MONDAY + hour * HOUR]
    found = load_history(known)
    assert found is not None
    assert found.series.start == MONDAY + HOUR
    assert found.series.at(MONDAY + 30 * HOUR) == usual(6)
    assert load_history({}) is None


@given(st.integers(1, 600), st.integers(0, 99))
def test_memory_is_bounded_and_figures_stay_finite(count: int, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - made-up load guards nothing
    found = history(count, lambda _: dice.choice((0.0, 0.001, 1.0, 1e6)))
    assert len(found.series.values) <= KEPT_HOURS
    assert all(math.isfinite(value) and value >= 0 for value in found.series.values)
