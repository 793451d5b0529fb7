"""The Web API of the Carbon Aware SDK (1.7), in gCO2e/kWh; average or marginal as its data source is.

Not every data source has forecasts; without one the hours ahead repeat the last.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from ecoserve.carbon import Accounting, Signal
from ecoserve.times import written_utc
from ecoserve_operator.signals.providers.http import Fetcher
from ecoserve_operator.signals.providers.parsing import (
    expect_text,
    newest,
    objects,
    points_of,
    series_of,
)
from ecoserve_operator.signals.providers.port import Answer, Point, StatusError

_BACK = timedelta(hours=24)
_VALID_FOR = timedelta(hours=2)
_NO_FORECAST = {400, 404, 500, 501}  # what its controllers answer where the data source has none


def parse_emissions(document: object, location: str) -> list[Point]:
    """Return the values of `emissions/bylocation`, nulls left out; raises BadReplyError."""
    items = objects(document, "the answer")
    for item in items:
        expect_text(item, "location", location)
    return points_of(items, "the answer's", value="rating", time="time")


def parse_forecast(document: object, location: str) -> list[Point]:
    """Return the values of `emissions/forecasts/current`, nulls left out; raises BadReplyError."""
    points: list[Point] = []
    for forecast in objects(document, "the answer"):
        expect_text(forecast, "location", location)
        items = objects(forecast.get("forecastData"), "forecastData")
        points += points_of(items, "forecastData", value="value", time="timestamp")
    return points


@dataclass(frozen=True, slots=True, kw_only=True)
class CarbonAwareSdkClient:
    """One location."""

    url: str
    location: str
    signal: Signal
    accounting: Accounting
    fetcher: Fetcher
    interval_seconds: float = 300.0

    async def ask(self, now: datetime) -> Answer:
        """Ask for the last day and the hours ahead; raises ProviderError."""
        base = f"{self.url.rstrip('/')}/emissions"
        span = {"time": written_utc(now - _BACK), "toTime": written_utc(now)}
        told = await self.fetcher.get(f"{base}/bylocation", {"location": self.location, **span})
        measured = parse_emissions(told, self.location)
        latest = newest(measured, now, "emissions")
        expected: list[Point] = []
        try:
            told = await self.fetcher.get(f"{base}/forecasts/current", {"location": self.location})
            expected = parse_forecast(told, self.location)
        except StatusError as error:
            if error.status not in _NO_FORECAST:
                raise
        ahead = series_of(expected, now, self.signal, self.accounting)
        return Answer(
            source=f"Carbon Aware SDK, location {self.location}",
            asked_at=now,
            valid_for=_VALID_FOR,
            latest=latest,
            series=ahead or series_of(measured, now, self.signal, self.accounting),
            accounting=self.accounting,
        )
