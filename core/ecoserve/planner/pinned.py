"""A plan with replicas pinned, made from another plan of the same snapshot: what both are asked is written down once."""

from ecoserve.fleet.snapshot import Snapshot
from ecoserve.planner.build import doubted_of, misjudged
from ecoserve.planner.pinning import Pinned, with_pinned
from ecoserve.planner.plan import Plan, make_plan, plan_of
from ecoserve.planner.solved import Solved
from ecoserve.planner.solver import solve


def pinned_plan(snapshot: Snapshot, free: Plan, pinned: Pinned) -> Plan:
    """Return the plan of a snapshot with replicas pinned, in figures alone.

    Made anew where `free` orders nodes in other shapes, in which what is pinned may find no room; where it has several
    objectives, as each is asked about what those before left; and where a capacity in use is an estimate that a search corrects.
    """
    known = free.solved[0]
    if len(free.solved) == 1 and known.free.instance is not None and known.snapshot.pools == snapshot.pools:
        problem = with_pinned(known.free, pinned)
        assert problem.instance is not None  # noqa: S101 - the free problem has one
        result = solve(problem.instance)
        if not misjudged(problem, doubted_of(problem, result)):
            solved = Solved(snapshot=known.snapshot, problem=problem, free=known.free, result=result)
            return plan_of(solved, free.objective, free.levers)
    return make_plan(snapshot, pinned=pinned, reasons=False)
