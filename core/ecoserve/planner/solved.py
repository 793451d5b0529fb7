"""One objective's part of a plan as it was solved: what explains it, replays it, and follows the grid with it."""

from dataclasses import dataclass

from ecoserve.fleet.snapshot import Snapshot
from ecoserve.planner.build import Problem
from ecoserve.planner.instance import PlanningInstance, PlanningResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Solved:
    """The snapshot as its nodes are shaped, the problem that was solved and the result.

    `free` is the problem before its replicas were pinned, which a lower bound is of; instance and result are None
    where nothing can be placed.
    """

    snapshot: Snapshot
    problem: Problem
    free: Problem
    result: PlanningResult | None

    @property
    def instance(self) -> PlanningInstance | None:
        """The problem as it is exported."""
        return self.problem.instance
