"""Outages of the control plane and of operators: what is served stays served, and things come right again.

A watcher samples through each what the ready replicas of a serving sustain: never less than its load.
"""

import itertools
import os
import random
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from e2e.faults import NEEDED, is_in, served
from ecoserve_devcluster import Process

pytestmark = pytest.mark.devcluster

OUTAGE_SECONDS = float(os.environ.get("ECOSERVE_OUTAGE_SECONDS", "8"))
"""How long the API server is away: longer than the Lease. `make faults` has a minute."""
KILLS = int(os.environ.get("ECOSERVE_KILLS", "5"))
"""Kills at random moments. `make faults` has fifty."""
LEASE = ("patch", "lease", "ecoserve-operator", "-n", "ecoserve-system")


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


def test_a_change_waits_for_a_scheduler_that_is_away(world: Any) -> None:
    """For longer than the three seconds after which these operators give up one that finds no room."""
    served(world)
    scheduler = psutil.Process(world.cluster.process("ecoserve").pid)
    with world.watched("chat") as samples:
        scheduler.suspend()
        world.intensity(west=700, east=20)
        world.eventually(lambda: "east" in world.replicas_by_zone("chat"))
        time.sleep(10)
        scheduler.resume()
        world.eventually(is_in(world, "east"))
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


def leads(operator: Process) -> bool:
    """Whether the one that was started last acts."""
    return "and acts" in operator.tail(400).rpartition("stands by")[2]


def test_the_operator_is_killed_at_random_moments_of_changes(world: Any, operator: Process) -> None:
    """Each is killed while it leads, at a moment of a change that takes as long as the first, which is not disturbed."""
    served(world)
    moments = random.Random(7)  # noqa: S311 - the same moments each time
    zones = itertools.cycle([(20, 700), (700, 20)])
    with world.watched("chat") as samples:
        began = time.monotonic()
        world.intensity(west=700, east=20)
        world.eventually(is_in(world, "east"))
        lasts_seconds = time.monotonic() - began
        for _ in range(KILLS):
            west, east = next(zones)
            world.eventually(lambda: leads(operator))
            world.intensity(west=west, east=east)
            time.sleep(moments.uniform(0.0, lasts_seconds))
            operator.kill()
            # As when its Lease has run out: else the next one would only stand by, and be killed as it does.
            world.cluster.kubectl(*LEASE, "--type=merge", "-p", '{"spec": {"holderIdentity": null}}')
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
