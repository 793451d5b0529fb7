"""What the planner's process is asked to do: plan, export what was solved, and compare objectives."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from ecoserve.api.accounts import LeverContribution
from ecoserve.api.llmserving import DesignPoint, Objective
from ecoserve.fleet.pools import Pool
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.performance import Known, asked_capacities
from ecoserve.planner.design_points import compare
from ecoserve.planner.effects import LeverEffects, measure_losses
from ecoserve.planner.learning import Learner
from ecoserve.planner.plan import Plan
from ecoserve.workload.slices import ServingDemand
from ecoserve_operator.planning.emission import Emission, emissions
from ecoserve_operator.planning.hysteresis import Hysteresis
from ecoserve_operator.planning.session import Answer, Exported, PlanningSession

_DIGITS = 3
_PIECE_SECONDS = 5.0
_session = PlanningSession()
"""The planner's process has one memory; in the operator's own process nobody uses it."""
_learner = Learner()
_learned_for: tuple[tuple[ServingDemand, ...], tuple[Pool, ...]] | None = None
_told = 0
"""Capacities that the operator's own process has been told of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What each objective, and carbon without each lever, would have chosen on one snapshot: in all, and by serving.

    `emissions` are those of each objective's plan, for counting them at other intensities.
    """

    whole: tuple[DesignPoint, ...]
    by_serving: Mapping[str, tuple[DesignPoint, ...]]
    saved_percent: Mapping[str, float]
    emissions: Mapping[str, Mapping[Objective, Emission]]
    levers: tuple[LeverContribution, ...]
    levers_by_serving: Mapping[str, tuple[LeverContribution, ...]]


def warm_up() -> None:
    """Do nothing; having been called, the process has imported the planner."""


def learn_capacities(snapshot: Snapshot) -> bool:
    """Find capacities that a plan of the snapshot asks first, for some seconds; tell whether all are known."""
    global _learned_for
    asked_for = (snapshot.servings, snapshot.pools)
    if asked_for != _learned_for and _learner.learn(snapshot, _PIECE_SECONDS):
        _learned_for = asked_for
    return asked_for == _learned_for


def new_capacities() -> Known:
    """Return what this process was asked about capacities since the last call."""
    global _told
    asked = asked_capacities()
    known_before = _told if _told <= len(asked) else 0  # it has forgotten, and begun anew
    _told = len(asked)
    return dict(itertools.islice(asked.items(), known_before, None))


def plan_snapshot(snapshot: Snapshot, hysteresis: Hysteresis) -> Answer:
    """The answer to a snapshot, from what the process remembers of those before."""
    return _session.answer(snapshot, hysteresis)


def explain_plan() -> Plan | None:
    """The plan of the last answer of this process with its reasons; None where there is none, as it began anew."""
    return _session.explained()


def make_ready() -> None:
    """Work out what the next answer of this process will need, as nobody waits."""
    _session.make_ready()


def export_instances() -> Exported:
    """The instances behind the last answer of this process."""
    return _session.export()


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
    emitted = {objective: emissions(other.placements, snapshot) for objective, other in plans.items()}
    effects = measure_losses(snapshot, plans[Objective.CARBON])
    return Comparison(
        whole=whole,
        by_serving=by_serving,
        saved_percent=saved,
        emissions={
            name: {objective: found[name] for objective, found in emitted.items() if name in found}
            for name in by_serving
        },
        levers=_contributions(effects, everyone),
        levers_by_serving={name: _contributions(effects, {name}) for name in by_serving},
    )


def _contributions(effects: LeverEffects, names: set[str]) -> tuple[LeverContribution, ...]:
    """What each lever saves on these servings; one that changes how much is served can't be told in grams."""
    return tuple(
        LeverContribution(
            lever=lever.value,
            grams_per_hour=round(
                _grams(effects.without(lever), names) - _grams(effects.full, names), _DIGITS
            ),
        )
        for lever in sorted(effects.levers)
        if effects.serves_as_much(lever)
    )


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
