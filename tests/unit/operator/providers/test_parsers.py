"""Replies in the shapes that providers send, and everything that can be wrong with one."""

import base64
import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.carbon import Accounting, Signal
from ecoserve_operator.signals.providers import (
    azure_config_map,
    carbon_aware_sdk,
    electricity_maps,
    prometheus,
    uk_carbon_intensity,
    watttime,
)
from ecoserve_operator.signals.providers.parsing import moment, newest, series_of
from ecoserve_operator.signals.providers.port import BadReplyError, Point

NOW = datetime(2026, 3, 6, 19, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)


def at(hours: float) -> str:
    return (datetime(2026, 3, 6, 19, tzinfo=UTC) + hours * HOUR).isoformat().replace("+00:00", "Z")


EM_LATEST = {
    "zone": "DE", "carbonIntensity": 216, "datetime": at(0), "updatedAt": at(0.2), "createdAt": at(-70),
    "emissionFactorType": "lifecycle", "isEstimated": True, "estimationMethod": "TIME_SLICER_AVERAGE",
}  # fmt: skip
EM_FORECAST = {
    "zone": "DE",
    "forecast": [{"carbonIntensity": 200 + hour, "datetime": at(hour)} for hour in range(5)],
    "updatedAt": at(0),
}
WT_FORECAST = {
    "data": [{"point_time": at(minutes / 60), "value": 1000.0 + minutes} for minutes in range(0, 120, 5)],
    "meta": {
        "data_point_period_seconds": 300, "region": "CAISO_NORTH", "signal_type": "co2_moer",
        "units": "lbs_co2_per_mwh", "warnings": [], "model": {"date": "2022-10-01"},
        "generated_at": at(0), "generated_at_period_seconds": 300,
    },
}  # fmt: skip


def half_hour(slot: int, /, **intensity: object) -> dict[str, object]:
    begin = datetime(2026, 3, 6, 19, tzinfo=UTC) + slot * HOUR / 2
    written = [f"{time:%Y-%m-%dT%H:%MZ}" for time in (begin, begin + HOUR / 2)]
    return {"from": written[0], "to": written[1], "intensity": intensity}


UK = {
    "data": [
        half_hour(0, forecast=266, actual=263, index="moderate"),
        half_hour(1, forecast=260, actual=None, index="moderate"),
        half_hour(2, forecast=250, actual=None, index="moderate"),
    ]
}
SDK_EMISSIONS = [
    {"location": "eastus", "time": at(-hours), "rating": 70 + hours, "duration": "01:00:00"}
    for hours in range(3)
]
SDK_FORECAST = [
    {
        "generatedAt": at(0), "requestedAt": at(0), "location": "eastus", "dataStartAt": at(0),
        "dataEndAt": at(24), "windowSize": 10,
        "optimalDataPoints": [{"location": "eastus", "timestamp": at(1), "duration": 10, "value": 448.4}],
        "forecastData": [
            {"location": "eastus", "timestamp": at(hour / 6), "duration": 10, "value": 448.4 + hour}
            for hour in range(6)
        ],
    }
]  # fmt: skip
AZURE = [
    {"location": "PJM_ROANOKE", "timestamp": at(minutes / 60), "duration": 5, "value": 550.985}
    for minutes in range(0, 60, 5)
]
PROM_QUERY = {
    "status": "success",
    "data": {
        "resultType": "vector",
        "result": [{"metric": {"zone": "DE"}, "value": [NOW.timestamp(), "123.4"]}],
    },
}
PROM_RANGE = {
    "status": "success",
    "data": {
        "resultType": "matrix",
        "result": [{"metric": {}, "values": [[NOW.timestamp() - 3600 * n, str(100 + n)] for n in (2, 1, 0)]}],
    },
}


def config_map(records: object) -> dict[str, Any]:
    return {"binaryData": {"data": base64.b64encode(json.dumps(records).encode()).decode()}}


Parse = Callable[[Any], list[Point]]
PARSERS: dict[str, tuple[Any, Parse]] = {
    "em latest": (EM_LATEST, lambda d: [electricity_maps.parse_latest(d, "DE", "lifecycle", NOW)]),
    "em forecast": (EM_FORECAST, lambda d: electricity_maps.parse_list(d, "DE", "forecast")),
    "watttime": (WT_FORECAST, lambda d: watttime.parse_forecast(d, "CAISO_NORTH", NOW)),
    "uk": (UK, lambda d: uk_carbon_intensity.parse_intensities(d, None)),
    "sdk emissions": (SDK_EMISSIONS, lambda d: carbon_aware_sdk.parse_emissions(d, "eastus")),
    "sdk forecast": (SDK_FORECAST, lambda d: carbon_aware_sdk.parse_forecast(d, "eastus")),
    "azure": (AZURE, lambda d: azure_config_map.parse_config_map(config_map(d), "PJM_ROANOKE")),
    "prometheus query": (PROM_QUERY, lambda d: [prometheus.parse_query(d, NOW)]),
    "prometheus range": (PROM_RANGE, prometheus.parse_range),
}
VALUE: dict[str, tuple[str | int, ...]] = {
    "em latest": ("carbonIntensity",),
    "em forecast": ("forecast", 1, "carbonIntensity"),
    "watttime": ("data", 1, "value"),
    "uk": ("data", 1, "intensity", "forecast"),
    "sdk emissions": (1, "rating"),
    "sdk forecast": (0, "forecastData", 1, "value"),
    "azure": (1, "value"),
    "prometheus query": ("data", "result", 0, "value", 1),
    "prometheus range": ("data", "result", 0, "values", 1, 1),
}


def changed(document: Any, path: tuple[str | int, ...], value: object) -> Any:
    document = copy.deepcopy(document)
    inner = document
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return document


@pytest.mark.parametrize(
    ("name", "count", "first"),
    [
        ("em latest", 1, 216.0), ("em forecast", 5, 200.0), ("watttime", 24, 453.592), ("uk", 3, 263.0),
        ("sdk emissions", 3, 70.0), ("sdk forecast", 6, 448.4), ("azure", 12, 550.985),
        ("prometheus query", 1, 123.4), ("prometheus range", 3, 102.0),
    ],
)  # fmt: skip
def test_a_good_reply_gives_grams_per_kwh_in_utc(name: str, count: int, first: float) -> None:
    document, parse = PARSERS[name]
    points = parse(document)
    assert (len(points), points[0].grams_per_kwh) == (count, first)
    assert all(point.time.utcoffset() == timedelta(0) for point in points)


@pytest.mark.parametrize("bad", [-1, float("nan"), float("inf"), "high", True, [], 10**9])
@pytest.mark.parametrize("name", PARSERS)
def test_a_value_that_cannot_be_spoils_the_reply(name: str, bad: object) -> None:
    document, parse = PARSERS[name]
    if name.startswith("prometheus"):
        bad = "-0.5" if isinstance(bad, float) else json.dumps(bad)
        if bad == "true":
            bad = "+Inf"
    with pytest.raises(BadReplyError):
        parse(changed(document, VALUE[name], bad))


@pytest.mark.parametrize("name", [name for name in PARSERS if name not in ("em latest", "prometheus query")])
def test_a_null_is_a_value_left_out(name: str) -> None:
    document, parse = PARSERS[name]
    null = "NaN" if name.startswith("prometheus") else None
    assert len(parse(changed(document, VALUE[name], null))) == len(parse(document)) - 1


@pytest.mark.parametrize("name", ["em latest", "prometheus query"])
def test_a_null_for_now_is_no_answer(name: str) -> None:
    document, parse = PARSERS[name]
    with pytest.raises(BadReplyError, match="no value"):
        parse(changed(document, VALUE[name], "NaN" if name.startswith("prometheus") else None))


@pytest.mark.parametrize("name", PARSERS)
@given(wrong=st.recursive(st.none() | st.text(max_size=3) | st.floats(), lambda s: st.lists(s) | st.dictionaries(st.sampled_from(["data", "zone", "result", "value"]), s), max_leaves=5))  # fmt: skip
def test_json_of_another_shape_is_refused_and_never_more_than_that(name: str, wrong: Any) -> None:
    try:
        points = PARSERS[name][1](wrong)
    except BadReplyError:
        return
    assert points == []


def test_a_percentile_is_no_intensity() -> None:
    index = changed(WT_FORECAST, ("meta", "units"), "percentile")
    with pytest.raises(BadReplyError, match="percentile"):
        watttime.parse_forecast(index, "CAISO_NORTH", NOW)


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("em latest", ("zone",), "FR"), ("em latest", ("emissionFactorType",), "direct"),
        ("watttime", ("meta", "region"), "PJM"), ("watttime", ("meta", "signal_type"), "health_damage"),
        ("sdk emissions", (0, "location"), "westus"), ("uk", ("data", 0, "to"), "2026-03-06T20:00Z"),
        ("prometheus query", ("data", "result"), []), ("prometheus query", ("status",), "error"),
    ],
)  # fmt: skip
def test_what_was_not_asked_for_is_refused(name: str, path: tuple[str | int, ...], value: object) -> None:
    document, parse = PARSERS[name]
    with pytest.raises(BadReplyError):
        parse(changed(document, path, value))


def test_other_locations_of_the_exporter_are_passed_over_and_none_is_an_error() -> None:
    records = [*AZURE, {**AZURE[0], "location": "elsewhere", "value": 1}]
    assert len(azure_config_map.parse_config_map(config_map(records), "PJM_ROANOKE")) == len(AZURE)
    with pytest.raises(BadReplyError, match="nowhere"):
        azure_config_map.parse_config_map(config_map(records), "nowhere")


@pytest.mark.parametrize(
    "body", [{}, {"binaryData": {"data": "%%%"}}, {"binaryData": {"data": "aGk="}}, {"data": None}]
)
def test_a_config_map_without_its_data_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(BadReplyError, match=r"binaryData\.data"):
        azure_config_map.parse_config_map(body, "PJM_ROANOKE")


def test_a_region_of_great_britain_is_nested_once_more() -> None:
    region = {"data": {"regionid": 3, "shortname": "x", "data": [half_hour(0, forecast=90, index="low")]}}
    (point,) = uk_carbon_intensity.parse_intensities(region, 3)
    assert point.grams_per_kwh == 90
    with pytest.raises(BadReplyError, match="region 4"):
        uk_carbon_intensity.parse_intensities(region, 4)


def test_a_clock_that_is_ahead_is_told() -> None:
    with pytest.raises(BadReplyError, match="40 min ahead"):
        electricity_maps.parse_latest(EM_LATEST, "DE", "lifecycle", NOW - HOUR)
    with pytest.raises(BadReplyError, match="ahead"):
        watttime.parse_forecast(WT_FORECAST, "CAISO_NORTH", NOW - HOUR)
    assert newest([Point(NOW, 1.0)], NOW - timedelta(minutes=4), "it").grams_per_kwh == 1.0


@pytest.mark.parametrize(
    "text", ["2026-03-06T19:00:00", "yesterday", "", None, 5, "0001-01-01T00:00:00+23:59"]
)
def test_a_time_without_its_zone_or_none_at_all_is_refused(text: object) -> None:
    with pytest.raises(BadReplyError):
        moment(text, "datetime")


@given(gone=st.sets(st.integers(0, 47)), now=st.integers(0, 47))
def test_a_series_has_no_gap_and_only_values_that_were_told(gone: set[int], now: int) -> None:
    start = NOW - 24 * HOUR
    points = [Point(start + index * HOUR, float(index)) for index in range(48) if index not in gone]
    series = series_of(points, start + now * HOUR, Signal.AVERAGE, Accounting.DIRECT)
    here = start + now * HOUR
    neighbours = {now - 1, now + 1} & set(range(48)) - gone
    if now not in gone and neighbours and series is not None and series.step == HOUR:
        assert series.at(here) == now
    if series is not None:
        assert len(series.times) >= 2
        assert {Point(*pair) for pair in zip(series.times, series.grams_per_kwh, strict=True)} <= set(points)
        assert all(b - a == series.step for a, b in zip(series.times, series.times[1:], strict=False))


def test_values_closer_than_any_grid_is_measured_are_refused() -> None:
    points = [Point(NOW + timedelta(seconds=index), 1.0) for index in range(3)]
    with pytest.raises(BadReplyError, match="1 s"):
        series_of(points, NOW, Signal.AVERAGE, Accounting.DIRECT)
