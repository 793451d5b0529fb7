"""A day, hour by hour: the carbon plan against the design points, each planned anew every hour.

Every hour has its own load and intensity; every objective plans for exactly that, with perfect knowledge and no
cost of change. What differs is the objective alone, so the totals say what seeking carbon is worth, not what a
controller with forecasts and cold starts would reach.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from ecoserve.api.llmserving import Objective
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.planner.build import SearchEffort
from ecoserve.planner.design_points import compare
from ecoserve.planner.levers import ALL_LEVERS, Lever

DAY_EFFORT = SearchEffort(relative_gap=0.01, time_limit_seconds=1.0)
"""A day is some hundred searches: each may stop a little earlier than a plan that is carried out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One objective's plan for one hour."""

    grams: float
    watts: float
    dollars: float
    latency_seconds: float
    nodes_on: int
    unserved_requests_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """One hour: its start, the zones' intensities in gCO2e/kWh, the load, and what each objective makes of it."""

    start: datetime
    intensities: Mapping[str, float]
    requests_per_second: float
    outcomes: Mapping[Objective, Outcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """All hours."""

    hours: tuple[Hour, ...]

    def total_grams(self, objective: Objective) -> float:
        """Return the grams an objective's plans emit over the hours."""
        return sum(hour.outcomes[objective].grams for hour in self.hours)

    def saved_share(self, against: Objective) -> float:
        """Return the share of an objective's grams that planning for carbon saves."""
        grams = self.total_grams(against)
        return 1 - self.total_grams(Objective.CARBON) / grams if grams > 0 else 0.0


def simulate_day(
    snapshot_at: Callable[[datetime], Snapshot],
    start: datetime,
    *,
    hours: int = 24,
    levers: frozenset[Lever] = ALL_LEVERS,
    effort: SearchEffort = DAY_EFFORT,
    progress: Callable[[int, int], None] | None = None,
) -> Day:
    """Plan each hour under every objective; `progress` is called with hours done and hours in all."""
    rows = []
    for index in range(hours):
        if progress is not None:
            progress(index, hours)
        time = start + timedelta(hours=index)
        snapshot = snapshot_at(time)
        points = compare(snapshot, levers=levers, effort=effort)
        rows.append(
            Hour(
                start=time,
                intensities={zone.name: zone.carbon_intensity for zone in snapshot.zones},
                requests_per_second=sum(serving.rate_per_second for serving in snapshot.servings),
                outcomes={
                    objective: Outcome(
                        grams=plan.grams_per_hour,
                        watts=plan.watts,
                        dollars=plan.cost_per_hour,
                        latency_seconds=plan.latency_seconds,
                        nodes_on=plan.nodes_on,
                        unserved_requests_per_second=plan.unserved_requests_per_second,
                    )
                    for objective, plan in points.plans.items()
                },
            )
        )
    if progress is not None:
        progress(hours, hours)
    return Day(hours=tuple(rows))
