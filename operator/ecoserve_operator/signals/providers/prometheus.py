"""An intensity in gCO2e/kWh from any exporter, by a query of one's own to Prometheus.

The value of now is the query's, the history its last day by hours, so that the hours ahead are expected to be as
yesterday's.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from ecoserve.carbon import Accounting, Signal
from ecoserve_operator.signals.providers.http import Fetcher
from ecoserve_operator.signals.providers.parsing import grams, newest, series_of
from ecoserve_operator.signals.providers.port import Answer, BadReplyError, Point
from ecoserve_operator.signals.providers.samples import Sample, matrix, vector

_STALE_INTERVALS = 3
_HOUR = timedelta(hours=1)


def parse_query(document: object, now: datetime) -> Point:
    """Return the value of `query`, of one series or a scalar; raises BadReplyError."""
    series = vector(document)
    if len(series) > 1:
        raise BadReplyError(f"the query gives {len(series)} series; it must give one")
    return newest(_points(sample for _, sample in series), now, "the query")


def parse_range(document: object) -> list[Point]:
    """Return the values of `query_range`, of one series or none; raises BadReplyError."""
    series = matrix(document)
    if len(series) > 1:
        raise BadReplyError(f"the query gives {len(series)} series; it must give one")
    return _points(*series)


def _points(samples: Iterable[Sample] = ()) -> list[Point]:
    return [Point(time, grams(value, "the query's value") or 0.0) for time, value in samples]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusClient:
    """One query."""

    url: str
    query: str
    signal: Signal
    accounting: Accounting
    fetcher: Fetcher
    interval_seconds: float

    async def ask(self, now: datetime) -> Answer:
        """Ask for now and for the last day; raises ProviderError."""
        base = f"{self.url.rstrip('/')}/api/v1"
        latest = parse_query(await self.fetcher.get(f"{base}/query", {"query": self.query}), now)
        whole = now.replace(minute=0, second=0, microsecond=0)
        span = {
            "start": f"{(whole - 24 * _HOUR).timestamp():.0f}",
            "end": f"{whole.timestamp():.0f}",
            "step": "3600",
        }
        told = await self.fetcher.get(f"{base}/query_range", {"query": self.query, **span})
        return Answer(
            source="Prometheus",
            asked_at=now,
            valid_for=timedelta(seconds=_STALE_INTERVALS * self.interval_seconds),
            latest=latest,
            series=series_of(parse_range(told), now, self.signal, self.accounting),
            accounting=self.accounting,
        )
