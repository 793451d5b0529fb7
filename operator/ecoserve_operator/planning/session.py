"""What the planner's process remembers between two calls, and how it answers: by rerouting, keeping or planning.

Where only intensities changed, the replicas that run stay as long as load routed anew among them is near enough
to the new bound: no nearer than when they were chosen, give or take the hysteresis. A plan costs a search, this
two linear programs that start where they ended last. All else is planned anew. Then the replicas that run are
evaluated, too, and stay where they serve as much and are within the hysteresis of the best: what noise would
change is not changed.
"""

import lzma
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from ecoserve.api.llmserving import Objective
from ecoserve.errors import EcoserveError
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.planner.explained import explained
from ecoserve.planner.follow import KeptPlan
from ecoserve.planner.plan import Plan, make_plan
from ecoserve.planner.solved import Solved

_NOTHING_PER_SECOND = 1e-6
_MOST_BYTES = 1_000_000
"""A ConfigMap holds 1 MiB in all."""
_XZ_PRESET = 3
"""The least preset whose window spans the distance between like options: a sixth of gzip's size in the same time."""
_REPLAY_SECONDS = 60.0
"""Least time limit of an exported instance: nobody waits for a replay, and a slower machine should find the same."""


class Route(StrEnum):
    """How an answer was found."""

    PLANNED = "Planned"
    KEPT = "KeptWithinHysteresis"
    REROUTED = "Rerouted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A plan with its explanation, without what was solved; how it was found, in an enum and a sentence."""

    plan: Plan
    route: Route
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """The instances behind an answer, compressed, by file name; or why they can't be kept."""

    files: Mapping[str, bytes]
    problem: str = ""


class PlanningSession:
    """Plans snapshot after snapshot."""

    def __init__(self) -> None:
        self._kept: KeptPlan | None = None
        self._solved: tuple[Solved, ...] = ()

    def answer(self, snapshot: Snapshot, hysteresis_fraction: float) -> Answer:
        """Return the plan of a snapshot."""
        found = self._rerouted(snapshot, hysteresis_fraction)
        if found is None:
            found = _planned(snapshot, hysteresis_fraction)
            follows = KeptPlan.can_follow(found.plan)
            self._kept = KeptPlan(snapshot, found.plan) if follows else None
        self._solved = found.plan.solved
        plan = replace(explained(found.plan), solved=())
        return replace(found, plan=plan)

    def export(self) -> Exported:
        """Return the instances of the last answer, one per objective, each its JSON in xz.

        Nobody waits for it, so what the next tick will need is made ready, too.
        """
        if self._kept is not None:
            _ = self._kept.accepted_excess
        files = {}
        for part in self._solved:
            if part.instance is not None:
                spec = part.instance.spec
                limit = max(spec.time_limit_seconds, _REPLAY_SECONDS)
                lasting = spec.model_copy(update={"time_limit_seconds": limit})
                text = part.instance.model_copy(update={"spec": lasting}).text()
                files[f"{spec.objective}.json.xz"] = lzma.compress(text.encode(), preset=_XZ_PRESET)
        size = sum(map(len, files.values()))
        if size > _MOST_BYTES:
            problem = f"the instance takes {size / 1e6:.1f} MB compressed, and a ConfigMap holds {_MOST_BYTES / 1e6:g}"
            return Exported(files={}, problem=problem)
        return Exported(files=files)

    def _rerouted(self, snapshot: Snapshot, hysteresis_fraction: float) -> Answer | None:
        """Return the plan kept and rerouted; None where it is to be made anew."""
        if self._kept is None or not self._kept.differs_in_intensity_only(snapshot):
            return None
        try:
            accepted = self._kept.accepted_excess + hysteresis_fraction
            followed = self._kept.at(snapshot)
        except EcoserveError:
            return None  # a plan made anew tells what is wrong
        if followed.plan.unserved or followed.excess > accepted:
            return None
        detail = (
            f"only intensities changed: the replicas stay, {followed.excess:.1%} above the new bound "
            f"(up to {accepted:.1%} they do)"
        )
        return Answer(plan=followed.plan, route=Route.REROUTED, detail=detail)


def _planned(snapshot: Snapshot, hysteresis_fraction: float) -> Answer:
    best = make_plan(snapshot)
    if snapshot.held and not same_replicas(best, snapshot.held):
        held = make_plan(snapshot, pinned=snapshot.held)
        if stays(held, best, snapshot, hysteresis_fraction):
            detail = f"the replicas stay: the best plan found would gain less than {hysteresis_fraction:.1%}"
            return Answer(plan=_priced(held, best), route=Route.KEPT, detail=detail)
    return Answer(plan=best, route=Route.PLANNED, detail="planned anew")


def _priced(held: Plan, best: Plan) -> Plan:
    """Return held replicas with the prices of the problem that leaves them free: pinned, nothing could be saved."""
    prices = {
        part.instance.spec.objective: part.result.marginals
        for part in best.solved
        if part.instance is not None and part.result is not None
    }
    solved = tuple(
        replace(
            part,
            result=part.result.model_copy(update={"marginals": prices.get(part.instance.spec.objective)}),
        )
        if part.instance is not None and part.result is not None
        else part
        for part in held.solved
    )
    return replace(held, solved=solved)


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
