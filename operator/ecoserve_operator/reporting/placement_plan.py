"""The PlacementPlan `current`: the decision as the extender and people read it."""

from collections.abc import Iterable, Mapping
from typing import Any

from ecoserve.api.labels import API_VERSION, CURRENT_PLAN
from ecoserve.api.llmserving import DesignPoint
from ecoserve.api.placementplan import PlacementPlanStatus
from ecoserve.planner.document import placement_plan_spec
from ecoserve.planner.plan import Plan
from ecoserve_operator.planning.decision import Choice


def build_plan_spec(
    plan: Plan, choices: Iterable[Choice], design_points: tuple[DesignPoint, ...]
) -> dict[str, Any]:
    """The spec of what was chosen, serving by serving, which may be an older placement than the plan's."""
    placements = tuple(item for choice in choices for item in choice.placements)
    spec = placement_plan_spec(plan, design_points, placements=placements)
    return spec.model_dump(by_alias=True, mode="json", exclude_none=True)


def build_plan_manifest(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The PlacementPlan for server-side apply."""
    return {**_head(), "spec": dict(spec)}


def build_plan_status(status: PlacementPlanStatus) -> dict[str, Any]:
    """Its status, for the status subresource."""
    return {**_head(), "status": status.model_dump(by_alias=True, mode="json", exclude_defaults=True)}


def _head() -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": "PlacementPlan", "metadata": {"name": CURRENT_PLAN}}
