"""What the extender promises, held against the real kube-scheduler and API server."""

import collections
import os
import signal

import httpx
import pytest

from ecoserve.api.labels import (
    AMD_RESOURCE,
    CARBON_AWARE_RESOURCE,
    GPU_RESOURCE,
    OFFLINE_PRIORITY_CLASS,
    POOL,
    SERVING,
)
from integration.extender.bench import of_another_scheduler

pytestmark = pytest.mark.devcluster


def test_offline_pods_land_on_idle_cpu_nodes_only(bench):
    idle, busy, gpu = bench.node("idle"), bench.node("busy"), bench.node("gpu", gpus=8)
    bench.apply(bench.pod("load", cpu="6", node=busy))
    bench.until(lambda: bench.metrics()['ecoserve_extender_cache_entries{kind="pods"}'] >= 1, "the load seen")
    names = [f"job-{number}" for number in range(4)]
    bench.apply(*(bench.pod(name, traffic_class="offline") for name in names))
    assert set(bench.placed(*names).values()) == {idle}
    explained = bench.explain(names[0])
    assert {(item["reason"], *item["nodes"]) for item in explained["rejected"]} == {
        ("BUSY", busy),
        ("HAS_ACCELERATORS", gpu),
    }


def test_a_burst_keeps_the_headroom_of_every_node(bench):
    nodes = [bench.node(f"n{number}") for number in range(3)]
    names = [f"job-{number}" for number in range(30)]
    bench.apply(*(bench.pod(name, traffic_class="offline") for name in names))

    def bound() -> collections.Counter[str]:
        return collections.Counter(pod["spec"].get("nodeName") for pod in bench.pods().values())

    # 8 of 10 cores per node may be used: 24 pods fit, 6 wait
    bench.until(lambda: sum(count for node, count in bound().items() if node) == 24, "24 pods bound", 30)
    per_node = bound()
    assert {node: per_node[node] for node in nodes} == dict.fromkeys(nodes, 8)
    assert per_node[None] == 6


def test_a_pod_made_for_a_patched_scheduler_waits_for_no_node_with_our_resource(bench):
    node = bench.node("n")
    pod = bench.pod("opted-in")
    resources = pod["spec"]["containers"][0]["resources"]
    for kind in ("requests", "limits"):
        resources[kind] = resources.get(kind, {}) | {CARBON_AWARE_RESOURCE: "1"}
    bench.apply(pod)
    assert bench.placed("opted-in") == {"opted-in": node}


def test_a_refusal_is_constant_text(bench):
    for number in range(3):
        bench.node(f"gpu-{number}", gpus=8)
    bench.node("small", cores=2)
    bench.apply(bench.pod("big", cpu="1900m", traffic_class="offline"))
    message = bench.refusal("big")
    assert "3 node(s) have accelerators, kept for online serving" in message
    assert "1 node(s) would keep too little CPU free for online pods" in message
    assert "preemptionPolicy=Never" in message


def test_a_refusal_is_unresolvable_to_pods_that_might_preempt(bench, schedule):
    """Of a scheduler whose pods the admission policies pass over: of one installed without them, for instance."""
    bench.node("gpu", gpus=8)
    bench.apply(bench.pod("tenant", node="gpu", traffic_class="offline"))
    bench.apply(of_another_scheduler(bench.pod("job", traffic_class="offline"), schedule(bench.url)))
    message = bench.refusal("job")
    assert "1 node(s) have accelerators, kept for online serving" in message
    assert "Preemption is not helpful for scheduling" in message
    assert "deletionTimestamp" not in bench.pods()["tenant"]["metadata"]


def test_an_offline_pod_that_names_no_priority_class_evicts_nothing(bench):
    """A preempting scheduler asks no extender before it evicts: the host that was cleared would be refused then."""
    bench.node("host", gpus=8)
    tenant = bench.pod("tenant", cpu="9", traffic_class="offline", node="host")
    tenant["spec"]["priorityClassName"] = OFFLINE_PRIORITY_CLASS
    bench.apply(tenant)
    bench.apply(bench.pod("job", cpu="5", traffic_class="offline"))
    assert "Insufficient cpu" in bench.refusal("job")
    pods = bench.pods()
    assert "nominatedNodeName" not in pods["job"]["status"]
    assert "deletionTimestamp" not in pods["tenant"]["metadata"]
    assert pods["job"]["spec"]["preemptionPolicy"] == "Never"


def test_an_offline_pod_never_gets_a_gpu(bench):
    bench.node("gpu", gpus=8)
    bench.apply(bench.pod("greedy", gpus=1, traffic_class="offline"))
    assert "node(s) can't give accelerators to an offline pod" in bench.refusal("greedy")


@pytest.mark.parametrize("device", [GPU_RESOURCE, AMD_RESOURCE])
def test_pods_of_a_few_devices_leave_nodes_whole_for_one_of_eight(bench, device):
    nodes = [bench.node(f"n{number}", gpus=8, device=device) for number in range(3)]
    bench.apply(*(bench.pod(f"on-{node}", node=node) for node in nodes))
    for name in (
        f"small-{number}" for number in range(4)
    ):  # one at a time: each sees where those before it are
        bench.apply(bench.pod(name, gpus=2, device=device))
        bench.placed(name)
    (used,) = {pod["spec"]["nodeName"] for name, pod in bench.pods().items() if name.startswith("small")}
    bench.apply(*(bench.pod(name, gpus=8, device=device) for name in ("large-0", "large-1")))
    assert set(bench.placed("large-0", "large-1").values()) == {*nodes} - {used}


def test_the_greener_zone_wins_and_the_decision_says_by_how_much(bench):
    dirty = bench.node("dirty", **{"topology.kubernetes.io/zone": "coal"})
    clean = bench.node("clean", **{"topology.kubernetes.io/zone": "hydro"})
    plan = bench.plan(
        bench.pool("p-dirty", "coal", {"topology.kubernetes.io/zone": "coal"}, supply="fixed"),
        bench.pool("p-clean", "hydro", {"topology.kubernetes.io/zone": "hydro"}, supply="fixed"),
        zones={"coal": 800.0, "hydro": 20.0},
    )
    bench.apply(bench.pod("load", cpu="4", node=clean))  # kube-scheduler's own scores are for the empty node
    bench.sees(lambda metrics: metrics['ecoserve_extender_cache_entries{kind="pods"}'] >= 1, "the load")
    bench.apply(bench.pod("job", cpu="2", traffic_class="offline"), bench.pod("web", cpu="2"))
    assert bench.placed("job", "web") == {"job": clean, "web": clean}
    decision = bench.decision("job")
    assert decision == {
        "node": clean,
        "runnerUp": dirty,
        "gramsPerHour": pytest.approx(2 * 4 / 1000 * 1.1 * 20, abs=1e-3),
        "gramsPerHourDifference": pytest.approx(2 * 4 / 1000 * 1.1 * 780, abs=2e-3),
        "plan": plan,
        "fallback": None,
    }
    explained = bench.explain("job")
    assert [(item["node"], item["score"]) for item in explained["candidates"]] == [(clean, 10), (dirty, 0)]
    assert explained["decision"] == decision


def test_online_pods_go_to_the_planned_pool_first_and_fall_back_with_a_reason(bench):
    planned, *others = (
        bench.node("planned", cores=4, tests="a"),
        bench.node("b1", tests="b"),
        bench.node("b2", tests="b"),
    )
    bench.plan(
        bench.pool("pa", "z", {"tests": "a"}, supply="fixed", dynamicWattsPerCore=9.0),
        bench.pool("pb", "z", {"tests": "b"}, supply="fixed"),
        zones={"z": 400.0},
        placements=(bench.placement(bench.namespace, "chat", "pa"),),
    )
    first = bench.pod("first", cpu="3", **{SERVING: "chat"})
    second = bench.pod("second", cpu="3", **{SERVING: "chat", POOL: "pa"})
    bench.apply(first)
    assert bench.placed("first") == {"first": planned}
    assert bench.decision("first")["fallback"] is None
    bench.apply(second)
    assert bench.placed("second")["second"] in others
    assert bench.decision("second")["fallback"].startswith("no node of the planned pool can take the pod")


def test_a_pod_with_a_single_candidate_is_asked_nobody_about_and_says_so(bench):
    node = bench.node("n", tests="a")
    plan = bench.plan(bench.pool("pa", "z", {"tests": "a"}, supply="fixed"), zones={"z": 400.0})
    bench.apply(bench.pod("web", cpu="2"))
    decision = bench.decision("web")
    assert decision["fallback"].startswith("kube-scheduler asked for no scores")
    assert (decision["node"], decision["runnerUp"], decision["plan"]) == (node, None, plan)
    assert decision["gramsPerHour"] == pytest.approx(2 * 4 / 1000 * 1.1 * 400, abs=1e-3)
    assert bench.metrics()['ecoserve_extender_decisions_total{outcome="written"}'] >= 1


def test_the_plan_may_put_offline_replicas_on_cores_of_gpu_hosts(bench):
    host = bench.node("host", gpus=8, tests="gpu")
    bench.plan(
        bench.pool("hosts", "z", {"tests": "gpu"}),
        zones={"z": 400.0},
        placements=(
            bench.placement(
                bench.namespace, "batch", "hosts", tensorParallel=0, cpuCores=9.0, **{"class": "offline"}
            ),
        ),
    )
    labels = {SERVING: "batch", POOL: "hosts"}
    bench.apply(bench.pod("replica", cpu="9", traffic_class="offline", **labels))
    assert bench.placed("replica") == {"replica": host}
    bench.apply(bench.pod("stranger", traffic_class="offline", **{SERVING: "other", POOL: "hosts"}))
    assert "have accelerators" in bench.refusal("stranger")


def test_a_refused_pod_is_called_back_by_a_plan_which_the_scheduler_does_not_watch(bench):
    host = bench.node("host", gpus=8, tests="gpu")
    labels = {SERVING: "batch", POOL: "hosts"}
    bench.apply(bench.pod("replica", traffic_class="offline", **labels))
    assert "have accelerators" in bench.refusal("replica")
    on_cores = bench.placement(bench.namespace, "batch", "hosts", tensorParallel=0, **{"class": "offline"})
    bench.plan(bench.pool("hosts", "z", {"tests": "gpu"}), zones={"z": 400.0}, placements=(on_cores,))
    assert bench.placed("replica") == {"replica": host}
    assert "ecoserve.dev/retry" in bench.pods()["replica"]["metadata"]["annotations"]


def test_a_refused_pod_comes_back_when_a_node_becomes_idle(bench):
    node = bench.node("n")
    bench.apply(bench.pod("load", cpu="6", node=node))
    bench.until(lambda: bench.metrics()['ecoserve_extender_cache_entries{kind="pods"}'] >= 1, "the load seen")
    bench.apply(bench.pod("job", traffic_class="offline"))
    assert "busy with online pods" in bench.refusal("job")
    bench.cluster.kubectl("delete", "pod", "load", "-n", bench.namespace, "--now")
    assert bench.placed("job") == {"job": node}


def test_without_a_plan_online_pods_schedule_and_the_decision_says_so(bench):
    bench.node("one")
    bench.node("two")
    bench.apply(bench.pod("web", cpu="2"))
    bench.placed("web")
    assert bench.decision("web")["fallback"].startswith("there is no placement plan")
    assert bench.metrics()['ecoserve_extender_fallbacks_total{reason="NO_PLAN"}'] >= 1


def test_without_the_extender_online_pods_schedule_and_offline_pods_wait_for_it(bench):
    node, gpu = bench.node("n"), bench.node("gpu", gpus=8)
    bench.extender.kill()
    bench.apply(bench.pod("web"), bench.pod("job", traffic_class="offline"))
    assert bench.placed("web")["web"] in (node, gpu)
    bench.until(lambda: "connection refused" in bench.events("FailedScheduling"), "a failed attempt")
    assert "nodeName" not in bench.pods()["job"]["spec"]
    bench.extender.restart()
    bench.until(lambda: httpx.get(f"{bench.url}/readyz", trust_env=False).status_code == 200, "readiness")
    assert bench.placed("job", seconds=30) == {"job": node}


def test_a_hung_extender_costs_online_pods_a_second_and_offline_pods_wait_for_it(bench):
    node, gpu = bench.node("n"), bench.node("gpu", gpus=8)  # of a single one no scores are asked for
    os.kill(bench.extender.pid, signal.SIGSTOP)
    try:
        bench.apply(bench.pod("web"), bench.pod("job", traffic_class="offline"))
        bench.until(
            lambda: "context deadline exceeded" in bench.events("FailedScheduling"), "a failed attempt"
        )
        assert bench.placed("web")["web"] in (node, gpu)
        assert "nodeName" not in bench.pods()["job"]["spec"]
    finally:
        os.kill(bench.extender.pid, signal.SIGCONT)
    assert bench.placed("job", seconds=30) == {"job": node}


def test_offline_pods_are_thinned_out_where_online_load_grows_and_budgets_hold(bench):
    node = bench.node("n")
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "kept", "namespace": bench.namespace},
        "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"kept": "yes"}}},
    }
    names = [f"job-{number}" for number in range(4)]
    kept = {"job-0", "job-1"}
    bench.apply(
        budget,
        *(bench.pod(n, cpu="2", traffic_class="offline", kept="yes" if n in kept else "no") for n in names),
    )
    assert set(bench.placed(*names).values()) == {node}
    bench.apply(bench.pod("web", cpu="5500m", node=node))
    bench.until(lambda: set(bench.pods()) == kept | {"web"}, "the pods without a budget evicted", 30)
    bench.until(
        lambda: bench.metrics().get('ecoserve_extender_evictions_total{outcome="held"}', 0) >= 2,
        "budgets heeded",
    )
    assert set(bench.pods()) == kept | {"web"}
