"""Past plans on the real API server: kept when replicas change, not when load is only routed anew, and never changed."""

from collections.abc import Callable
from typing import Any

import pytest

from ecoserve_devcluster import KubectlError, Process

pytestmark = pytest.mark.devcluster


def past_plans(world: Any) -> list[Any]:
    found = world.get("placementplans")
    return sorted(
        (item for item in found if item["metadata"]["name"] != "current"),
        key=lambda item: item["metadata"]["creationTimestamp"],
    )


def is_complete(plan: Any) -> bool:
    """Whether a plan has been compared, and its own instances are written."""
    exported = plan["status"].get("instances", {})
    return bool(plan["spec"].get("designPoints")) and exported.get("plan") == plan["spec"]["id"]


def is_explained(plan: Any) -> bool:
    """Whether a plan has its reasons."""
    return all(item["reason"] for item in plan["spec"]["placements"])


def explained_other_than(world: Any, before: Any) -> Any:
    """The plan that came after another, once it has its reasons, which are written after it was acted on."""
    plan = world.plan()
    return plan if plan["spec"]["id"] != before["spec"]["id"] and is_explained(plan) else None


def test_a_plan_that_others_follow_is_kept_once_and_for_all(
    world: Any, ecoserve: Callable[..., Any], operator: Process
) -> None:
    world.serve("chat")
    world.eventually(world.has_condition("chat", "Ready", "True"))
    first = world.plan()
    world.intensity(west=52, east=600)
    routed = world.eventually(lambda: explained_other_than(world, first))
    names = {item["metadata"]["name"] for item in past_plans(world)}

    world.intensity(west=800, east=20)
    world.eventually(lambda: world.replicas_by_zone("chat").get("east", 0) >= 1)
    (past,) = world.eventually(
        lambda: [item for item in past_plans(world) if item["metadata"]["name"] not in names]
    )
    assert past["spec"]["id"] == routed["spec"]["id"]
    assert past["spec"]["placements"] == routed["spec"]["placements"]
    assert past["metadata"]["ownerReferences"][0]["uid"] == routed["metadata"]["uid"]
    status = world.eventually(lambda: world.get("placementplan", past["metadata"]["name"]).get("status"))
    assert (status["phase"], status["until"]) == ("Past", world.plan()["status"]["since"])

    passes = operator.log.read_text().count("planned in")
    name = past["metadata"]["name"]
    assert name in ecoserve("plan", "--history").stdout
    shown = ecoserve("plan", name)
    assert (shown.returncode, past["spec"]["id"] in shown.stdout) == (0, True)
    with pytest.raises(KubectlError, match="a past plan does not change"):
        world.patch("placementplan", name, {"spec": {"nodesOn": 7}})
    world.cluster.kubectl("label", "placementplan", name, "team=x")
    world.cluster.kubectl("delete", "placementplan", name)
    assert operator.log.read_text().count("planned in") == passes


def test_a_restart_goes_on_with_the_plan_that_is_there(world: Any, operator: Process) -> None:
    world.serve("chat")
    world.eventually(world.has_condition("chat", "Ready", "True"))
    before = world.eventually(lambda: plan if is_complete(plan := world.plan()) else None)
    past = past_plans(world)
    operator.restart()
    world.eventually(lambda: "planned in" in operator.tail(50).rpartition("stands by")[2])
    after = world.eventually(lambda: plan if is_explained(plan := world.plan()) else None)
    assert after["spec"]["placements"] == before["spec"]["placements"]
    assert after["spec"]["designPoints"] == before["spec"]["designPoints"], "compared once, and not yet again"
    assert after["status"]["since"] == before["status"]["since"]
    assert past_plans(world) == past
