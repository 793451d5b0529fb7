"""A planning instance and a world of manifests that are good, ways to spoil them, and what a refusal has to look like."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ecoserve.cli.app import run

Capture = pytest.CaptureFixture[str]

INSTANCE: dict[str, Any] = {
    "apiVersion": "ecoserve.dev/v1alpha1",
    "kind": "PlanningInstance",
    "metadata": {"name": "one"},
    "spec": {
        "objective": "carbon",
        "zones": [{"name": "z", "carbonIntensity": 261.0, "pue": 1.12}],
        "pools": [
            {
                "name": "p",
                "zone": "z",
                "nodes": 2,
                "node": {
                    "resources": {"gpu": 2, "cpu": 8, "memoryGiB": 900},
                    "powerWatts": 300.0,
                    "embodiedGramsPerHour": 20.0,
                    "costPerHour": 4.0,
                },
            }
        ],
        "configurations": [
            {"name": "c", "pool": "p", "resources": {"gpu": 1}, "powerWatts": 30.0, "coldStartGrams": 1.0},
            {"name": "d", "pool": "p", "resources": {"cpu": 4}, "maxReplicas": 3},
        ],
        "slices": [{"name": "s", "rate": 2.0}, {"name": "t", "rate": 0.1, "class": "offline"}],
        "options": [
            {"slice": "s", "configuration": "c", "maxRate": 1.5, "energyPerRequestJoules": 120.0},
            {"slice": "t", "configuration": "d", "maxRate": 0.4, "latencySeconds": 2.0, "phase": "both"},
        ],
        "limits": [{"name": "l", "configurations": ["c"], "minReplicas": 1, "maxReplicas": 4}],
        "held": {"c": 1},
        "headroom": 0.1,
        "divisible": True,
        "relativeGap": 0.0,
        "timeLimitSeconds": 5,
    },
}
SERVING: dict[str, Any] = {
    "apiVersion": "ecoserve.dev/v1alpha1",
    "kind": "LLMServing",
    "metadata": {"name": "chat", "namespace": "demo"},
    "spec": {
        "model": {"name": "meta-llama/Llama-3.1-8B-Instruct", "precision": "bf16"},
        "online": {
            "slo": {"ttft": "1s", "tpot": "60ms", "percentile": 90},
            "load": {"requestsPerSecond": 2.0, "inputTokens": 1000, "outputTokens": 130},
        },
        "offline": {"deadline": "24h", "load": {"requestsPerSecond": 0.1, "lengths": "azure-code-2023"}},
        "placement": {"minReplicas": 1, "maxReplicas": 8, "roles": ["both"], "cpu": True},
        "policy": {"mode": "Recommend", "objective": "carbon"},
    },
}
ZONE: dict[str, Any] = {
    "apiVersion": "ecoserve.dev/v1alpha1",
    "kind": "GridZone",
    "metadata": {"name": "west"},
    "spec": {"zones": ["w"], "pue": 1.2, "intensity": {"gramsPerKilowattHour": 261.0}},
}
PROFILE: dict[str, Any] = {
    "apiVersion": "ecoserve.dev/v1alpha1",
    "kind": "HardwareProfile",
    "metadata": {"name": "mine"},
    "spec": {
        "matchLabels": {"rack": "r1"},
        "base": "g6.48xlarge",
        "memoryGib": 768.0,
        "pricePerHour": 3.0,
        "hostLifetimeYears": 6,
        "supply": "fixed",
    },
}
NODE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {
        "name": "n0",
        "labels": {
            "topology.kubernetes.io/zone": "w",
            "node.kubernetes.io/instance-type": "g6.48xlarge",
            "rack": "r1",
        },
    },
    "status": {"allocatable": {"cpu": "192", "memory": "700Gi", "nvidia.com/gpu": "8"}},
}
FLEET: dict[str, Any] = {
    "nodes": [
        {"sku": "g6.48xlarge", "count": 1, "zone": "w", "installed": "2024-01-01", "labels": {"rack": "r1"}}
    ]
}
WORLD = {
    "serving": SERVING,
    "zone": ZONE,
    "profile": PROFILE,
    "node": NODE,
    "fleet": FLEET,
}


@pytest.fixture
def instance() -> dict[str, Any]:
    """A good planning instance."""
    return copy.deepcopy(INSTANCE)


@pytest.fixture
def world() -> dict[str, Any]:
    """Good manifests by name: serving, zone, profile, node and fleet."""
    return copy.deepcopy(WORLD)


@pytest.fixture(scope="session")
def changed() -> Callable[[Any, str, Any], Any]:
    """A copy of a document with the value at a path replaced; a callable is given what stands there."""

    def change(document: Any, path: str, value: Any) -> Any:
        made = copy.deepcopy(document)
        *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
        target = made
        for part in parents:
            target = target[part]
        target[last] = value(target[last]) if callable(value) else value
        return made

    return change


@pytest.fixture
def write_world(tmp_path: Path) -> Callable[..., list[str]]:
    """Write the good manifests, some of them replaced, and return the options that read them."""

    def write(**replaced: Any) -> list[str]:
        for name, document in (WORLD | replaced).items():
            (tmp_path / f"{name}.json").write_text(json.dumps(document))
        return ["-f", str(tmp_path)]

    return write


@pytest.fixture
def refused(capsys: Capture) -> Callable[[list[str]], str]:
    """Run a command that has to refuse its input, and return its sentence."""

    def refuse(arguments: list[str]) -> str:
        capsys.readouterr()
        assert run(arguments) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.count("\n") == 1
        assert captured.err.startswith("error: ")
        assert len(captured.err) < 1500
        return captured.err

    return refuse
