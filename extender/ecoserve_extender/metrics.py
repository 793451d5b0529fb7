"""Prometheus metrics: the scheduler exports neither latency nor errors of its extenders, so that we do."""

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST
_BUCKETS_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)


class Metrics:
    """All metrics of one extender, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.request_seconds = Histogram(
            "ecoserve_extender_request_seconds",
            "Time to answer a call, in the extender.",
            ("verb",),
            buckets=_BUCKETS_SECONDS,
            registry=self.registry,
        )
        self.refused_calls = self._counter(
            "ecoserve_extender_refused_calls",
            "Calls answered with an error: malformed, too_long, too_many or not_ready.",
            "verb",
            "reason",
        )
        self.verdicts = self._counter(
            "ecoserve_extender_verdicts",
            "Filter calls by class and whether any node was left.",
            "class",
            "verdict",
        )
        self.rejections = self._counter("ecoserve_extender_rejections", "Nodes refused, by reason.", "reason")
        self.fallbacks = self._counter(
            "ecoserve_extender_fallbacks", "Rankings that had to do without something.", "reason"
        )
        self.decisions = self._counter(
            "ecoserve_extender_decisions",
            "Decisions to be written onto bound pods: written, gone, failed or dropped.",
            "outcome",
        )
        self.retries = self._counter(
            "ecoserve_extender_retries",
            "Refused pods of which the scheduler was told to ask again: written, gone, failed or dropped.",
            "outcome",
        )
        self.evictions = self._counter(
            "ecoserve_extender_evictions",
            "Offline pods asked to leave: evicted, gone, held by a budget, or failed.",
            "outcome",
        )
        self.use_readings = self._counter(
            "ecoserve_extender_use_readings", "Readings of measured use: taken or failed.", "outcome"
        )
        self.invalid_plans = Counter(
            "ecoserve_extender_invalid_plans",
            "Plans that could not be read; the one before stays in use.",
            registry=self.registry,
        )
        self.watch_restarts = self._counter(
            "ecoserve_extender_watch_restarts", "Watches reopened after an error.", "resource"
        )

    def watch_caches(
        self,
        ages: Mapping[str, Callable[[], float]],
        sizes: Mapping[str, Callable[[], float]],
        *,
        plan_age: Callable[[], float],
        clock_skew: Callable[[], float],
    ) -> None:
        """Export the ages of caches (since the API server was last heard) and plan, sizes and skew, read when scraped."""
        Gauge(
            "ecoserve_extender_plan_age_seconds",
            "Time since the operator last wrote to the placement plan; NaN without one.",
            registry=self.registry,
        ).set_function(plan_age)
        Gauge(
            "ecoserve_extender_clock_skew_seconds",
            "How far this machine's clock is ahead of the API server's.",
            registry=self.registry,
        ).set_function(clock_skew)
        age = Gauge(
            "ecoserve_extender_cache_age_seconds",
            "Time since the API server was last heard on this watch.",
            ("resource",),
            registry=self.registry,
        )
        size = Gauge("ecoserve_extender_cache_entries", "Records held.", ("kind",), registry=self.registry)
        for resource, read in ages.items():
            age.labels(resource).set_function(read)
        for kind, read in sizes.items():
            size.labels(kind).set_function(read)

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)
