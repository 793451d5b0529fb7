"""Design points: the same servings on the same nodes planned otherwise, all measured in grams, W, $ and s.

Each objective is one. Beside them stand two designs that narrow the choice and then seek the least cost:
prefill and decode on replicas of their own throughout, as in Splitwise (Patel et al., ISCA'24), and a fleet of
a single instance type. Both leave out CPU cores. One that can't serve what the carbon plan serves says why.

Carbon's plan is the best that any search came across: a search that stops within its gap of the bound must not
let another design look greener than the one that seeks carbon.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from ecoserve.api.llmserving import Objective
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.performance import Role
from ecoserve.planner.build import SearchEffort
from ecoserve.planner.levers import ALL_LEVERS, Lever
from ecoserve.planner.plan import Plan, make_plan

_ROUNDING = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """A narrower design: its plan, or why there is none."""

    name: str
    plan: Plan | None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignPoints:
    """A plan per objective, and narrower designs where they were asked for."""

    plans: Mapping[Objective, Plan]
    alternatives: tuple[Alternative, ...] = ()

    @property
    def carbon(self) -> Plan:
        """The plan of least carbon."""
        return self.plans[Objective.CARBON]

    def saved_share(self, against: Objective) -> float:
        """Return the share of an objective's grams that the carbon plan saves (0 where it emits none)."""
        return self.saved_share_of(self.plans[against])

    def saved_share_of(self, other: Plan) -> float:
        """Return the share of another plan's grams that the carbon plan saves (0 where it emits none)."""
        grams = other.grams_per_hour
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
    return DesignPoints(plans=_with_greenest(plans, plans.values()))


def with_alternatives(
    points: DesignPoints,
    snapshot: Snapshot,
    *,
    levers: frozenset[Lever] = ALL_LEVERS,
    effort: SearchEffort | None = None,
) -> DesignPoints:
    """Add the narrower designs; without Rightsize every plan is narrow already, and there are none."""
    if Lever.RIGHTSIZE not in levers:
        return points
    narrower = levers - {Lever.REUSE}
    found = [_splitwise(snapshot, points.carbon, narrower, effort)]
    for sku in sorted({pool.instance.id for pool in snapshot.pools if pool.instance.accelerator_count}):
        pools = tuple(pool for pool in snapshot.pools if pool.instance.id == sku)
        plan = make_plan(
            replace(snapshot, pools=pools), objective=Objective.COST, levers=narrower, effort=effort
        )
        found.append(_judged(f"{sku} only", plan, points.carbon))
    feasible = [item.plan for item in found if item.plan is not None]
    plans = _with_greenest(points.plans, [points.carbon, *feasible])
    return DesignPoints(plans=plans, alternatives=tuple(found))


def _splitwise(
    snapshot: Snapshot, carbon: Plan, levers: frozenset[Lever], effort: SearchEffort | None
) -> Alternative:
    name, split = "prefill/decode split", (Role.PREFILL, Role.DECODE)
    for serving in snapshot.servings:
        if not set(split) <= set(serving.roles):
            return Alternative(
                name=name, plan=None, reason=f"{serving.name} does not allow the roles prefill and decode"
            )
    servings = tuple(replace(serving, roles=split) for serving in snapshot.servings)
    plan = make_plan(
        replace(snapshot, servings=servings), objective=Objective.COST, levers=levers, effort=effort
    )
    return _judged(name, plan, carbon)


def _judged(name: str, plan: Plan, carbon: Plan) -> Alternative:
    """Return the plan if it serves what the carbon plan serves, else the first thing that it does not."""
    if _served(plan) <= _served(carbon):
        return Alternative(name=name, plan=plan)
    known = {(item.serving, item.slice) for item in carbon.unserved}
    missing = next(
        (item for item in plan.unserved if (item.serving, item.slice) not in known), plan.unserved[0]
    )
    return Alternative(name=name, plan=None, reason=f"{missing.serving}: {missing.detail}")


def _served(plan: Plan) -> tuple[float, int]:
    """Rank plans by what they leave unserved."""
    return (round(plan.unserved_requests_per_second, _ROUNDING), len(plan.unserved))


def _with_greenest(plans: Mapping[Objective, Plan], found: Iterable[Plan]) -> dict[Objective, Plan]:
    """Return the plans with the greenest one found as the carbon plan."""
    greenest = min(found, key=lambda p: (round(p.unserved_requests_per_second, _ROUNDING), p.grams_per_hour))
    carbon = plans[Objective.CARBON]
    if greenest.grams_per_hour < carbon.grams_per_hour:
        carbon = as_carbon_plan(greenest, carbon)
    return {**plans, Objective.CARBON: carbon}


def as_carbon_plan(found: Plan, searched: Plan) -> Plan:
    """Return a plan that another search found as the carbon plan, under the carbon search's bounds and pools."""
    bound = searched.bounds.mip if searched.bounds is not None else 0.0
    gap = max(0.0, 1 - bound / found.grams_per_hour) if found.grams_per_hour > 0 else 0.0
    nodes_on = {use.pool.name: use.nodes_on for use in found.pools}
    return replace(
        found,
        objective=Objective.CARBON,
        levers=searched.levers,
        pools=tuple(replace(use, nodes_on=nodes_on.get(use.pool.name, 0)) for use in searched.pools),
        bounds=searched.bounds,
        gap=gap,
        solved=searched.solved,
    )
