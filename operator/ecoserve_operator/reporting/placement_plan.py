"""The PlacementPlan `current`: the decision as the extender and people read it."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from ecoserve.api import PlacementPlanSpec
from ecoserve.api import placementplan as api
from ecoserve.api.labels import API_VERSION, CURRENT_PLAN
from ecoserve.api.llmserving import DesignPoint
from ecoserve.planner.plan import Placement, Plan, PoolUse
from ecoserve_operator.planning.decision import Choice

_DIGITS = 3


def build_plan_spec(
    plan: Plan, choices: Iterable[Choice], design_points: tuple[DesignPoint, ...], planned_at: datetime
) -> dict[str, Any]:
    """The spec; its id is a digest of what was decided, so that the same decision keeps its name."""
    placements = tuple(item for choice in choices for item in choice.placements)
    operational = round(sum(item.operational_grams_per_hour for item in placements), _DIGITS)
    embodied = round(sum(item.embodied_grams_per_hour for item in placements), _DIGITS)
    spec = PlacementPlanSpec(
        id="",
        planned_at="",
        objective=plan.objective,
        zones=tuple(
            api.PlanZone(name=z.name, carbon_intensity=z.carbon_intensity, pue=z.pue, stale=z.stale)
            for z in plan.zones
        ),
        pools=tuple(_pool(use) for use in plan.pools),
        placements=tuple(_placement(item) for item in placements),
        unserved=tuple(_unserved(plan)),
        operational_grams_per_hour=operational,
        embodied_grams_per_hour=embodied,
        grams_per_hour=round(operational + embodied, _DIGITS),
        watts=round(sum(item.watts for item in placements), _DIGITS),
        cost_per_hour=round(sum(item.cost_per_hour for item in placements), _DIGITS),
        nodes_on=plan.nodes_on,
        gap_percent=round(100 * max(0.0, plan.gap or 0.0), 2),
        bounds=_bounds(plan),
        recommendations=tuple(
            api.Recommendation(
                pool=item.pool,
                removable_dram_gib_per_node=item.removable_dram_gib_per_node,
                removable_embodied_kg_per_node=item.removable_embodied_kg_per_node,
            )
            for item in plan.recommendations
        ),
    )
    body = spec.model_dump(by_alias=True, mode="json", exclude_none=True)
    body["id"] = f"plan-{hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:10]}"
    body["plannedAt"] = planned_at.replace(microsecond=0).isoformat().replace("+00:00", "Z")
    body["designPoints"] = [point.model_dump(by_alias=True, mode="json") for point in design_points]
    return body


def build_plan_manifest(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The PlacementPlan for server-side apply."""
    return {**_head(), "spec": dict(spec)}


def build_plan_status(phase: str) -> dict[str, Any]:
    """Its status, for the status subresource."""
    return {**_head(), "status": {"phase": phase}}


def _head() -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": "PlacementPlan", "metadata": {"name": CURRENT_PLAN}}


def _pool(use: PoolUse) -> api.PlanPool:
    pool = use.pool
    return api.PlanPool(
        name=pool.name,
        zone=pool.zone,
        instance_type=pool.instance.id,
        supply=pool.supply,
        node_selector=tuple(api.NodeLabel(key=key, value=value) for key, value in pool.selector),
        nodes=pool.nodes,
        nodes_on=use.nodes_on,
        accelerators_per_node=pool.instance.accelerator_count,
        cores_per_node=pool.instance.vcpus,
        idle_watts_per_node=round(use.idle_watts_per_node, _DIGITS),
        embodied_grams_per_hour_per_node=round(use.embodied_grams_per_hour_per_node, _DIGITS),
        dynamic_watts_per_core=round(use.dynamic_watts_per_core, _DIGITS),
        dynamic_watts_per_accelerator=round(use.dynamic_watts_per_accelerator, _DIGITS),
    )


def _placement(item: Placement) -> api.PlanPlacement:
    namespace, serving = item.serving.split("/", 1)
    return api.PlanPlacement(
        namespace=namespace,
        serving=serving,
        pool=item.pool,
        role=item.role.value,
        traffic_class=item.traffic_class,
        tensor_parallel=item.tensor_parallel,
        cpu_cores=item.cpu_cores,
        memory_gib=round(item.memory_gib, _DIGITS),
        replicas=item.replicas,
        share=round(item.share, 4),
        operational_grams_per_hour=round(item.operational_grams_per_hour, _DIGITS),
        embodied_grams_per_hour=round(item.embodied_grams_per_hour, _DIGITS),
        reason=item.reason,
    )


def _unserved(plan: Plan) -> Iterable[api.Unserved]:
    for item in plan.unserved:
        namespace, serving = item.serving.split("/", 1)
        yield api.Unserved(
            namespace=namespace,
            serving=serving,
            slice=item.slice,
            requests_per_second=round(item.requests_per_second, _DIGITS),
            reason=item.reason,
            message=item.detail,
        )


def _bounds(plan: Plan) -> api.Bounds | None:
    found = plan.bounds
    if found is None or not all(math.isfinite(value) for value in (found.fluid, found.lp, found.mip)):
        return None
    digits = [round(value, _DIGITS) for value in (found.fluid, found.lp, found.mip)]
    return api.Bounds(fluid=digits[0], lp=digits[1], mip=digits[2])
