"""Grid carbon intensity as an hourly series, read from CSV.

Understands the exports people have: a `timestamp` (or `Datetime (UTC)`) column and one column of intensity in
gCO2e/kWh. A column's name may say what its figures mean (average or marginal, life-cycle or direct); one that says
otherwise than was asked for is never taken. Where an export has both, life-cycle intensity is taken before direct
unless direct is asked for. Hours that an export left empty are filled between their neighbours, up to a few in a row; a series
is refused as a whole where more are missing or a value is not sane: a wrong intensity moves a fleet.
"""

import bisect
import csv
import io
import itertools
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ecoserve.carbon.signal import Accounting, Signal
from ecoserve.errors import InvalidInputError
from ecoserve.times import parse_utc
from ecoserve.units import MOST_GRAMS_PER_KWH

LONGEST_GAP = timedelta(hours=6)
"""Empty values over more time than this are not filled: grids turn from day to night in less."""

_TIME_COLUMNS = ("timestamp", "datetime (utc)", "datetime", "time")


@dataclass(frozen=True, slots=True)
class _Column:
    """A known column of intensity and what its name says of its figures; a signal of None is either."""

    name: str
    signal: Signal | None
    accounting: Accounting = Accounting.UNSTATED

    def fits(self, signal: Signal, accounting: Accounting) -> bool:
        """Whether it may hold figures of this kind."""
        stated = Accounting.UNSTATED not in (self.accounting, accounting)
        return self.signal in (None, signal) and not (stated and self.accounting is not accounting)


_VALUE_COLUMNS = (
    _Column("carbon_intensity", None),
    _Column("carbonintensity", None),
    _Column("avg_ci", Signal.AVERAGE),
    _Column("carbon intensity gco₂eq/kwh (lca)", Signal.AVERAGE, Accounting.LIFE_CYCLE),
    _Column("carbon intensity gco₂eq/kwh (life cycle)", Signal.AVERAGE, Accounting.LIFE_CYCLE),
    _Column("carbon intensity gco₂eq/kwh (direct)", Signal.AVERAGE, Accounting.DIRECT),
    _Column("marginal_carbon_intensity", Signal.MARGINAL),
    _Column("marginal_ci", Signal.MARGINAL),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class IntensitySeries:
    """Grid intensity over time: each value holds from its time (UTC) for one step.

    `times` ascend in equal steps; `grams_per_kwh` are of the same length and all mean what `signal` and
    `accounting` say. `filled` of them stood empty and were taken from their neighbours.
    """

    times: tuple[datetime, ...]
    grams_per_kwh: tuple[float, ...]
    signal: Signal = Signal.AVERAGE
    accounting: Accounting = Accounting.UNSTATED
    filled: int = 0

    @property
    def step(self) -> timedelta:
        """Time between two values; an hour for a single value."""
        return self.times[1] - self.times[0] if len(self.times) > 1 else timedelta(hours=1)

    def at(self, time: datetime, repeat: bool = False) -> float:
        """Intensity in g/kWh at `time` (aware).

        With `repeat` the series is played over and over in both directions; without it a time outside
        raises InvalidInputError.
        """
        start, length = self.times[0], self.step * len(self.times)
        offset = time.astimezone(UTC) - start
        if repeat:
            offset %= length
        if not timedelta(0) <= offset < length:
            span = f"times from {start.isoformat()} up to {(start + length).isoformat()}"
            raise InvalidInputError("time", time.isoformat(), span)
        return self.grams_per_kwh[bisect.bisect_right(self.times, start + offset) - 1]


def parse_intensity_csv(
    text: str,
    field: str = "intensity",
    signal: Signal = Signal.AVERAGE,
    accounting: Accounting = Accounting.UNSTATED,
) -> IntensitySeries:
    """Parse a CSV of intensity of one kind into a series.

    Raises InvalidInputError naming `field` and the line where a column of that kind is missing, a value isn't a
    finite number of zero or more, times don't ascend in equal steps, or values stand empty at an end or for longer than
    `LONGEST_GAP`.
    """
    rows = csv.reader(io.StringIO(text.removeprefix("\ufeff")))
    header = [name.strip().lower() for name in next(rows, [])]
    time_column = _time_column(header, field)
    column = _value_column(header, signal, accounting, field)
    value_column = header.index(column.name)
    times: list[datetime] = []
    values: list[float] = []
    places: list[str] = []
    for row in rows:
        if not row:
            continue
        where = f"{field} line {rows.line_num}"
        if len(row) <= max(time_column, value_column):
            raise InvalidInputError(where, ",".join(row), f"a row of {len(header)} columns as in the header")
        times.append(parse_utc(row[time_column], where))
        values.append(_value(row[value_column], where) if row[value_column].strip() else math.nan)
        places.append(where)
        _check_step(times, where)
    if not times:
        raise InvalidInputError(field, text[:40], "a CSV with a header and at least one row")
    filled = _fill(times, values, places)
    return IntensitySeries(
        times=tuple(times),
        grams_per_kwh=tuple(values),
        filled=filled,
        signal=signal,
        accounting=accounting if column.accounting is Accounting.UNSTATED else column.accounting,
    )


def _time_column(header: list[str], field: str) -> int:
    for name in _TIME_COLUMNS:
        if name in header:
            return header.index(name)
    raise InvalidInputError(
        f"{field} header", ",".join(header), f"a CSV with a column {' or '.join(_TIME_COLUMNS)}"
    )


def _value_column(header: list[str], signal: Signal, accounting: Accounting, field: str) -> _Column:
    fitting = [column for column in _VALUE_COLUMNS if column.fits(signal, accounting)]
    for column in fitting:
        if column.name in header:
            return column
    kind = f"{signal} intensity" + ("" if accounting is Accounting.UNSTATED else f" ({accounting})")
    names = " or ".join(column.name for column in fitting)
    raise InvalidInputError(f"{field} header", ",".join(header), f"a CSV with a column of {kind}: {names}")


def _value(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= MOST_GRAMS_PER_KWH:
        raise InvalidInputError(
            where,
            text,
            f"a finite carbon intensity of zero or more, up to {MOST_GRAMS_PER_KWH:,.0f} gCO2e/kWh",
        )
    return value


def _fill(times: list[datetime], values: list[float], places: list[str]) -> int:
    """Fill NaN in a straight line between its neighbours, in place; return how many there were."""
    known = [index for index, value in enumerate(values) if not math.isnan(value)]
    ends = [index for index in (0, len(values) - 1) if math.isnan(values[index])]
    if ends:
        raise InvalidInputError(places[ends[0]], "", "a value: a series begins and ends with one")
    for left, right in itertools.pairwise(known):
        if times[right] - times[left] > LONGEST_GAP + (times[1] - times[0]):
            hours = LONGEST_GAP // timedelta(hours=1)
            raise InvalidInputError(
                places[left + 1], "", f"a value: at most {hours} hours in a row may be empty"
            )
        for index in range(left + 1, right):
            part = (index - left) / (right - left)
            values[index] = values[left] + part * (values[right] - values[left])
    return len(values) - len(known)


def _check_step(times: list[datetime], where: str) -> None:
    if len(times) < 2:
        return
    step, first = times[-1] - times[-2], times[1] - times[0]
    if step <= timedelta(0):
        raise InvalidInputError(where, times[-1].isoformat(), "a time after the line before")
    if step != first:
        expected = (times[-2] + first).isoformat()
        raise InvalidInputError(
            where, times[-1].isoformat(), f"{expected}, as the series goes in equal steps"
        )
