"""Why each placement is in a plan, and where Reuse stops to pay: for plans that are shown, not for those that are only compared.

Both look at every way to serve each slice, so they ask the problem before any replicas were pinned.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from ecoserve.planner.break_even import reuse_verdicts
from ecoserve.planner.explanation import PlacementReasons
from ecoserve.planner.placement import replicas_in_use

if TYPE_CHECKING:
    from ecoserve.planner.plan import Plan


def with_reasons(plan: "Plan") -> "Plan":
    """Return the plan with a sentence on each placement and the verdicts on Reuse."""
    sentences: dict[str, str] = {}
    for part in plan.solved:
        if part.result is not None:
            reasons = PlacementReasons(part.free, part.result)
            for held_as, names in replicas_in_use(part.problem, part.result).items():
                sentences[held_as] = reasons.sentence(names[0])
    return replace(
        plan,
        placements=tuple(replace(item, reason=sentences[item.configuration]) for item in plan.placements),
        reuse=tuple(
            verdict
            for part in plan.solved
            for verdict in reuse_verdicts(part.snapshot, part.free, part.result)
        ),
    )
