"""Past plans: what was carried out before, ten of them, beside PlacementPlan `current`.

A plan is past once other replicas are planned. One that only routes load anew, as each step of a grid's intensity
brings it, follows the one before it without a trace: else an hour of a grid would push out all there is to tell. The
past plan is written once the new one has been acted on, which does not wait for it: of a crash between the two it is the price.
"""

import logging
from collections.abc import Mapping
from typing import Any

from ecoserve.api.labels import API_VERSION, CURRENT_PLAN, PAST
from ecoserve.api.placementplan import PlacementPlanStatus
from ecoserve_operator.kube import PLACEMENT_PLAN, ApiRefusedError, KubeApi, Object

logger = logging.getLogger(__name__)

MOST_PAST_PLANS = 10
_OF_THE_MOMENT = ("slices", "margins", "binding", "recommendations", "reuse")
"""What a past plan is kept without: advice for its moment, and the larger part of a plan."""


class PlanHistory:
    """Knows the names of past plans, oldest first."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self._names: list[str] = []

    async def load(self) -> Object | None:
        """Take down what past plans there are, and return PlacementPlan `current` if there is one."""
        found = await self._api.list(PLACEMENT_PLAN)
        past = [item for item in found if PAST in (item["metadata"].get("labels") or {})]
        past.sort(key=lambda item: (item["metadata"]["creationTimestamp"], item["metadata"]["name"]))
        self._names = [item["metadata"]["name"] for item in past]
        return next((item for item in found if item["metadata"]["name"] == CURRENT_PLAN), None)

    async def keep(
        self, spec: Mapping[str, Any], status: Mapping[str, Any], owner_uid: str, until: str
    ) -> None:
        """Keep a plan as past and delete the oldest beyond ten; a refusal is told, and stops nothing."""
        past = build_past_plan(spec, status, owner_uid, until)
        name = past["metadata"]["name"]
        try:
            await self._api.apply(PLACEMENT_PLAN, past)
            told = {**past, "metadata": {"name": name}}
            del told["spec"]
            await self._api.apply(PLACEMENT_PLAN, told, subresource="status")
            self._names = [*(other for other in self._names if other != name), name]
            while len(self._names) > MOST_PAST_PLANS:
                await self._api.delete(PLACEMENT_PLAN, self._names[0])
                del self._names[0]
        except ApiRefusedError as error:
            logger.warning("past plan %s is not kept: %s", name, error)


def build_past_plan(
    spec: Mapping[str, Any], status: Mapping[str, Any], owner_uid: str, until: str
) -> dict[str, Any]:
    """The PlacementPlan of a plan that another follows: named by its time and identity, and gone with `current`."""
    since = str(status.get("since") or spec["plannedAt"])
    owner = {"apiVersion": API_VERSION, "kind": "PlacementPlan", "name": CURRENT_PLAN, "uid": owner_uid}
    told = PlacementPlanStatus(
        phase="Past",
        since=since,
        until=until,
        decision=str(status.get("decision", "")),
        message=str(status.get("message", "")),
    )
    return {
        "apiVersion": API_VERSION,
        "kind": "PlacementPlan",
        "metadata": {
            "name": f"{since.replace(':', '-').lower()}-{str(spec['id']).removeprefix('plan-')}",
            "labels": {PAST: "true"},
            "ownerReferences": [owner],
        },
        "spec": {key: value for key, value in spec.items() if key not in _OF_THE_MOMENT},
        "status": told.model_dump(by_alias=True, mode="json", exclude_defaults=True),
    }


def replicas_of(spec: Mapping[str, Any]) -> dict[tuple[Any, ...], int]:
    """How many replicas of which kind a plan's spec places where: plans that agree in it differ in routing only."""
    named = ("namespace", "serving", "pool", "role", "class", "tensorParallel", "cpuCores")
    found: dict[tuple[Any, ...], int] = {}
    for item in spec.get("placements", ()):
        key = tuple(item.get(name) for name in named)
        found[key] = found.get(key, 0) + int(item["replicas"])
    return {key: replicas for key, replicas in found.items() if replicas}
