"""Readings of a grid: constants, series, and what stands in when a source fails."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.api import GridZone
from ecoserve.carbon import Accounting, parse_intensity_csv
from ecoserve.errors import InvalidInputError
from ecoserve_operator.kube import ApiUnreachableError, Kind
from ecoserve_operator.signals.grid import GridSignals
from ecoserve_operator.signals.intensity import Freshness, Reading, hold, read_constant, read_series
from ecoserve_operator.signals.providers.build import Question
from ecoserve_operator.signals.providers.follow import Followers
from ecoserve_operator.signals.providers.port import Provider
from ecoserve_operator.watch.records import zone_record

NOW = datetime(2022, 7, 12, 10, 20, tzinfo=UTC)
CSV = "timestamp,carbon_intensity\n2022-07-12T09:00:00Z,300\n2022-07-12T10:00:00Z,250\n2022-07-12T11:00:00Z,200\n"
ZONE = {
    "apiVersion": "ecoserve.dev/v1alpha1",
    "kind": "GridZone",
    "metadata": {"name": "west", "uid": "z", "generation": 1},
    "spec": {
        "intensity": {"configMap": {"namespace": "n", "name": "ciso"}},
        "fallbackGramsPerKilowattHour": 480,
    },
}
GRID = GridZone.model_validate(ZONE)
HOUR = timedelta(hours=1)


def test_a_series_gives_the_value_of_the_hour_and_when_it_changes() -> None:
    reading = read_series(parse_intensity_csv(CSV), repeat=False, now=NOW)
    assert reading.grams_per_kwh == 250
    assert reading.observed_at == datetime(2022, 7, 12, 10, tzinfo=UTC)
    assert reading.next_step == datetime(2022, 7, 12, 11, tzinfo=UTC)
    assert not reading.stale


def test_a_series_that_has_ended_is_refused_and_a_repeated_one_is_not() -> None:
    later = NOW + timedelta(days=40)
    with pytest.raises(InvalidInputError):
        read_series(parse_intensity_csv(CSV), repeat=False, now=later)
    assert read_series(parse_intensity_csv(CSV), repeat=True, now=later).grams_per_kwh in (300, 250, 200)


@given(st.integers(min_value=0, max_value=10**8))
def test_the_next_step_of_a_repeated_series_is_ahead_and_within_a_step(seconds: int) -> None:
    series = parse_intensity_csv(CSV)
    now = NOW + timedelta(seconds=seconds)
    reading = read_series(series, repeat=True, now=now)
    assert reading.next_step is not None
    assert now < reading.next_step <= now + series.step


def test_a_reading_carries_what_its_source_counts() -> None:
    export = (
        "Datetime (UTC),Carbon Intensity gCO₂eq/kWh (direct)\n2022-07-12 10:00,250\n2022-07-12 11:00,200\n"
    )
    reading = read_series(parse_intensity_csv(export), repeat=False, now=NOW)
    assert reading.accounting is Accounting.DIRECT
    held = hold(GRID, "it broke", NOW + HOUR, reading, hold_for=6 * HOUR)
    assert held.accounting is Accounting.DIRECT
    assert hold(GRID, "it broke", NOW + 9 * HOUR, held, hold_for=6 * HOUR).accounting is Accounting.UNSTATED


def test_a_constant_keeps_the_time_it_was_first_seen() -> None:
    first = read_constant(300.0, NOW, None)
    assert read_constant(300.0, NOW + HOUR, first) is first
    assert read_constant(301.0, NOW + HOUR, first).observed_at == NOW + HOUR


def test_a_failed_source_is_held_then_replaced_by_the_fallback() -> None:
    last = read_series(parse_intensity_csv(CSV), repeat=False, now=NOW)
    held = hold(GRID, "it broke", NOW + HOUR, last, hold_for=6 * HOUR)
    assert (held.grams_per_kwh, held.freshness, held.stale) == (250, Freshness.HELD, True)
    assert "it broke" in held.message
    still = hold(GRID, "it broke", NOW + 5 * HOUR, held, hold_for=6 * HOUR)
    assert still.observed_at == last.observed_at
    after = hold(GRID, "it broke", NOW + 7 * HOUR, still, hold_for=6 * HOUR)
    assert (after.grams_per_kwh, after.freshness) == (480, Freshness.FALLBACK)
    assert hold(GRID, "it broke", NOW + 8 * HOUR, after, hold_for=6 * HOUR).freshness is Freshness.FALLBACK


def test_a_source_that_never_answered_takes_the_fallback() -> None:
    assert hold(GRID, "no answer", NOW, None, hold_for=HOUR).grams_per_kwh == 480


class _Api:
    """The part of KubeApi that signals use; `text` None is a missing ConfigMap, an exception is raised."""

    def __init__(self) -> None:
        self.text: str | Exception | None = CSV
        self.version = 0

    async def get(self, kind: Kind, name: str, namespace: str) -> dict[str, object] | None:
        assert (kind.plural, namespace, name) == ("configmaps", "n", "ciso")
        if isinstance(self.text, Exception):
            raise self.text
        self.version += 1
        if self.text is None:
            return None
        return {"metadata": {"resourceVersion": str(self.version)}, "data": {"intensity.csv": self.text}}


def _none() -> Followers:
    """Followers of providers where no zone asks one."""

    def build(question: Question) -> Provider:
        raise AssertionError(question)

    return Followers(build, lambda: None, "a provider")


async def _read(signals: GridSignals, now: datetime = NOW) -> Reading:
    zones = [zone_record(ZONE)]
    await signals.poll(zones)
    return signals.readings(zones, now, {})["west"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (CSV.replace("250", "NaN"), "line 3"),
        (CSV.replace("250", "-1"), "line 3"),
        ("nonsense", "header"),
        ("", "header"),
        (None, "does not exist"),
    ],
)
def test_a_bad_config_map_keeps_the_last_value_and_says_why(text: str | None, told: str) -> None:
    async def play() -> tuple[Reading, Reading]:
        api = _Api()
        signals = GridSignals(api, _none(), hold_seconds=3600)  # type: ignore[arg-type]  # a fake of the one method used
        good = await _read(signals)
        api.text = text
        return good, await _read(signals)

    good, bad = asyncio.run(play())
    assert (good.grams_per_kwh, good.stale) == (250, False)
    assert (bad.grams_per_kwh, bad.stale) == (250, True)
    assert told in bad.message


def test_an_api_server_that_does_not_answer_leaves_the_series_known_so_far() -> None:
    async def play() -> Reading:
        api = _Api()
        signals = GridSignals(api, _none(), hold_seconds=3600)  # type: ignore[arg-type]  # a fake of the one method used
        await _read(signals)
        api.text = ApiUnreachableError("no answer")
        return await _read(signals, NOW + HOUR)

    reading = asyncio.run(play())
    assert (reading.grams_per_kwh, reading.freshness) == (200, Freshness.SERIES)
