"""What a schedule really comes to: every interval planned by the real planner, one after the other.

The linear program that makes schedules knows fractions of nodes; this is what judges them. Each interval gets
`make_plan` with the offline rate that the schedule asks for; what the plan cannot serve stays waiting and is
asked for again in the next interval. Cold starts are counted from one interval to the next as the planner
counts them. Plans are remembered, because schedules that are compared, and the steps of a rolling run, share
most of their intervals.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from ecoserve.fleet.snapshot import Snapshot
from ecoserve.planner import backlog as work_waiting
from ecoserve.planner.backlog import Backlog
from ecoserve.planner.build import SearchEffort, cold_start_grams
from ecoserve.planner.explanation import UnservedReason
from ecoserve.planner.levers import ALL_LEVERS, Lever
from ecoserve.planner.plan import Plan, make_plan
from ecoserve.units import SECONDS_PER_HOUR
from ecoserve.workload.slices import ServingDemand

SCHEDULE_EFFORT = SearchEffort(relative_gap=0.002, time_limit_seconds=3.0)
"""Schedules differ by a few per cent, so that the plans they are judged by must be nearer to their bound."""

NO_ROOM = frozenset({UnservedReason.NO_CAPACITY, UnservedReason.REPLICA_LIMIT})
"""Why work is not served now but may be later."""

_DIGITS = 6
_NOTHING_PER_SECOND = 1e-6
_TRICKLE_PER_SECOND = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A part of the horizon: supply, demand and grid as forecast for it, and its length.

    The snapshot's `taken_at` is its start; offline rates in it are those at which work arrives.
    """

    snapshot: Snapshot
    hours: float

    @property
    def start(self) -> datetime:
        """When it begins."""
        return self.snapshot.taken_at

    @property
    def end(self) -> datetime:
        """When it ends."""
        return self.start + timedelta(hours=self.hours)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One interval carried out: its plan, grams (cold starts included), and what became of the offline work."""

    plan: Plan
    grams: float
    cold_start_grams: float
    requests: Mapping[str, float]
    """Offline requests done, by serving."""
    waiting: Mapping[str, Backlog]
    """What waits at the end, by serving."""
    late: Mapping[str, float]
    """Requests done after their deadline, by serving."""
    short: Mapping[str, float]
    """Offline requests asked for that found no room, by serving."""
    unserved: float
    """Other requests that are not served."""


@dataclass(slots=True)
class PlanMemory:
    """Plans made before, by the demand and intensities they answer; for one set of pools only."""

    levers: frozenset[Lever] = ALL_LEVERS
    effort: SearchEffort = SCHEDULE_EFFORT
    plans: dict[tuple[object, ...], Plan] = field(default_factory=dict)

    def plan(self, snapshot: Snapshot) -> Plan:
        """Return the plan of a snapshot, without regard to what is held."""
        key = (
            snapshot.taken_at.date(),
            tuple((zone.name, round(zone.carbon_intensity, _DIGITS)) for zone in snapshot.zones),
            tuple(
                (
                    item.name,
                    *(round(d.rate_per_second, _DIGITS) if d else None for d in (item.online, item.offline)),
                )
                for item in snapshot.servings
            ),
        )
        if key not in self.plans:
            self.plans[key] = make_plan(replace(snapshot, held={}), levers=self.levers, effort=self.effort)
        return self.plans[key]


def with_offline(snapshot: Snapshot, requests_per_second: Mapping[str, float]) -> Snapshot:
    """Return the snapshot with other offline rates, for the servings named.

    A serving that has offline traffic only and is to keep replicas keeps them while its work waits: it is
    planned with a trickle then, as a demand of nothing would be planned with nothing.
    """

    def changed(item: ServingDemand) -> ServingDemand:
        if item.offline is None or item.name not in requests_per_second:
            return item
        least = _TRICKLE_PER_SECOND if item.min_replicas > 0 and item.online is None else 0.0
        rate = max(least, requests_per_second[item.name])
        return replace(item, offline=replace(item.offline, rate_per_second=rate))

    return replace(snapshot, servings=tuple(changed(item) for item in snapshot.servings))


def carry_out(
    interval: Interval,
    waiting: Mapping[str, Backlog],
    wanted: Mapping[str, float],
    before: Plan | None,
    memory: PlanMemory,
) -> Done:
    """Plan one interval with so many offline requests wanted, at most those that are there to be done.

    `waiting` is what waits at its start; the servings named there are scheduled, others run as their work
    comes. `before` is the plan of the interval before: replicas beyond its own are cold starts.
    """
    seconds = interval.hours * SECONDS_PER_HOUR
    servings = {item.name: item for item in interval.snapshot.servings}
    queue: dict[str, Backlog] = {}
    asked: dict[str, float] = {}
    for name, backlog in waiting.items():
        offline = servings[name].offline
        arrived = offline.rate_per_second * seconds if offline is not None else 0.0
        queue[name] = work_waiting.joined(backlog, interval.start, arrived)
        asked[name] = min(wanted[name], work_waiting.total(queue[name]))
    snapshot = with_offline(interval.snapshot, {name: value / seconds for name, value in asked.items()})
    plan = memory.plan(snapshot)
    short = {name: no_room_per_second(plan, name) * seconds for name in asked}
    requests = {name: max(0.0, asked[name] - short[name]) for name in asked}
    left: dict[str, Backlog] = {}
    late: dict[str, float] = {}
    for name, count in requests.items():
        left[name], done = work_waiting.worked_off(queue[name], count)
        offline = servings[name].offline
        deadline = timedelta(seconds=(offline.deadline_seconds or 0.0) if offline is not None else 0.0)
        older = (cohort for cohort in done if cohort.arrived_at < interval.start)
        late[name] = work_waiting.late(older, interval.end, deadline)
    starts = _cold_starts(plan, before, interval.snapshot)
    missing = sum(i.requests_per_second for i in plan.unserved if i.requests_per_second > _NOTHING_PER_SECOND)
    return Done(
        plan=plan,
        grams=plan.grams_per_hour * interval.hours + starts,
        cold_start_grams=starts,
        requests=requests,
        waiting=left,
        late=late,
        short=short,
        unserved=max(0.0, missing * seconds - sum(short.values())),
    )


def carry_out_all(
    intervals: Sequence[Interval],
    waiting: Mapping[str, Backlog],
    requests: Mapping[str, Sequence[float]] | None,
    memory: PlanMemory,
    before: Plan | None = None,
) -> tuple[Done, ...]:
    """Carry out a schedule: requests of each serving by interval, or None for everything at once.

    What found no room in an interval is wanted again in the next one.
    """
    done: list[Done] = []
    behind = dict.fromkeys(waiting, 0.0)
    for index, interval in enumerate(intervals):
        wanted = {
            name: float("inf") if requests is None else requests[name][index] + behind[name]
            for name in waiting
        }
        step = carry_out(interval, waiting, wanted, before, memory)
        behind = dict(step.short)
        waiting, before = step.waiting, step.plan
        done.append(step)
    return tuple(done)


def carry_out_none(
    intervals: Sequence[Interval], servings: Iterable[str], memory: PlanMemory
) -> tuple[Done, ...]:
    """Carry out the intervals without the offline work of these servings: what it adds is the difference."""
    nothing: dict[str, Backlog] = dict.fromkeys(servings, ())
    return carry_out_all(intervals, nothing, {name: [0.0] * len(intervals) for name in nothing}, memory)


def no_room_per_second(plan: Plan, serving: str) -> float:
    """Return the offline requests/s of a serving that more room would serve; what no hardware fits is not work."""
    return sum(
        item.requests_per_second
        for item in plan.unserved
        if item.serving == serving
        and item.slice.startswith(f"{serving}/offline/")
        and item.reason in NO_ROOM
        and item.requests_per_second > _NOTHING_PER_SECOND
    )


def _cold_starts(plan: Plan, before: Plan | None, snapshot: Snapshot) -> float:
    if before is None:
        return 0.0
    ran = {item.configuration: item.replicas for item in before.placements}
    pools = {use.pool.name: use.pool for use in plan.pools}
    grams = 0.0
    for item in plan.placements:
        more = item.replicas - ran.get(item.configuration, 0)
        if more > 0:
            pool = pools[item.pool]
            grams += more * cold_start_grams(item.tensor_parallel, pool.instance, snapshot.zone(pool.zone))
    return grams
