"""A plan with its explanation: made once for the plan that is taken, as it takes a while on large ones."""

from dataclasses import replace

from ecoserve.planner.margins import explain, outline
from ecoserve.planner.plan import Plan
from ecoserve.planner.slo_limits import slo_limits


def outlined(plan: Plan) -> Plan:
    """Return the plan with that part of its explanation that takes no time, which is what pods are steered by."""
    return replace(plan, explanation=outline(plan.solved))


def explained(plan: Plan) -> Plan:
    """Return the plan with what its parts are worth at the margin and what binds it."""
    found = explain(plan.solved)
    limits = [limit for part in plan.solved for limit in slo_limits(part, plan.levers)]
    binding = sorted((*found.binding, *limits), key=lambda item: (-item.value, item.kind, item.name))
    return replace(plan, explanation=replace(found, binding=tuple(binding)))
