"""What a plan must reach before its objective counts, one after another, and how far each may be missed.

Online load is shed only where it must be, then offline load, then replicas move beyond the churn budget where load
would be shed without. Each tier is a solve of its own: one huge penalty would drown the objective.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import numpy as np

from ecoserve.planner.candidate import Candidate
from ecoserve.planner.formulation import Formulation
from ecoserve.planner.mathopt_backend import Solution
from ecoserve.planner.program import Program, Vector, dense_row

_TOLERANCE = 1e-7

Solve = Callable[[Program, Vector], Solution]


@dataclass(frozen=True, slots=True)
class Allowance:
    """What each tier may reach: requests/s shed online, shed offline, replicas moved beyond the churn budget."""

    tiers: tuple[float, ...] = (0.0, 0.0, 0.0)

    @property
    def nothing(self) -> bool:
        """Tell whether everything is to be served, within the budget."""
        return not any(limit > 0.0 for limit in self.tiers)

    def with_tier(self, index: int, limit: float) -> "Allowance":
        """Return the allowance with another limit on one tier."""
        return Allowance((*self.tiers[:index], limit, *self.tiers[index + 1 :]))


ANYTHING = Allowance((inf, inf, inf))


class Tiers:
    """The tiers of one formulation, as coefficients by column."""

    def __init__(self, formulation: Formulation) -> None:
        self.tiers = (
            formulation.shed_rate("online"),
            formulation.shed_rate("offline"),
            formulation.churn_excess(),
        )

    def reached(self, plan: Candidate) -> Allowance:
        """Return what a plan misses of each tier."""
        return Allowance(tuple(plan.total(tier) for tier in self.tiers))

    def rank(self, plan: Candidate, objective: Vector) -> tuple[float, ...]:
        """Return what tells the better of two plans: the lower."""
        return (*(round(missed, 6) for missed in self.reached(plan).tiers), plan.total(objective))

    def lexicographic(
        self, program: Program, objective: Vector, run: Solve, *, short: bool = False
    ) -> tuple[Solution, Allowance]:
        """Serve everything within the budget if that can be; else tier after tier as little as can be.

        `short` tells that this is known not to be, which saves the attempt.
        """
        if not short:
            solution = run(self.allowing(program, Allowance()), objective)
            if solution.point is not None or solution.status == "unknown":
                return solution, Allowance()
        allowance = ANYTHING
        for index, tier in enumerate(self.tiers):
            if not tier.any():
                allowance = allowance.with_tier(index, 0.0)
                continue
            solution = run(self.allowing(program, allowance), tier)
            if solution.point is not None:
                reached = float((tier * solution.point[: len(tier)]).sum())
                allowance = allowance.with_tier(index, max(0.0, reached))
            elif index == 0:
                return solution, Allowance()
        return run(self.allowing(program, allowance), objective), allowance

    def allowing(self, program: Program, allowance: Allowance) -> Program:
        """Return the program with what each tier may reach bounded."""
        for tier, limit in zip(self.tiers, allowance.tiers, strict=True):
            if limit <= 0.0:
                program = program.closed(np.flatnonzero(tier))
            elif tier.any() and limit < inf:
                slack = _TOLERANCE * (1.0 + limit)
                program = program.constrained(dense_row(tier, upper=limit + slack))
        return program
