"""Offline pods: where they may go, and that no sequence of answers and binds breaks a headroom."""

import dataclasses
import json
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from ecoserve.api.labels import POOL, SERVING
from ecoserve_extender.cache.plan_view import PlacementView, read_plan
from ecoserve_extender.cache.records import Requests
from ecoserve_extender.measured.use import Sample
from ecoserve_extender.policy.verdict import Rejection
from ecoserve_extender.wire import decode_request
from properties import examples

GIB = 2**30


def refused(reply):
    return {node: Rejection(text).name for node, text in reply["FailedAndUnresolvableNodes"].items()}


def test_each_node_is_refused_for_its_own_reason(world):
    world.node("idle")
    world.node("gpu", gpus=8)
    world.node("gpu-broken", **{"nvidia.com/gpu.product": "NVIDIA-L4"})
    world.node("busy")
    world.load("busy", millicores=5001, uid="a")
    world.node("busy-memory")
    world.load("busy-memory", gib=51, uid="b")
    world.node("half")
    world.load("half", millicores=5000, gib=50, uid="c")
    world.node("full")
    world.load("full", millicores=7001, uid="d", offline=True)
    world.node("full-memory")
    world.load("full-memory", gib=80, uid="e", offline=True)
    names = ["idle", "gpu", "gpu-broken", "busy", "busy-memory", "half", "full", "full-memory", "ghost"]
    reply = world.filter(names, offline=True)
    assert reply["NodeNames"] == ["idle", "half"]
    assert refused(reply) == {
        "gpu": "HAS_ACCELERATORS",
        "gpu-broken": "HAS_ACCELERATORS",
        "busy": "BUSY",
        "busy-memory": "BUSY",
        "full": "CPU_HEADROOM",
        "full-memory": "MEMORY_HEADROOM",
        "ghost": "UNKNOWN_NODE",
    }
    assert reply["FailedNodes"] == {}
    assert reply["Error"] == ""


def test_a_gpu_request_is_refused_everywhere(world):
    names = [world.node("cpu"), world.node("gpu", gpus=8)]
    assert set(refused(world.filter(names, offline=True, gpus=1)).values()) == {"WANTS_ACCELERATOR"}


def test_a_device_claim_is_a_gpu_request(world, make_pod):
    pod = make_pod(offline=True)
    pod["spec"]["resourceClaims"] = [{"name": "gpu", "resourceClaimName": "one"}]
    reply = world.post("filter", {"Pod": pod, "Nodes": None, "NodeNames": [world.node("cpu")]}).json()
    assert refused(reply) == {"cpu": "WANTS_ACCELERATOR"}


def test_online_pods_are_never_refused(world):
    world.node("gpu", gpus=8)
    world.node("full")
    world.load("full", millicores=10_000)
    assert world.filter(["gpu", "full", "ghost"])["NodeNames"] == ["gpu", "full", "ghost"]


def test_a_planned_cpu_replica_may_use_its_gpu_host_and_no_other(world, make_pool):
    names = [world.node("host", gpus=8, pool="hosts"), world.node("other", gpus=8, pool="others")]
    placed = PlacementView(namespace="default", serving="batch", pool="hosts", role="both", on_cpu=True)
    world.plan(make_pool("hosts"), make_pool("others"), placements=[placed])
    labels = {SERVING: "batch", POOL: "hosts"}
    assert world.filter(names, offline=True, cpu="9500m", labels=labels)["NodeNames"] == ["host"]
    for wrong in ({SERVING: "chat", POOL: "hosts"}, {SERVING: "batch", POOL: "others"}, {SERVING: "batch"}):
        assert world.filter(names, offline=True, labels=wrong)["NodeNames"] == []
    assert world.filter(names, offline=True, gpus=1, labels=labels)["NodeNames"] == []


def test_pools_that_differ_in_taints_alone_share_their_nodes(world, make_pool):
    world.node("host", gpus=8, pool="hosts")
    tainted = make_pool("tainted", selector=(("pool", "hosts"),))
    placed = PlacementView(namespace="default", serving="batch", pool="tainted", role="both", on_cpu=True)
    world.plan(make_pool("hosts"), tainted, placements=[placed])
    for labels in ({SERVING: "batch", POOL: "tainted"}, {SERVING: "batch"}):
        world.prioritize(["host"], labels=labels)
        assert world.extender.decisions.get("default/pod-1").ranking.fallback is None
    labels = {SERVING: "batch", POOL: "tainted"}
    assert world.filter(["host"], offline=True, labels=labels)["NodeNames"] == ["host"]


def test_a_pod_placed_on_gpus_does_not_open_the_host_to_offline_pods(world, make_pool):
    world.node("host", gpus=8, pool="hosts")
    placed = PlacementView(namespace="default", serving="batch", pool="hosts", role="both", on_cpu=False)
    world.plan(make_pool("hosts"), placements=[placed])
    assert world.filter(["host"], offline=True, labels={SERVING: "batch", POOL: "hosts"})["NodeNames"] == []


def test_an_answered_pod_counts_until_it_is_seen_bound_or_expires(world):
    node = world.node("n")
    assert world.filter([node], offline=True, cpu="5", uid="first")["NodeNames"] == [node]
    assert world.filter([node], offline=True, cpu="5", uid="second")["NodeNames"] == []
    assert world.filter([node], offline=True, cpu="5", uid="first")["NodeNames"] == [node]
    world.now += 11
    assert world.filter([node], offline=True, cpu="5", uid="second")["NodeNames"] == [node]
    world.extender.reservations.release("second")
    world.load(node, millicores=5000, offline=True, uid="first")
    assert world.filter([node], offline=True, cpu="5", uid="second")["NodeNames"] == []


def test_binds_are_awaited_while_the_scheduler_asks_and_until_all_it_was_answered_are_seen(world):
    node, extender = world.node("n"), world.extender
    assert not extender.awaits_binds
    world.filter([node], offline=True, cpu="5", uid="first")
    world.now += 5
    assert extender.awaits_binds
    world.see_bound(node, offline=True, cpu="5", uid="first")
    assert not extender.awaits_binds
    assert world.filter([node], offline=True, cpu="9", uid="second")["NodeNames"] == []
    assert extender.awaits_binds
    world.now += 5
    assert not extender.awaits_binds


def test_a_refused_pod_is_called_back_once_when_a_node_could_take_it(world):
    node = world.node("n")
    world.load(node, millicores=6000)
    assert world.filter([node], offline=True)["NodeNames"] == []
    assert world.extender.refusals.revived() == []
    world.state.remove_pod("load")
    assert [pod.key for pod in world.extender.refusals.revived()] == ["default/pod-1"]
    assert world.extender.refusals.revived() == []
    world.load(node, millicores=6000)
    world.filter([node], offline=True)
    world.see_bound(node, offline=True)
    assert len(world.extender.refusals) == 0


def test_of_many_refused_pods_no_more_are_called_back_than_would_fit(world):
    names = [world.node("n"), world.node("m")]
    for name in names:
        world.load(name, uid=name, millicores=6000)
    for number in range(40):
        world.filter(names, offline=True, uid=str(number), name=str(number))
    for name in names:
        world.load(name, uid=name, millicores=4000)
    first, second = (world.extender.refusals.revived() for _ in range(2))
    assert len(first) == len(second) == 10 + 2 * 4
    assert not {pod.uid for pod in first} & {pod.uid for pod in second}
    assert world.filter(["m"], offline=True, cpu="4")["NodeNames"] == ["m"], "nothing stays counted"


def test_a_pod_refused_because_its_node_was_not_known_yet_is_called_back_when_it_is(world):
    world.node("busy")
    world.load("busy", millicores=9000)
    assert refused(world.filter(["busy", "new"], offline=True)) == {"busy": "BUSY", "new": "UNKNOWN_NODE"}
    assert world.extender.refusals.revived() == []
    world.node("new", gpus=1)
    assert world.extender.refusals.revived() == []
    world.node("new")
    assert [pod.key for pod in world.extender.refusals.revived()] == ["default/pod-1"]


def test_refused_pods_take_little_memory_for_their_candidates(world):
    names = [world.node(f"n{number}", gpus=1) for number in range(2_000)]
    refusals = world.extender.refusals
    request = decode_request(json.dumps(world.args(names, offline=True)).encode(), world.state.table)
    tracemalloc.start()
    for number in range(200):
        refusals.note(dataclasses.replace(request.pod, uid=f"uid-{number}"), request.nodes)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(refusals) == 200
    assert held / 200 < 4_000  # names would be 16,000 bytes of references alone


def test_until_the_caches_are_filled_offline_pods_wait_and_online_pods_pass(world):
    world.extender.ready = False
    answer = world.post("filter", world.args(["n"], offline=True))
    assert (answer.status_code, answer.text) == (503, "the watch caches are not filled yet\n")
    assert world.filter(["a", "b"])["NodeNames"] == ["a", "b"]
    assert world.prioritize(["a", "b"]) == {"a": 0, "b": 0}
    assert world.get("/readyz").status_code == 503


def test_room_is_kept_for_what_the_plan_puts_on_a_node_before_it_is_there(world, make_pool):
    for name in ("a", "b", "c"):
        world.node(name, pool="p" if name != "c" else "other")
    world.plan(make_pool("p", planned_online=Requests(4_000, 10 * GIB)), make_pool("other"))
    world.load("b", millicores=4_500)
    world.extender.measured.take({"c": Sample(Requests(1_000, 1))})
    assert world.filter(["a", "b", "c"], offline=True, cpu="4")["NodeNames"] == ["a", "c"]
    assert world.get("/explain", pod="default/pod-1").json()["onlineLoadFrom"] == {
        "plan": 2,  # of memory, for b
        "highest measured use of the last 15 minutes": 1,
    }
    world.plan(make_pool("p", planned_online=Requests(5_001)), make_pool("other"))
    reply = world.filter(["a", "b", "c"], offline=True, uid="second")
    assert refused(reply) == {"a": "BUSY", "b": "BUSY"}


def test_what_a_plan_puts_on_a_node_is_read_as_the_mean_of_those_it_uses():
    pool = {
        "name": "p", "zone": "z", "instanceType": "x", "supply": "fixed", "nodeSelector": [],
        "nodes": 9, "nodesOn": 4, "idleWattsPerNode": 1, "embodiedGramsPerHourPerNode": 1,
    }  # fmt: skip
    placement = {
        "namespace": "d", "serving": "chat", "pool": "p", "role": "both", "class": "online", "tensorParallel": 0,
        "cpuCores": 16, "memoryGib": 8, "replicas": 3, "share": 1, "operationalGramsPerHour": 1,
        "embodiedGramsPerHour": 1,
    }  # fmt: skip
    spec = {
        "id": "i",
        "plannedAt": "now",
        "zones": [{"name": "z", "carbonIntensity": 1, "pue": 1}],
        "pools": [pool],
        "placements": [placement, placement | {"class": "offline"}, placement | {"pool": "elsewhere"}],
    }
    assert read_plan(spec).pools["p"].planned_online == Requests(12_000, 6 * GIB)


NODES = ("a", "b", "c")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(100, 5000), st.integers(1, 40)),
        st.tuples(st.just("bind"), st.integers(0, 20), st.integers(0, 2)),
        st.tuples(st.just("finish"), st.integers(0, 20), st.just(0)),
        st.tuples(st.just("online"), st.integers(100, 3000), st.integers(0, 2)),
    ),
    max_size=40,
)


@examples(150)
@given(STEPS)
def test_no_burst_breaks_a_headroom(make_world, steps):
    """However binds are delayed and whichever allowed node each pod is put on, offline pods keep the headroom.

    Only what online pods take themselves may eat into it: that is what it is for.
    """
    world = make_world()
    for name in (*NODES, "gpu"):
        world.node(name, gpus=8 if name == "gpu" else 0)
    unbound, bound = [], []
    for number, (step, first, second) in enumerate(steps):
        if step == "ask":
            uid = f"uid-{number}"
            reply = world.filter(
                [*NODES, "gpu"], uid=uid, name=uid, cpu=f"{first}m", memory=f"{second}Gi", offline=True
            )
            assert "gpu" not in reply["NodeNames"]
            if reply["NodeNames"]:
                unbound.append((uid, first, second, reply["NodeNames"]))
        elif step == "bind" and unbound:
            uid, millicores, gib, allowed = unbound.pop(first % len(unbound))
            node = allowed[second % len(allowed)]
            world.load(node, millicores=millicores, gib=gib, offline=True, uid=uid)
            bound.append(uid)
            usage = world.state.table.usage(node)
            if usage.online.millicores == 0:
                assert usage.offline.millicores <= 8000
                assert usage.offline.memory_bytes <= 80 * 2**30
        elif step == "finish" and bound:
            world.state.remove_pod(bound.pop(first % len(bound)))
        elif step == "online":
            world.load(NODES[second], millicores=first, uid=f"online-{number}")
    for uid, *_ in unbound:
        world.extender.reservations.release(uid)
    for node in NODES:
        assert world.state.table.usage(node).reserved == Requests()
        assert world.state.table.usage(node).arriving == 0
