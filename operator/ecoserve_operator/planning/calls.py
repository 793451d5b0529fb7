"""What the planner's process is asked to do: plan with hysteresis, and compare objectives.

Hysteresis: the replicas that run are evaluated on the new snapshot, too. Where they still serve as much and are
within a small share of the best plan's objective, they stay: what noise would change is not changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ecoserve.api.llmserving import DesignPoint, Objective
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.planner.design_points import compare
from ecoserve.planner.plan import Plan, make_plan

_NOTHING_PER_SECOND = 1e-6
_DIGITS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What each objective would have chosen on one snapshot: in all, and by serving with carbon saved in percent."""

    whole: tuple[DesignPoint, ...]
    by_serving: Mapping[str, tuple[DesignPoint, ...]]
    saved_percent: Mapping[str, float]


def warm_up() -> None:
    """Do nothing; having been called, the process has imported the planner."""


def plan_snapshot(snapshot: Snapshot, hysteresis_fraction: float) -> Plan:
    """The best plan of a snapshot, or that of its held replicas where it is as good."""
    best = make_plan(snapshot)
    chosen = best
    if snapshot.held and not same_replicas(best, snapshot.held):
        held = make_plan(snapshot, pinned=snapshot.held)
        if stays(held, best, snapshot, hysteresis_fraction):
            chosen = held
    return replace(chosen, instances=())  # only for the trip between processes: nothing there reads them


def stays(held: Plan, best: Plan, snapshot: Snapshot, fraction: float) -> bool:
    """Whether held replicas are near enough to the best: as much served, objectives within `fraction`."""
    if not same_replicas(held, snapshot.held):
        return False  # a configuration of theirs is no longer possible
    if held.unserved_requests_per_second > best.unserved_requests_per_second + _NOTHING_PER_SECOND:
        return False
    if len(held.unserved) > len(best.unserved):
        return False
    groups = {
        objective: {serving.name for serving in snapshot.servings if serving.objective is objective}
        for objective in {serving.objective for serving in snapshot.servings}
    }
    return all(
        _value(held, objective, names) <= _value(best, objective, names) * (1.0 + fraction)
        for objective, names in groups.items()
    )


def same_replicas(plan: Plan, held: Mapping[str, int]) -> bool:
    """Whether a plan's replicas are just those held."""
    return {item.configuration: item.replicas for item in plan.placements} == dict(held)


def compare_objectives(snapshot: Snapshot, plan: Plan) -> Comparison:
    """Plan the snapshot under every objective; savings are those of `plan` against the cost-optimal plan."""
    carbon = plan if plan.objective is Objective.CARBON else None
    plans = compare(snapshot, carbon=carbon).plans
    by_serving = {
        serving.name: tuple(_point(objective, other, {serving.name}) for objective, other in plans.items())
        for serving in snapshot.servings
    }
    saved = {}
    for name in by_serving:
        own = _grams(plan, {name})
        cheapest = _grams(plans[Objective.COST], {name})
        if own > 0 and cheapest > 0:
            saved[name] = round(100.0 * (1.0 - own / cheapest), 1)
    everyone = set(by_serving)
    whole = tuple(_point(objective, other, everyone) for objective, other in plans.items())
    return Comparison(whole=whole, by_serving=by_serving, saved_percent=saved)


def _point(objective: Objective, plan: Plan, names: set[str]) -> DesignPoint:
    mine = [item for item in plan.placements if item.serving in names]
    return DesignPoint(
        objective=objective,
        grams_per_hour=round(_grams(plan, names), _DIGITS),
        watts=round(sum(item.watts for item in mine), _DIGITS),
        cost_per_hour=round(sum(item.cost_per_hour for item in mine), _DIGITS),
    )


def _grams(plan: Plan, names: set[str]) -> float:
    return sum(item.grams_per_hour for item in plan.placements if item.serving in names)


def _value(plan: Plan, objective: Objective, names: set[str]) -> float:
    """A plan's objective over some servings; latency is known of whole plans only."""
    mine = [item for item in plan.placements if item.serving in names]
    match objective:
        case Objective.CARBON:
            return sum(item.grams_per_hour for item in mine)
        case Objective.ENERGY:
            return sum(item.watts for item in mine)
        case Objective.COST:
            return sum(item.cost_per_hour for item in mine)
        case Objective.PERFORMANCE:
            return plan.latency_seconds
