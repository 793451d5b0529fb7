"""A plan as the `PlacementPlan` that is written to the cluster and printed as JSON."""

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ecoserve.api import PlacementPlanSpec
from ecoserve.api.labels import CLASS_OFFLINE
from ecoserve.api.llmserving import DesignPoint, RoleName
from ecoserve.api.placementplan import (
    Bounds,
    NodeLabel,
    PlanObjective,
    PlanPlacement,
    PlanPool,
    PlanZone,
    Recommendation,
    Reuse,
    Unserved,
)
from ecoserve.planner.design_points import DesignPoints
from ecoserve.planner.margin_rows import plan_binding, plan_margins, plan_slices
from ecoserve.planner.margins import Explanation
from ecoserve.planner.placement import Placement, PoolUse
from ecoserve.planner.plan import Plan
from ecoserve.planner.reuse import ReuseVerdict
from ecoserve.times import written_utc

_DIGITS = 3
"""Digits after the point: a milligram per hour, and few enough that noise in the last bits writes nothing anew."""


def placement_plan_spec(
    plan: Plan,
    design_points: Sequence[DesignPoint] = (),
    *,
    placements: Sequence[Placement] | None = None,
) -> PlacementPlanSpec:
    """Return the spec of a plan, or of what was taken of it where `placements` says so.

    The id is a digest of what was decided, without the time, the design points and the reasons: equal decisions are recognised
    by it, and it is the same before a plan's reasons are known.
    """
    taken = plan.placements if placements is None else placements
    operational = _rounded(sum(item.operational_grams_per_hour for item in taken))
    embodied = _rounded(sum(item.embodied_grams_per_hour for item in taken))
    content: dict[str, Any] = {
        "objective": plan.objective,
        "zones": tuple(
            PlanZone(
                name=z.name,
                carbon_intensity=z.carbon_intensity,
                pue=z.pue,
                stale=z.stale,
                signal=z.intensity.signal,
                accounting=z.intensity.accounting,
            )
            for z in plan.zones
        ),
        "pools": tuple(_pool(use, plan.explanation) for use in plan.pools),
        "placements": tuple(_placement(item) for item in taken),
        "unserved": tuple(_unserved(plan)),
        "operational_grams_per_hour": operational,
        "embodied_grams_per_hour": embodied,
        "grams_per_hour": _rounded(operational + embodied),
        "watts": _rounded(sum(item.watts for item in taken)),
        "cost_per_hour": _rounded(sum(item.cost_per_hour for item in taken)),
        "nodes_on": plan.nodes_on,
        "gap_percent": round(100 * max(0.0, plan.gap or 0.0), 2),
        "bounds": _bounds(plan),
        "recommendations": tuple(
            Recommendation(
                pool=item.pool,
                nodes_on=item.nodes_on,
                ordered_memory_gib=item.ordered.memory_gib if item.ordered else None,
                ordered_ssd_gb=item.ordered.ssd_gb if item.ordered else None,
                removable_dram_gib_per_node=_rounded(item.removable_dram_gib_per_node),
                removable_ssd_gb_per_node=_rounded(item.removable_ssd_gb_per_node),
                removable_dram_kg_per_node=_rounded(item.removable_dram_kg_per_node),
                removable_ssd_kg_per_node=_rounded(item.removable_ssd_kg_per_node),
                removable_embodied_kg_per_node=_rounded(item.removable_embodied_kg_per_node),
                removable_embodied_kg=_rounded(item.removable_embodied_kg),
            )
            for item in plan.recommendations
        ),
        "reuse": tuple(_reuse(verdict) for verdict in _telling(plan.reuse)),
    }
    if plan.explanation is not None:
        content |= _explanation(plan.explanation)
    unnamed = PlacementPlanSpec(id="", planned_at="", **content)
    return unnamed.model_copy(
        update={
            "id": _identity(unnamed),
            "planned_at": written_utc(plan.taken_at),
            "design_points": tuple(design_points),
        }
    )


def _identity(spec: PlacementPlanSpec) -> str:
    """Return the id of a plan by what it decides."""
    decided = spec.model_copy(
        update={
            **dict.fromkeys(("reuse", "slices", "margins", "binding"), ()),
            "placements": tuple(item.model_copy(update={"reason": ""}) for item in spec.placements),
        }
    )
    return f"plan-{hashlib.sha256(decided.model_dump_json().encode()).hexdigest()[:10]}"


def design_point_rows(design_points: DesignPoints) -> tuple[DesignPoint, ...]:
    """Return grams, watts and $ of each objective's plan."""
    return tuple(
        DesignPoint(
            objective=objective,
            grams_per_hour=_rounded(plan.grams_per_hour),
            watts=_rounded(plan.watts),
            cost_per_hour=_rounded(plan.cost_per_hour),
        )
        for objective, plan in design_points.plans.items()
    )


def _explanation(explanation: Explanation) -> dict[str, Any]:
    return {
        "objectives": tuple(
            PlanObjective(
                objective=item.objective,
                value=_exact(item.value),
                lower_bound=_exact(item.lower_bound) if math.isfinite(item.lower_bound) else 0.0,
                instance=item.instance,
            )
            for item in explanation.objectives
        ),
        "slices": plan_slices(explanation),
        "margins": plan_margins(explanation),
        "binding": plan_binding(explanation),
    }


def _pool(use: PoolUse, explanation: Explanation | None) -> PlanPool:
    pool = use.pool
    saves = None if explanation is None else explanation.node_values.get(pool.name)
    return PlanPool(
        name=pool.name,
        zone=pool.zone,
        instance_type=pool.instance.id,
        supply=pool.supply,
        node_selector=tuple(NodeLabel(key=key, value=value) for key, value in pool.selector),
        nodes=pool.nodes,
        nodes_on=use.nodes_on,
        accelerators_per_node=pool.instance.accelerator_count,
        cores_per_node=pool.node_resources.cpu,
        idle_watts_per_node=_rounded(use.idle_watts_per_node),
        embodied_grams_per_hour_per_node=_rounded(use.embodied_grams_per_hour_per_node),
        dynamic_watts_per_core=_rounded(use.dynamic_watts_per_core),
        dynamic_watts_per_accelerator=_rounded(use.dynamic_watts_per_accelerator),
        one_more_node_saves=None if saves is None else _rounded(saves),
    )


def _placement(item: Placement) -> PlanPlacement:
    namespace, _, name = item.serving.partition("/")
    return PlanPlacement(
        namespace=namespace,
        serving=name,
        pool=item.pool,
        role=RoleName(item.role.value),
        traffic_class="offline" if item.scheduling_class == CLASS_OFFLINE else "online",
        tensor_parallel=item.tensor_parallel,
        cpu_cores=item.cpu_cores,
        memory_gib=_rounded(item.memory_gib),
        replicas=item.replicas,
        share=round(item.share, 4),
        kv_bytes_per_second=round(item.kv_bytes_per_second),
        operational_grams_per_hour=_rounded(item.operational_grams_per_hour),
        embodied_grams_per_hour=_rounded(item.embodied_grams_per_hour),
        reason=item.reason,
    )


def reuse_rows(plan: Plan) -> tuple[Reuse, ...]:
    """Return the verdict on every pool of cores."""
    return tuple(_reuse(verdict) for verdict in plan.reuse)


def _telling(verdicts: Iterable[ReuseVerdict]) -> Iterator[ReuseVerdict]:
    """Yield verdicts on cores that are used, and where none is, on those nearest to it: a plan has to stay small."""
    by_traffic: dict[tuple[str, str], list[ReuseVerdict]] = {}
    for verdict in verdicts:
        by_traffic.setdefault((verdict.serving, verdict.traffic_class), []).append(verdict)
    for group in by_traffic.values():
        used = [verdict for verdict in group if verdict.accepted]
        yield from used or [max(group, key=lambda item: (item.against_marginal, item.against_full))]


def _reuse(verdict: ReuseVerdict) -> Reuse:
    namespace, _, name = verdict.serving.partition("/")
    return Reuse(
        namespace=namespace,
        serving=name,
        traffic_class="offline" if verdict.traffic_class == CLASS_OFFLINE else "online",
        pool=verdict.pool,
        full_gpu_pool=verdict.full_gpu_pool,
        break_even_against_full=_finite(verdict.against_full),
        marginal_gpu_pool=verdict.marginal_gpu_pool,
        break_even_against_marginal=_finite(verdict.against_marginal),
        marginal_use=_rounded(verdict.marginal_use),
        carbon_intensity=_rounded(verdict.intensity_grams_per_kwh),
        accepted=verdict.accepted,
        message=verdict.sentence,
    )


def _unserved(plan: Plan) -> Iterator[Unserved]:
    for item in plan.unserved:
        namespace, _, name = item.serving.partition("/")
        yield Unserved(
            namespace=namespace,
            serving=name,
            slice=item.slice,
            requests_per_second=_rounded(item.requests_per_second),
            reason=item.reason.value,
            message=item.detail,
        )


def _bounds(plan: Plan) -> Bounds | None:
    """Bounds as JSON can hold them; None where there is no finite one."""
    found = plan.bounds
    if found is None or not all(math.isfinite(value) for value in (found.fluid, found.lp, found.mip)):
        return None
    return Bounds(fluid=_rounded(found.fluid), lp=_rounded(found.lp), mip=_rounded(found.mip))


def _finite(value: float) -> float | None:
    return _rounded(value) if math.isfinite(value) else None


def _rounded(value: float) -> float:
    return round(value, _DIGITS)


def _exact(value: float) -> float:
    """Nine significant digits: what an instance solves to is compared with it."""
    return float(f"{value:.9g}")
