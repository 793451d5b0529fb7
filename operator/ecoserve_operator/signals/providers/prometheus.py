"""An intensity in gCO2e/kWh from any exporter, by a query of one's own to Prometheus.

The value of now is the query's, the history its last day by hours, so that the hours ahead are expected to be as
yesterday's.
"""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ecoserve.carbon import Accounting, Signal
from ecoserve_operator.signals.providers.http import Fetcher
from ecoserve_operator.signals.providers.parsing import (
    Item,
    an_object,
    expect_text,
    grams,
    newest,
    objects,
    series_of,
)
from ecoserve_operator.signals.providers.parsing import shown as shown_value
from ecoserve_operator.signals.providers.port import Answer, BadReplyError, Point

_STALE_INTERVALS = 3
_HOUR = timedelta(hours=1)


def parse_query(document: object, now: datetime) -> Point:
    """Return the value of `query`, of one series or a scalar; raises BadReplyError."""
    data = _data(document)
    samples = [data.get("result")] if data.get("resultType") == "scalar" else [_one(data).get("value")]
    return newest(_points(samples), now, "the query")


def parse_range(document: object) -> list[Point]:
    """Return the values of `query_range`, of one series or none; raises BadReplyError."""
    data = _data(document)
    expect_text(data, "resultType", "matrix")
    if not data.get("result"):
        return []
    values = _one(data).get("values")
    if not isinstance(values, list):
        raise BadReplyError("values is not a list")
    return _points(values)


def _data(document: object) -> Item:
    item = an_object(document, "the answer")
    expect_text(item, "status", "success")
    return an_object(item.get("data"), "data")


def _one(data: Item) -> Item:
    result = objects(data.get("result"), "result")
    if len(result) != 1:
        raise BadReplyError(f"the query gives {len(result)} series; it must give one")
    return result[0]


def _points(samples: list[object]) -> list[Point]:
    """Samples are pairs of Unix time and text; NaN is Prometheus' own word for no value."""
    points = []
    for sample in samples:
        at, text = sample if isinstance(sample, list) and len(sample) == 2 else (None, None)
        try:
            value, time = float(text), datetime.fromtimestamp(float(at), UTC)  # type: ignore[arg-type]  # raises
        except (TypeError, ValueError, OverflowError, OSError):
            raise BadReplyError(f"a sample is {shown_value(sample)}, not a time and a value") from None
        if not math.isnan(value):
            points.append(Point(time, grams(value, "the query's value") or 0.0))
    return points


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
