"""The refresh plan of a fleet: each kind of node by itself, beside refreshing everything together.

Kinds do not share hosts or work, so that the sum of their least is the least of the fleet.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from ecoserve.refresh.assumptions import Assumptions
from ecoserve.refresh.fleet import Kind
from ecoserve.refresh.schedule import Schedule, separate_schedule, uniform_schedule

UNIFORM_YEARS = (3, 4, 5, 6)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSchedule:
    """Schedules of all kinds, by the kind's name."""

    schedules: Mapping[str, Schedule]

    @property
    def operational_kg(self) -> float:
        """KgCO2e of power over the horizon."""
        return sum(schedule.operational_kg for schedule in self.schedules.values())

    @property
    def embodied_kg(self) -> float:
        """KgCO2e of what is bought, as far as it counts within the horizon."""
        return sum(schedule.embodied_kg for schedule in self.schedules.values())

    @property
    def total_kg(self) -> float:
        """Operational and embodied together."""
        return self.operational_kg + self.embodied_kg

    @property
    def gap(self) -> float:
        """Share of the carbon by which the searches may have missed the least there is, at most."""
        missed = sum(schedule.gap * schedule.total_kg for schedule in self.schedules.values())
        return missed / self.total_kg if self.total_kg > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshPlan:
    """The separate plan, and the uniform ones by their years; None where hardware does not last so long."""

    begins: date
    assumptions: Assumptions
    kinds: tuple[Kind, ...]
    separate: FleetSchedule
    uniform: Mapping[int, FleetSchedule | None]

    @property
    def best_uniform(self) -> int | None:
        """Years of the uniform refresh with least carbon."""
        totals = {years: plan.total_kg for years, plan in self.uniform.items() if plan is not None}
        return min(totals, key=lambda years: totals[years], default=None)

    def saved_share(self, years: int) -> float | None:
        """Return the share of a uniform refresh's carbon that the separate plan saves; None where there is none."""
        uniform = self.uniform[years]
        if uniform is None or uniform.total_kg <= 0:
            return None
        return 1 - self.separate.total_kg / uniform.total_kg


def plan_refresh(
    kinds: Sequence[Kind],
    assumptions: Assumptions,
    begins: date,
    *,
    uniform_years: Sequence[int] = UNIFORM_YEARS,
    progress: Callable[[int, int], None] | None = None,
) -> RefreshPlan:
    """Plan every kind; `progress` is told how many of how many are done."""
    separate: dict[str, Schedule] = {}
    uniform: dict[int, dict[str, Schedule] | None] = {years: {} for years in uniform_years}
    for done, kind in enumerate(kinds):
        if progress is not None:
            progress(done, len(kinds))
        known = []
        for years in uniform_years:
            found, so_far = uniform_schedule(kind, assumptions, years), uniform[years]
            if found is None or so_far is None:
                uniform[years] = None
            else:
                so_far[kind.name] = found
                known.append(found)
        separate[kind.name] = separate_schedule(kind, assumptions, known)
    if progress is not None:
        progress(len(kinds), len(kinds))
    return RefreshPlan(
        begins=begins,
        assumptions=assumptions,
        kinds=tuple(kinds),
        separate=FleetSchedule(schedules=separate),
        uniform={
            years: None if schedules is None else FleetSchedule(schedules=schedules)
            for years, schedules in uniform.items()
        },
    )
