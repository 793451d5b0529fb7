"""A plan that follows the grid: while only intensities change its replicas stay and load is routed anew.

`KeptPlan` knows how far its plan was above the linear bound when it was made. At other intensities it tells how
far the same replicas, with load routed anew, are above the new bound, and hands out the plan that they then are.
The bound is that of replicas chosen anew, so nothing better is overlooked by more than the difference.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from math import inf

from ecoserve.api.llmserving import Objective
from ecoserve.fleet.assemble import with_intensity
from ecoserve.fleet.snapshot import Snapshot, Zone
from ecoserve.planner.attribution import attribute
from ecoserve.planner.bounds import fluid_bound
from ecoserve.planner.build import Problem, with_intensities
from ecoserve.planner.instance import BoundsResult, PlanningResult
from ecoserve.planner.pinning import Pinned, with_pinned
from ecoserve.planner.plan import Plan, plan_of
from ecoserve.planner.solved import Solved
from ecoserve.planner.tick import HeldPlan

_NOTHING = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """The plan in figures under new intensities, and how far it is above their bound, as a share of that.

    Where it is farther than what is accepted the share is at most this, and the bound one of several.
    """

    plan: Plan
    excess: float


class KeptPlan:
    """A carbon plan of one snapshot, kept while intensities move."""

    def __init__(self, snapshot: Snapshot, plan: Plan) -> None:
        """Keep a plan for which `can_follow` holds, and the snapshot it was made of."""
        (self._solved,) = plan.solved
        assert self._solved.result is not None  # noqa: S101 - can_follow has looked
        self._result: PlanningResult = self._solved.result
        self._snapshot = snapshot
        self._plan = plan
        self._replicas = {item.configuration: item.replicas for item in plan.placements}

    @cached_property
    def _held(self) -> HeldPlan:
        assert self._solved.free.instance is not None  # noqa: S101 - can_follow has looked
        return HeldPlan(self._solved.free.instance, self._result)

    @cached_property
    def accepted_excess(self) -> float:
        """How far the plan was above the linear bound when it was made: what whole replicas and nodes cost.

        Asked for the first time it takes as long as a relaxation from scratch, so better while nothing waits.
        """
        planned = _intensities(self._snapshot)
        return _above(self._held.reroute(planned).objective, self._held.lower_bound(planned))

    @staticmethod
    def can_follow(plan: Plan) -> bool:
        """Tell whether a plan seeks carbon alone and serves everything: others are planned anew each time."""
        return (
            len(plan.solved) == 1
            and plan.objective is Objective.CARBON
            and not plan.unserved
            and plan.solved[0].result is not None
            and plan.solved[0].result.status != "infeasible"
        )

    def differs_in_intensity_only(self, snapshot: Snapshot) -> bool:
        """Tell whether a snapshot asks the same of the same nodes on the same day, with just these replicas held."""
        known = self._snapshot
        return (
            _but_for_intensity(known) == _but_for_intensity(snapshot)
            and known.taken_at.date() == snapshot.taken_at.date()
            and dict(snapshot.held) == self._replicas
            and replace(snapshot, zones=known.zones, taken_at=known.taken_at, held=known.held) == known
        )

    def at(self, snapshot: Snapshot, accepted: float = inf) -> Followed:
        """Return the plan at a snapshot's intensities; raises SolverError where the replicas can't serve the load.

        The bound is looked for until it tells whether the plan is within the `accepted` share of it.
        """
        intensities = _intensities(snapshot)
        moved = self._held.reroute(intensities)
        bound = self._held.lower_bound(intensities, moved.objective / (1.0 + accepted))
        shaped = replace(
            with_intensity(self._solved.snapshot, intensities),
            zones=snapshot.zones,
            taken_at=snapshot.taken_at,
            held=self._replicas,
        )
        free = with_intensities(self._solved.free, shaped)
        problem = with_pinned(free, Pinned(replicas=self._replicas))
        objective, least = moved.objective, min(bound, moved.objective)
        result = self._result.model_copy(
            update={
                "status": "feasible",
                "objective": objective,
                "lower_bound": least,
                "gap": max(0.0, objective - bound) / objective if objective > _NOTHING else 0.0,
                "bounds": BoundsResult(fluid=least, lp=least, mip=least),
                "flows": moved.flows,
                "cold_start_grams": 0.0,
                "churn": 0,
                "marginals": None,
            }
        )
        solved = Solved(snapshot=shaped, problem=problem, free=free, result=_with_totals(problem, result))
        plan = plan_of(solved, Objective.CARBON, self._plan.levers)
        return Followed(plan=plan, excess=_above(objective, bound))

    def completed(self, followed: Plan) -> Plan:
        """Return the plan of the last `at` with its fluid bound and its prices at the margin, for when it is taken."""
        (solved,) = followed.solved
        assert solved.result is not None  # noqa: S101 - it was made of one
        known = solved.result.bounds
        bounds = BoundsResult(
            fluid=min(fluid_bound(solved.free.formulation), known.lp), lp=known.lp, mip=known.mip
        )
        marginals = self._held.marginals(_intensities(solved.snapshot))
        result = solved.result.model_copy(update={"bounds": bounds, "marginals": marginals})
        return plan_of(replace(solved, result=result), Objective.CARBON, self._plan.levers)


def _intensities(snapshot: Snapshot) -> dict[str, float]:
    return {zone.name: zone.carbon_intensity for zone in snapshot.zones}


def _above(objective: float, bound: float) -> float:
    return max(0.0, objective - bound) / bound if bound > _NOTHING else 0.0


def _but_for_intensity(snapshot: Snapshot) -> list[Zone]:
    """Return the zones without what may differ: the figures of their intensity, and whether those are stale."""
    return [
        replace(zone, intensity=replace(zone.intensity, grams_per_kwh=0.0), stale=False)
        for zone in snapshot.zones
    ]


def _with_totals(problem: Problem, result: PlanningResult) -> PlanningResult:
    """Return a result with the totals that its flows and replicas come to."""
    parts = attribute(problem, result).values()
    assert problem.instance is not None  # noqa: S101 - it has a result
    spec = problem.instance.spec
    rate = sum(item.rate for item in spec.slices)
    waited = sum(
        flow.rate * problem.options[flow.slice, flow.configuration, flow.phase].latency_seconds
        for flow in result.flows
    )
    return result.model_copy(
        update={
            "operational_grams_per_hour": sum(part.operational_grams_per_hour for part in parts),
            "embodied_grams_per_hour": sum(part.embodied_grams_per_hour for part in parts),
            "power_watts": sum(part.watts for part in parts),
            "cost_per_hour": sum(part.cost_per_hour for part in parts),
            "latency_seconds": waited / rate if rate > 0 else 0.0,
        }
    )
