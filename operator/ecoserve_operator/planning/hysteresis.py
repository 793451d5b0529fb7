"""Who moves: each serving only when its own change must be, pays well, or has paid a little for a while.

A plan is made for all servings at once, and one change that pays would bring another replica here and there to
others that gain nothing by it. So the gain is looked at serving by serving: what its part of the held replicas
costs against its part of the best plan. Much is taken at once. Little, which noise of grid and load brings forth
and takes away again, has to be there at every look for a while; less than that is noise.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf

from ecoserve.api.llmserving import Objective
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.planner.plan import Plan

_NOTHING_PER_SECOND = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Hysteresis:
    """What a change has to gain, as a share of the serving's objective: at once, or above `fraction` for a while."""

    fraction: float
    at_once_fraction: float
    lasting: timedelta


class Patience:
    """Since when each serving's change has paid a little, at every look."""

    def __init__(self) -> None:
        self._since: dict[str, datetime] = {}

    def movers(self, gains: Mapping[str, float], now: datetime, limits: Hysteresis) -> frozenset[str]:
        """The servings that move now, of those that would gain so much (`own_gains`)."""
        self._since = {
            name: min(now, self._since.get(name, now))
            for name, gain in gains.items()
            if gain > limits.fraction
        }
        moving = frozenset(
            name
            for name, since in self._since.items()
            if gains[name] > limits.at_once_fraction or now - since >= limits.lasting
        )
        for name in moving:
            del self._since[name]
        return moving

    def forget(self) -> None:
        """Begin anew, as nothing is better than what will run."""
        self._since = {}

    def due(self, limits: Hysteresis) -> datetime | None:
        """When the first little gain will have lasted long enough; None where none is there."""
        return min((since + limits.lasting for since in self._since.values()), default=None)


def own_gains(held: Plan, best: Plan, snapshot: Snapshot) -> dict[str, float]:
    """What each serving whose replicas differ gains by its change, as a share; infinite where it must change.

    It must where replicas of its can't be any more, or serve less than the best plan does.
    """
    gains = {}
    running: dict[str, dict[str, int]] = {}
    for key, count in snapshot.held.items():
        running.setdefault("/".join(key.split("/", 2)[:2]), {})[key] = count
    for serving in snapshot.servings:
        name, before, after = serving.name, _replicas(held, serving.name), _replicas(best, serving.name)
        mine = running.get(name, {})
        if after == mine:
            continue
        short = _unserved(held, name) > _unserved(best, name) + _NOTHING_PER_SECOND
        if before != mine or short:
            gains[name] = inf
        else:
            now = _value(held, serving.objective, name)
            gains[name] = (now - _value(best, serving.objective, name)) / now if now > 0 else 0.0
    return gains


def near(one: Plan, best: Plan, snapshot: Snapshot, fraction: float) -> bool:
    """Whether a plan serves as much as the best and is within a share of it, objective by objective."""
    if not _serves_as_much(one, best):
        return False
    for objective in {serving.objective for serving in snapshot.servings}:
        names = [serving.name for serving in snapshot.servings if serving.objective is objective]
        if objective is Objective.PERFORMANCE:
            names = names[:1]  # latency is known of whole plans only
        own, least = (sum(_value(plan, objective, name) for name in names) for plan in (one, best))
        if own > least * (1.0 + fraction):
            return False
    return True


def keeps_promise(
    mixed: Plan, held: Plan, best: Plan, snapshot: Snapshot, movers: Set[str], fraction: float
) -> bool:
    """Whether a plan in which some servings move comes to what these do in the best plan and the others as they run.

    What the parts promise one by one, nodes that are shared may not keep. Latency is known of whole plans only and
    never judged so.
    """
    objectives = {serving.objective for serving in snapshot.servings}
    if Objective.PERFORMANCE in objectives or not _serves_as_much(mixed, best):
        return False
    for objective in objectives:
        names = [serving.name for serving in snapshot.servings if serving.objective is objective]
        promised = sum(_value(best if name in movers else held, objective, name) for name in names)
        if sum(_value(mixed, objective, name) for name in names) > promised * (1.0 + fraction):
            return False
    return True


def _serves_as_much(one: Plan, best: Plan) -> bool:
    more = one.unserved_requests_per_second - best.unserved_requests_per_second
    return more <= _NOTHING_PER_SECOND and len(one.unserved) <= len(best.unserved)


def _replicas(plan: Plan, serving: str) -> Mapping[str, int]:
    return {item.configuration: item.replicas for item in plan.of_serving(serving)}


def _unserved(plan: Plan, serving: str) -> float:
    return sum(item.requests_per_second for item in plan.unserved if item.serving == serving)


def _value(plan: Plan, objective: Objective, serving: str) -> float:
    """A serving's part of a plan's objective; latency is known of whole plans only."""
    mine = plan.of_serving(serving)
    match objective:
        case Objective.CARBON:
            return sum(item.grams_per_hour for item in mine)
        case Objective.ENERGY:
            return sum(item.watts for item in mine)
        case Objective.COST:
            return sum(item.cost_per_hour for item in mine)
        case Objective.PERFORMANCE:
            return plan.latency_seconds
