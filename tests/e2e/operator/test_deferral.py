"""Offline work that waits for a cleaner hour, and runs when the hour has come."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.devcluster


def series(*grams: float) -> str:
    """Hours of intensity from the one before this on; the last value stays for a day."""
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    values = [*grams, *[grams[-1]] * 30]
    rows = [f"{(start + timedelta(hours=hour)).isoformat()},{value}" for hour, value in enumerate(values)]
    return "\n".join(["timestamp,carbon_intensity", *rows])


def test_offline_work_waits_for_the_cleaner_hour_and_runs_in_it(
    world: Any, binaries: Callable[[str], Path]
) -> None:
    def grid(text: str) -> None:
        metadata = {"name": "west", "namespace": world.namespace}
        world.apply(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"intensity.csv": text}}
        )

    def offline(name: str) -> Any:
        return world.get("llmserving", name).get("status", {}).get("offline", {})

    def replicas(name: str) -> int:
        return sum(
            item["spec"]["replicas"]
            for item in world.get("deployments")
            if item["metadata"]["labels"]["ecoserve.dev/serving"] == name
        )

    hours = series(600, 600, 600, 20, 20, 20, 600)
    clean, _, _ = next(line for line in hours.splitlines() if line.endswith(",20")).partition(",")
    grid(hours)
    source = {"configMap": {"namespace": world.namespace, "name": "west"}}
    world.apply(
        {
            "apiVersion": "ecoserve.dev/v1alpha1",
            "kind": "GridZone",
            "metadata": {"name": "west"},
            "spec": {"intensity": source},
        }
    )
    load = {"requestsPerSecond": 2.0, "inputTokens": 512, "outputTokens": 64}
    placement = {"minReplicas": 0, "nodeSelector": {"topology.kubernetes.io/zone": "west"}, "cpu": False}
    world.serve("patient", online=None, offline={"load": load}, placement=placement)
    world.serve("hasty", online=None, offline={"load": load, "defer": False}, placement=placement)

    world.eventually(lambda: offline("patient").get("reason") == "WaitsForCleanerHour", seconds=120)
    told = offline("patient")
    assert datetime.fromisoformat(told["waitsUntil"]) == datetime.fromisoformat(clean)
    assert told["requestsPerSecond"] == 0
    world.eventually(lambda: replicas("patient") == 0 and replicas("hasty") > 0)
    assert not offline("hasty")
    world.eventually(world.has_condition("patient", "Feasible", "True"))

    kubectl = binaries("kubectl")
    paths = (kubectl.parent, Path(sys.executable).parent, os.environ["PATH"])
    shown = subprocess.run(
        [kubectl, "ecoserve", "explain", "llmserving", "patient", "-n", world.namespace],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ
        | {"PATH": os.pathsep.join(map(str, paths)), "KUBECONFIG": str(world.cluster.kubeconfig)},
    ).stdout
    assert "WaitsForCleanerHour" in shown
    assert told["waitsUntil"] in shown.replace("\n", "")

    grid(series(20))
    world.eventually(lambda: replicas("patient") > 0, seconds=120)
    world.eventually(lambda: offline("patient").get("reason") == "AtOnce", seconds=120)
    assert json.dumps(offline("patient")).count("arrivedAt") <= 48
