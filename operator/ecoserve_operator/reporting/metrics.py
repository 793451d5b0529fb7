"""Prometheus metrics, all with prefix `ecoserve_`, in a registry of their own."""

from collections.abc import Iterable, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    start_http_server,
)

from ecoserve.planner.backlog import total
from ecoserve_operator.planning.decision import Choice
from ecoserve_operator.planning.offline import Order
from ecoserve_operator.signals.intensity import Reading

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class Metrics:
    """The operator's metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.plan_seconds = self._histogram("plan_seconds", "From a change to its plan.")
        self.apply_seconds = self._histogram("apply_seconds", "From a change to the last Deployment written.")
        self.plans = Counter(
            "ecoserve_plans",
            "Plans by outcome: planned anew, kept within hysteresis, rerouted, failed.",
            ("outcome",),
            registry=self.registry,
        )
        self.writes = Counter(
            "ecoserve_deployment_writes", "Deployments applied or deleted.", ("verb",), registry=self.registry
        )
        self.leading = self._gauge("leading", "1 while this instance acts.")
        self.watch_age = self._gauge("watch_event_age_seconds", "Age of the last watch event.")
        self.intensity = self._gauge("zone_intensity_grams_per_kwh", "Carbon intensity used.", "zone")
        self.stale = self._gauge(
            "zone_intensity_stale", "1 where the intensity is held or a fallback.", "zone"
        )
        self.observed = self._gauge(
            "zone_intensity_observed_timestamp_seconds", "When the intensity used was last told.", "zone"
        )
        self.grams = self._gauge(
            "serving_grams_per_hour", "gCO2e/h of a serving's placement.", "serving", "part"
        )
        self.replicas = self._gauge(
            "serving_planned_replicas", "Replicas planned.", "serving", "pool", "role", "class"
        )
        self.held = self._gauge(
            "serving_held", "1 where the last good placement is held.", "serving", "reason"
        )

        self.backlog = self._gauge(
            "offline_backlog_requests",
            "Offline requests that waited when the present order began.",
            "serving",
        )

    def serve(self, host: str, port: int) -> None:
        """Serve /metrics from a thread of its own."""
        start_http_server(port, addr=host, registry=self.registry)

    def show(
        self, choices: Iterable[Choice], readings: Mapping[str, Reading], orders: Mapping[str, Order]
    ) -> None:
        """Show the present decision and readings; what no longer exists disappears."""
        for gauge in (
            self.intensity,
            self.stale,
            self.observed,
            self.grams,
            self.replicas,
            self.held,
            self.backlog,
        ):
            gauge.clear()
        for name, order in orders.items():
            self.backlog.labels(name).set(total(order.backlog))
        for zone, reading in readings.items():
            self.intensity.labels(zone).set(reading.grams_per_kwh)
            self.stale.labels(zone).set(reading.stale)
            self.observed.labels(zone).set(reading.observed_at.timestamp())
        for choice in choices:
            name = choice.serving
            operational = sum(item.operational_grams_per_hour for item in choice.placements)
            embodied = sum(item.embodied_grams_per_hour for item in choice.placements)
            self.grams.labels(name, "operational").set(operational)
            self.grams.labels(name, "embodied").set(embodied)
            if choice.problem:
                self.held.labels(name, choice.reason).set(1)
            for item in choice.placements:
                self.replicas.labels(name, item.pool, item.role.value, item.traffic_class).inc(item.replicas)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"ecoserve_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(f"ecoserve_{name}", text, buckets=_SECONDS, registry=self.registry)
