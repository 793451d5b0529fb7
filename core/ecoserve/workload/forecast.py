"""What is expected of load or grid over the hours ahead: frozen values, made from history or from a known series.

A forecast holds what is known where a series reaches that far, and beyond it repeats history: the same hour
last week (load, which knows weekends) or yesterday (grids), which is the yardstick that better forecasts are
measured by. What such a repetition would have missed so far is its band. Nothing here reads a clock or network.
"""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import fmean

from ecoserve.carbon import IntensitySeries
from ecoserve.errors import InvalidInputError
from ecoserve.times import parse_utc

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
WEEK = timedelta(days=7)

GRID_SEASONS = (DAY,)
"""A grid's hour is expected to be as yesterday's."""
LOAD_SEASONS = (WEEK, DAY)
"""Load is expected to be as in the same hour a week ago or, with less history, yesterday."""

_BAND_PERIODS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """A value per interval from `start` (aware): a mean over that interval, in the unit of its source.

    `low` and `high`, where given, are as long as `values` and hold them between each other.
    """

    start: datetime
    interval: timedelta
    values: tuple[float, ...]
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.interval <= timedelta(0):
            raise InvalidInputError("forecast interval", str(self.interval), "a positive time")
        for name in ("values", "low", "high"):
            numbers = getattr(self, name)
            if numbers is None:
                continue
            if len(numbers) != len(self.values) or not numbers:
                raise InvalidInputError(
                    f"forecast {name}", len(numbers), "one number for each interval, and at least one"
                )
            wrong = next((n for n in numbers if not math.isfinite(n) or n < 0), None)
            if wrong is not None:
                raise InvalidInputError(f"forecast {name}", wrong, "finite numbers of zero or more")

    @property
    def end(self) -> datetime:
        """When the last interval ends."""
        return self.start + self.interval * len(self.values)

    def at(self, time: datetime) -> float:
        """The value of the interval that `time` is in; raises InvalidInputError outside of all."""
        if not self.start <= time < self.end:
            span = f"times from {self.start.isoformat()} up to {self.end.isoformat()}"
            raise InvalidInputError("time", time.isoformat(), span)
        return self.values[(time - self.start) // self.interval]

    def mean(self, start: datetime, length: timedelta) -> float:
        """The mean from `start` over a length of time, all of which must lie within the intervals."""
        first, begun = divmod(start - self.start, self.interval)
        last, over = divmod(start + length - self.start, self.interval)
        value = self.at(start)
        if first == last:
            return value
        total = value * (1 - begun / self.interval) + sum(self.values[first + 1 : last])
        if over or last > len(self.values):
            total += self.at(start + length) * (over / self.interval)
        return total / (length / self.interval)

    def repeated(self, start: datetime, length: timedelta) -> "Forecast":
        """The same values over and over in both directions, cut to intervals that cover `start` and on."""
        first = (start - self.start) // self.interval
        count = -(-length // self.interval) + 1
        values = tuple(self.values[(first + k) % len(self.values)] for k in range(count))
        return Forecast(start=self.start + self.interval * first, interval=self.interval, values=values)

    def until(self, time: datetime) -> "Forecast | None":
        """The whole intervals that end by `time`: what is history then; None where there are none."""
        count = min(len(self.values), (time - self.start) // self.interval)
        if count <= 0:
            return None
        return Forecast(start=self.start, interval=self.interval, values=self.values[:count])


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """How a forecast compared with what came.

    `mape` is the mean absolute error as a share of the actual value, over intervals where that is above zero
    (None without any); `bias` the mean of forecast − actual, in the forecast's unit; `intervals` were compared.
    """

    mape: float | None
    bias: float
    intervals: int


def expect(
    series: Forecast,
    start: datetime,
    intervals: int,
    *,
    interval: timedelta = HOUR,
    seasons: Sequence[timedelta] = GRID_SEASONS,
    repeat: bool = False,
) -> Forecast:
    """Forecast from a series: its own values as far as it reaches, from there on its history over again.

    `repeat` plays the series in a circle for ever, as a GridZone can be told to. `seasons` are tried in
    order: the value so long (or several times so long) before. Where a series has no value of that hour, its
    last value stays. To hide from the forecast what is not known yet, pass `series.until(now)`.
    """
    if intervals < 1:
        raise InvalidInputError("intervals", intervals, "at least one")
    if repeat:
        series = series.repeated(start, interval * intervals)
    values, low, high = [], [], []
    for time in (start + interval * index for index in range(intervals)):
        if _inside(series, time, interval):
            past = [series.mean(time, interval)]
        else:
            past = [series.mean(t, interval) for t in _seasonal_times(series, time, interval, seasons)]
            past = past or [series.values[0 if time < series.start else -1]]
        values.append(past[0])
        low.append(min(past))
        high.append(max(past))
    return Forecast(start=start, interval=interval, values=tuple(values), low=tuple(low), high=tuple(high))


def of_intensity(series: IntensitySeries) -> Forecast:
    """A grid's series as a forecast, in gCO2e/kWh."""
    return Forecast(start=series.times[0], interval=series.step, values=series.grams_per_kwh)


def accuracy(forecast: Forecast, actual: Forecast) -> Accuracy:
    """Compare a forecast with what came, over the intervals of it that `actual` covers wholly.

    Raises InvalidInputError where it covers none.
    """
    pairs = []
    for index, value in enumerate(forecast.values):
        time = forecast.start + forecast.interval * index
        if _inside(actual, time, forecast.interval):
            pairs.append((value, actual.mean(time, forecast.interval)))
    if not pairs:
        raise InvalidInputError("actual values", actual.start.isoformat(), "times that the forecast covers")
    shares = [abs(value - came) / came for value, came in pairs if came > 0]
    return Accuracy(
        mape=fmean(shares) if shares else None,
        bias=fmean(value - came for value, came in pairs),
        intervals=len(pairs),
    )


def parse_load_csv(text: str, field: str = "load") -> dict[str, Forecast]:
    """Parse requests/s over time: a column `timestamp` in equal steps, and one column for each stream.

    Streams are named SERVING/online or SERVING/offline. Raises InvalidInputError naming `field` and the line.
    """
    rows = csv.reader(io.StringIO(text.removeprefix("\ufeff")))
    header = [name.strip() for name in next(rows, [])]
    streams = header[1:]
    if len(header) < 2 or header[0].lower() != "timestamp" or len(set(streams)) < len(streams):
        raise InvalidInputError(
            f"{field} header", ",".join(header), "timestamp and then columns such as chat/online, each once"
        )
    times: list[datetime] = []
    columns: list[list[float]] = [[] for _ in streams]
    for row in rows:
        if not row:
            continue
        where = f"{field} line {rows.line_num}"
        if len(row) != len(header):
            raise InvalidInputError(where, ",".join(row), f"a row of {len(header)} columns as in the header")
        times.append(parse_utc(row[0], where))
        if len(times) > 1 and (
            times[-1] <= times[-2] or (len(times) > 2 and times[-1] - times[-2] != times[1] - times[0])
        ):
            raise InvalidInputError(where, row[0], "times that ascend in equal steps")
        for column, name, value in zip(columns, streams, row[1:], strict=True):
            column.append(_rate(value, f"{where} {name}"))
    if not times:
        raise InvalidInputError(field, text[:40], "a CSV with a header and at least one row")
    interval = times[1] - times[0] if len(times) > 1 else HOUR
    return {
        name: Forecast(start=times[0], interval=interval, values=tuple(column))
        for name, column in zip(streams, columns, strict=True)
    }


def _inside(series: Forecast, time: datetime, length: timedelta) -> bool:
    return series.start <= time and time + length <= series.end


def _seasonal_times(
    series: Forecast, time: datetime, length: timedelta, seasons: Sequence[timedelta]
) -> list[datetime]:
    """Times of the same hour in the series before `time`, of the first season that has any, latest first."""
    for season in seasons:
        first = max(1, -(-(time + length - series.end) // season))
        last = (time - series.start) // season
        if first <= last:
            return [time - season * k for k in range(first, min(last, first + _BAND_PERIODS - 1) + 1)]
    return []


def _rate(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise InvalidInputError(where, text, "requests per second, a finite number of zero or more")
    return value
