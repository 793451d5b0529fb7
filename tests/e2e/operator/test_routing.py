"""Weights of an HTTPRoute follow the plan; CRDs of these tests have the shape of the Gateway API's where we write to it."""

import json
from typing import Any

import pytest

pytestmark = pytest.mark.devcluster

Schema = dict[str, Any]

TEXT: Schema = {"type": "string", "minLength": 1, "maxLength": 253}
NUMBER: Schema = {"type": "integer", "minimum": 1, "maximum": 65535}
LOOSE: Schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def fields(required: tuple[str, ...] = (), rule: str = "", **properties: Schema) -> Schema:
    rules = {"x-kubernetes-validations": [{"rule": rule, "message": rule}]} if rule else {}
    return {"type": "object", "properties": properties, "required": list(required), **rules}


def many(items: Schema, most: int) -> Schema:
    return {"type": "array", "items": items, "maxItems": most}


BACKEND = fields(
    ("name",),
    "(self.group == '' && self.kind == 'Service') ? has(self.port) : true",
    group={"type": "string", "default": "", "maxLength": 253},
    kind={**TEXT, "default": "Service", "maxLength": 63},
    name=TEXT,
    port=NUMBER,
    weight={"type": "integer", "minimum": 0, "maximum": 1000000, "default": 1},
)
RULE = fields(matches=many(LOOSE, 64), backendRefs=many(BACKEND, 16))
PICKER = fields(
    ("name",),
    "self.kind != 'Service' || has(self.port)",
    group={"type": "string", "default": ""},
    kind={**TEXT, "default": "Service"},
    name=TEXT,
    port=fields(("number",), number=NUMBER),
    failureMode={"type": "string", "enum": ["FailOpen", "FailClose"], "default": "FailClose"},
)
POOL = fields(
    ("selector", "targetPorts", "endpointPickerRef"),
    selector=fields(
        ("matchLabels",), matchLabels={"type": "object", "additionalProperties": {"type": "string"}}
    ),
    targetPorts=many(fields(("number",), number=NUMBER), 8),
    endpointPickerRef=PICKER,
)


HTTP_ROUTES = ("gateway.networking.k8s.io", "HTTPRoute")
INFERENCE_POOLS = ("inference.networking.k8s.io", "InferencePool")


@pytest.fixture(autouse=True)
def _inference_pools(world: Any) -> None:
    """Have their kind known from the first test on: the garbage collector learns of new ones every 30 s only."""
    world.install_kind(*INFERENCE_POOLS, POOL)


def know_http_routes(world: Any) -> None:
    world.install_kind(*HTTP_ROUTES, fields(rules=many(RULE, 16)))


def http_route(world: Any, *rules: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "chat", "namespace": world.namespace},
        "spec": {"rules": list(rules)},
    }


def weights(world: Any) -> dict[str, int]:
    """Weights in the rule for /v1, by zone."""
    rule = world.get("httproute", "chat")["spec"]["rules"][0]
    return {
        "west" if "-west-" in ref["name"] else "east": ref["weight"] for ref in rule.get("backendRefs", [])
    }


def planned(world: Any) -> dict[str, Any]:
    """Percent of the requests that the plan gives each zone, which a weight may be rounded off by one."""
    shares = {each["pool"].split(".")[1]: each["share"] for each in world.plan()["spec"]["placements"]}
    return {zone: pytest.approx(100 * share, abs=1) for zone, share in shares.items()}


def test_the_weights_of_a_route_follow_the_plan(world: Any) -> None:
    """First with more load than one zone can take, then with little of it."""
    world.remove_kind(*HTTP_ROUTES)
    load = {"requestsPerSecond": 10.0, "inputTokens": 1000, "outputTokens": 130}
    much = {"slo": {"ttft": "2s", "tpot": "120ms"}, "load": load}
    routing = {"port": 8000, "httpRoute": "chat"}
    world.serve("chat", online=much, routing=routing)
    world.eventually(world.has_condition("chat", "Applied", "False", "RouteMissing"))
    know_http_routes(world)
    blog = {"matches": [{"path": {"value": "/blog"}}], "backendRefs": [{"name": "blog", "port": 80}]}
    world.apply(http_route(world, {"matches": [{"path": {"value": "/v1"}}]}, blog))
    world.intensity(west=51, east=600)
    world.eventually(world.has_condition("chat", "Ready", "True", "Placed"))
    found = world.eventually(lambda: found if (found := weights(world)) == planned(world) else None)
    assert found["west"] > found["east"] > 0
    rows = json.loads(world.get("configmap", "chat-weights")["data"]["weights.json"])
    assert {row["pool"].split(".")[1]: row["weight"] for row in rows} == found
    world.serve("chat", routing=routing)
    world.intensity(west=700, east=20)
    world.eventually(lambda: weights(world) == {"east": 100})
    kept = world.get("httproute", "chat")["spec"]["rules"][1]
    assert [(ref["name"], ref["weight"]) for ref in kept["backendRefs"]] == [("blog", 1)]
    (service,) = world.eventually(lambda: found if len(found := world.get("services")) == 1 else None)
    (deployment,) = world.get("deployments")
    assert service["metadata"]["name"] == deployment["metadata"]["name"], "the old one's has gone with it"
    (row,) = json.loads(world.get("configmap", "chat-weights")["data"]["weights.json"])
    assert row["address"] == f"{service['metadata']['name']}.{world.namespace}.svc:8000"


def test_with_an_endpoint_picker_the_backends_are_inference_pools(world: Any) -> None:
    """Its InferencePools go with their Deployments; that their kind has gone is told, and they come again with it."""
    know_http_routes(world)
    world.apply(http_route(world, {}))
    world.serve("chat", routing={"httpRoute": "chat", "endpointPicker": {}})
    world.eventually(lambda: weights(world) == {"west": 100})
    world.eventually(world.has_condition("chat", "Ready", "True", "Placed"))
    world.intensity(west=700, east=20)
    world.eventually(lambda: weights(world) == {"east": 100})
    world.eventually(world.has_condition("chat", "Ready", "True", "Placed"))
    (pool,) = world.eventually(lambda: found if len(found := world.get("inferencepools")) == 1 else None)
    (deployment,) = world.get("deployments")
    name = deployment["metadata"]["name"]
    assert pool["metadata"]["name"] == name
    assert pool["spec"]["selector"]["matchLabels"] == deployment["spec"]["selector"]["matchLabels"]
    assert pool["spec"]["endpointPickerRef"]["name"] == f"{name}-epp"
    (ref,) = world.get("httproute", "chat")["spec"]["rules"][0]["backendRefs"]
    assert (ref["group"], ref["kind"], ref["name"]) == ("inference.networking.k8s.io", "InferencePool", name)
    assert "port" not in ref
    world.remove_kind(*INFERENCE_POOLS)
    world.eventually(world.has_condition("chat", "Applied", "False", "RouteMissing"))
    assert "rbac.inferencePools=true" in world.condition("chat", "Applied")["message"]
    world.install_kind(*INFERENCE_POOLS, POOL)
    world.eventually(world.has_condition("chat", "Ready", "True", "Placed"))
    assert [each["metadata"]["name"] for each in world.get("inferencepools")] == [name]
