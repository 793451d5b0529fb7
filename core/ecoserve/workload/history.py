"""What measured load has been, hour by hour, and what is expected from it: seasons, drift and accuracy, as values.

The same hour a week ago (with less history: yesterday) is what an hour is expected to be. Where what comes differs from that
for long, the load has drifted, and the hours before are taken times the factor it differs by, so that the season is kept
and its level is today's. All follows from the hourly figures alone: a restart that reads them again finds the same.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ecoserve.workload.forecast import DAY, HOUR, LOAD_SEASONS, WEEK, Accuracy, Forecast, accuracy, expect

KEPT_HOURS = 14 * 24
"""Two weeks: a week to repeat, and one to compare it with."""

_ALLOWANCE = 0.15
"""Page-Hinkley's allowance, in the logarithm of actual over expected: differences of some 15 % are noise."""
_THRESHOLD = 1.0
"""Its threshold: twice the load is drift after two hours, half as much again after four."""
_LEAST_PER_SECOND = 0.01
"""Rates are compared no nearer to zero than a request in 100 s, where ratios mean nothing."""
_TRUST = 0.25
"""A forecast counts while the present is within its band, give or take this share."""
_WEEKEND = 5
_COARSE_STEP = 1.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Load that has been `factor` times what was expected since an hour."""

    since: datetime
    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadHistory:
    """Requests/s by hour as they are to be repeated: those before a drift are taken times its factor.

    `drift` is the last one there was; `accuracy` tells how the forecasts of the last 24 hours did.
    """

    series: Forecast
    drift: Drift | None
    accuracy: Accuracy | None

    def expected(self, measured_per_second: float, now: datetime) -> float | None:
        """Requests/s expected of the coming hour; None where the present is not as the history has it."""
        this, following = (
            expect(self.series, start, 1, interval=HOUR, seasons=LOAD_SEASONS) for start in (now, now + HOUR)
        )
        if this.low is None or this.high is None or self.series.end - self.series.start < DAY:
            return None
        if not this.low[0] / (1 + _TRUST) <= measured_per_second <= this.high[0] * (1 + _TRUST):
            return None
        return max(this.values[0], following.values[0])

    def surprise(self, measured_per_second: float, now: datetime) -> int:
        """By how many steps of a quarter the present differs from what is expected of it."""
        usual = expect(self.series, now, 1, interval=HOUR, seasons=LOAD_SEASONS).values[0]
        return steps_between(measured_per_second, usual)


def steps_between(one_per_second: float, other_per_second: float) -> int:
    """By how many steps of a quarter one rate is above another."""
    return round(_difference(one_per_second, other_per_second) / math.log(_COARSE_STEP))


def load_history(by_hour: Mapping[datetime, float]) -> LoadHistory | None:
    """Make a history of mean requests/s by the begin of their hour; None without any.

    Hours that are missing are taken as the same hour of the day before or, without one, as the hour before. Of the hours
    given the latest two weeks are kept.
    """
    series = _without_gaps(by_hour)
    if series is None:
        return None
    values = list(series.values)
    drift, forecasts = _levelled(values, series.start)
    kept = Forecast(start=series.start, interval=HOUR, values=tuple(values))
    return LoadHistory(series=kept, drift=drift, accuracy=_accuracy(forecasts, series))


def _without_gaps(by_hour: Mapping[datetime, float]) -> Forecast | None:
    if not by_hour:
        return None
    last = max(by_hour)
    start = max(min(by_hour), last - (KEPT_HOURS - 1) * HOUR)
    values: list[float] = []
    for index in range((last - start) // HOUR + 1):
        known = by_hour.get(start + index * HOUR)
        if known is None:
            known = values[index - 24] if index >= 24 else values[-1] if values else by_hour[last]
        values.append(known)
    return Forecast(start=start, interval=HOUR, values=tuple(values))


def _levelled(values: list[float], start: datetime) -> tuple[Drift | None, list[float | None]]:
    """Go through the hours as they came, and scale all before each drift that is found, in place.

    Two-sided Page-Hinkley: how far actual has run above, or below, expected since it last was on its way there. Returns the
    last drift, and what was forecast for each hour when it came.
    """
    drift: Drift | None = None
    forecasts: list[float | None] = []
    above, below, since_above, since_below = 0.0, 0.0, 0, 0
    for index, actual in enumerate(list(values)):
        usual = _usual(values, index, start)
        forecasts.append(usual)
        if usual is None:
            continue
        error = _difference(actual, usual)
        above, below = max(0.0, above + error - _ALLOWANCE), max(0.0, below - error - _ALLOWANCE)
        since_above = index + 1 if above == 0.0 else since_above
        since_below = index + 1 if below == 0.0 else since_below
        if max(above, below) <= _THRESHOLD:
            continue
        begin = since_above if above > below else since_below
        factor = _factor(values, begin, index, start)
        values[:begin] = [value * factor for value in values[:begin]]
        drift = Drift(since=start + begin * HOUR, factor=factor)
        above, below, since_above, since_below = 0.0, 0.0, index + 1, index + 1
    return drift, forecasts


def _factor(values: Sequence[float], begin: int, end: int, start: datetime) -> float:
    """By how much the hours from `begin` to `end` differ from what they were expected to be."""
    differences = [
        _difference(values[index], usual)
        for index in range(begin, end + 1)
        if (usual := _usual(values, index, start)) is not None
    ]
    return math.exp(sum(differences) / len(differences))


def _usual(values: Sequence[float], index: int, start: datetime) -> float | None:
    """The same hour a week ago, else yesterday's where both are weekdays or both are not."""
    week, day = WEEK // HOUR, DAY // HOUR
    if index >= week:
        return values[index - week]
    now = start + timedelta(hours=index)
    if index >= day and (now.weekday() < _WEEKEND) == ((now - DAY).weekday() < _WEEKEND):
        return values[index - day]
    return None


def _difference(actual: float, usual: float) -> float:
    """The logarithm of actual over usual."""
    return math.log(max(actual, _LEAST_PER_SECOND) / max(usual, _LEAST_PER_SECOND))


def _accuracy(forecasts: Sequence[float | None], actual: Forecast) -> Accuracy | None:
    """How the forecasts of the last day did, as far back as there was one for every hour."""
    day = DAY // HOUR
    known: list[float] = []
    for value in reversed(forecasts[-day:]):
        if value is None:
            break
        known.insert(0, value)
    if not known:
        return None
    begin = actual.end - len(known) * HOUR
    return accuracy(Forecast(start=begin, interval=HOUR, values=tuple(known)), actual)
