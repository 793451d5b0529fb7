"""Offline work under way: what each serving is told to do now, and what waits.

An order says at which rate a serving's offline work is to be planned and until when. The rate is that of the
schedule (`scheduler`), raised where work has used up its slack; without a schedule everything runs at once. What
waits is reckoned from the order: what the spec says comes, less what the plan serves. An order stands in the
status with the backlog as it began, so a restart goes on where the last one ended, however long it took.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from ecoserve.errors import InvalidInputError
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.planner.backlog import (
    Backlog,
    Cohort,
    bounded,
    joined,
    matched,
    planned_by,
    total,
    worked_off,
)
from ecoserve.planner.carry_out import no_room_per_second, with_offline
from ecoserve.planner.horizon import may_wait
from ecoserve.planner.horizon_reasons import ScheduleReason
from ecoserve.times import parse_utc
from ecoserve.workload.forecast import HOUR
from ecoserve.workload.slices import ServingDemand
from ecoserve_operator.planning.decision import Taken
from ecoserve_operator.planning.horizon_call import OfflineSchedule
from ecoserve_operator.planning.planner import Decision

logger = logging.getLogger(__name__)

Arrivals = Callable[[str, datetime], float]
"""Offline requests/s that come to a serving (`namespace/name`) at a time."""

Queues = Mapping[str, float]
"""Offline requests that were seen to wait, of servings whose queue is measured."""

_NOTHING = 0.5
"""Less than a request is nothing that waits."""
_QUEUED_SECONDS = 300.0
"""What comes within so long is a queue as it always is; more is work that waits."""
_SHORTEST = timedelta(minutes=1)
_LONGEST = timedelta(days=31)
"""Time without an operator that is reckoned hour by hour; what came before it is as old as that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a serving's offline work is told, from `since` to `until` (None: until something changes).

    `rate_per_second` is planned for (None: whatever comes), `done_per_second` is what the plan serves of it;
    `backlog` is what waited at `since`.
    """

    since: datetime
    until: datetime | None = None
    rate_per_second: float | None = None
    done_per_second: float | None = None
    backlog: Backlog = ()
    reason: ScheduleReason = ScheduleReason.AT_ONCE
    message: str = ""
    waits_until: datetime | None = None
    schedule: OfflineSchedule | None = None

    def waiting(self, name: str, now: datetime, arrivals: Arrivals) -> Backlog:
        """What waits at `now`."""
        if self.done_per_second is None:
            return self.backlog if total(self.backlog) >= _NOTHING else ()
        backlog = self.backlog
        begin = max(self.since, now - _LONGEST)
        while begin < now:
            hour = begin.replace(minute=0, second=0, microsecond=0)
            end = min(now, hour + HOUR)
            seconds = (end - begin).total_seconds()
            backlog = joined(backlog, hour, arrivals(name, begin + (end - begin) / 2) * seconds)
            backlog, _ = worked_off(backlog, self.done_per_second * seconds)
            begin = end
        return bounded(backlog) if total(backlog) >= _NOTHING else ()


class OfflineWork:
    """The orders of all servings."""

    def __init__(self) -> None:
        self._orders: dict[str, Order] = {}
        self._most: dict[str, tuple[float, datetime]] = {}
        """Rates that found no more room, and until when to ask for no more."""

    @property
    def orders(self) -> Mapping[str, Order]:
        """The order of each serving whose offline work may wait or waits."""
        return self._orders

    def due(self) -> datetime | None:
        """When the next order ends."""
        return min((order.until for order in self._orders.values() if order.until is not None), default=None)

    def waiting(
        self, now: datetime, arrivals: Arrivals, queues: Queues = MappingProxyType({})
    ) -> dict[str, Backlog]:
        """What waits now, by serving: as reckoned or, where a queue is measured, as many as wait in it."""
        return {
            name: _seen(order.waiting(name, now, arrivals), name, queues, now)
            for name, order in self._orders.items()
        }

    def ordered(
        self,
        snapshot: Snapshot,
        schedule: OfflineSchedule | None,
        reported: Mapping[str, Mapping[str, Any]],
        arrivals: Arrivals,
        now: datetime,
        queues: Queues = MappingProxyType({}),
    ) -> Snapshot:
        """The snapshot with the offline rates that are ordered.

        `reported` are the statuses of all servings, for what a restart finds. Orders of those that are not in the
        snapshot now (paused, or with a spec that can't be used) stand until they are back.
        """
        here = {demand.name for demand in snapshot.servings}
        orders = {
            name: order for name, order in self._orders.items() if name not in here and name in reported
        }
        for demand in snapshot.servings:
            name = demand.name
            order = self._orders.get(name) or restored(reported.get(name, {}), now)
            queued = _queued(demand, queues)
            if demand.offline is None or not (may_wait(demand) or _may_hold_back(order) or queued):
                continue
            mine = schedule if may_wait(demand) else None
            overrun = queued and order is not None and order.rate_per_second is None
            if order is None or overrun or not self._stands(order, mine, now):
                order = self._renewed(demand, order, mine, arrivals, now, queues)
            orders[name] = order
        self._orders = orders
        rates = {
            name: order.rate_per_second for name, order in orders.items() if order.rate_per_second is not None
        }
        return with_offline(snapshot, rates)

    def note(self, decision: Decision, now: datetime) -> bool:
        """Take down what a decision serves; tells whether less is to be asked for, as there is no room."""
        again = False
        for name, order in self._orders.items():
            choice = decision.choices.get(name)
            if choice is None or order.rate_per_second is None or decision.plan is None or decision.failure:
                continue
            short = no_room_per_second(decision.plan, name)
            done = max(0.0, order.rate_per_second - short)
            if choice.taken is not Taken.HELD:
                self._orders[name] = replace(order, done_per_second=done)
            elif short > 0.0 and done < self._most.get(name, (float("inf"), now))[0]:
                self._most[name] = (done, order.until or now + HOUR)
                self._orders[name] = replace(order, until=now)
                again = True
        return again

    def _stands(self, order: Order, schedule: OfflineSchedule | None, now: datetime) -> bool:
        return order.schedule is schedule and (order.until is None or now < order.until)

    def _renewed(
        self,
        demand: ServingDemand,
        before: Order | None,
        schedule: OfflineSchedule | None,
        arrivals: Arrivals,
        now: datetime,
        queues: Queues,
    ) -> Order:
        name = demand.name
        backlog = before.waiting(name, now, arrivals) if before is not None else ()
        if name in queues:
            backlog = _seen(backlog, name, queues, now) if _queued(demand, queues) else ()
        order = _order(demand, backlog, schedule, arrivals(name, now), now)
        most, until = self._most.get(name, (float("inf"), now))
        if now < until and order.rate_per_second is not None and order.rate_per_second > most:
            message = f"every node that may serve it is full; {total(backlog):.0f} requests wait"
            order = replace(
                order, rate_per_second=most, reason=ScheduleReason.CAPACITY, message=message, waits_until=None
            )
        elif until <= now:
            self._most.pop(name, None)
        if before is not None and _as_it_comes(before) and _as_it_comes(order):
            return replace(order, since=before.since, message=before.message)
        if order.rate_per_second is not None:
            done = before.done_per_second if before is not None else None
            order = replace(order, done_per_second=order.rate_per_second if done is None else done)
        return order


def _order(
    demand: ServingDemand, backlog: Backlog, schedule: OfflineSchedule | None, coming: float, now: datetime
) -> Order:
    """What to do now: as scheduled, but never so slowly that work misses the time planned for it."""
    hour_end = now.replace(minute=0, second=0, microsecond=0) + HOUR
    deadline = timedelta(seconds=(demand.offline.deadline_seconds or 0.0) if demand.offline else 0.0)
    step = None if schedule is None else schedule.step(demand.name, now)
    if step is None:
        if not backlog:
            return Order(since=now, message="there is no schedule, so nothing waits", schedule=schedule)
        left = min(planned_by(cohort, deadline) for cohort in backlog) - now
        rate = coming + total(backlog) / min(max(left, _SHORTEST), HOUR).total_seconds()
        message = f"there is no schedule, so {total(backlog):.0f} requests that wait run within the hour"
        return Order(since=now, until=hour_end, rate_per_second=rate, backlog=backlog, message=message)
    if step.reason is ScheduleReason.AT_ONCE and not backlog:
        return Order(since=now, until=step.end, message=step.message, schedule=schedule)
    seconds = max(1.0, (step.end - now).total_seconds())
    queue = (*backlog, Cohort(arrived_at=now, requests=coming * seconds))
    pressing = total(cohort for cohort in queue if planned_by(cohort, deadline) < step.end + HOUR) / seconds
    rate = min(max(step.requests_per_second, pressing), coming + total(backlog) / seconds)
    order = Order(
        since=now,
        until=step.end,
        rate_per_second=rate,
        backlog=backlog,
        reason=step.reason,
        message=step.message,
        waits_until=step.waits_until,
        schedule=schedule,
    )
    if pressing > step.requests_per_second:
        message = f"{pressing * seconds:.0f} requests have waited as long as their deadline allows"
        return replace(order, reason=ScheduleReason.DEADLINE, message=message)
    return order


def _queued(demand: ServingDemand, queues: Queues) -> bool:
    """Whether a measured queue holds more than what is just passing through."""
    coming = demand.offline.rate_per_second if demand.offline is not None else 0.0
    return queues.get(demand.name, 0.0) > max(1.0, coming * _QUEUED_SECONDS)


def _seen(backlog: Backlog, name: str, queues: Queues, now: datetime) -> Backlog:
    return matched(backlog, queues[name], now) if name in queues else backlog


def _may_hold_back(order: Order | None) -> bool:
    return order is not None and order.rate_per_second is not None


def _as_it_comes(order: Order) -> bool:
    return order.rate_per_second is None and not order.backlog and order.reason is ScheduleReason.AT_ONCE


def restored(status: Mapping[str, Any], now: datetime) -> Order | None:
    """The order that a status tells of; None where it tells none that can be read."""
    told = status.get("offline")
    if not isinstance(told, Mapping):
        return None
    try:
        backlog = tuple(_cohorts(told.get("backlog") or ()))
        since = min(now, parse_utc(str(told["asOf"]), "asOf"))
        done = told.get("requestsPerSecond")
        rate = None if done is None else float(done)
    except (InvalidInputError, KeyError, TypeError, ValueError) as error:
        logger.warning("what offline work waits can't be read from a status, and is forgotten: %s", error)
        return None
    return Order(since=since, until=now, rate_per_second=rate, done_per_second=rate, backlog=backlog)


def _cohorts(told: Iterable[Mapping[str, Any]]) -> Iterable[Cohort]:
    for item in told:
        yield Cohort(
            arrived_at=parse_utc(str(item["arrivedAt"]), "arrivedAt"), requests=float(item["requests"])
        )
