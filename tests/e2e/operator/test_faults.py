"""Faults of grids, of the solver and of servings: what is served stays served, things come right again, and it is told why.

A watcher samples through each fault what the ready replicas of a serving sustain: never less than its load.
"""

import signal
import time
from typing import Any

import psutil
import pytest

from e2e.faults import NEEDED, is_in, served
from ecoserve_devcluster import Process

pytestmark = pytest.mark.devcluster


def at_rest(world: Any, solver: psutil.Process) -> bool:
    """Whether the instances of the plan have been written, and the solver has had nothing else to do for a second."""
    plan = world.plan()
    if plan.get("status", {}).get("instances", {}).get("plan") != plan["spec"]["id"]:
        return False
    before = solver.cpu_times()
    time.sleep(1)
    return bool(solver.cpu_times() == before)


def grid(zone: str, intensity: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "ecoserve.dev/v1alpha1",
        "kind": "GridZone",
        "metadata": {"name": zone},
        "spec": {"intensity": intensity},
    }


def solver_of(operator: Process) -> psutil.Process:
    """The child that plans, which alone is started without options: those that compare and schedule yield to it."""
    children = psutil.Process(operator.pid).children()
    return next(child for child in children if child.cmdline()[-1] == "ecoserve_operator.planning.child")


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
