"""Prometheus metrics, all with prefix `ecoserve_`, in a registry of their own.

Gauges show the present decision and readings, counters what happened; docs/operate.md lists them. What stands in
statuses (grams emitted) goes on counting from there after a restart, so that no counter falls back.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    start_http_server,
)

from ecoserve.api.accounts import ForecastAccuracy
from ecoserve.api.labels import CURRENT_PLAN
from ecoserve.planner.backlog import total
from ecoserve_operator.planning.offline import Order
from ecoserve_operator.planning.planner import Decision
from ecoserve_operator.reporting.accounts import WHOLE, Rates
from ecoserve_operator.reporting.load import loads_accuracy
from ecoserve_operator.signals.intensity import Reading
from ecoserve_operator.signals.load.signals import Loads
from ecoserve_operator.watch.records import Key, Reported

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_WATTS_PER_KILOWATT = 1000.0
_PERCENT = 100.0


class Metrics:
    """The operator's metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.plan_seconds = self._histogram("plan_seconds", "From a change to its plan.")
        self.apply_seconds = self._histogram("apply_seconds", "From a change to the last Deployment written.")
        self.plans = self._counter(
            "plans", "Plans by outcome: planned anew, kept within hysteresis, rerouted, failed.", "outcome"
        )
        self.decisions = self._counter(
            "serving_decisions", "What decisions meant for servings: changed, or why not.", "reason"
        )
        self.writes = self._counter("deployment_writes", "Deployments applied or deleted.", "verb")
        self.errors = self._counter(
            "errors", "Passes that failed, by kind: api_refused, api_unreachable, planner.", "kind"
        )
        self.emitted = self._counter(
            "emitted_grams", "gCO2e by what was planned and by what objectives would have.", "placement"
        )
        self.serving_emitted = self._counter(
            "serving_emitted_grams", "The same of each serving there is.", "serving", "placement"
        )
        self._desired = Gauge(
            "ecoserve_desired_replicas",
            "Replicas that the plan wants of a Deployment, for autoscalers that scale it instead of the operator.",
            ("namespace", "serving", "deployment"),
            registry=self.registry,
        )
        self.leading = Gauge("ecoserve_leading", "1 while this instance acts.", registry=self.registry)
        self.watch_age = Gauge(
            "ecoserve_watch_event_age_seconds", "Age of the last watch event.", registry=self.registry
        )
        self._shown: list[Gauge] = []
        self._intensity = self._gauge("zone_intensity_grams_per_kwh", "Carbon intensity used.", "zone")
        self._stale = self._gauge(
            "zone_intensity_stale", "1 where the intensity is held or a fallback.", "zone"
        )
        self._observed = self._gauge(
            "zone_intensity_observed_timestamp_seconds", "When the intensity used was last told.", "zone"
        )
        self._error = self._gauge(
            "zone_forecast_error_ratio", "Mean absolute error of forecasts an hour ahead, by value.", "zone"
        )
        self._load = self._gauge("serving_requests_per_second", "Load planned for.", "serving", "class")
        stream = ("serving", "class")
        self._measured = self._gauge("serving_measured_requests_per_second", "Load as measured.", *stream)
        self._expected = self._gauge(
            "serving_expected_requests_per_second", "Load expected of this hour and the next.", *stream
        )
        self._load_stale = self._gauge(
            "serving_load_stale", "1 where measured load is held, or the spec's meanwhile.", *stream
        )
        self._load_observed = self._gauge(
            "serving_load_observed_timestamp_seconds", "When load was last measured.", *stream
        )
        self._waiting = self._gauge("serving_waiting_requests", "Requests measured to wait.", *stream)
        self._load_error = self._gauge(
            "serving_load_forecast_error_ratio", "Mean absolute error of load forecasts of a day.", *stream
        )
        self._grams = self._gauge(
            "serving_grams_per_hour", "gCO2e/h of a serving's placement.", "serving", "part"
        )
        self._replicas = self._gauge(
            "serving_planned_replicas", "Replicas planned.", "serving", "pool", "role", "class"
        )
        self._ready = self._gauge(
            "serving_ready_replicas", "Replicas that are ready, of enforced servings.", "serving"
        )
        self._unserved = self._gauge(
            "serving_unserved_requests_per_second", "Load that the plan does not meet.", "serving", "reason"
        )
        self._held = self._gauge(
            "serving_held", "1 where the last good placement is held.", "serving", "reason"
        )
        self._backlog = self._gauge(
            "offline_backlog_requests",
            "Offline requests that waited when the present order began.",
            "serving",
        )
        self._rates = self._gauge(
            "grams_per_hour", "gCO2e/h by what is planned and by what objectives would have.", "placement"
        )
        self._levers = self._gauge(
            "lever_saved_grams_per_hour",
            "gCO2e/h that the best plan without a lever would emit more.",
            "lever",
        )
        self._conditions = self._gauge(
            "condition", "1 where a condition of an object is True, else 0.", "kind", "name", "type"
        )
        self._idle = self._gauge(
            "pool_idle_grams_per_hour", "gCO2e/h of the idle power of a pool's nodes that are on.", "pool"
        )
        self._nodes_on = self._gauge("pool_nodes_on", "Nodes that the plan uses.", "pool")
        self._gap = self._gauge("plan_gap_ratio", "How far the plan may be from the least, of its value.")
        self._bound = self._gauge(
            "plan_lower_bound", "Least value that any plan can have, in the objective's unit.", "objective"
        )

    def serve(self, host: str, port: int) -> None:
        """Serve /metrics from a thread of its own."""
        start_http_server(port, addr=host, registry=self.registry)

    def count_grams(self, name: str, placement: str, grams: float) -> None:
        """Count grams of a serving, or of the fleet (`WHOLE`)."""
        if name == WHOLE:
            self.emitted.labels(placement).inc(grams)
        else:
            self.serving_emitted.labels(name, placement).inc(grams)

    def forget_serving(self, name: str) -> None:
        """Drop the counters of a serving that has gone."""
        self.serving_emitted.remove_by_labels({"serving": name})

    def show_desired(self, desired: Mapping[Key, tuple[str, int]]) -> None:
        """Show the serving and the wanted replicas of each Deployment."""
        self._desired.clear()
        for (namespace, name), (serving, replicas) in desired.items():
            self._desired.labels(namespace, serving, name).set(replicas)

    def show(
        self,
        decision: Decision,
        readings: Mapping[str, Reading],
        forecasts: Mapping[str, Iterable[ForecastAccuracy]],
        orders: Mapping[str, Order],
        ready: Mapping[str, int],
        rates: Rates,
    ) -> None:
        """Show the present decision and readings; what no longer exists disappears."""
        for gauge in self._shown:
            gauge.clear()
        for zone, reading in readings.items():
            self._intensity.labels(zone).set(reading.grams_per_kwh)
            self._stale.labels(zone).set(reading.stale)
            self._observed.labels(zone).set(reading.observed_at.timestamp())
            for item in forecasts.get(zone, ()):
                self._error.labels(zone).set(item.mean_absolute_percent_error / _PERCENT)
        for name, order in orders.items():
            self._backlog.labels(name).set(total(order.backlog))
        for name, replicas in ready.items():
            self._ready.labels(name).set(replicas)
        for placement, rate in rates.items():
            self._rates.labels(placement).set(rate)
        self._show_choices(decision)
        self._show_plan(decision)

    def show_loads(self, loads: Loads, now: datetime) -> None:
        """Show measured load beside what is planned for; to be called after `show`, which clears it."""
        for name, by_class in loads.items():
            for kind, reading in by_class.items():
                self._load_stale.labels(name, kind).set(reading.stale)
                history, measured = reading.history, reading.measured_per_second
                if measured is not None:
                    self._measured.labels(name, kind).set(measured)
                    expected = None if history is None else history.expected(measured, now)
                    if expected is not None:
                        self._expected.labels(name, kind).set(expected)
                if reading.observed_at is not None:
                    self._load_observed.labels(name, kind).set(reading.observed_at.timestamp())
                if reading.waiting is not None:
                    self._waiting.labels(name, kind).set(reading.waiting)
            for found in loads_accuracy(by_class):
                self._load_error.labels(name, found.of).set(found.mean_absolute_percent_error / _PERCENT)

    def show_statuses(self, reported: Mapping[Key, Reported], plan_status: Mapping[str, Any]) -> None:
        """Show what statuses say: conditions, and what each lever saves in all; to be called after `show`."""
        for (namespace, name), told in reported.items():
            kind, written = ("GridZone", name) if namespace is None else ("LLMServing", f"{namespace}/{name}")
            self._show_conditions(kind, written, told.body)
        self._show_conditions("PlacementPlan", CURRENT_PLAN, plan_status)
        for item in plan_status.get("levers", ()):
            self._levers.labels(item["lever"]).set(item["gramsPerHour"])

    def _show_conditions(self, kind: str, name: str, status: Mapping[str, Any]) -> None:
        for item in status.get("conditions", ()):
            self._conditions.labels(kind, name, item["type"]).set(item["status"] == "True")

    def _show_choices(self, decision: Decision) -> None:
        for demand in decision.snapshot.servings:
            for name, traffic in (("online", demand.online), ("offline", demand.offline)):
                if traffic is not None:
                    self._load.labels(demand.name, name).set(traffic.rate_per_second)
        for choice in decision.choices.values():
            name = choice.serving
            operational = sum(item.operational_grams_per_hour for item in choice.placements)
            embodied = sum(item.embodied_grams_per_hour for item in choice.placements)
            self._grams.labels(name, "operational").set(operational)
            self._grams.labels(name, "embodied").set(embodied)
            if choice.problem:
                self._held.labels(name, choice.reason).set(1)
            for item in choice.placements:
                self._replicas.labels(name, item.pool, item.role.value, item.traffic_class).inc(item.replicas)

    def _show_plan(self, decision: Decision) -> None:
        plan = decision.plan
        if plan is None:
            return
        zones = {zone.name: zone for zone in plan.zones}
        for use in plan.pools:
            zone = zones[use.pool.zone]
            watts = use.nodes_on * use.idle_watts_per_node * zone.pue
            self._idle.labels(use.pool.name).set(watts / _WATTS_PER_KILOWATT * zone.carbon_intensity)
            self._nodes_on.labels(use.pool.name).set(use.nodes_on)
        for item in plan.unserved:
            self._unserved.labels(item.serving, item.reason.value).inc(item.requests_per_second)
        if plan.gap is not None:
            self._gap.set(max(0.0, plan.gap))
        for part in plan.explanation.objectives if plan.explanation is not None else ():
            self._bound.labels(part.objective).set(part.lower_bound)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        """A gauge that `show` clears and sets anew."""
        gauge = Gauge(f"ecoserve_{name}", text, labels, registry=self.registry)
        if labels:
            self._shown.append(gauge)
        return gauge

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"ecoserve_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(f"ecoserve_{name}", text, buckets=_SECONDS, registry=self.registry)
