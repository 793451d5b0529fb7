from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.carbon import IntensitySeries, parse_intensity_csv
from ecoserve.errors import InvalidInputError

START = datetime(2023, 1, 1, tzinfo=UTC)


def rows(*values: object) -> str:
    lines = [f"{START + timedelta(hours=i):%Y-%m-%d %H:%M:%S}+00:00,{v}" for i, v in enumerate(values)]
    return "\n".join(["timestamp,carbon_intensity", *lines])


def test_a_plain_series():
    series = parse_intensity_csv(rows(100, 200.5, 0))
    assert series.grams_per_kwh == (100.0, 200.5, 0.0)
    assert series.times[0] == START


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("timestamp,WND,avg_CI\n2022-01-01 00:00:00+00:00,107,57.9\n", 57.9),
        (
            "Datetime (UTC),Zone Id,Carbon Intensity gCO₂eq/kWh (direct),Carbon Intensity gCO₂eq/kWh (LCA)\n"
            "2023-01-01 00:00:00,DE,140.5,185.8\n",
            185.8,
        ),
        ("\ufeffTimestamp, Carbon_Intensity \n2023-01-01T00:00:00Z,9\n\n", 9.0),
    ],
)
def test_exports_people_have(text, first):
    series = parse_intensity_csv(text)
    assert series.grams_per_kwh == (first,)
    assert series.times[0].utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (rows(1, "nan"), "zone line 3: 'nan'"),
        (rows(1, 2, -5), "zone line 4: '-5'"),
        (rows(1, "inf"), "zone line 3: 'inf'"),
        (rows(1, ""), "zone line 3: ''"),
        (rows(1, "high"), "zone line 3: 'high'"),
        ("timestamp,carbon_intensity\nyesterday,1\n", "zone line 2: 'yesterday'"),
        ("timestamp,carbon_intensity\n2023-01-01\n", "zone line 2"),
        ("timestamp,wind\n2023-01-01,1\n", "zone header"),
        ("", "zone header"),
        ("timestamp,carbon_intensity\n", "at least one row"),
        (rows(1, 2).replace("01:00:00", "00:00:00"), "zone line 3.*after the line before"),
        (rows(1, 2, 3).replace("02:00:00", "05:00:00"), "zone line 4.*02:00:00.*equal steps"),
    ],
)
def test_a_bad_series_names_the_line(text, names):
    with pytest.raises(InvalidInputError, match=names):
        parse_intensity_csv(text, "zone")


def series(*values: float) -> IntensitySeries:
    times = tuple(START + timedelta(hours=i) for i in range(len(values)))
    return IntensitySeries(times=times, grams_per_kwh=values)


@pytest.mark.parametrize(
    ("offset", "repeat", "value"),
    [
        (timedelta(0), False, 10.0),
        (timedelta(minutes=59), False, 10.0),
        (timedelta(hours=2, minutes=59), False, 30.0),
        (timedelta(hours=3), True, 10.0),
        (timedelta(hours=-1), True, 30.0),
        (timedelta(days=365, hours=1), True, 20.0),
    ],
)
def test_a_value_holds_for_its_step(offset, repeat, value):
    assert series(10, 20, 30).at(START + offset, repeat=repeat) == value


def test_time_zones_are_honoured():
    east = timezone(timedelta(hours=2))
    assert series(10, 20, 30).at(datetime(2023, 1, 1, 3, tzinfo=east)) == 20


@pytest.mark.parametrize("offset", [timedelta(hours=3), timedelta(seconds=-1)])
def test_outside_the_series_is_an_error_unless_repeated(offset):
    with pytest.raises(InvalidInputError, match="times from 2023-01-01"):
        series(10, 20, 30).at(START + offset)


@given(st.lists(st.floats(0, 2000), min_size=1, max_size=50), st.integers(-1000, 1000))
def test_repeating_is_periodic(values, hours):
    repeated = series(*values)
    at = START + timedelta(hours=hours)
    assert repeated.at(at, repeat=True) == repeated.at(at + repeated.step * len(values), repeat=True)


def test_hours_left_empty_are_filled_between_their_neighbours():
    found = parse_intensity_csv(rows(10, "", " ", 40, 50))
    assert found.grams_per_kwh == pytest.approx((10, 20, 30, 40, 50))
    assert found.filled == 2
    assert parse_intensity_csv(rows(10, *[""] * 6, 80)).filled == 6


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (("", 1, 2), "zone line 2: ''.*begins and ends"),
        ((1, 2, ""), "zone line 4: ''.*begins and ends"),
        ((1, *[""] * 7, 2), "zone line 3: ''.*at most 6 hours"),
    ],
)
def test_gaps_at_an_end_or_long_ones_are_refused(values, names):
    with pytest.raises(InvalidInputError, match=names):
        parse_intensity_csv(rows(*values), "zone")
