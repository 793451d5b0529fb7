"""Why offline work runs or waits in each interval of a schedule: a reason and a sentence."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from ecoserve.fleet.snapshot import Snapshot
from ecoserve.planner.backlog import Backlog, joined, planned_by, total
from ecoserve.planner.carry_out import Interval
from ecoserve.planner.horizon import Schedule
from ecoserve.units import SECONDS_PER_HOUR
from ecoserve.workload.slices import TrafficDemand

_PART = 1e-3
"""Parts of an interval's work below this are rounding."""


class ScheduleReason(StrEnum):
    """Why work runs or waits."""

    NOTHING = "NothingToDo"
    AT_ONCE = "AtOnce"
    WAITS = "WaitsForCleanerHour"
    CLEANER_HOUR = "CleanerHour"
    DEADLINE = "DeadlineNear"
    CAPACITY = "CapacityShort"
    HORIZON_ENDS = "HorizonEnds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """One serving's work in one interval: requests that came, were done and wait at its end.

    `until` is when what waits is next worked on, as far as the schedule tells.
    """

    start: datetime
    arrived: float
    requests: float
    waiting: float
    reason: ScheduleReason
    sentence: str
    until: datetime | None = None


def explain(schedule: Schedule, serving: str, waiting: Backlog = ()) -> tuple[Explained, ...]:
    """Explain a serving's work, interval by interval; `waiting` is what waited at the start."""
    explained = []
    for index, interval in enumerate(schedule.intervals):
        step = schedule.done[index]
        offline = _offline(interval.snapshot, serving)
        arrived = offline.rate_per_second * interval.hours * SECONDS_PER_HOUR
        queue = joined(waiting, interval.start, arrived)
        left = total(step.waiting[serving])
        until = _next_run(schedule, serving, index) if left > _least(queue) else None
        reason, sentence = _why(schedule, serving, index, waiting, queue)
        if reason is ScheduleReason.WAITS and until is not None:
            sentence += _until(interval, next(i for i in schedule.intervals if i.start == until))
        explained.append(
            Explained(
                start=interval.start,
                arrived=arrived,
                requests=step.requests[serving],
                waiting=left,
                reason=reason,
                sentence=sentence,
                until=until,
            )
        )
        waiting = step.waiting[serving]
    return tuple(explained)


def _why(
    schedule: Schedule, serving: str, index: int, before: Backlog, queue: Backlog
) -> tuple[ScheduleReason, str]:
    interval, step = schedule.intervals[index], schedule.done[index]
    requests, left, least = step.requests[serving], total(step.waiting[serving]), _least(queue)
    if total(queue) <= 0:
        return ScheduleReason.NOTHING, "no work has come"
    if step.short[serving] > least:
        return ScheduleReason.CAPACITY, f"every node that may serve it is full; {left:.0f} requests wait"
    if left <= least and (total(before) <= least or not schedule.defers):
        return ScheduleReason.AT_ONCE, _why_at_once(schedule)
    if index + 1 == len(schedule.intervals):
        return ScheduleReason.HORIZON_ENDS, "the schedule ends here, and leaves nothing over"
    deadline = timedelta(seconds=_offline(interval.snapshot, serving).deadline_seconds or 0.0)
    next_end = schedule.intervals[index + 1].end
    pressing = total(cohort for cohort in queue if planned_by(cohort, deadline) < next_end)
    if pressing > least and requests <= pressing + least:
        return (
            ScheduleReason.DEADLINE,
            f"{requests:.0f} requests have waited as long as their deadline allows",
        )
    if requests > least:
        return (
            ScheduleReason.CLEANER_HOUR,
            f"{requests:.0f} requests run: they emit least in this and such hours before their deadline",
        )
    return ScheduleReason.WAITS, f"{left:.0f} requests wait"


def _why_at_once(schedule: Schedule) -> str:
    if schedule.defers:
        return "no later hour before its deadline would emit enough less"
    return "waiting for a later hour would not emit less"


def _until(now: Interval, then: Interval) -> str:
    return (
        f" until {then.start:%H:%M}, when they are expected to emit less "
        f"({_grid(then.snapshot)}; now {_grid(now.snapshot)})"
    )


def _grid(snapshot: Snapshot) -> str:
    cleanest = min(snapshot.zones, key=lambda zone: (zone.carbon_intensity, zone.name))
    return f"{cleanest.carbon_intensity:.0f} gCO2e/kWh in {cleanest.name}"


def _next_run(schedule: Schedule, serving: str, index: int) -> datetime | None:
    for interval, step in zip(schedule.intervals[index + 1 :], schedule.done[index + 1 :], strict=True):
        if step.requests[serving] > _PART:
            return interval.start
    return None


def _offline(snapshot: Snapshot, serving: str) -> TrafficDemand:
    """Return a serving's offline traffic, none where it has lost it."""
    found = next((item.offline for item in snapshot.servings if item.name == serving), None)
    return found or TrafficDemand(rate_per_second=0.0, buckets=())


def _least(queue: Backlog) -> float:
    return _PART * max(total(queue), 1.0)
