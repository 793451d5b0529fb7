"""A PlacementPlan, as the operator writes it and the extender reads it, through a real API server."""

from collections.abc import Callable
from typing import Any

from ecoserve.api import PlacementPlanSpec, labels
from ecoserve.api.placementplan import Bounds, NodeLabel, PlanPlacement, PlanPool, PlanZone


def test_plan_is_kept_as_the_operator_writes_it(submit: Callable[..., dict[str, Any]]) -> None:
    pool = PlanPool(
        name="p5.us-west",
        zone="us-west",
        instance_type="p5.48xlarge",
        supply="scalable",
        node_selector=(
            NodeLabel(key=labels.INSTANCE_TYPE, value="p5.48xlarge"),
            NodeLabel(key=labels.INSTALLED),
        ),
        nodes=2,
        nodes_on=1,
        accelerators_per_node=8,
        idle_watts_per_node=1390.5,
        embodied_grams_per_hour_per_node=57.0,
    )
    placement = PlanPlacement(
        namespace="default",
        serving="chat",
        pool="p5.us-west",
        role="decode",
        traffic_class="online",
        tensor_parallel=4,
        replicas=2,
        share=1.0,
        operational_grams_per_hour=310.0,
        embodied_grams_per_hour=28.5,
    )
    plan = PlacementPlanSpec(
        id="a1",
        planned_at="2026-01-01T00:00:00Z",
        zones=(PlanZone(name="us-west", carbon_intensity=0.0, pue=1.12),),
        pools=(pool,),
        placements=(placement,),
        bounds=Bounds(fluid=1.0, lp=2.0, mip=3.0),
    )
    spec = plan.model_dump(by_alias=True, mode="json", exclude_none=True)
    manifest = {
        "apiVersion": labels.API_VERSION,
        "kind": "PlacementPlan",
        "metadata": {"name": labels.CURRENT_PLAN},
        "spec": spec,
    }
    stored = submit(manifest)["spec"]
    assert stored == spec
    assert PlacementPlanSpec.model_validate(stored) == plan
