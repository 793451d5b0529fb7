"""Scheduling as a call to a planner's process: intervals in, and of the answer only what the operator uses."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from ecoserve.planner.backlog import Backlog
from ecoserve.planner.carry_out import Interval
from ecoserve.planner.horizon import plan_horizon
from ecoserve.planner.horizon_reasons import ScheduleReason, explain
from ecoserve.planner.plan import Plan
from ecoserve.units import SECONDS_PER_HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledStep:
    """What one serving's offline work does in one interval."""

    start: datetime
    end: datetime
    requests_per_second: float
    reason: ScheduleReason
    message: str
    waits_until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OfflineSchedule:
    """A schedule, by serving; `expected` are the intensities it was made with, by interval and zone."""

    start: datetime
    end: datetime
    steps: Mapping[str, tuple[ScheduledStep, ...]]
    expected: tuple[tuple[datetime, Mapping[str, float]], ...]
    grams: float
    grams_at_once: float

    def step(self, serving: str, time: datetime) -> ScheduledStep | None:
        """What a serving does at a time; None where the schedule does not tell."""
        steps = self.steps.get(serving, ())
        return next((step for step in steps if step.start <= time < step.end), None)

    def intensities(self, time: datetime) -> Mapping[str, float]:
        """The intensities expected of a time, by zone."""
        return next((grams for start, grams in reversed(self.expected) if start <= time), {})


def schedule_offline(
    intervals: tuple[Interval, ...], waiting: Mapping[str, Backlog], before: Plan | None
) -> OfflineSchedule:
    """Schedule the offline work of the hours ahead."""
    schedule = plan_horizon(intervals, waiting, before=before)
    steps = {}
    for name in schedule.requests:
        rows = explain(schedule, name, waiting.get(name, ()))
        steps[name] = tuple(
            ScheduledStep(
                start=interval.start,
                end=interval.end,
                requests_per_second=row.requests / (interval.hours * SECONDS_PER_HOUR),
                reason=row.reason,
                message=row.sentence,
                waits_until=row.until,
            )
            for interval, row in zip(intervals, rows, strict=True)
        )
    return OfflineSchedule(
        start=intervals[0].start,
        end=intervals[-1].end,
        steps=steps,
        expected=tuple(
            (interval.start, {zone.name: zone.carbon_intensity for zone in interval.snapshot.zones})
            for interval in intervals
        ),
        grams=schedule.grams,
        grams_at_once=schedule.grams_at_once,
    )
