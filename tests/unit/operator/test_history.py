"""Past plans, against a server of our own that keeps objects as the API server does."""

import asyncio
from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ecoserve.api.placementplan import PlacementPlanSpec, PlacementPlanStatus
from ecoserve_operator.kube import Kind
from ecoserve_operator.reporting.history import (
    MOST_PAST_PLANS,
    PlanHistory,
    build_past_plan,
    replicas_of,
)

PLACEMENT = {
    "namespace": "n",
    "serving": "chat",
    "pool": "west",
    "role": "both",
    "class": "online",
    "tensorParallel": 1,
    "replicas": 2,
    "share": 1.0,
    "operationalGramsPerHour": 100.0,
    "embodiedGramsPerHour": 10.0,
}


def spec(number: int = 0, *placements: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": f"plan-{number:010d}",
        "plannedAt": f"2026-06-{1 + number // 24:02d}T{number % 24:02d}:00:00Z",
        "placements": list(placements or (PLACEMENT,)),
        "slices": [{"much": "text"}],
    }


class Objects:
    """PlacementPlans by name; applying sets spec or status, as the subresource says."""

    def __init__(self) -> None:
        self.plans: dict[str, dict[str, Any]] = {}

    async def list(self, _: Kind) -> list[dict[str, Any]]:
        return list(self.plans.values())

    async def apply(self, _: Kind, manifest: Mapping[str, Any], *, subresource: str = "") -> None:
        name = manifest["metadata"]["name"]
        if subresource:
            self.plans[name]["status"] = manifest["status"]
            return
        made = {"creationTimestamp": f"2026-06-01T00:00:{len(self.plans):02d}Z"}
        kept = self.plans.get(name, {"metadata": {**manifest["metadata"], **made}})
        self.plans[name] = {**kept, "spec": manifest["spec"]}

    async def delete(self, _: Kind, name: str) -> None:
        del self.plans[name]


@given(st.integers(1, 25), st.integers(0, 25))
def test_the_ten_newest_are_kept_across_restarts(plans: int, restart: int) -> None:
    async def life() -> Objects:
        objects = Objects()
        history = PlanHistory(objects)  # type: ignore[arg-type] - the three calls it makes
        await history.load()
        for number in range(plans):
            if number == restart:
                history = PlanHistory(objects)  # type: ignore[arg-type] - as above
                await history.load()
            await history.keep(spec(number), {}, "uid", "2026-07-01T00:00:00Z")
        return objects

    kept = sorted(plan["spec"]["id"] for plan in asyncio.run(life()).plans.values())
    assert kept == [f"plan-{number:010d}" for number in range(max(0, plans - MOST_PAST_PLANS), plans)]


def test_a_past_plan_tells_when_it_was_carried_out_and_leaves_out_what_was_of_the_moment() -> None:
    status = {"phase": "Applied", "since": "2026-06-01T00:00:00Z", "decision": "Planned", "message": "anew"}
    past = build_past_plan(spec(5), status, "uid", "2026-06-01T06:00:00Z")
    told = PlacementPlanStatus.model_validate(past["status"])
    assert (told.phase, told.since, told.until) == ("Past", "2026-06-01T00:00:00Z", "2026-06-01T06:00:00Z")
    assert past["metadata"]["name"] == "2026-06-01t00-00-00z-0000000005"
    assert past["metadata"]["ownerReferences"][0]["name"] == "current"
    assert PlacementPlanSpec.model_validate(past["spec"]).slices == ()


def test_plans_of_the_same_replicas_are_told_from_others() -> None:
    routed = {**PLACEMENT, "share": 0.5, "operationalGramsPerHour": 7.0}
    more = {**PLACEMENT, "replicas": 3}
    none = {**PLACEMENT, "pool": "east", "replicas": 0}
    assert replicas_of(spec(0)) == replicas_of(spec(1, routed)) == replicas_of(spec(1, PLACEMENT, none))
    assert replicas_of(spec(0)) != replicas_of(spec(1, more))
    assert replicas_of({}) == {}
