"""Design points: the same servings on the same nodes under each objective, all measured in grams, W, $ and s.

Carbon's plan is the best that any objective's search came across: a search that stops within its gap of the
bound must not let another objective look greener than the one that seeks carbon.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ecoserve.api.llmserving import Objective
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.planner.build import SearchEffort
from ecoserve.planner.levers import ALL_LEVERS, Lever
from ecoserve.planner.plan import Plan, make_plan

_ROUNDING = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignPoints:
    """A plan per objective."""

    plans: Mapping[Objective, Plan]

    @property
    def carbon(self) -> Plan:
        """The plan of least carbon."""
        return self.plans[Objective.CARBON]

    def saved_share(self, against: Objective) -> float:
        """Return the share of the other plan's grams that the carbon plan saves (0 where it emits none)."""
        grams = self.plans[against].grams_per_hour
        return 1 - self.carbon.grams_per_hour / grams if grams > 0 else 0.0


def compare(
    snapshot: Snapshot,
    *,
    levers: frozenset[Lever] = ALL_LEVERS,
    effort: SearchEffort | None = None,
    carbon: Plan | None = None,
    progress: Callable[[Objective], None] | None = None,
) -> DesignPoints:
    """Plan a snapshot under every objective; `carbon` is a carbon plan of it that exists already."""
    plans: dict[Objective, Plan] = {}
    for objective in Objective:
        if progress is not None:
            progress(objective)
        if objective is Objective.CARBON and carbon is not None:
            plans[objective] = carbon
        else:
            plans[objective] = make_plan(snapshot, objective=objective, levers=levers, effort=effort)
    greenest = min(
        plans.values(), key=lambda p: (round(p.unserved_requests_per_second, _ROUNDING), p.grams_per_hour)
    )
    if greenest.grams_per_hour < plans[Objective.CARBON].grams_per_hour:
        plans[Objective.CARBON] = _as_carbon(greenest, plans[Objective.CARBON])
    return DesignPoints(plans=plans)


def _as_carbon(found: Plan, searched: Plan) -> Plan:
    """Return a plan that another objective found as the carbon plan, under the carbon search's bounds."""
    bound = searched.bounds.mip if searched.bounds is not None else 0.0
    gap = max(0.0, 1 - bound / found.grams_per_hour) if found.grams_per_hour > 0 else 0.0
    return replace(
        found, objective=Objective.CARBON, bounds=searched.bounds, gap=gap, instances=searched.instances
    )
