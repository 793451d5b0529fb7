"""The front between cost and carbon: plans of which none is both cheaper and greener than another.

Its ends are the plans of least cost and of least carbon. Between two neighbours lies a carbon price at which
both are worth the same; planning at that price either finds a plan better than both, which splits the gap in
two, or shows that there is none on the convex hull. Gaps are taken widest first, so that few plans already
draw the front. Plans between the hull's corners, which no price would choose, are not sought.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from ecoserve.api.llmserving import Objective
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.planner.build import SearchEffort
from ecoserve.planner.levers import ALL_LEVERS, Lever
from ecoserve.planner.plan import Plan, make_plan
from ecoserve.units import GRAMS_PER_TONNE

_ROUNDING = 6
_LEAST_DIFFERENCE = 1e-6
"""Plans nearer than this share in cost or carbon are the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontPoint:
    """A plan on the front and the carbon price, in $ per tonne, from which it is worth its cost (0 for the cheapest)."""

    plan: Plan
    price_per_tonne: float


def pareto_front(
    snapshot: Snapshot,
    *,
    levers: frozenset[Lever] = ALL_LEVERS,
    effort: SearchEffort | None = None,
    most_plans: int = 12,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[FrontPoint, ...]:
    """Return the front from the cheapest to the greenest plan, both strictly monotone, by at most so many searches.

    Where not everything can be served, only plans that serve as much as any are on it.
    """
    found: list[Plan] = []

    def search(objective: Objective, price: float = 0.0) -> Plan:
        if progress is not None:
            progress(len(found), most_plans)
        plan = make_plan(
            snapshot, objective=objective, levers=levers, effort=effort, carbon_price_per_tonne=price
        )
        found.append(plan)
        return plan

    search(Objective.COST)
    search(Objective.CARBON)
    settled: set[tuple[float, float]] = set()
    while len(found) < most_plans:
        front = _undominated(found)
        gaps = [pair for pair in pairwise(front) if _gap_key(*pair) not in settled]
        if not gaps:
            break
        cheaper, greener = max(gaps, key=lambda pair: _area(*pair))
        settled.add(_gap_key(cheaper, greener))
        search(Objective.COST, _price(cheaper, greener))
    if progress is not None:
        progress(most_plans, most_plans)
    front = _undominated(found)
    prices = [0.0, *(_price(cheaper, greener) for cheaper, greener in pairwise(front))]
    return tuple(
        FrontPoint(plan=plan, price_per_tonne=price) for plan, price in zip(front, prices, strict=True)
    )


def _undominated(plans: list[Plan]) -> list[Plan]:
    """Return the plans of which none is both cheaper and greener than another, the cheapest first."""
    least = min(round(plan.unserved_requests_per_second, _ROUNDING) for plan in plans)
    serving = (plan for plan in plans if round(plan.unserved_requests_per_second, _ROUNDING) <= least)
    front: list[Plan] = []
    for plan in sorted(serving, key=lambda plan: (plan.cost_per_hour, plan.grams_per_hour)):
        if not front:
            front.append(plan)
            continue
        last = front[-1]
        if plan.grams_per_hour >= last.grams_per_hour * (1 - _LEAST_DIFFERENCE):
            continue
        if plan.cost_per_hour <= last.cost_per_hour * (1 + _LEAST_DIFFERENCE):
            front[-1] = plan
        else:
            front.append(plan)
    return front


def _price(cheaper: Plan, greener: Plan) -> float:
    """Return the $ per tonne at which two neighbours are worth the same."""
    dollars = greener.cost_per_hour - cheaper.cost_per_hour
    return dollars / (cheaper.grams_per_hour - greener.grams_per_hour) * GRAMS_PER_TONNE


def _area(cheaper: Plan, greener: Plan) -> float:
    dollars = greener.cost_per_hour - cheaper.cost_per_hour
    return dollars * (cheaper.grams_per_hour - greener.grams_per_hour)


def _gap_key(cheaper: Plan, greener: Plan) -> tuple[float, float]:
    return (cheaper.grams_per_hour, greener.grams_per_hour)
