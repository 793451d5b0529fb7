"""The linear program that spreads offline work over the intervals of a horizon.

Each interval is a whole placement program (`formulation`) of its own load and intensity, in which a serving's
offline slices stand for all its work of the horizon. Its shed column u is then the part that is *not* done in
that interval, and 1 − u = z the part that is, the same for every length bucket. Joined by what waits:

    z[s,t] + u[k,t] = 1                              every bucket k of serving s
    w[s,t] = w[s,t−1] + arrived[s,t] − z[s,t]        the part of the work that waits at the end of t
    w[s,t] ≤ available[s,t] − due[s,t] + late[s,t]

So cost and capacity of offline work beside the online load, pools, limits and hardware are the planner's own,
and a schedule is as good as the placement relaxation is tight. Replicas and nodes that online load needs anyway
are there in whole numbers (`Stage.running`), so that work can ride along on what whole replicas leave idle.

Minimised, in this order: online load shed, work that comes late, then grams with a small price on waiting.
That price decides between equal hours (the earlier one), and keeps work from waiting for gains that are noise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ecoserve.planner.backlog import Work
from ecoserve.planner.bounds import DropCosts
from ecoserve.planner.formulation import Formulation
from ecoserve.planner.mathopt_backend import solve_linear
from ecoserve.planner.program import Program, ProgramBuilder, Vector, dense_row

LEAST_GAIN_PER_HOUR = 0.001
"""An hour of waiting must save at least this share of what the work emits."""

_TIER_TOLERANCE = 1e-7
_LEAST_GRAMS = 1.0
"""Of all work, at least: less would make prices that the solver cannot tell from zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One interval: its program at the rates that would do all work in it, and what online load keeps running.

    `slices` are the offline slices of each serving whose work is scheduled; `running` bounds columns from below.
    """

    formulation: Formulation
    hours: float
    slices: Mapping[str, tuple[str, ...]]
    running: Mapping[int, float]


def spread(stages: Sequence[Stage], works: Sequence[Work]) -> Mapping[str, tuple[float, ...]] | None:
    """Return the requests of each serving to be done in each interval; None where the solver finds nothing."""
    return _Spread(stages, [work for work in works if work.total > 0.0]).solve()


class _Spread:
    """Writes the stages side by side, then the columns and rows of what waits."""

    def __init__(self, stages: Sequence[Stage], works: Sequence[Work]) -> None:
        self.stages = stages
        self._drops = [DropCosts(stage.formulation) for stage in stages]
        self.works = works
        self.builder = ProgramBuilder()
        self.offsets: list[int] = []
        self.parts: dict[str, list[int]] = {}
        self.waiting: dict[str, list[int]] = {}
        self.late: list[int] = []

    def solve(self) -> Mapping[str, tuple[float, ...]] | None:
        for stage in self.stages:
            self._append(stage)
        for work in self.works:
            self._join(work)
        return self._answer(self.builder.program())

    def _append(self, stage: Stage) -> None:
        program = stage.formulation.program
        lower = program.lower.copy()
        for column, count in stage.running.items():
            lower[column] = max(lower[column], count)
        self.offsets.append(self.builder.append(program, np.minimum(lower, program.upper)))

    def _join(self, work: Work) -> None:
        parts: list[int] = []
        waiting: list[int] = []
        before = 0.0
        for index, stage in enumerate(self.stages):
            part = self.builder.column(0.0, 1.0)
            waits = self.builder.column(0.0, 1.0)
            late = self.builder.column(0.0, 1.0)
            for name in stage.slices[work.serving]:
                shed = stage.formulation.shed[name] + self.offsets[index]
                self.builder.row([(part, 1.0), (shed, 1.0)], 1.0, 1.0)
            arrived = (work.available[index] - before) / work.total
            before = work.available[index]
            earlier = [(waiting[-1], -1.0)] if waiting else []
            self.builder.row([(waits, 1.0), *earlier, (part, 1.0)], arrived, arrived)
            spare = max(0.0, work.available[index] - work.due[index]) / work.total
            self.builder.row([(waits, 1.0), (late, -1.0)], upper=spare)
            parts.append(part)
            waiting.append(waits)
            self.late.append(late)
        self.parts[work.serving], self.waiting[work.serving] = parts, waiting

    def _answer(self, program: Program) -> Mapping[str, tuple[float, ...]] | None:
        """Serve all in time if that can be; else shed and be late as little as can be; then the grams."""
        shed, grams = self._shed(program.columns), self._grams(program.columns)
        late = np.zeros(program.columns)
        late[self.late] = 1.0
        solution = solve_linear(program.closed((shed > 0) | (late > 0)), grams)
        if solution.point is None:
            for tier in (shed, late):
                least = solve_linear(program, tier)
                if least.point is None:
                    return None
                limit = float((tier * least.point).sum())
                program = program.constrained(dense_row(tier, upper=limit + _TIER_TOLERANCE * (1.0 + limit)))
            solution = solve_linear(program, grams)
        if solution.point is None:
            return None
        done = solution.point.tolist()
        return {
            work.serving: tuple(max(0.0, done[column]) * work.total for column in self.parts[work.serving])
            for work in self.works
        }

    def _shed(self, columns: int) -> Vector:
        """Requests/s of everything that is not scheduled work, and replicas that are missing."""
        total = np.zeros(columns)
        for stage, offset in zip(self.stages, self.offsets, strict=True):
            formulation = stage.formulation
            rates = formulation.shed_rate("online") + formulation.shed_rate("offline")
            rates[[formulation.shed[name] for names in stage.slices.values() for name in names]] = 0.0
            total[offset : offset + len(rates)] = rates
        return total

    def _grams(self, columns: int) -> Vector:
        total = np.zeros(columns)
        for stage, offset in zip(self.stages, self.offsets, strict=True):
            grams = stage.formulation.objective()
            total[offset : offset + len(grams)] = grams * stage.hours
        for work in self.works:
            price = LEAST_GAIN_PER_HOUR * max(self._typical_grams(work.serving), _LEAST_GRAMS)
            for stage, column in zip(self.stages, self.waiting[work.serving], strict=True):
                total[column] = price * stage.hours
        return total

    def _typical_grams(self, serving: str) -> float:
        """What all of a serving's work emits at full use of the best hardware, in the mean over intervals."""
        grams = 0.0
        for stage, drops in zip(self.stages, self._drops, strict=True):
            for name in set(stage.slices[serving]):
                costs = [
                    drop.cost
                    for phase, found in drops.of(name).items()
                    if phase != "prefill"
                    for drop in found
                ]
                grams += min(costs, default=0.0) * stage.hours
        return grams / len(self.stages)
