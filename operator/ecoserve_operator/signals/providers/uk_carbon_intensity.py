"""The Carbon Intensity API of Great Britain: average, of generation alone, by half hours, two days ahead.

Of a half hour that has begun the measured value counts, where there is one already.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from ecoserve.carbon import Accounting, Signal
from ecoserve_operator.signals.providers.http import Fetcher
from ecoserve_operator.signals.providers.parsing import an_object, grams, moment, objects, series_of
from ecoserve_operator.signals.providers.port import Answer, BadReplyError, Point

_VALID_FOR = timedelta(hours=2)
_HALF_HOUR = timedelta(minutes=30)


def parse_intensities(document: object, region_id: int | None) -> list[Point]:
    """Return the values of `intensity/…` (nested once more for a region), nulls left out; raises BadReplyError."""
    data = an_object(document, "the answer").get("data")
    if region_id is not None:
        region = an_object(data[0] if isinstance(data, list) and len(data) == 1 else data, "data")
        if region.get("regionid") != region_id:
            raise BadReplyError(f"data is not of region {region_id}")
        data = region.get("data")
    points = []
    for entry in objects(data, "data"):
        intensity = an_object(entry.get("intensity"), "intensity")
        begins, ends = moment(entry.get("from"), "from"), moment(entry.get("to"), "to")
        if ends - begins != _HALF_HOUR:
            raise BadReplyError(f"the values are of {(ends - begins).total_seconds() / 60:g} min, not of 30")
        measured = grams(intensity.get("actual"), "actual")
        expected = grams(intensity.get("forecast"), "forecast")
        value = expected if measured is None else measured
        if value is not None:
            points.append(Point(begins, value))
    return points


@dataclass(frozen=True, slots=True, kw_only=True)
class UkCarbonIntensityClient:
    """All of Great Britain, or one region of it."""

    url: str
    region_id: int | None
    fetcher: Fetcher
    interval_seconds: float = 600.0  # half-hourly figures, set right as they are measured

    async def ask(self, now: datetime) -> Answer:
        """Ask for two days from this half hour on; raises ProviderError."""
        begin = now.replace(minute=now.minute // 30 * 30, second=0, microsecond=0)
        path = f"/intensity/{begin:%Y-%m-%dT%H:%MZ}/fw48h"
        place = "Great Britain"
        if self.region_id is not None:
            path = f"/regional{path}/regionid/{self.region_id}"
            place = f"region {self.region_id}"
        points = parse_intensities(await self.fetcher.get(self.url.rstrip("/") + path), self.region_id)
        series = series_of(points, now, Signal.AVERAGE, Accounting.DIRECT)
        if series is None:
            raise BadReplyError("the answer holds no two values that follow each other")
        return Answer(
            source=f"UK Carbon Intensity, {place}",
            asked_at=now,
            valid_for=_VALID_FOR,
            series=series,
            accounting=Accounting.DIRECT,
        )
