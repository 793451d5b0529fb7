"""Deferral over real days: forecast, schedule, apply the first hour, see what came, and again.

Each hour the offline work is scheduled with what could be known then; its first interval is carried out under the
intensity and load that came. The same hours are run with everything at once, and with perfect foresight: scheduled
as a whole, and hour by hour. All are judged by the same planner and begin and end with nothing waiting, so their
grams compare; foresight's is the best of all runs that are known, so regret is never negative.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from ecoserve.planner.backlog import Backlog
from ecoserve.planner.carry_out import Done, Interval, PlanMemory, carry_out, carry_out_none
from ecoserve.planner.horizon import CarriedOut, Schedule, grams_of, may_wait, plan_horizon, with_better
from ecoserve.planner.outlook import Outlook
from ecoserve.planner.plan import Plan
from ecoserve.workload.forecast import HOUR, Accuracy, Forecast, accuracy


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferral(CarriedOut):
    """A rolling run: what came in each interval, what was expected, and the schedules it compares with.

    `schedules` are those made at the start of each interval; `foresight` the one with perfect knowledge.
    """

    schedules: tuple[Schedule, ...]
    without: tuple[Done, ...]
    """The online load alone."""
    foresight: Schedule

    @property
    def grams_foresight(self) -> float:
        """Grams with perfect foresight."""
        return self.foresight.grams

    @property
    def regret_grams(self) -> float:
        """What not knowing the future cost."""
        return self.grams - self.grams_foresight

    @property
    def offline_grams_at_once(self) -> float:
        """What offline work adds to the online load when it runs at once: all that deferral could save."""
        return self.grams_at_once - grams_of(self.without)

    @property
    def accuracy(self) -> Mapping[str, Accuracy]:
        """How the intensities expected at the start compare with what came, by zone."""
        thought = _by_zone(self.schedules[0].intervals)
        came = _by_zone(self.intervals)
        return {zone: accuracy(thought[zone], came[zone]) for zone in thought}


def simulate_deferral(
    actual: Outlook,
    start: datetime,
    *,
    expected: Outlook | None = None,
    hours: int = 24,
    horizon_hours: int = 24,
    memory: PlanMemory | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Deferral:
    """Run so many hours from `start`; `progress` is called with steps done and steps in all.

    Without `expected`, each forecast is made from what `actual` had shown by then. The horizon ends with the run.
    """
    memory = memory or PlanMemory()
    came = actual.intervals(start, hours)

    def known(index: int) -> tuple[Interval, ...]:
        return _ahead(actual, expected, came[index], min(horizon_hours, hours - index))

    def foreseen(index: int) -> tuple[Interval, ...]:
        return came[index : index + horizon_hours]

    def told(first: int) -> Callable[[int], None]:
        return lambda index: None if progress is None else progress(first + index, 2 * hours)

    schedules, done = _roll(came, known, memory, told(0))
    _, with_foresight = _roll(came, foreseen, memory, told(hours))
    foresight = with_better(with_better(plan_horizon(came, memory=memory), with_foresight), done)
    told(hours)(hours)
    return Deferral(
        intervals=came,
        schedules=schedules,
        done=done,
        at_once=foresight.at_once,
        without=carry_out_none(came, foresight.requests, memory),
        foresight=foresight,
    )


def _roll(
    came: Sequence[Interval],
    ahead: Callable[[int], tuple[Interval, ...]],
    memory: PlanMemory,
    progress: Callable[[int], None],
) -> tuple[tuple[Schedule, ...], tuple[Done, ...]]:
    """Schedule at the start of each interval what is seen ahead, and carry out the first of it under what came."""
    names = [item.name for item in came[0].snapshot.servings if may_wait(item)]
    waiting: Mapping[str, Backlog] = dict.fromkeys(names, ())
    before: Plan | None = None
    schedules: list[Schedule] = []
    done: list[Done] = []
    for index, interval in enumerate(came):
        progress(index)
        schedule = plan_horizon(ahead(index), waiting, memory=memory, before=before)
        wanted = {name: schedule.requests[name][0] for name in names}
        step = carry_out(interval, waiting, wanted, before, memory)
        waiting, before = step.waiting, step.plan
        schedules.append(schedule)
        done.append(step)
    return tuple(schedules), tuple(done)


def _by_zone(intervals: Sequence[Interval]) -> dict[str, Forecast]:
    """Return each zone's intensities; the first hour counts whole, wherever in it the run began."""
    start = intervals[0].start.replace(minute=0, second=0, microsecond=0)
    names = [zone.name for zone in intervals[0].snapshot.zones]
    return {
        name: Forecast(
            start=start,
            interval=HOUR,
            values=tuple(interval.snapshot.zone(name).carbon_intensity for interval in intervals),
        )
        for name in names
    }


def _ahead(actual: Outlook, expected: Outlook | None, interval: Interval, hours: int) -> tuple[Interval, ...]:
    """Return the forecast at the start of an interval, which itself is known already."""
    if expected is None:
        whole = interval.start.replace(minute=0, second=0, microsecond=0)
        return actual.intervals(interval.start, hours, known_until=whole + HOUR)
    return (interval, *expected.intervals(interval.start, hours)[1:])
