"""The least-carbon schedule of one kind of node over the horizon, as a mixed-integer program.

A cohort is what was bought in one year (or a batch that stands today); a column says how many of a cohort serve
from then until they retire at the start of a certain year. Hosts and accelerators have cohorts of their own,
and a host carries any generation of accelerators. Rows, for each year:

    work        Σ speed × busy accelerators of a cohort = demand, at most as many busy as serve
    slots       accelerators in service ≤ hosts in service (a node without accelerators works by itself)

A newer accelerator does more work per joule, and by its watts per device, so fewer of them and fewer hosts are
needed; work goes where a joule does most. What is bought is charged whole where it retires within the horizon, and by the share
of its possible life that it served where it is still in service at the end. What stands today was emitted
long ago and charges nothing, kept or not.

A uniform refresh is the same program with one span allowed to each cohort: until the next refresh.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from ecoserve.errors import EcoserveError
from ecoserve.planner.mathopt_backend import solve_mixed
from ecoserve.planner.program import Program, ProgramBuilder
from ecoserve.refresh.assumptions import Assumptions
from ecoserve.refresh.fleet import Kind, Part
from ecoserve.units import HOURS_PER_YEAR

RELATIVE_GAP = 1e-5
_SECONDS_PER_KIND = 20.0

Coefficients = dict[int, float]


class RefreshError(EcoserveError):
    """No schedule was found for a kind of node within the time allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """Parts alike in age: `born` in a year of the horizon, or before it (-1) with so many `nodes`.

    `speed`, `draw` and `weight` are the work, the power and the embodied carbon of one as multiples of today's;
    `last` is the year it must retire by.
    """

    born: int
    nodes: int | None
    last: int
    speed: float
    draw: float
    weight: float = 1.0

    @property
    def start(self) -> int:
        """First year of the horizon in which it can serve."""
        return max(0, self.born)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """What is done at the start of a year, in parts, and what serves in it afterwards."""

    bought: int
    retired: int
    in_service: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A schedule of one kind: kgCO2e over the horizon, and moves by year; accelerators in sets of one node's.

    `gap` is the relative distance from the solver's lower bound.
    """

    operational_kg: float
    embodied_kg: float
    gap: float
    hosts: tuple[Moves, ...]
    accelerators: tuple[Moves, ...]
    values: tuple[float, ...]

    @property
    def total_kg(self) -> float:
        """Operational and embodied together."""
        return self.operational_kg + self.embodied_kg


def separate_schedule(kind: Kind, assumptions: Assumptions, known: Sequence[Schedule] = ()) -> Schedule:
    """Return the best schedule with hosts and accelerators each on their own clock, never worse than those known."""
    model = _Model(kind, assumptions)
    best = min(known, key=lambda schedule: schedule.total_kg, default=None)
    found = model.solve(model.program, hint=() if best is None else best.values)
    schedules = [schedule for schedule in (found, best) if schedule is not None]
    if not schedules:
        raise RefreshError(
            f"no refresh schedule was found for {kind.name} within {_SECONDS_PER_KIND:g} s; "
            "a shorter horizon or smaller gains make it easier"
        )
    return min(schedules, key=lambda schedule: schedule.total_kg)


def uniform_schedule(kind: Kind, assumptions: Assumptions, every_years: int) -> Schedule | None:
    """Return the best schedule that replaces hosts and accelerators together every so many years.

    The first time is when the oldest nodes reach that age. None where hardware does not last so long.
    """
    model = _Model(kind, assumptions)
    if every_years > min(model.host_years, model.accelerator_years):
        return None
    first = max(0, ceil(every_years - kind.oldest_years - 1e-9))
    return model.solve(model.refreshed_in(range(first, assumptions.horizon_years, every_years)))


class _Model:
    """Columns, rows and prices of one kind's program."""

    def __init__(self, kind: Kind, assumptions: Assumptions) -> None:
        self.kind, self.assumptions = kind, assumptions
        self.horizon = assumptions.horizon_years
        self.host_years = kind.host_years or assumptions.host_years
        self.accelerator_years = kind.accelerator_years or assumptions.accelerator_years
        self.builder = ProgramBuilder()
        self.operational: Coefficients = {}
        self.embodied: Coefficients = {}
        self.kg_per_watt = [
            kind.pue * assumptions.intensity(kind.carbon_intensity, year) * HOURS_PER_YEAR / 1e6
            for year in range(self.horizon)
        ]
        self.demand = [kind.nodes * assumptions.demand(year) for year in range(self.horizon)]
        slowest = min([1.0, *(cohort.speed for cohort in self._cohorts(1, hosts=False))])
        self.most = ceil(max(self.demand) / slowest - 1e-9)
        self.hosts = self._spans(kind.host, list(self._cohorts(self.host_years, hosts=True)))
        self.sets: dict[tuple[Cohort, int], int] = {}
        if kind.accelerators is not None:
            cohorts = list(self._cohorts(self.accelerator_years, hosts=False))
            self.sets = self._spans(kind.accelerators, cohorts)
            self._work(kind.accelerators, cohorts)
        self._slots()
        self.program = self.builder.program()

    def refreshed_in(self, years: Sequence[int]) -> Program:
        """Return the program with everything replaced in these years, and only then."""
        ends = [*years, self.horizon]
        closed = {}
        for spans in (self.hosts, self.sets):
            for (cohort, end), column in spans.items():
                if end != next(year for year in ends if year > cohort.born):
                    closed[column] = (0.0, 0.0)
        return self.program.bounded(closed)

    def solve(self, program: Program, hint: Sequence[float] = ()) -> Schedule | None:
        """Solve and read the schedule; None where the time did not suffice for any."""
        objective = dict(self.operational)
        for column, kg in self.embodied.items():
            objective[column] = objective.get(column, 0.0) + kg
        solution = solve_mixed(
            program, objective, relative_gap=RELATIVE_GAP, time_limit_seconds=_SECONDS_PER_KIND, hint=hint
        )
        if not solution.values:
            return None
        operational, embodied = _sum(self.operational, solution.values), _sum(self.embodied, solution.values)
        host_work = self.kind.host.dynamic_watts * sum(
            kg * demand for kg, demand in zip(self.kg_per_watt, self.demand, strict=True)
        )
        total = operational + embodied
        return Schedule(
            operational_kg=operational + host_work,
            embodied_kg=embodied,
            gap=max(0.0, 1 - solution.bound / total) if total > 0 else 0.0,
            hosts=self._moves(self.hosts, solution.values),
            accelerators=self._moves(self.sets, solution.values),
            values=solution.values,
        )

    def _cohorts(self, life_years: int, *, hosts: bool) -> Iterator[Cohort]:
        """Yield today's batches, then what may be bought in each year."""
        standing: dict[int, int] = {}
        for batch in self.kind.batches:
            left = max(0, ceil(life_years - batch.age_years - 1e-9))
            last = min(self.horizon, left)
            standing[last] = standing.get(last, 0) + batch.nodes
        for last, nodes in standing.items():
            yield Cohort(born=-1, nodes=nodes, last=last, speed=1.0, draw=1.0)
        assumed = self.assumptions
        power, embodied = assumed.accelerator_power_growth, assumed.accelerator_embodied_growth
        for year in range(self.horizon):
            generations = assumed.generations(self.kind.oldest_years + year)
            last = min(self.horizon, year + life_years)
            if hosts:
                draw = (1 + assumed.host_gain) ** -generations
                yield Cohort(born=year, nodes=None, last=last, speed=1.0, draw=draw)
            else:
                yield Cohort(
                    born=year,
                    nodes=None,
                    last=last,
                    speed=((1 + assumed.accelerator_gain) * (1 + power)) ** generations,
                    draw=(1 + power) ** generations,
                    weight=(1 + embodied) ** generations,
                )

    def _spans(self, part: Part, cohorts: Sequence[Cohort]) -> dict[tuple[Cohort, int], int]:
        """Add a column for each cohort and year of retirement, with its price."""
        spans: dict[tuple[Cohort, int], int] = {}
        for cohort in cohorts:
            ends = range(cohort.born + 1, cohort.last + 1)
            for end in ends:
                column = self.builder.column(0.0, float(cohort.nodes or self.most), integer=True)
                watts = part.idle_watts * cohort.draw
                self.operational[column] = watts * sum(self.kg_per_watt[cohort.start : end])
                if cohort.nodes is None:
                    self.embodied[column] = part.kg * cohort.weight * self._charged(cohort, end, part)
                spans[cohort, end] = column
            if cohort.nodes is not None:
                standing = float(cohort.nodes)
                self.builder.row([(spans[cohort, end], 1.0) for end in ends], standing, standing)
        return spans

    def _charged(self, cohort: Cohort, end: int, part: Part) -> float:
        """Return the share of a purchase's embodied carbon that counts within the horizon."""
        if end < self.horizon:
            return 1.0
        life = self.host_years if part is self.kind.host else self.accelerator_years
        return (self.horizon - cohort.born) / life

    def _work(self, part: Part, cohorts: Sequence[Cohort]) -> None:
        for year, demand in enumerate(self.demand):
            work = []
            for cohort in cohorts:
                serving = _serving(self.sets, year, cohort)
                if serving:
                    busy = self.builder.column()
                    self.operational[busy] = part.dynamic_watts * cohort.draw * self.kg_per_watt[year]
                    self.builder.row([(busy, 1.0), *((column, -1.0) for column, _ in serving)], upper=0.0)
                    work.append((busy, cohort.speed))
            self.builder.row(work, demand, demand)

    def _slots(self) -> None:
        for year, demand in enumerate(self.demand):
            hosts = _serving(self.hosts, year)
            if self.kind.accelerators is None:
                self.builder.row(hosts, lower=float(ceil(demand - 1e-9)))
            else:
                sets = _serving(self.sets, year)
                self.builder.row([*hosts, *((column, -1.0) for column, _ in sets)], lower=0.0)

    def _moves(self, spans: Mapping[tuple[Cohort, int], int], values: Sequence[float]) -> tuple[Moves, ...]:
        counts = {key: round(values[column]) for key, column in spans.items()}
        return tuple(
            Moves(
                bought=sum(n for (cohort, _), n in counts.items() if cohort.born == year),
                retired=sum(n for (_, end), n in counts.items() if end == year),
                in_service=sum(n for (cohort, end), n in counts.items() if cohort.start <= year < end),
            )
            for year in range(self.horizon)
        )


def _serving(
    spans: Mapping[tuple[Cohort, int], int], year: int, only: Cohort | None = None
) -> list[tuple[int, float]]:
    """Return the columns of what serves in a year."""
    return [
        (column, 1.0)
        for (cohort, end), column in spans.items()
        if cohort.start <= year < end and only in (None, cohort)
    ]


def _sum(coefficients: Coefficients, values: Sequence[float]) -> float:
    return sum(kg * values[column] for column, kg in coefficients.items())
