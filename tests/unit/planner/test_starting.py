"""When a Job with a deadline starts."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.errors import InvalidInputError
from ecoserve.planner.starting import MARGIN, START_UP, PlannedStart, StartReason, best_start
from ecoserve.workload.forecast import HOUR, Forecast

NOW = datetime(2026, 3, 1, 8, 20, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)


def grid(*grams: float, start: datetime = MIDNIGHT) -> Forecast:
    return Forecast(start=start, interval=HOUR, values=grams)


def hours(count: float) -> timedelta:
    return timedelta(hours=count)


DAY = grid(*[500.0] * 12, 100.0, 100.0, *[500.0] * 34)


def test_it_waits_for_the_clean_hours():
    start = best_start(NOW, NOW + hours(12), hours(2), {"z": DAY})
    assert (start.at, start.reason) == (MIDNIGHT + hours(12), StartReason.CLEANER_HOUR)
    assert start.grams_per_kwh == pytest.approx(100)
    assert start.grams_per_kwh_now == pytest.approx(500)
    assert "starts at 2026-03-01 12:00 UTC" in start.sentence


def test_clean_hours_after_the_last_safe_start_are_too_late():
    start = best_start(NOW, NOW + hours(5), hours(2), {"z": DAY})
    assert (start.at, start.reason) == (NOW, StartReason.NO_CLEANER_HOUR)


def test_the_cleanest_zone_counts():
    start = best_start(NOW, NOW + hours(12), hours(2), {"z": DAY, "y": grid(*[90.0] * 48)})
    assert (start.at, start.reason) == (NOW, StartReason.NO_CLEANER_HOUR)


@pytest.mark.parametrize("forecasts", [{}, {"z": grid(1.0, 2.0)}])
def test_without_a_forecast_of_now_it_starts(forecasts):
    assert best_start(NOW, NOW + hours(12), hours(2), forecasts).reason is StartReason.NO_FORECAST


def test_an_unknown_duration_is_taken_to_need_half_the_time():
    start = best_start(NOW, NOW + hours(8), None, {"z": DAY})
    assert start.at == MIDNIGHT + hours(10)  # four hours from then hold both clean ones, and end in time
    assert start.grams_per_kwh == pytest.approx(300)


def test_little_gain_is_not_waited_for():
    nearly = grid(*[500.0] * 12, 496.0, *[500.0] * 35)
    assert best_start(NOW, NOW + hours(20), hours(1), {"z": nearly}).at == NOW


def test_a_duration_that_is_none_is_refused():
    with pytest.raises(InvalidInputError, match="duration"):
        best_start(NOW, NOW + hours(1), hours(0), {})


@given(
    st.lists(st.floats(0, 1000), min_size=48, max_size=48),
    st.floats(-5, 40),
    st.floats(0.1, 30),
    st.integers(0, 23 * 60),
    st.none() | st.floats(-5, 40),
)
def test_never_later_than_safe_and_never_worse_than_now(values, until_deadline, runs, minute, until_planned):
    now = MIDNIGHT + timedelta(minutes=minute)
    deadline, duration = now + hours(until_deadline), hours(runs)
    planned = None if until_planned is None else PlannedStart(now + hours(until_planned), "y")
    start = best_start(now, deadline, duration, {"z": grid(*values)}, planned)
    assert start.at >= now
    if start.at > now:
        assert start.at + duration * (1 + MARGIN) + START_UP <= deadline
        if start.reason is StartReason.KEPT:
            assert start.at == planned.at
        else:
            assert start.grams_per_kwh < start.grams_per_kwh_now
    assert start.sentence.startswith("starts")


@given(st.lists(st.floats(1, 1000), min_size=48, max_size=48))
def test_a_grid_that_never_falls_changes_nothing(values):
    start = best_start(NOW, NOW + hours(24), hours(2), {"z": grid(*sorted(values))})
    assert start.at == NOW
