"""What the plan says about a pod: which pools it was placed on, and whether the plan itself put it on CPU cores."""

from ecoserve.api.labels import POOL, ROLE, SERVING
from ecoserve_extender.cache.plan_view import PlanView
from ecoserve_extender.cache.records import PendingPod


def planned_pools(pod: PendingPod, plan: PlanView) -> frozenset[str]:
    """Return the pools planned for a pod, as their nodes are known: the one its label names, else those of its serving (and role)."""
    named = pod.labels.get(POOL)
    if named is not None:
        return frozenset({plan.known_as(named)} & plan.pools.keys())
    serving, role = pod.labels.get(SERVING), pod.labels.get(ROLE)
    return frozenset(
        plan.known_as(placement.pool)
        for placement in plan.placements
        if placement.namespace == pod.namespace
        and placement.serving == serving
        and role in (None, placement.role)
    )


def planned_cpu_pool(pod: PendingPod, plan: PlanView | None) -> str | None:
    """Return the pool, as its nodes are known, on whose CPU cores the plan placed this very pod: its label names it, the plan holds it."""
    pool, serving = pod.labels.get(POOL), pod.labels.get(SERVING)
    if plan is None or pool is None or serving is None:
        return None
    held = any(
        placement.on_cpu
        and placement.pool == pool
        and placement.serving == serving
        and placement.namespace == pod.namespace
        for placement in plan.placements
    )
    return plan.known_as(pool) if held else None
