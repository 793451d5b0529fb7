"""Two operators: one acts, the other takes over when it is killed."""

import json
import os
import re
import signal
from base64 import b64decode
from collections.abc import Callable
from typing import Any

import pytest

from ecoserve.performance import kept
from ecoserve_devcluster import Process

pytestmark = pytest.mark.devcluster


def kept_capacities(world: Any) -> int:
    """How many capacities of replicas the operator's ConfigMaps hold."""
    parts = world.cluster.read("/api/v1/namespaces/ecoserve-system/configmaps")["items"]
    documents = [part["binaryData"].get("capacities.json.z", "") for part in parts if "binaryData" in part]
    return sum(len(kept.decode(b64decode(document))) for document in documents)


def known_capacities(operator: Process) -> int:
    """How many an operator knew when it last told."""
    return int(re.findall(r"capacities of replicas: (\d+) known", operator.tail(1000))[-1])


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

    world.eventually(lambda: kept_capacities(world) == known_capacities(standby) > 0, seconds=120)
    standby.stop()
    assert not holder().get("holderIdentity"), "a leader that is asked to end gives up its Lease"

    (before,) = world.get("deployments")
    restarted = run_operator("operator-c")
    world.eventually(lambda: "planned in" in restarted.tail(50))
    until_planned, _, _ = restarted.tail(50).partition("planned in")
    assert "known from before" in until_planned
    assert "found now" not in until_planned, "what others have found is not searched again"
    (after,) = world.get("deployments")
    assert after["metadata"]["generation"] == before["metadata"]["generation"], "a restart changes nothing"
    restarted.stop()
    operator.restart()


def test_a_leader_that_was_frozen_wakes_up_to_write_nothing(
    world: Any, operator: Any, run_operator: Callable[..., Any]
) -> None:
    """It is stopped in the middle of a change, and goes on when another has long finished that."""
    world.serve("chat")
    world.eventually(world.has_condition("chat", "Ready", "True"))
    standby = run_operator("operator-d")
    world.intensity(west=700, east=20)
    os.kill(operator.pid, signal.SIGSTOP)
    try:
        world.eventually(lambda: "holds Lease" in standby.tail(200), seconds=20)
        world.eventually(lambda: set(world.replicas_by_zone("chat")) == {"east"})
        world.eventually(world.has_condition("chat", "Ready", "True"))
        (before,) = world.get("deployments")
    finally:
        os.kill(operator.pid, signal.SIGCONT)
    world.eventually(lambda: not operator.running)
    assert "another" in operator.tail(5)
    world.intensity(west=20, east=700)
    world.eventually(lambda: set(world.replicas_by_zone("chat")) == {"west"})
    (after,) = world.get("deployments")
    tokens = [int(each["metadata"]["annotations"]["ecoserve.dev/leader"]) for each in (before, after)]
    assert tokens[0] == tokens[1], "both are the work of the one that took over"
    standby.stop()
    operator.restart()
