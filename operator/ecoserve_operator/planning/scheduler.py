"""Schedules of offline work: made beside the loop, in a process of their own, when the last one no longer holds.

A schedule takes many plans, so it must never delay one: until it is there, offline work runs at once. It is made
anew when supply, specs or series have changed, when an intensity is not what it expected, or when a quarter of
its hours have passed. After each, the process rests several times as long as it worked, so that a cluster that
never comes to rest costs a part of one core.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from ecoserve.carbon import IntensitySeries
from ecoserve.fleet.pools import Pool
from ecoserve.fleet.snapshot import Zone
from ecoserve.planner.backlog import Backlog
from ecoserve.planner.carry_out import Interval
from ecoserve.planner.plan import Plan
from ecoserve.workload.slices import ServingDemand
from ecoserve_operator.planning.capacities import Capacities
from ecoserve_operator.planning.horizon_call import OfflineSchedule, schedule_offline
from ecoserve_operator.planning.process import PlannerProcess

logger = logging.getLogger(__name__)

_REST = 4.0
_RETRY_SECONDS = 30.0
"""What fails fails again, most likely: it must not keep the loop busy."""
_PART_PASSED = 0.25
_SURPRISE = 0.05
"""An intensity this far from what was expected, as a share, makes a schedule worth making anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a schedule depends on, beside the time and what waits.

    `demands` are of midnight, so that a daily profile does not make every moment another question; `series` are
    of each zone that has one, with whether it repeats; `constants` the intensities of the others.
    """

    pools: tuple[Pool, ...]
    demands: tuple[ServingDemand, ...]
    series: Mapping[str, tuple[IntensitySeries, bool]]
    constants: Mapping[str, float]


Arguments = tuple[tuple[Interval, ...], Mapping[str, Backlog], Plan | None]
"""Intervals ahead, what waits, and the plan that runs."""


class Scheduler:
    """Makes schedules of what it was asked last; `latest` is the last one, None before and after a failure."""

    def __init__(self, limit_seconds: float, capacities: Capacities, done: Callable[[], None]) -> None:
        self.latest: OfflineSchedule | None = None
        self._limit_seconds = limit_seconds
        self._capacities = capacities
        self._done = done
        self._answered: Question | None = None
        self._under_way: Question | None = None
        self._wanted: tuple[Question, Callable[[], Arguments]] | None = None
        self._event = asyncio.Event()

    def want(
        self, question: Question, arguments: Callable[[], Arguments], zones: tuple[Zone, ...], now: datetime
    ) -> None:
        """Ask for a schedule if the last one does not hold; its arguments are taken when it is made."""
        if question == self._under_way:
            return
        if question != self._answered or self._stale(zones, now):
            self._wanted = (question, arguments)
            self._event.set()

    def forget(self) -> None:
        """Nothing is to be scheduled any more."""
        self.latest, self._answered, self._wanted = None, None, None

    async def run(self) -> None:
        """Make schedules for ever."""
        while True:
            await self._event.wait()
            self._event.clear()
            wanted, self._wanted = self._wanted, None
            if wanted is None:
                continue
            begun = time.monotonic()
            self._under_way = wanted[0]
            process = PlannerProcess(self._limit_seconds, yields=True)
            try:
                intervals, waiting, before = wanted[1]()
                if intervals:
                    await self._capacities.learn(process, intervals[0].snapshot)
                self.latest = await process.call(schedule_offline, intervals, waiting, before)
                self._answered = wanted[0]
                await self._capacities.note(process)
                logger.info(
                    "offline work is scheduled to %s: %.0f gCO2e, at once %.0f",
                    *(f"{self.latest.end:%d %b %H:%M}", self.latest.grams, self.latest.grams_at_once),
                )
            except Exception as error:  # noqa: BLE001 - whatever fails in a forecast, serving goes on without it
                logger.warning("offline work runs at once, as it can't be scheduled: %s", error)
                self.latest = None
            finally:
                self._under_way = None
                await process.close()
            self._done()
            rest = _REST * (time.monotonic() - begun)
            await asyncio.sleep(rest if self.latest is not None else max(rest, _RETRY_SECONDS))

    def _stale(self, zones: tuple[Zone, ...], now: datetime) -> bool:
        """Whether the last schedule has become old, or the grid is not as it expected."""
        last = self.latest
        if last is None or now < last.start or now >= last.start + _PART_PASSED * (last.end - last.start):
            return True
        expected = last.intensities(now)
        return any(
            abs(zone.carbon_intensity - expected.get(zone.name, zone.carbon_intensity))
            > _SURPRISE * max(zone.carbon_intensity, 1.0)
            for zone in zones
        )
