"""How far forecasts of intensity were off: an hour ahead, against what came, for each of the last 24 hours.

As an hour begins, what its zone's source says of the next one is taken down; when that has passed, it is compared with
the mean of the readings in it. Hours in which the source failed are left out: what was held is no measurement.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import fmean

from ecoserve.api.accounts import ForecastAccuracy
from ecoserve.carbon import IntensitySeries
from ecoserve.errors import InvalidInputError
from ecoserve_operator.signals.intensity import Reading

_HOUR = timedelta(hours=1)
_SAMPLES = 12
_LEAST_SHARE = 0.5
"""Of an hour that must have been read for its mean to count."""
_MOST_HOURS = 24
_PERCENT = 100.0


@dataclass(slots=True)
class _Hour:
    """Readings in an hour so far, weighted by seconds."""

    begin: datetime
    seconds: float = 0.0
    weighted: float = 0.0


@dataclass(slots=True)
class _Zone:
    expected: dict[datetime, float] = field(default_factory=dict)
    errors: deque[float] = field(default_factory=lambda: deque(maxlen=_MOST_HOURS))
    hour: _Hour | None = None
    last: tuple[datetime, Reading] | None = None


class IntensityAccuracy:
    """Errors of the forecasts of each GridZone."""

    def __init__(self) -> None:
        self._zones: dict[str, _Zone] = {}

    def note(
        self, now: datetime, readings: Mapping[str, Reading], series: Mapping[str, IntensitySeries]
    ) -> None:
        """Take down the readings of now, and what the series of each zone says of the next hour."""
        self._zones = {name: self._zones.get(name, _Zone()) for name in readings}
        for name, reading in readings.items():
            zone = self._zones[name]
            _read_until(zone, now)
            zone.last = (now, reading)
            following = _begin(now) + _HOUR
            if following not in zone.expected and name in series:
                expected = _mean(series[name], following)
                zone.expected |= {} if expected is None else {following: expected}

    def of(self, name: str) -> tuple[ForecastAccuracy, ...]:
        """The accuracy of a zone's forecasts, for its status; empty where none was compared yet."""
        zone = self._zones.get(name)
        if zone is None or not zone.errors:
            return ()
        error = round(_PERCENT * fmean(zone.errors), 1)
        return (ForecastAccuracy(of="intensity", hours=len(zone.errors), mean_absolute_percent_error=error),)


def _read_until(zone: _Zone, now: datetime) -> None:
    """Weigh the last reading up to now, hour by hour, and compare each hour that has passed."""
    if zone.last is None:
        return
    since, reading = zone.last
    while since < now:
        begin = _begin(since)
        end = min(now, begin + _HOUR)
        if zone.hour is None or zone.hour.begin != begin:
            zone.hour = _Hour(begin)
        if not reading.stale:
            seconds = (end - since).total_seconds()
            zone.hour.seconds += seconds
            zone.hour.weighted += seconds * reading.grams_per_kwh
        if end == begin + _HOUR:
            _compare(zone, zone.hour)
        since = end
    zone.expected = {begin: value for begin, value in zone.expected.items() if begin >= _begin(now)}


def _compare(zone: _Zone, hour: _Hour) -> None:
    expected = zone.expected.get(hour.begin)
    if expected is None or hour.seconds < _LEAST_SHARE * _HOUR.total_seconds():
        return
    actual = hour.weighted / hour.seconds
    if actual > 0:
        zone.errors.append(abs(expected - actual) / actual)


def _mean(series: IntensitySeries, begin: datetime) -> float | None:
    """The mean that a series says of an hour; None where it does not reach so far."""
    try:
        return fmean(series.at(begin + _HOUR * step / _SAMPLES) for step in range(_SAMPLES))
    except InvalidInputError:
        return None


def _begin(time: datetime) -> datetime:
    return time.replace(minute=0, second=0, microsecond=0)
