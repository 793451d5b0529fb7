"""A drained node gives its replicas up only as others get ready, and a cordoned one keeps those that find no room."""

import threading
from typing import Any

import pytest

pytestmark = pytest.mark.devcluster

NEED = 7.0
ONLINE = {
    "slo": {"ttft": "2s", "tpot": "120ms"},
    "load": {"requestsPerSecond": NEED, "inputTokens": 1000, "outputTokens": 130},
}


def sustained(world: Any) -> float:
    """Requests/s that the ready replicas of all Deployments sustain."""
    return sum(
        float(each["metadata"]["annotations"]["ecoserve.dev/replica-requests-per-second"])
        * each.get("status", {}).get("readyReplicas", 0)
        for each in world.get("deployments")
    )


def test_a_drain_waits_for_what_replaces_it(world: Any) -> None:
    node = world.node("west", "g6.48xlarge")
    twin = {**node, "metadata": {k: node["metadata"][k] for k in ("labels", "annotations")}}
    twin["metadata"]["name"] = "twin"
    twin["metadata"]["labels"] = {**twin["metadata"]["labels"], "kubernetes.io/hostname": "twin"}
    status = {key: node["status"][key] for key in ("capacity", "allocatable")}
    world.apply({**{key: twin[key] for key in ("apiVersion", "kind", "metadata")}, "status": status})
    world.eventually(lambda: ready(world.get("node", "twin")))
    try:
        drained(world, {node["metadata"]["name"], "twin"})
    finally:
        world.cluster.kubectl("delete", "node", "twin", "--wait=false")


def ready(node: Any) -> bool:
    """Whether a node takes pods."""
    return any(
        each["type"] == "Ready" and each["status"] == "True" for each in node["status"].get("conditions", [])
    )


def drained(world: Any, nodes: set[str]) -> None:
    west = {"nodeSelector": {"topology.kubernetes.io/zone": "west"}}
    world.serve("chat", online=ONLINE, placement=west)
    world.eventually(world.has_condition("chat", "Ready", "True", "Placed"), seconds=90)
    planned = {each["metadata"]["name"]: each["spec"]["replicas"] for each in world.get("deployments")}
    budgets = {
        each["metadata"]["name"]: each["spec"]["minAvailable"] for each in world.get("poddisruptionbudgets")
    }
    assert budgets.items() >= planned.items(), "those of Deployments that have gone may still be there"
    home = world.get("pods")[0]["spec"]["nodeName"]
    (other,) = nodes - {home}
    samples: list[float] = []
    stopped = threading.Event()

    def watch() -> None:
        while not stopped.wait(0.05):
            samples.append(sustained(world))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        world.cluster.kubectl("drain", home, "--ignore-daemonsets", "--timeout=90s")
        world.eventually(lambda: home not in {pod["spec"].get("nodeName") for pod in world.get("pods")})
        world.eventually(world.has_condition("chat", "Ready", "True", "Placed"))
        world.cluster.kubectl("cordon", other)
        world.eventually(world.has_condition("chat", "Feasible", "False"))
    finally:
        stopped.set()
        watcher.join()
        world.cluster.kubectl("uncordon", home, other)
    assert min(samples) >= NEED * 0.999
    world.eventually(
        lambda: (
            {each["metadata"]["name"]: each["spec"]["replicas"] for each in world.get("deployments")}
            == planned
        )
    )
