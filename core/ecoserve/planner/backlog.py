"""Offline work that waits: how much of it, since when, and when it must be done.

Requests of one serving share one deadline, so the earliest deadline is the earliest arrival: they are kept in
cohorts by arrival and worked off oldest first. A cohort counts as old as its first request. Work is planned to
be done `SLACK_SHARE` of its deadline early; that margin is what a wrong forecast, a replica that is slow to
come or an operator that is down may use up.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

SLACK_SHARE = 0.125
"""Share of a deadline that plans keep free: three hours of a day."""

_NOTHING = 1e-6
_MOST_COHORTS = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """Requests that arrived from `arrived_at` on, taken together."""

    arrived_at: datetime
    requests: float


Backlog = tuple[Cohort, ...]
"""Cohorts by arrival, oldest first."""


def total(backlog: Iterable[Cohort]) -> float:
    """Return all requests."""
    return sum(cohort.requests for cohort in backlog)


def joined(backlog: Backlog, arrived_at: datetime, requests: float) -> Backlog:
    """Return the backlog with requests that arrived last; those of one moment become one cohort."""
    if requests <= 0.0:
        return backlog
    if backlog and backlog[-1].arrived_at == arrived_at:
        return (*backlog[:-1], replace(backlog[-1], requests=backlog[-1].requests + requests))
    return (*backlog, Cohort(arrived_at=arrived_at, requests=requests))


def worked_off(backlog: Backlog, requests: float) -> tuple[Backlog, Backlog]:
    """Return what is left after so many requests were served, oldest first, and what was served."""
    left: list[Cohort] = []
    done: list[Cohort] = []
    for cohort in backlog:
        part = min(cohort.requests, requests)
        requests -= part
        if part > 0.0:
            done.append(replace(cohort, requests=part))
        if cohort.requests - part > _NOTHING:
            left.append(replace(cohort, requests=cohort.requests - part))
    return tuple(left), tuple(done)


def matched(backlog: Backlog, requests: float, now: datetime) -> Backlog:
    """Return the backlog as so many requests: the oldest are gone where there are fewer, the rest came now where there are more.

    That is what a measured queue makes of a reckoned one, as a queue's length doesn't tell since when its requests wait.
    """
    reckoned = total(backlog)
    if requests >= reckoned:
        return joined(backlog, now, requests - reckoned)
    left, _ = worked_off(backlog, reckoned - requests)
    return left


def late(done: Iterable[Cohort], finished_at: datetime, deadline: timedelta) -> float:
    """Return the requests among those done that were finished after their deadline."""
    return total(cohort for cohort in done if cohort.arrived_at + deadline < finished_at)


def planned_by(cohort: Cohort, deadline: timedelta) -> datetime:
    """Return when a cohort is to be done by plan: its deadline less the slack."""
    return cohort.arrived_at + deadline * (1.0 - SLACK_SHARE)


def bounded(backlog: Backlog, most: int = _MOST_COHORTS) -> Backlog:
    """Return the backlog in so many cohorts at most; those put together count as old as the oldest."""
    if len(backlog) <= most:
        return backlog
    size = -(-len(backlog) // most)
    groups = [backlog[k : k + size] for k in range(0, len(backlog), size)]
    return tuple(Cohort(arrived_at=group[0].arrived_at, requests=total(group)) for group in groups)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A serving's work over a horizon, as cumulative requests at the end of each interval.

    `available` have come by then, `due` are to be done by then; everything is due with the last interval, so
    that no schedule looks better for leaving work over.
    """

    serving: str
    available: tuple[float, ...]
    due: tuple[float, ...]

    @property
    def total(self) -> float:
        """All requests of the horizon."""
        return self.available[-1]


def work_over(
    serving: str,
    backlog: Backlog,
    arrivals: Sequence[float],
    starts: Sequence[datetime],
    end: datetime,
    deadline: timedelta,
) -> Work:
    """Return the work of a horizon: what waits already and the requests that arrive in each interval.

    `starts` are of the intervals, `end` of the last one. A cohort is due with the last interval that ends in
    time by plan, at the earliest with the one it arrives in (at once is as early as can be).
    """
    ends = [*starts[1:], end]
    cohorts = [(0, cohort) for cohort in backlog]
    cohorts += [
        (index, Cohort(arrived_at=start, requests=requests))
        for index, (start, requests) in enumerate(zip(starts, arrivals, strict=True))
    ]
    available, due = [0.0] * len(starts), [0.0] * len(starts)
    for first, cohort in cohorts:
        by = planned_by(cohort, deadline)
        last = max(first, sum(1 for moment in ends if moment <= by) - 1)
        available[first] += cohort.requests
        due[last] += cohort.requests
    for values in (available, due):
        for index in range(1, len(values)):
            values[index] += values[index - 1]
    due[-1] = available[-1]
    return Work(serving=serving, available=tuple(available), due=tuple(due))
