"""A plan as the `PlacementPlan` that is written to the cluster and printed as JSON."""

import hashlib
import json

from ecoserve.api import PlacementPlanSpec
from ecoserve.api.llmserving import DesignPoint, RoleName
from ecoserve.api.placementplan import (
    Bounds,
    NodeLabel,
    PlanPlacement,
    PlanPool,
    PlanZone,
    Recommendation,
    Unserved,
)
from ecoserve.planner.design_points import DesignPoints
from ecoserve.planner.plan import Placement, Plan, PoolUse


def placement_plan_spec(plan: Plan, design_points: DesignPoints | None = None) -> PlacementPlanSpec:
    """Return the spec; its id depends on the decision alone, so that equal decisions are recognised."""
    return PlacementPlanSpec(
        id=plan_id(plan),
        planned_at=plan.taken_at.isoformat(),
        objective=plan.objective,
        zones=tuple(
            PlanZone(name=z.name, carbon_intensity=z.carbon_intensity, pue=z.pue, stale=z.stale)
            for z in plan.zones
        ),
        pools=tuple(_pool(use) for use in plan.pools),
        placements=tuple(_placement(item) for item in plan.placements),
        unserved=tuple(
            Unserved(
                namespace=item.serving.partition("/")[0],
                serving=item.serving.partition("/")[2],
                slice=item.slice,
                requests_per_second=item.requests_per_second,
                reason=item.reason.value,
                message=item.detail,
            )
            for item in plan.unserved
        ),
        operational_grams_per_hour=plan.operational_grams_per_hour,
        embodied_grams_per_hour=plan.embodied_grams_per_hour,
        grams_per_hour=plan.grams_per_hour,
        watts=plan.watts,
        cost_per_hour=plan.cost_per_hour,
        nodes_on=plan.nodes_on,
        gap_percent=100 * (plan.gap or 0.0),
        bounds=None
        if plan.bounds is None
        else Bounds(fluid=plan.bounds.fluid, lp=plan.bounds.lp, mip=plan.bounds.mip),
        design_points=() if design_points is None else design_point_rows(design_points),
        recommendations=tuple(
            Recommendation(
                pool=item.pool,
                removable_dram_gib_per_node=item.removable_dram_gib_per_node,
                removable_embodied_kg_per_node=item.removable_embodied_kg_per_node,
            )
            for item in plan.recommendations
        ),
    )


def design_point_rows(design_points: DesignPoints) -> tuple[DesignPoint, ...]:
    """Return grams, watts and $ of each objective's plan."""
    return tuple(
        DesignPoint(
            objective=objective,
            grams_per_hour=plan.grams_per_hour,
            watts=plan.watts,
            cost_per_hour=plan.cost_per_hour,
        )
        for objective, plan in design_points.plans.items()
    )


def plan_id(plan: Plan) -> str:
    """Return a short digest of what is placed where."""
    decision = [(item.configuration, item.replicas, round(item.share, 6)) for item in plan.placements]
    return hashlib.sha256(json.dumps(decision).encode()).hexdigest()[:12]


def _pool(use: PoolUse) -> PlanPool:
    pool = use.pool
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
        idle_watts_per_node=use.idle_watts_per_node,
        embodied_grams_per_hour_per_node=use.embodied_grams_per_hour_per_node,
        dynamic_watts_per_core=use.dynamic_watts_per_core,
        dynamic_watts_per_accelerator=use.dynamic_watts_per_accelerator,
    )


def _placement(item: Placement) -> PlanPlacement:
    namespace, _, name = item.serving.partition("/")
    return PlanPlacement(
        namespace=namespace,
        serving=name,
        pool=item.pool,
        role=RoleName(item.role.value),
        traffic_class="online" if item.traffic_class == "online" else "offline",
        tensor_parallel=item.tensor_parallel,
        cpu_cores=item.cpu_cores,
        memory_gib=item.memory_gib,
        replicas=item.replicas,
        share=item.share,
        operational_grams_per_hour=item.operational_grams_per_hour,
        embodied_grams_per_hour=item.embodied_grams_per_hour,
        reason=item.reason,
    )
