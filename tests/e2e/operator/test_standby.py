"""Two operators: one acts, the other takes over when it is killed."""

import json
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.devcluster


def test_a_standby_only_acts_once_the_leader_is_gone(
    world: Any, operator: Any, run_operator: Callable[..., Any]
) -> None:
    def holder() -> dict[str, Any]:
        text = world.cluster.kubectl(
            "get", "lease", "ecoserve-operator", "-n", "ecoserve-system", "-o", "json"
        )
        spec: dict[str, Any] = json.loads(text)["spec"]
        return spec

    first = holder()
    standby = run_operator("operator-b")
    world.serve("chat")
    world.eventually(world.has_condition("chat", "Ready", "True"))
    assert holder()["holderIdentity"] == first["holderIdentity"]
    assert "holds Lease" not in standby.tail(200)
    assert "Deployment" not in standby.tail(200)

    operator.kill()
    world.intensity(west=700, east=20)
    world.eventually(lambda: set(world.replicas_by_zone("chat")) == {"east"})
    assert holder()["holderIdentity"] != first["holderIdentity"]
    assert holder()["leaseTransitions"] == first.get("leaseTransitions", 0) + 1

    standby.stop()
    assert not holder().get("holderIdentity"), "a leader that is asked to end gives up its Lease"

    (before,) = world.get("deployments")
    restarted = run_operator("operator-c")
    world.eventually(lambda: "planned in" in restarted.tail(50))
    (after,) = world.get("deployments")
    assert after["metadata"]["generation"] == before["metadata"]["generation"], "a restart changes nothing"
