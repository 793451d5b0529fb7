"""Offline work over a horizon: when to do it, so that deadlines hold and least is emitted.

Forecasts of load and intensity come in as snapshots, one per interval; a schedule goes out, of which a caller
applies the first interval and then asks again (model-predictive control). Two schedules are carried out by the
real planner on the same forecast: everything at once, and what the linear program proposes. The one that
serves more, later less, and emits less is taken; where they are equal, everything runs at once. So a schedule is
never worse than running at once under its own forecast. On a grid whose intensity does not change nothing waits.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ecoserve.api.llmserving import Objective
from ecoserve.errors import InvalidInputError
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.planner.backlog import Backlog, Work, total, work_over
from ecoserve.planner.build import build_problem
from ecoserve.planner.carry_out import Done, Interval, PlanMemory, carry_out_all, with_offline
from ecoserve.planner.formulation import formulate
from ecoserve.planner.horizon_program import Stage, spread
from ecoserve.planner.plan import Plan
from ecoserve.units import SECONDS_PER_HOUR
from ecoserve.workload.slices import ServingDemand

_DIGITS = 1
"""A tenth of a request over a horizon is rounding."""
_EQUAL = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedOut:
    """What work that may wait comes to over intervals, beside everything at once."""

    intervals: tuple[Interval, ...]
    done: tuple[Done, ...]
    at_once: tuple[Done, ...]

    @property
    def grams(self) -> float:
        """Grams over the intervals, online load included."""
        return grams_of(self.done)

    @property
    def grams_at_once(self) -> float:
        """Grams over the intervals with everything at once."""
        return grams_of(self.at_once)

    @property
    def late_requests(self) -> float:
        """Requests that are done after their deadline, or wait past it at the end."""
        return late_of(self.intervals, self.done)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule(CarriedOut):
    """What is to be done when, carried out on its forecast; `requests` are to be done by serving and interval."""

    requests: Mapping[str, tuple[float, ...]]

    @property
    def defers(self) -> bool:
        """Whether any work waits that could run at once."""
        return self.done is not self.at_once

    def requests_per_second(self, serving: str, time: datetime) -> float | None:
        """Return the rate to work at; None where the schedule does not reach to `time` or knows no such work."""
        if serving not in self.requests:
            return None
        for interval, requests in zip(self.intervals, self.requests[serving], strict=True):
            if interval.start <= time < interval.end:
                return requests / (interval.hours * SECONDS_PER_HOUR)
        return None


def plan_horizon(
    intervals: Sequence[Interval],
    waiting: Mapping[str, Backlog] | None = None,
    *,
    memory: PlanMemory | None = None,
    before: Plan | None = None,
) -> Schedule:
    """Schedule the offline work of a horizon; raises InvalidInputError where there is no interval.

    `waiting` is what waits at the start, by serving; `before` is the plan that runs now, for cold starts.
    """
    if not intervals or any(interval.hours <= 0 for interval in intervals):
        raise InvalidInputError("intervals", len(intervals), "at least one, each longer than nothing")
    memory = memory or PlanMemory()
    demands = {item.name: item for item in intervals[0].snapshot.servings}
    free = {name for name, item in demands.items() if may_wait(item)}
    known = {name: backlog for name, backlog in (waiting or {}).items() if name in demands and backlog}
    queues = {name: known.get(name, ()) for name in sorted(free | known.keys())}
    at_once = carry_out_all(intervals, queues, None, memory, before)
    schedule = _schedule(intervals, queues, at_once, at_once)
    if not free or not (_moves(intervals) or late_of(intervals, at_once) > 0):
        return schedule
    proposal = _proposed(intervals, {name: queues[name] for name in sorted(free)}, memory)
    if proposal is None:
        return schedule
    everything = {name: proposal.get(name) or _eager(at_once, name) for name in queues}
    return with_better(schedule, carry_out_all(intervals, queues, everything, memory, before))


def with_better(schedule: Schedule, run: tuple[Done, ...]) -> Schedule:
    """Return the schedule with another run of its intervals, where that is better."""
    if _rank(schedule.intervals, run) < _rank(schedule.intervals, schedule.done):
        return _schedule(schedule.intervals, schedule.requests, run, schedule.at_once)
    return schedule


def _schedule(
    intervals: Sequence[Interval], servings: Iterable[str], done: tuple[Done, ...], at_once: tuple[Done, ...]
) -> Schedule:
    requests = {name: tuple(step.requests[name] for step in done) for name in servings}
    return Schedule(intervals=tuple(intervals), requests=requests, done=done, at_once=at_once)


def may_wait(serving: ServingDemand) -> bool:
    """Whether a serving's offline work may be deferred: asked for, and planned for carbon."""
    return (
        serving.offline is not None
        and serving.offline.defers
        and serving.offline.deadline_seconds is not None
        and serving.objective is Objective.CARBON
    )


def grams_of(run: Sequence[Done]) -> float:
    """Return the grams of intervals carried out."""
    return sum(step.grams for step in run)


def late_of(intervals: Sequence[Interval], run: Sequence[Done]) -> float:
    """Return the requests done late, and those left at the end whose deadline has passed by then."""
    late = sum(sum(step.late.values()) for step in run)
    end = intervals[-1].end
    for item in intervals[-1].snapshot.servings:
        if item.offline is not None and item.offline.deadline_seconds is not None:
            deadline = timedelta(seconds=item.offline.deadline_seconds)
            left = run[-1].waiting.get(item.name, ())
            late += total(cohort for cohort in left if cohort.arrived_at + deadline <= end)
    return late


def _rank(intervals: Sequence[Interval], run: Sequence[Done]) -> tuple[float, float, float, float]:
    """Order runs: less of the other load unserved, less late, less left over, fewer grams."""
    left = sum(total(backlog) for backlog in run[-1].waiting.values())
    return (
        round(sum(step.unserved for step in run), _DIGITS),
        round(late_of(intervals, run), _DIGITS),
        round(left, _DIGITS),
        float(f"{grams_of(run):.9e}"),
    )


def _moves(intervals: Sequence[Interval]) -> bool:
    """Whether any zone's intensity changes over the horizon."""
    first = {zone.name: zone.carbon_intensity for zone in intervals[0].snapshot.zones}
    return any(
        abs(zone.carbon_intensity - first[zone.name]) > _EQUAL * (1.0 + first[zone.name])
        for interval in intervals
        for zone in interval.snapshot.zones
    )


def _eager(at_once: Sequence[Done], serving: str) -> tuple[float, ...]:
    return tuple(step.requests[serving] + step.short[serving] for step in at_once)


def _proposed(
    intervals: Sequence[Interval], queues: Mapping[str, Backlog], memory: PlanMemory
) -> Mapping[str, tuple[float, ...]] | None:
    """Return the schedule of the linear program, if there is one."""
    works = _works(intervals, queues)
    stages = []
    for interval in intervals:
        stage = _stage(interval, works, memory)
        if stage is None:
            return None
        stages.append(stage)
    schedulable = [name for name in works if all(stage.slices.get(name) for stage in stages)]
    return spread(stages, [works[name] for name in schedulable]) if schedulable else None


def _works(intervals: Sequence[Interval], queues: Mapping[str, Backlog]) -> dict[str, Work]:
    starts, works = [interval.start for interval in intervals], {}
    for name, backlog in queues.items():
        arrivals, deadline_seconds = [], 0.0
        for interval in intervals:
            offline = next(item.offline for item in interval.snapshot.servings if item.name == name)
            if offline is not None:
                arrivals.append(offline.rate_per_second * interval.hours * SECONDS_PER_HOUR)
                deadline_seconds = offline.deadline_seconds or 0.0
        deadline = timedelta(seconds=deadline_seconds)
        work = work_over(name, backlog, arrivals, starts, intervals[-1].end, deadline)
        if work.total > 0:
            works[name] = work
    return works


def _stage(interval: Interval, works: Mapping[str, Work], memory: PlanMemory) -> Stage | None:
    """Return the program of an interval at the rates that would do all work in it."""
    seconds = interval.hours * SECONDS_PER_HOUR
    green = _only_carbon(interval.snapshot)
    everything = with_offline(green, {name: work.total / seconds for name, work in works.items()})
    problem = build_problem(everything, Objective.CARBON, memory.levers, memory.effort)
    if problem.instance is None:
        return None
    formulation = formulate(problem.instance.spec)
    needed = memory.plan(with_offline(green, dict.fromkeys(works, 0.0)))
    running: dict[int, float] = {}
    for item in needed.placements:
        if item.configuration in formulation.replicas:
            running[formulation.replicas[item.configuration]] = float(item.replicas)
    for use in needed.pools:
        running[formulation.nodes[use.pool.name]] = float(use.nodes_on)
    slices = {
        name: tuple(
            item.name
            for item in problem.slices.values()
            if item.serving == name and item.traffic_class == "offline" and item.name in formulation.shed
        )
        for name in works
    }
    return Stage(formulation=formulation, hours=interval.hours, slices=slices, running=running)


def _only_carbon(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot with the servings that are planned first, for carbon."""
    servings = tuple(item for item in snapshot.servings if item.objective is Objective.CARBON)
    return replace(snapshot, servings=servings, held={})
