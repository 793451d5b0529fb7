"""Who else writes our Deployments: an autoscaler is left alone, hand-made changes are taken back and told."""

import time
from typing import Any

import pytest

from ecoserve_devcluster import Process

pytestmark = pytest.mark.devcluster

SCALED_OBJECTS = ("keda.sh", "ScaledObject")
LOOSE = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
ONLINE = {
    "slo": {"ttft": "2s", "tpot": "120ms"},
    "load": {"requestsPerSecond": 6.5, "inputTokens": 1000, "outputTokens": 130},
}


def replicas(world: Any) -> int:
    (deployment,) = world.get("deployments")
    return int(deployment["spec"]["replicas"])


def serve(world: Any) -> str:
    """A serving of three replicas; the name of its Deployment."""
    world.serve("chat", online=ONLINE)
    world.eventually(world.has_condition("chat", "Ready", "True", "Placed"))
    assert replicas(world) == 3
    return str(world.get("deployments")[0]["metadata"]["name"])


def test_an_autoscaler_on_our_deployment_is_left_alone(world: Any) -> None:
    name = serve(world)
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    world.apply(
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "theirs", "namespace": world.namespace},
            "spec": {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 9},
        }
    )
    world.eventually(world.has_condition("chat", "Applied", "True", "ScaledByOthers"))
    assert "HorizontalPodAutoscaler theirs scales" in world.condition("chat", "Applied")["message"]
    assert replicas(world) == 3, "handed over as they were"
    world.cluster.kubectl("scale", "deployment", name, "-n", world.namespace, "--replicas=5")
    world.serve("chat", online=ONLINE, template=with_another_image(world))
    world.eventually(lambda: world.get("deployments")[0]["metadata"]["generation"] >= 3)
    time.sleep(2.0)
    assert replicas(world) == 5
    world.cluster.kubectl("delete", "hpa", "theirs", "-n", world.namespace)
    world.eventually(lambda: replicas(world) == 3)


def with_another_image(world: Any) -> Any:
    template = world.get("llmserving", "chat")["spec"]["template"]
    template["spec"]["containers"][1]["image"] = "vllm:2"
    return template


def test_keda_may_be_installed_and_taken_away_while_the_operator_runs(world: Any, operator: Process) -> None:
    name, started = serve(world), operator.pid
    world.install_kind(*SCALED_OBJECTS, LOOSE, version="v1alpha1")
    world.apply(
        {
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": {"name": "theirs", "namespace": world.namespace},
            "spec": {"scaleTargetRef": {"name": name}},
        }
    )
    world.eventually(world.has_condition("chat", "Applied", "True", "ScaledByOthers"))
    assert "ScaledObject theirs scales" in world.condition("chat", "Applied")["message"]
    world.cluster.kubectl("scale", "deployment", name, "-n", world.namespace, "--replicas=5")
    world.remove_kind(*SCALED_OBJECTS)
    world.eventually(lambda: replicas(world) == 3)
    world.eventually(world.has_condition("chat", "Applied", "True", "Placed"))
    assert operator.running
    assert operator.pid == started


def test_a_field_that_somebody_took_is_taken_back_and_told(world: Any) -> None:
    name = serve(world)
    world.cluster.kubectl(
        *("patch", "deployment", name, "-n", world.namespace, "--type=merge"),
        *("--field-manager=somebody", "-p", '{"spec": {"replicas": 1}}'),
    )
    world.eventually(lambda: replicas(world) == 3)
    world.eventually(world.has_condition("chat", "Applied", "True"))
    world.eventually(
        lambda: [
            e for e in world.get("events") if e["reason"] == "FieldsTakenBack" and "somebody" in e["message"]
        ]
    )
