"""What is read off API objects, and that the sums per node equal a count from scratch."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.errors import InvalidInputError
from ecoserve_extender.cache.informers import PlanSink
from ecoserve_extender.cache.objects import Node, ObjectMeta, PlanObject, Pod
from ecoserve_extender.cache.plan_view import read_plan
from ecoserve_extender.cache.records import (
    BoundPod,
    NodeRecord,
    Requests,
    bound_pod,
    node_record,
    pod_requests,
)
from ecoserve_extender.cache.state import ClusterState
from ecoserve_extender.cache.table import NodeUsage


def decoded(kind, value):
    return msgspec.json.decode(json.dumps(value), type=kind)


def container(restart=None, **requests):
    renamed = {name.replace("gpu", "nvidia.com/gpu"): amount for name, amount in requests.items()}
    return {"resources": {"requests": renamed}} | ({"restartPolicy": restart} if restart else {})


GIB = 2**30
CASES = {
    "nothing": ({}, Requests()),
    "containers add up": (
        {"containers": [container(cpu="100m"), container(cpu="0.2", gpu="2")]},
        Requests(300, 0, 2),
    ),
    "tenths are exact": ({"containers": [container(cpu="0.1"), container(cpu="0.2")]}, Requests(300, 0, 0)),
    "a micro of a core rounds up": ({"containers": [container(cpu="1500u")]}, Requests(2, 0, 0)),
    "an init container is a peak": (
        {"containers": [container(cpu="1")], "initContainers": [container(cpu="3", memory="1Gi")]},
        Requests(3000, GIB, 0),
    ),
    "a sidecar adds to both": (
        {
            "containers": [container(cpu="1")],
            "initContainers": [container("Always", cpu="1"), container(cpu="3")],
        },
        Requests(4000, 0, 0),
    ),
    "the pod's own amount replaces the sum": (
        {"containers": [container(cpu="1", gpu="1")], "resources": {"requests": {"cpu": "5"}}},
        Requests(5000, 0, 1),
    ),
    "overhead comes on top": (
        {"containers": [container(cpu="1")], "overhead": {"cpu": "250m"}},
        Requests(1250, 0, 0),
    ),
    "MIG slices and other vendors are accelerators": (
        {"containers": [{"resources": {"requests": {"nvidia.com/mig-1g.10gb": "1", "amd.com/gpu": 1}}}]},
        Requests(0, 0, 2),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_pod_takes_what_kube_scheduler_counts(case):
    spec, expected = CASES[case]
    assert pod_requests(decoded(Pod, {"metadata": {}, "spec": spec})) == expected


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_finished_pod_takes_nothing(phase):
    assert (
        bound_pod(decoded(Pod, {"metadata": {}, "spec": {"nodeName": "n"}, "status": {"phase": phase}}))
        is None
    )


@pytest.mark.parametrize(
    ("owners", "owned", "keeps_node_on"),
    [
        ([], False, True),
        ([{"kind": "Job", "controller": True}], True, True),
        ([{"kind": "Workflow"}], False, True),
        ([{"kind": "DaemonSet", "controller": True}], True, False),
        ([{"kind": "Node", "controller": True}], True, False),
    ],
)
def test_an_owner_that_controls_makes_a_pod_anew_and_what_every_node_has_holds_none(
    owners, owned, keeps_node_on
):
    record = bound_pod(decoded(Pod, {"metadata": {"ownerReferences": owners}, "spec": {"nodeName": "n"}}))
    assert (record.owned, record.keeps_node_on) == (owned, keeps_node_on)


def test_a_node_offers_whole_units():
    node = {"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "1999999u", "nvidia.com/gpu": "8"}}}
    record = node_record(decoded(Node, node))
    assert record.allocatable == Requests(1999, 0, 8)
    assert record.has_accelerators


@pytest.mark.parametrize(
    ("labels", "offered"),
    [
        ({"nvidia.com/gpu.product": "NVIDIA-L4"}, {}),  # its device plugin is away
        ({"amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM"}, {}),
        ({"cloud.google.com/gke-accelerator": "nvidia-l4"}, {}),
        *(
            ({}, {resource: "1"})
            for resource in (
                "nvidia.com/gpu.shared", "nvidia.com/mig-1g.10gb", "amd.com/gpu", "gpu.intel.com/i915",
                "habana.ai/gaudi", "google.com/tpu", "aws.amazon.com/neurondevice",
            )
        ),
    ],
)  # fmt: skip
def test_a_node_of_any_vendors_accelerators_is_no_cpu_node(labels, offered):
    node = {"metadata": {"name": "n", "labels": labels}, "status": {"allocatable": {"cpu": "8"} | offered}}
    assert node_record(decoded(Node, node)).has_accelerators


def test_a_node_without_any_is_one():
    node = {"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "8", "example.com/licence": "1"}}}
    assert not node_record(decoded(Node, node)).has_accelerators


AMOUNTS = st.builds(Requests, st.integers(0, 9000), st.integers(0, 2**50))
PODS = st.builds(
    BoundPod,
    uid=st.sampled_from("abcdef"),
    namespace=st.just("ns"),
    name=st.just("p"),
    node=st.sampled_from(["n1", "n2"]),
    offline=st.booleans(),
    keeps_node_on=st.booleans(),
    requests=AMOUNTS,
)
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), PODS),
        st.tuples(st.just("remove"), st.sampled_from("abcdef")),
        st.tuples(st.just("node"), st.sampled_from(["n1", "n2"])),
        st.tuples(st.just("no node"), st.sampled_from(["n1", "n2"])),
    ),
    max_size=60,
)


@given(EVENTS)
def test_sums_follow_events_exactly(events):
    state = ClusterState()
    for event, what in events:
        match event:
            case "put":
                state.put_pod(what)
            case "remove":
                state.remove_pod(what)
            case "node":
                state.put_node(NodeRecord(name=what, labels={}, allocatable=Requests()))
            case "no node":
                state.remove_node(what)
    assert state.offline == {uid: pod for uid, pod in state.pods.items() if pod.offline}
    for node in ("n1", "n2"):
        pods = [pod for pod in state.pods.values() if pod.node == node]
        assert state.table.usage(node) == NodeUsage(
            online=sum((pod.requests for pod in pods if not pod.offline), Requests()),
            offline=sum((pod.requests for pod in pods if pod.offline), Requests()),
            holders=sum(pod.keeps_node_on for pod in pods),
        )


def test_rows_of_nodes_that_come_and_go_are_used_again_once_nothing_counts_on_them(world):
    state, reservations = world.state, world.extender.reservations
    for number in range(200):
        name = world.node(f"n{number}")
        world.load(name, millicores=100, uid=f"load-{number}")
        reservations.hold("pending", Requests(700), state.table.rows((name,)))
        state.remove_node(name)
        assert state.table.usage(name).online == Requests(100)
        state.remove_pod(f"load-{number}")
        assert state.table.usage(name).reserved == Requests(700)
    reservations.release("pending")
    assert len(state.table) <= 4
    assert not any(state.table.columns[column].any() for column in ("known", "online", "reserved"))


def test_nodes_change_pools_with_their_labels_and_with_the_plan(world, make_pool):
    old = make_pool("old", selector=(("pool", "p"), ("installed", None)))
    new = make_pool("new", selector=(("pool", "p"), ("installed", "2020-01-01")))
    world.node("n", pool="p")
    assert world.state.pool("n") is None
    world.plan(old, new)
    assert world.state.pool("n") == old
    world.node("n", pool="p", installed="2020-01-01")
    assert world.state.pool("n") == new
    world.plan(old)
    assert world.state.pool("n") is None
    changed = make_pool("old", selector=(("pool", "p"),), intensity_grams_per_kwh=1.0)
    world.plan(changed)
    assert world.state.pool("n") == changed
    world.state.put_plan(None)
    assert world.state.pool("n") is None


def test_a_plan_that_is_listed_anew_has_not_been_renewed(world):
    sink = PlanSink(world.extender.take_plan, world.metrics)
    spec = {"id": "i", "plannedAt": "now", "zones": [], "pools": []}

    def listed(version):
        sink.put(PlanObject(ObjectMeta(name="current", resource_version=version), spec))
        sink.keep_only({"current"})
        return world.extender.plan_age_seconds()

    assert listed("1") == 0.0
    world.now = 60.0
    assert listed("1") == 60.0
    assert listed("2") == 0.0
    sink.keep_only(set())
    assert world.state.plan is None
    assert listed("2") == 0.0
    assert world.state.plan is not None


def test_a_plan_that_contradicts_itself_is_refused_with_a_sentence():
    pool = {
        "name": "p", "zone": "mars", "instanceType": "x", "supply": "fixed", "nodeSelector": [],
        "nodes": 1, "nodesOn": 1, "idleWattsPerNode": 1, "embodiedGramsPerHourPerNode": 1,
    }  # fmt: skip
    spec = {
        "id": "i",
        "plannedAt": "now",
        "zones": [{"name": "z", "carbonIntensity": 1, "pue": 1}],
        "pools": [pool],
    }
    with pytest.raises(InvalidInputError, match="pool p zone: 'mars' is not accepted; one of the plan's: z"):
        read_plan(spec)
    with pytest.raises(InvalidInputError, match="zones"):
        read_plan(spec | {"zones": [{"name": "z", "carbonIntensity": -1, "pue": 1}]})
