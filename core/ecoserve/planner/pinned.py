"""A plan with replicas pinned, made from another plan of the same snapshot: what both are asked is written down once."""

from ecoserve.fleet.snapshot import Snapshot
from ecoserve.planner.build import Pinned, doubted_of, misjudged, with_pinned
from ecoserve.planner.plan import Plan, make_plan, plan_of
from ecoserve.planner.solved import Solved
from ecoserve.planner.solver import solve


def pinned_plan(snapshot: Snapshot, free: Plan, pinned: Pinned) -> Plan:
    """Return the plan of a snapshot with replicas pinned, on nodes in the shapes that its free plan has.

    Made anew where `free` has several objectives, as each is asked about what those before left, or where a capacity in use is
    an estimate that a search corrects.
    """
    if len(free.solved) == 1 and free.solved[0].free.instance is not None:
        (known,) = free.solved
        problem = with_pinned(known.free, pinned)
        assert problem.instance is not None  # noqa: S101 - the free problem has one
        result = solve(problem.instance)
        if not misjudged(problem, doubted_of(problem, result)):
            solved = Solved(snapshot=known.snapshot, problem=problem, free=known.free, result=result)
            return plan_of(solved, free.objective, free.levers)
    return make_plan(snapshot, pinned=pinned)
