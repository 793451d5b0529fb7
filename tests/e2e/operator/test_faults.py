"""Faults of what the operator stands on: what is served stays served, things come right again, and it is told why.

A watcher samples through each fault what the ready replicas of a serving sustain: never less than its load.
"""

import itertools
import os
import random
import signal
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from ecoserve_devcluster import Process

pytestmark = pytest.mark.devcluster

NEEDED = 0.999
"""Requests/s that the servings of these tests ask for, less rounding."""
OUTAGE_SECONDS = float(os.environ.get("ECOSERVE_OUTAGE_SECONDS", "8"))
"""How long the API server is away: longer than the Lease; ECOSERVE_OUTAGE_SECONDS=60 is for a soak."""
KILLS = int(os.environ.get("ECOSERVE_KILLS", "5"))
"""Kills at random moments; ECOSERVE_KILLS=50 is for a soak."""


def served(world: Any) -> None:
    """Have one serving placed."""
    world.serve("chat")
    world.eventually(world.has_condition("chat", "Ready", "True"))


def at_rest(world: Any, solver: psutil.Process) -> bool:
    """Whether the instances of the plan have been written, and the solver has had nothing else to do for a second."""
    plan = world.plan()
    if plan.get("status", {}).get("instances", {}).get("plan") != plan["spec"]["id"]:
        return False
    before = solver.cpu_times()
    time.sleep(1)
    return bool(solver.cpu_times() == before)


def is_in(world: Any, zone: str) -> Callable[[], bool]:
    def holds() -> bool:
        ready = world.replicas_by_zone("chat")
        return set(ready) == {zone} and ready[zone] >= 1 and bool(world.condition("chat", "Ready"))

    return holds


def grid(zone: str, intensity: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "ecoserve.dev/v1alpha1",
        "kind": "GridZone",
        "metadata": {"name": zone},
        "spec": {"intensity": intensity},
    }


def solver_of(operator: Process) -> psutil.Process:
    children = psutil.Process(operator.pid).children()
    return next(child for child in children if "ecoserve_operator.planning.child" in child.cmdline())


def test_all_grids_are_down(world: Any) -> None:
    served(world)
    (before,) = world.get("deployments")
    nowhere = {"configMap": {"namespace": world.namespace, "name": "nowhere"}}
    with world.watched("chat") as samples:
        world.apply(*(grid(zone, nowhere) for zone in ("west", "east")))
        world.eventually(world.has_condition("chat", "CarbonDataFresh", "False", "Stale"))
        world.eventually(
            lambda: world.get("llmserving", "chat")["status"]["decision"]["reason"] == "SignalStale"
        )
    told = world.get("llmserving", "chat")["status"]["decision"]["message"]
    assert "held at 50 gCO2e/kWh" in told
    assert "nowhere does not exist" in told
    (after,) = world.get("deployments")
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert min(samples) >= NEEDED


def test_the_solver_is_killed(world: Any, operator: Process) -> None:
    served(world)
    with world.watched("chat") as samples:
        solver_of(operator).send_signal(signal.SIGKILL)
        world.intensity(west=700, east=20)
        world.eventually(is_in(world, "east"), seconds=40)
    assert min(samples) >= NEEDED


def test_the_solver_hangs(world: Any, operator: Process) -> None:
    served(world)
    solver = solver_of(operator)
    # Else reasons or instances may be what hangs, which is no plan's failure.
    world.eventually(lambda: at_rest(world, solver))
    with world.watched("chat") as samples:
        solver.send_signal(signal.SIGSTOP)
        world.intensity(west=700, east=20)
        world.eventually(world.has_condition("chat", "Feasible", "Unknown", "PlannerFailed"), seconds=60)
        assert "longer than 30 s" in world.condition("chat", "Feasible")["message"]
        assert set(world.replicas_by_zone("chat")) == {"west"}
        world.eventually(is_in(world, "east"), seconds=60)
    assert min(samples) >= NEEDED
    world.eventually(world.has_condition("chat", "Feasible", "True"))


def test_the_api_server_is_away(world: Any, operator: Process) -> None:
    served(world)
    (before,) = world.get("deployments")
    server = world.cluster.process("kube-apiserver")
    server.kill()
    time.sleep(OUTAGE_SECONDS)  # the leader has to end, as another may act by then
    server.restart()
    assert "may act now" in operator.tail(200)  # said by the renewal or by a write, whichever comes first
    (after,) = world.get("deployments")
    assert after["spec"] == before["spec"]
    with world.watched("chat") as samples:
        operator.restart()
        world.intensity(west=700, east=20)
        world.eventually(lambda: "east" in world.replicas_by_zone("chat"), seconds=60)
        # Kubernetes' own controllers look again the more seldom the longer it was away, at most every minute.
        world.eventually(is_in(world, "east"), seconds=180)
    assert min(samples) >= NEEDED


def test_etcd_is_slow(world: Any, operator: Process) -> None:
    served(world)
    etcd = psutil.Process(world.cluster.process("etcd").pid)
    with world.watched("chat") as samples:
        world.intensity(west=700, east=20)
        for _ in range(12):
            etcd.suspend()
            time.sleep(0.5)
            etcd.resume()
            time.sleep(0.2)
        if not operator.running:  # its Lease may have run out; a pod would be started again
            operator.restart()
        world.eventually(is_in(world, "east"), seconds=60)
    assert min(samples) >= NEEDED


def test_a_serving_is_deleted_in_the_middle_of_its_change(world: Any, operator: Process) -> None:
    served(world)
    world.serve("other")
    world.eventually(world.has_condition("other", "Ready", "True"))
    with world.watched("other") as samples:
        world.intensity(west=700, east=20)
        world.eventually(lambda: len(world.get("deployments")) > 2)
        world.cluster.kubectl("delete", "llmserving", "chat", "-n", world.namespace)
        names = ("ecoserve.dev/serving",)
        world.eventually(
            lambda: (
                {d["metadata"]["labels"][n] for d in world.get("deployments") for n in names} == {"other"}
            ),
            seconds=60,
        )
        world.eventually(lambda: set(world.replicas_by_zone("other")) == {"east"})
    assert min(samples) >= NEEDED
    assert operator.running


def test_the_operator_is_killed_at_random_moments(world: Any, operator: Process) -> None:
    served(world)
    moments = random.Random(7)  # noqa: S311 - the same moments each time
    zones = itertools.cycle([(700, 20), (20, 700)])
    with world.watched("chat") as samples:
        for _ in range(KILLS):
            west, east = next(zones)
            world.intensity(west=west, east=east)
            time.sleep(moments.uniform(0.0, 4.0))
            operator.kill()
            operator.restart()
        world.intensity(west=700, east=20)
        world.eventually(is_in(world, "east"), seconds=60)
        world.eventually(world.has_condition("chat", "Ready", "True"))
    assert min(samples) >= NEEDED
    assert len(world.get("deployments")) == 1


def test_two_operators_act_by_mistake(
    world: Any, operator: Process, run_operator: Callable[..., Process]
) -> None:
    served(world)
    namespace = world.cluster.create_namespace(f"{world.namespace}-other")
    second = run_operator(
        "operator-by-mistake", f"--namespace={namespace}", kubeconfig=world.cluster.kubeconfig
    )
    try:
        with world.watched("chat") as samples:
            world.eventually(lambda: "and acts" in second.log.read_text())
            world.intensity(west=700, east=20)
            world.eventually(is_in(world, "east"), seconds=60)
            world.eventually(lambda: "planned in" in second.log.read_text())
            settled = world.get("deployments")
            time.sleep(5)
        assert min(samples) >= NEEDED
        unmoved = [item["metadata"]["generation"] for item in world.get("deployments")]
        assert unmoved == [item["metadata"]["generation"] for item in settled]
        assert operator.running
    finally:
        second.stop()


def test_five_hundred_servings_at_once(world: Any, operator: Process) -> None:
    served(world)
    load = {"requestsPerSecond": 0.01, "inputTokens": 256, "outputTokens": 64}
    online = {"slo": {"ttft": "2s", "tpot": "100ms"}, "load": load}
    with world.watched("chat") as samples:
        world.serve_many(
            [f"crowd-{number}" for number in range(500)], online=online, policy={"mode": "Recommend"}
        )

        def told() -> bool:
            path = "jsonpath={.items[*].status.plan}"
            plans = world.cluster.kubectl("get", "llmservings", "-n", world.namespace, "-o", path)
            return len(plans.split()) == 501

        world.eventually(told, seconds=180)
    assert min(samples) >= NEEDED
    assert operator.running
