"""What routers are told: weights by plan, by what is ready during a change, and only in rules that are ours."""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.api import LLMServing
from ecoserve.api.manifests import parse_serving
from ecoserve.errors import InvalidInputError
from ecoserve_operator.acting.deployments import Wanted
from ecoserve_operator.acting.router import Router
from ecoserve_operator.acting.weights import Backend, Neighbours, backends_of, percents, routed_rules
from ecoserve_operator.acting.written import Written
from ecoserve_operator.kube import HTTP_ROUTE, INFERENCE_POOL, ApiRefusedError, Kind
from ecoserve_operator.watch.records import DeploymentRecord, Key
from ecoserve_operator.watch.world import Nudges, World

SERVICES = {"group": "", "kind": "Service", "port": 8000}
WantedOn = Callable[..., Wanted]
Runs = Callable[..., tuple[Key, DeploymentRecord]]


@pytest.fixture
def wanted(wanted_on: WantedOn) -> WantedOn:
    """Replicas that sustain two requests per second each, with a rate planned on all of them."""

    def make(pool: str, replicas: int, rate: float, role: str = "both") -> Wanted:
        return wanted_on(pool, replicas, requests_per_second=rate, replica_requests_per_second=2.0, role=role)

    return make


def weights(backends: tuple[Backend, ...]) -> dict[str, int]:
    return {item.pool: item.weight for item in backends}


def test_when_nothing_changes_the_plan_is_the_weight(wanted: WantedOn, runs: Runs) -> None:
    a, b = wanted("a", 2, rate=3.0), wanted("b", 4, rate=1.0)
    assert weights(backends_of([a, b], dict([runs(a, 2), runs(b, 4)]), changing=False)) == {"a": 75, "b": 25}


def test_while_it_changes_what_is_ready_is_the_weight(wanted: WantedOn, runs: Runs) -> None:
    new, old = wanted("new", 4, rate=8.0), wanted("old", 3, rate=0.0)
    state = dict([runs(new, 1), runs(old, 3)])
    assert weights(backends_of([new], state, changing=True)) == {"new": 25, "old": 75}


def test_what_is_not_ready_gets_nothing_unless_nothing_is(wanted: WantedOn, runs: Runs) -> None:
    a, b = wanted("a", 2, rate=3.0), wanted("b", 2, rate=1.0)
    assert weights(backends_of([a, b], dict([runs(a, 0), runs(b, 1)]), changing=True)) == {"a": 0, "b": 100}
    assert weights(backends_of([a, b], dict([runs(a, 0), runs(b, 0)]), changing=True)) == {"a": 50, "b": 50}


def test_roles_are_weighed_apart(wanted: WantedOn, runs: Runs) -> None:
    p, d = wanted("p", 1, rate=3.0, role="prefill"), wanted("d", 2, rate=3.0, role="decode")
    assert weights(backends_of([p, d], dict([runs(p, 1), runs(d, 2)]), changing=False)) == {
        "p": 100,
        "d": 100,
    }


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=9).filter(lambda amounts: sum(amounts) > 0))
def test_percents_add_up_and_are_near(amounts: list[float]) -> None:
    found = percents(amounts)
    assert sum(found) == 100
    assert all(
        abs(each - 100 * amount / sum(amounts)) < 1 + 1e-9
        for each, amount in zip(found, amounts, strict=True)
    )


def backend(name: str, weight: int, role: str = "both") -> Backend:
    return Backend(name=name, pool=name, role=role, traffic_class="online", weight=weight)


@pytest.mark.parametrize(
    ("rule", "ours"),
    [
        ({}, True),
        ({"backendRefs": [{"name": "s-old", "port": 8000}]}, True),
        ({"matches": [{"path": {"value": "/v1"}}], "backendRefs": [{"name": "s-old"}]}, True),
        ({"backendRefs": [{"name": "s-old"}, {"name": "blog"}]}, False),
        ({"backendRefs": [{"name": "s-old", "kind": "InferencePool"}]}, True),
        ({"backendRefs": [{"name": "s-old", "kind": "Backend"}]}, False),
        ({"filters": [{"type": "RequestRedirect"}]}, False),
    ],
)
def test_only_rules_that_lead_to_this_serving_are_weighed(rule: dict[str, Any], ours: bool) -> None:
    refs = [{"group": "", "kind": "Service", "name": "s-a", "port": 8000, "weight": 100}]
    expected = {**rule, "backendRefs": refs} if ours else rule
    backends = [backend("s-a", 100), backend("s-p", 100, "prefill")]
    assert routed_rules([rule], "s", backends, SERVICES, Neighbours()) == [expected]


@pytest.mark.parametrize(
    ("names", "ours"),
    [
        (["s-a"], True),
        (["s-gone"], True),
        (["s-8b-gone"], False),
        (["s-8b-a"], False),
        (["s-a", "s-8b-a"], False),
        (["s-8b-mine"], True),
    ],
    ids=str,
)
def test_rules_of_a_serving_with_a_longer_name_are_its_own(names: list[str], ours: bool) -> None:
    """Serving `s` beside `s-8b`: what runs is told by whose it is, what has gone by the longer name."""
    neighbours = Neighbours(servings=["s", "s-8b", "t"], deployments={"s-8b-a", "t-a"})
    backends = [backend("s-a", 40), backend("s-8b-mine", 60)]
    rule = {"backendRefs": [{"name": name} for name in names]}
    (found,) = routed_rules([rule], "s", backends, SERVICES, neighbours)
    assert (found != rule) is ours


def test_a_deployment_of_a_serving_with_a_shorter_name_is_not_taken_for_ones_own() -> None:
    rule = {"backendRefs": [{"name": "s-p5-48xlarge"}]}  # of serving s, on pool p5-48xlarge
    neighbours = Neighbours(servings=["s", "s-p5"], deployments={"s-p5-48xlarge"})
    assert routed_rules([rule], "s-p5", [backend("s-p5-a", 100)], SERVICES, neighbours) == [rule]


def test_servings_that_share_a_route_keep_to_their_rules_and_ask_for_it_once(
    wanted: WantedOn, runs: Runs
) -> None:
    api = _Api(
        {"metadata": {"resourceVersion": "7"}, "spec": {"rules": [{"backendRefs": [{"name": "s-8b-x"}]}, {}]}}
    )
    world = World(nudges=Nudges(0.1))
    world.servings |= {("n", name): None for name in ("s", "s-8b")}  # type: ignore[dict-item]  # names alone count
    router = Router(api, Written(api), world)  # type: ignore[arg-type]
    item, one = wanted("a", 2, rate=3.0), serving(httpRoute="r")
    other = one.model_copy(update={"metadata": one.metadata.model_copy(update={"name": "s-8b", "uid": "v"})})
    for each in (one, other, one, other):
        state = dict([runs(item, 2)]) if each is one else {}
        assert not asyncio.run(router.route(each, [item] if state else [], state, changing=False))
    assert api.route is not None
    first, second = api.route["spec"]["rules"]
    assert first["backendRefs"] == [{"name": "s-8b-x"}]
    assert second["backendRefs"][0]["name"] == item.key[1]
    assert api.asked == 2


def test_without_whole_requests_to_send_a_route_is_left_as_it_is() -> None:
    rules = [{"backendRefs": [{"name": "s-old"}]}]
    backends = [backend("s-p", 100, "prefill"), backend("s-d", 100, "decode")]
    assert routed_rules(rules, "s", backends, SERVICES, Neighbours()) == rules


def serving(**routing: Any) -> LLMServing:
    return parse_serving(
        {
            "metadata": {"name": "s", "namespace": "n", "uid": "u"},
            "spec": {
                "model": {"name": "m"},
                "offline": {"load": {"requestsPerSecond": 1, "lengths": "azure-code-2023"}},
                "template": {"spec": {"containers": [{"name": "engine", "image": "x"}]}},
                "routing": routing,
            },
        }
    )


class _Api:
    """What a router writes, and an HTTPRoute that may be there."""

    def __init__(self, route: dict[str, Any] | None = None, refuses: tuple[str, int] = ("", 0)) -> None:
        self.route = route
        self.refuses = refuses
        self.writes: list[tuple[str, str]] = []
        self.asked = 0
        self.objects: dict[tuple[str, str], Any] = {}

    async def apply(self, kind: Kind, manifest: Mapping[str, Any]) -> None:
        if kind.plural == self.refuses[0]:
            raise ApiRefusedError(self.refuses[1], "not here")
        self.writes.append((kind.plural, manifest["metadata"]["name"]))
        self.objects[self.writes[-1]] = manifest

    async def get(self, kind: Kind, name: str, namespace: str) -> dict[str, Any] | None:
        assert (kind.plural, name, namespace) == ("httproutes", "r", "n")
        self.asked += 1
        return self.route

    async def merge(self, kind: Kind, name: str, namespace: str, patch: Mapping[str, Any]) -> None:
        assert self.route is not None
        assert namespace == "n"
        assert patch["metadata"] == {"resourceVersion": "7"}
        self.writes.append((kind.plural, name))
        self.route = {**self.route, "spec": patch["spec"]}


def route(router: Router, item: Wanted, running: tuple[Key, DeploymentRecord], **routing: Any) -> str:
    return asyncio.run(router.route(serving(**routing), [item], dict([running]), changing=False))


def test_services_weights_and_route_are_written_once(wanted: WantedOn, runs: Runs) -> None:
    api = _Api(routed())
    router = Router(api, Written(api), World(nudges=Nudges(0.1)))  # type: ignore[arg-type]  # a fake of three methods
    item = wanted("a", 2, rate=3.0)
    for _ in range(2):
        assert not route(router, item, runs(item, 2), port=9000, httpRoute="r")
    name = item.key[1]
    assert api.writes == [("services", name), ("configmaps", "s-weights"), ("httproutes", "r")]
    service = api.objects["services", name]
    assert service["spec"]["selector"] == {"app.kubernetes.io/instance": name}
    (row,) = json.loads(api.objects["configmaps", "s-weights"]["data"]["weights.json"])
    assert (row["address"], row["weight"], row["role"]) == (f"{name}.n.svc:9000", 100, "both")
    assert api.route is not None
    ((ref,),) = (rule["backendRefs"] for rule in api.route["spec"]["rules"])
    assert (ref["name"], ref["port"], ref["weight"]) == (name, 9000, 100)


def routed() -> dict[str, Any]:
    return {"metadata": {"resourceVersion": "7"}, "spec": {"rules": [{}]}}


def test_with_an_endpoint_picker_the_backends_are_inference_pools(wanted: WantedOn, runs: Runs) -> None:
    api = _Api(routed())
    router = Router(api, Written(api), World(nudges=Nudges(0.1)))  # type: ignore[arg-type]
    whole, prefill = wanted("a", 2, rate=3.0), wanted("p", 1, rate=3.0, role="prefill")
    picker = {"failureMode": "FailClose"}
    given = serving(port=9000, httpRoute="r", endpointPicker=picker)
    state = dict([runs(whole, 2), runs(prefill, 1)])
    assert not asyncio.run(router.route(given, [whole, prefill], state, changing=False))
    name = whole.key[1]
    assert [written for written in api.writes if written[0] == "inferencepools"] == [("inferencepools", name)]
    pool = api.objects["inferencepools", name]
    assert pool["spec"] == {
        "selector": {"matchLabels": {"app.kubernetes.io/instance": name}},
        "targetPorts": [{"number": 9000}],
        "endpointPickerRef": {
            "kind": "Service",
            "name": f"{name}-epp",
            "port": {"number": 9002},
            "failureMode": "FailClose",
        },
    }
    assert pool["metadata"]["ownerReferences"][0]["uid"] == "uid-a"
    assert api.route is not None
    assert api.route["spec"]["rules"][0]["backendRefs"] == [
        {"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": name, "weight": 100}
    ]
    assert not route(router, whole, runs(whole, 2), port=9000, httpRoute="r")
    assert api.route["spec"]["rules"][0]["backendRefs"][0]["kind"] == "Service", "without a picker again"


@pytest.mark.parametrize(("kind", "place"), [(INFERENCE_POOL, "inferencepools"), (HTTP_ROUTE, "httproutes")])
def test_what_went_with_its_crd_is_written_again_and_nothing_else(
    wanted: WantedOn, runs: Runs, kind: Kind, place: str
) -> None:
    api = _Api(routed())
    router = Router(api, Written(api), World(nudges=Nudges(0.1)))  # type: ignore[arg-type]
    item = wanted("a", 2, rate=3.0)
    assert not route(router, item, runs(item, 2), httpRoute="r", endpointPicker={})
    api.writes, api.route = [], routed()
    router.forget(kind)
    assert not route(router, item, runs(item, 2), httpRoute="r", endpointPicker={})
    assert [written for written, _ in api.writes] == [place]


@pytest.mark.parametrize("status", [403, 404])
def test_inference_pools_that_are_not_set_up_are_told_and_the_route_is_left(
    wanted: WantedOn, runs: Runs, status: int
) -> None:
    api = _Api(routed(), refuses=("inferencepools", status))
    item = wanted("a", 2, rate=3.0)
    router = Router(api, Written(api), World(nudges=Nudges(0.1)))  # type: ignore[arg-type]
    told = route(router, item, runs(item, 2), httpRoute="r", endpointPicker={})
    assert "rbac.inferencePools=true" in told
    assert api.route == routed()


def test_an_inference_pool_that_is_refused_is_an_error(wanted: WantedOn, runs: Runs) -> None:
    api = _Api(routed(), refuses=("inferencepools", 422))
    item = wanted("a", 2, rate=3.0)
    router = Router(api, Written(api), World(nudges=Nudges(0.1)))  # type: ignore[arg-type]
    with pytest.raises(ApiRefusedError):
        route(router, item, runs(item, 2), httpRoute="r", endpointPicker={})


def test_a_route_that_is_not_there_is_told_and_the_weights_are_written(wanted: WantedOn, runs: Runs) -> None:
    api = _Api()
    item = wanted("a", 2, rate=3.0)
    router = Router(api, Written(api), World(nudges=Nudges(0.1)))  # type: ignore[arg-type]
    assert "there is no HTTPRoute r" in route(router, item, runs(item, 2), httpRoute="r")
    assert ("configmaps", "s-weights") in api.writes


def test_without_routing_nothing_is_written(wanted: WantedOn, runs: Runs) -> None:
    api = _Api()
    item = wanted("a", 2, rate=3.0)
    plain = serving(port=1)
    plain = plain.model_copy(update={"spec": plain.spec.model_copy(update={"routing": None})})
    router = Router(api, Written(api), World(nudges=Nudges(0.1)))  # type: ignore[arg-type]
    assert not asyncio.run(router.route(plain, [item], dict([runs(item, 2)]), changing=False))
    assert not api.writes


@pytest.mark.parametrize("port", [0, 65536, "http"])
def test_a_port_is_a_number_from_1_to_65535(port: object) -> None:
    with pytest.raises(InvalidInputError, match=r"spec\.routing\.port"):
        serving(port=port)
