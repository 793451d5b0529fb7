"""`kubectl ecoserve explain pod` as people run it: kubectl, its plugin, the API server's proxy, an extender that was asked."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from integration.extender.bench import NODE_LABEL, of_another_scheduler, run_extender

pytestmark = pytest.mark.devcluster


def _address() -> str:
    """One that the API server reaches this machine by; it proxies to no loopback."""
    addresses = (each for found in psutil.net_if_addrs().values() for each in found)
    own = [each.address for each in addresses if each.family == socket.AF_INET]
    reachable = [each for each in own if not each.startswith(("127.", "169.254."))]
    if not reachable:
        pytest.skip("this machine has no address but loopback")
    return reachable[0]


def test_a_pod_is_explained_with_what_the_extender_remembers(
    bench: Any, schedule: Callable[..., str], binaries: Callable[[str], Path]
) -> None:
    observe = bench.cluster.free_port()
    extender, url = run_extender(bench.cluster, "observed", f"--observe-port={observe}")
    profile = schedule(url)
    nodes = [bench.node("idle"), bench.node("spare"), bench.node("gpu", gpus=8)]
    stand_in = {"name": "not-of-kwok", "labels": {NODE_LABEL: bench.namespace}}
    bench.apply({"apiVersion": "v1", "kind": "Node", "metadata": stand_in})
    labels = {"app.kubernetes.io/name": "ecoserve", "app.kubernetes.io/component": "scheduler"}
    sidecar = bench.pod("ecoserve-scheduler", node="not-of-kwok", **labels)
    sidecar["spec"]["containers"][0]["ports"] = [{"name": "observe", "containerPort": observe}]
    bench.apply(sidecar)
    status = f'{{"status":{{"phase":"Running","podIP":"{_address()}","podIPs":[{{"ip":"{_address()}"}}]}}}}'
    patch = ["patch", "pod", "ecoserve-scheduler", "-n", bench.namespace, "--subresource=status"]
    bench.cluster.kubectl(*patch, "--type=merge", "-p", status)

    pods = bench.pod("job", traffic_class="offline"), bench.pod("greedy", traffic_class="offline", gpus=1)
    bench.apply(*(of_another_scheduler(pod, profile) for pod in pods))
    placed = bench.placed("job")["job"]
    bench.refusal("greedy")

    def explained(name: str) -> list[str]:
        kubectl, scripts = binaries("kubectl"), Path(sys.executable).parent
        done = subprocess.run(
            [kubectl, "ecoserve", f"--kubeconfig={bench.cluster.kubeconfig}", "explain", "pod", name, "-n", bench.namespace],
            capture_output=True, text=True, check=False,
            env=os.environ | {"PATH": f"{kubectl.parent}{os.pathsep}{scripts}{os.pathsep}{os.environ['PATH']}"},
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        assert max(map(len, done.stdout.splitlines())) <= 100
        return done.stdout.splitlines()

    told = explained("job")
    assert any("CANDIDATE" in line for line in told)
    for name in nodes[:2]:
        assert any(line.strip("│ ").startswith(name) for line in told), (name, placed)
    assert "refused: 1 node(s) have accelerators, kept for online serving: gpu" in told
    assert any("can't give accelerators to an offline pod" in line for line in explained("greedy"))
    extender.stop()
