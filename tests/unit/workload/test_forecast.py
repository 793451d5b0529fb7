from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.carbon import parse_intensity_csv
from ecoserve.errors import InvalidInputError
from ecoserve.workload.forecast import (
    DAY,
    HOUR,
    LOAD_SEASONS,
    Forecast,
    accuracy,
    expect,
    of_intensity,
    parse_load_csv,
)

START = datetime(2026, 6, 1, tzinfo=UTC)
VALUES = st.lists(st.floats(0, 1000), min_size=1, max_size=80)


def series(values, interval=HOUR, start=START):
    return Forecast(start=start, interval=interval, values=tuple(map(float, values)))


def test_what_is_known_stays_and_yesterday_is_repeated_beyond_it():
    known = series(range(30))
    ahead = expect(known, START + 28 * HOUR, 6)
    assert ahead.values == (28, 29, 6, 7, 8, 9)
    assert ahead.low[:2] == ahead.high[:2] == (28, 29)


def test_load_is_expected_as_a_week_ago_where_history_reaches_that_far():
    week = series([day for day in range(8) for _ in range(24)])
    assert expect(week, START + 8 * DAY, 1, seasons=LOAD_SEASONS).values == (1.0,)
    assert expect(week.until(START + 3 * DAY), START + 3 * DAY, 1, seasons=LOAD_SEASONS).values == (2.0,)


def test_the_band_holds_what_the_same_hour_was_in_the_days_before():
    days = series([10 * (day + 1) for day in range(3) for _ in range(24)])
    ahead = expect(days, START + 3 * DAY, 2)
    assert (ahead.values, ahead.low, ahead.high) == ((30, 30), (10, 10), (30, 30))


def test_with_less_than_a_day_of_history_the_last_value_stays():
    assert expect(series([5, 7]), START + 2 * HOUR, 3).values == (7, 7, 7)
    assert expect(series([5, 7]), START - 5 * HOUR, 1).values == (5,)


def test_a_finer_series_is_averaged_over_the_interval():
    quarters = series([0, 4, 8, 12], interval=HOUR / 4)
    assert expect(quarters, START, 1).values == (6.0,)
    assert quarters.mean(START + HOUR / 8, HOUR / 4) == pytest.approx(2.0)


@given(VALUES, st.data())
def test_a_mean_is_that_of_its_minutes(values, data):
    hours = series(values)
    first = data.draw(st.integers(0, 60 * len(values) - 1))
    minutes = range(first, data.draw(st.integers(first + 1, 60 * len(values))))
    mean = hours.mean(START + minutes[0] * HOUR / 60, len(minutes) * HOUR / 60)
    assert mean == pytest.approx(sum(values[minute // 60] for minute in minutes) / len(minutes))
    with pytest.raises(InvalidInputError):
        hours.mean(START + minutes[0] * HOUR / 60, len(values) * HOUR + HOUR / 60)


@given(VALUES, st.integers(-200, 200))
def test_a_repeated_series_is_the_same_in_every_round(values, rounds):
    one = series(values)
    again = expect(one, START + rounds * len(values) * HOUR, len(values), repeat=True)
    assert again.values == one.values


@given(VALUES, st.integers(1, 60), st.integers(0, 40))
def test_every_forecast_is_made_of_values_that_were_seen(values, intervals, after):
    ahead = expect(series(values), START + after * HOUR, intervals)
    assert len(ahead.values) == intervals
    assert all(any(abs(value - seen) < 1e-6 for seen in values) for value in ahead.values)
    assert all(
        low <= value <= high for low, value, high in zip(ahead.low, ahead.values, ahead.high, strict=True)
    )


def test_accuracy_by_hand():
    found = accuracy(series([110, 90, 5]), series([100, 100, 0]))
    assert found.mape == pytest.approx(0.1)
    assert found.bias == pytest.approx(5 / 3)
    assert found.intervals == 3


def test_accuracy_needs_a_common_time():
    with pytest.raises(InvalidInputError, match="actual values"):
        accuracy(series([1]), series([1], start=START + DAY))


def test_nothing_after_the_present_is_history():
    assert series([1, 2, 3]).until(START + 1.5 * HOUR).values == (1.0,)
    assert series([1, 2, 3]).until(START) is None


def test_a_grid_series_becomes_a_forecast():
    found = of_intensity(
        parse_intensity_csv("timestamp,carbon_intensity\n2026-06-01,3\n2026-06-01 00:30,5\n")
    )
    assert (found.interval, found.mean(START, HOUR)) == (HOUR / 2, 4.0)


def test_load_is_read_by_stream():
    found = parse_load_csv("timestamp,chat/online,chat/offline\n2026-06-01,1,2\n2026-06-01 01:00,3,4\n")
    assert found["chat/online"].values == (1, 3)
    assert found["chat/offline"].at(START + HOUR) == 4


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "header"),
        ("time,a\n", "header"),
        ("timestamp,a,a\n", "header"),
        ("timestamp,a\n", "at least one row"),
        ("timestamp,a\nyesterday,1\n", "line 2"),
        ("timestamp,a\n2026-06-01,1,2\n", "line 2"),
        ("timestamp,a\n2026-06-01,nan\n", "line 2 a"),
        ("timestamp,a\n2026-06-01,-1\n", "line 2 a"),
        ("timestamp,a\n2026-06-01,1\n2026-06-01,1\n", "line 3"),
        ("timestamp,a\n2026-06-01,1\n2026-06-02,1\n2026-06-04,1\n", "line 4"),
    ],
)
def test_bad_load_is_told_by_line(text, problem):
    with pytest.raises(InvalidInputError, match=problem):
        parse_load_csv(text)


@pytest.mark.parametrize(
    "changes",
    [
        {"values": ()},
        {"values": (1.0, float("nan"))},
        {"low": (1.0,)},
        {"high": (-1.0, 1.0)},
        {"interval": timedelta(0)},
    ],
)
def test_a_forecast_that_makes_no_sense_is_refused(changes):
    with pytest.raises(InvalidInputError, match="forecast"):
        Forecast(**{"start": START, "interval": HOUR, "values": (1.0, 2.0)} | changes)


def test_outside_of_its_times_a_forecast_has_no_value():
    with pytest.raises(InvalidInputError, match="time"):
        series([1]).at(START + HOUR)
    with pytest.raises(InvalidInputError, match="intervals"):
        expect(series([1]), START, 0)
