"""Weights of an HTTPRoute follow the plan, with a small CRD in place of the Gateway API's own."""

import json
from typing import Any

import pytest

pytestmark = pytest.mark.devcluster

HTTP_ROUTES = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {
        "name": "httproutes.gateway.networking.k8s.io",
        "annotations": {"api-approved.kubernetes.io": "unapproved, of a test"},
    },
    "spec": {
        "group": "gateway.networking.k8s.io",
        "names": {"kind": "HTTPRoute", "plural": "httproutes"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
                },
            }
        ],
    },
}


def weights(world: Any) -> dict[str, int]:
    """Weights in the rule for /v1, by zone."""
    rule = world.get("httproute", "chat")["spec"]["rules"][0]
    return {
        "west" if "-west-" in ref["name"] else "east": ref["weight"] for ref in rule.get("backendRefs", [])
    }


def test_the_weights_of_a_route_follow_the_plan(world: Any) -> None:
    world.serve("chat", routing={"port": 8000, "httpRoute": "chat"})
    world.eventually(world.has_condition("chat", "Applied", "False", "RouteMissing"))
    world.apply(HTTP_ROUTES)
    world.cluster.kubectl("wait", "--for=condition=Established", "crd", HTTP_ROUTES["metadata"]["name"])  # type: ignore[index]
    blog = {"matches": [{"path": {"value": "/blog"}}], "backendRefs": [{"name": "blog", "port": 80}]}
    world.apply(
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": "chat", "namespace": world.namespace},
            "spec": {"rules": [{"matches": [{"path": {"value": "/v1"}}]}, blog]},
        }
    )
    world.intensity(west=51, east=600)
    world.eventually(lambda: weights(world) == {"west": 100})
    world.eventually(world.has_condition("chat", "Ready", "True", "Placed"))
    world.intensity(west=700, east=20)
    world.eventually(lambda: weights(world) == {"east": 100})
    assert world.get("httproute", "chat")["spec"]["rules"][1] == blog
    (service,) = world.eventually(lambda: found if len(found := world.get("services")) == 1 else None)
    (deployment,) = world.get("deployments")
    assert service["metadata"]["name"] == deployment["metadata"]["name"], "the old one's has gone with it"
    (row,) = json.loads(world.get("configmap", "chat-weights")["data"]["weights.json"])
    assert row["address"] == f"{service['metadata']['name']}.{world.namespace}.svc:8000"
