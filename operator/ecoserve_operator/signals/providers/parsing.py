"""What the parsers of all providers share: checked fields, numbers, times, and series without gaps.

A null is a value that is missing, and leaves a gap. A value that can't be (negative, not finite, a percentile) spoils
the whole reply: who says one such thing is not believed the rest.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from ecoserve.carbon import Accounting, IntensitySeries, Signal
from ecoserve.units import MOST_GRAMS_PER_KWH
from ecoserve_operator.signals.providers.port import BadReplyError, Point

CLOCK_SKEW = timedelta(minutes=5)
"""How far a provider's clock may be ahead of ours."""
_LEAST_STEP = timedelta(seconds=30)
_SHOWN = 40

Item = Mapping[str, object]


def an_object(value: object, where: str) -> Item:
    """Return a JSON object; raises BadReplyError naming where it was expected."""
    if not isinstance(value, dict):
        raise BadReplyError(f"{where} is not an object")
    return value


def objects(value: object, where: str) -> list[Item]:
    """Return a list of JSON objects; raises BadReplyError naming where it was expected."""
    if not isinstance(value, list):
        raise BadReplyError(f"{where} is not a list")
    return [an_object(item, f"{where}[{index}]") for index, item in enumerate(value)]


def expect_text(item: Item, name: str, wanted: str) -> None:
    """Raise BadReplyError where a field is not what was asked for: a unit, a place, a kind of signal."""
    found = item.get(name)
    if found != wanted:
        raise BadReplyError(f"{name} is {shown(found)}, not {wanted!r}")


def grams(value: object, where: str, per_unit: float = 1.0) -> float | None:
    """Return an intensity in gCO2e/kWh from a figure in another unit; None for null."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadReplyError(f"{where} is {shown(value)}, not a number")
    if not 0 <= value <= MOST_GRAMS_PER_KWH / per_unit:
        raise BadReplyError(f"{where} is {shown(value)}, not an intensity of zero or more that can be")
    return round(value * per_unit, 3)


def moment(value: object, where: str) -> datetime:
    """Return a time in UTC; one without a time zone is refused."""
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise BadReplyError(f"{where} is {shown(value)}, not a time with its zone")
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise BadReplyError(f"{where} is {shown(value)}, a time out of range") from None


def points_of(
    items: Iterable[Item], where: str, *, value: str, time: str, per_unit: float = 1.0
) -> list[Point]:
    """Return the points whose figure and time stand in these fields, nulls left out."""
    points = []
    for item in items:
        figure = grams(item.get(value), f"{where} {value}", per_unit)
        if figure is not None:
            points.append(Point(moment(item.get(time), f"{where} {time}"), figure))
    return points


def newest(points: Iterable[Point], now: datetime, what: str) -> Point:
    """Return the latest point; raises BadReplyError for none, and where it lies in the future by our clock."""
    point = max(points, key=lambda each: each.time, default=None)
    if point is None:
        raise BadReplyError(f"{what} holds no value")
    ahead = point.time - now
    if ahead > CLOCK_SKEW:
        minutes = ahead.total_seconds() / 60
        raise BadReplyError(
            f"{what} is of {minutes:.0f} min ahead of this machine's clock: one of them is wrong"
        )
    return point


def series_of(
    points: Iterable[Point], now: datetime, signal: Signal, accounting: Accounting
) -> IntensitySeries | None:
    """Return the longest stretch about `now` in which values follow each other in equal steps; None without one.

    Of two values for one time the later given counts, so that a measurement can replace a forecast.
    """
    by_time = {point.time: point.grams_per_kwh for point in points}
    times = sorted(by_time)
    if len(times) < 2:
        return None
    step = Counter(later - earlier for earlier, later in pairwise(times)).most_common(1)[0][0]
    if step < _LEAST_STEP:
        raise BadReplyError(
            f"values follow each other in {step.total_seconds():g} s, which no grid is measured in"
        )
    runs = [[times[0]]]
    for earlier, later in pairwise(times):
        if later - earlier == step:
            runs[-1].append(later)
        else:
            runs.append([later])
    begun = [run for run in runs if run[0] <= now]
    chosen = begun[-1] if begun else runs[0]
    if len(chosen) < 2:
        return None
    return IntensitySeries(
        times=tuple(chosen),
        grams_per_kwh=tuple(by_time[time] for time in chosen),
        signal=signal,
        accounting=accounting,
    )


def shown(value: object) -> str:
    """Return a reply's value as it may be shown: short, on one line."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
