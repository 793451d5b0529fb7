"""What is taken from a plan, serving by serving: the new placement, or the last good one.

A serving whose demand can't be met keeps what runs for it, as long as the pools it runs on are there; only
where those are gone, or where nothing runs yet, is a plan taken that meets the demand in part. One serving's
trouble never changes what another gets.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from ecoserve.fleet.snapshot import Snapshot
from ecoserve.planner.explanation import Unserved
from ecoserve.planner.placement import Placement
from ecoserve.planner.plan import Plan
from ecoserve_operator.watch.records import DeploymentRecord


class Taken(StrEnum):
    """Which placement a serving gets."""

    PLAN = "plan"
    PART = "part"
    HELD = "held"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What one serving (`namespace/name`) gets. `problem` says why it is not all it asks for."""

    serving: str
    taken: Taken
    placements: tuple[Placement, ...]
    reason: str = ""
    problem: str = ""


def choose(
    plan: Plan,
    last: Mapping[str, Choice],
    running: Mapping[str, Iterable[DeploymentRecord]],
    snapshot: Snapshot,
) -> dict[str, Choice]:
    """Choose for every serving of the snapshot; `running` are its Deployments, by serving."""
    pools = {pool.name for pool in snapshot.pools}
    choices = {}
    for demand in snapshot.servings:
        name = demand.name
        unserved = [item for item in plan.unserved if item.serving == name]
        planned = plan.of_serving(name)
        if not unserved:
            choices[name] = Choice(serving=name, taken=Taken.PLAN, placements=planned)
            continue
        held = [deployment.pool for deployment in running.get(name, ()) if deployment.replicas > 0]
        keeps = bool(held) and pools.issuperset(held)
        known = last[name].placements if name in last else ()
        choices[name] = Choice(
            serving=name,
            taken=Taken.HELD if keeps else Taken.PART,
            placements=known if keeps else planned,
            reason=unserved[0].reason,
            problem=_problem(unserved),
        )
    return choices


def hold(choice: Choice | None, serving: str, reason: str, problem: str) -> Choice:
    """Keep what a serving has, whatever the reason."""
    placements = choice.placements if choice is not None else ()
    return Choice(serving=serving, taken=Taken.HELD, placements=placements, reason=reason, problem=problem)


def with_reasons_of(plan: Plan, choice: Choice) -> Choice:
    """The choice with the sentences of the plan that it was taken from, which had only figures then."""
    if choice.taken is Taken.HELD:
        return choice
    reasons = {item.configuration: item.reason for item in plan.of_serving(choice.serving)}
    placements = tuple(
        replace(item, reason=reasons.get(item.configuration, "")) for item in choice.placements
    )
    return replace(choice, placements=placements)


def missing_pool(choices: Iterable[Choice], snapshot: Snapshot) -> str | None:
    """A pool that is to be placed on but that has gone meanwhile: the plan is no longer valid then."""
    pools = {pool.name for pool in snapshot.pools}
    wanted = (p.pool for choice in choices if choice.taken is not Taken.HELD for p in choice.placements)
    return next((pool for pool in wanted if pool not in pools), None)


def _problem(unserved: list[Unserved]) -> str:
    first = max(unserved, key=lambda item: item.requests_per_second)
    more = f" (and {len(unserved) - 1} more slices)" if len(unserved) > 1 else ""
    return f"slice {first.slice}: {first.detail}{more}"
